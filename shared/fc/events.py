"""The events that Function Compute passes to a handler, as typed models.

Source: https://www.alibabacloud.com/help/en/functioncompute/fc/user-guide/event-handlers-1-1 and the pages of the
triggers. Fields that no code reads are left out; unknown fields are ignored.
"""

import base64
import json
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, TypeVar
from urllib.parse import unquote

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic.alias_generators import to_camel


class Event(BaseModel):
    """The base class of the models."""

    model_config: ClassVar[ConfigDict] = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True)


E = TypeVar("E", bound=Event)


class JobEvent(Event):
    """An asynchronous invocation by another function of this service: advance this job."""

    job_id: str


class TimerEvent(Event):
    """The event of a timer. ``payload`` is the configured text, unchanged."""

    trigger_name: str = ""
    payload: str


class CleanUpTask(Event):
    """The payload of the timers of ``clean-up``, and of ``api``, which starts one deletion immediately.

    With ``dry_run`` the reconcile changes nothing and reports the changes that it would make.
    """

    task: Literal["temp-files", "jobs", "reconcile", "delete"]
    dry_run: bool = False
    deletion_id: str = ""


class WebhookEvent(Event):
    """The event of ``deliver-webhooks``: from a timer, or from another function, with a job that has just ended."""

    job_id: str | None = None


class _OssObject(Event):
    key: str


class _OssBody(Event):
    object: _OssObject


class OssRecord(Event):
    """One change in the bucket."""

    event_name: str
    oss: _OssBody

    @property
    def key(self) -> str:
        """The object key in the event."""
        return self.oss.object.key


class OssEvent(Event):
    """An OSS trigger's event."""

    events: list[OssRecord]


class IndexEvent(OssEvent):
    """The event of ``index-outputs``: from an OSS trigger, or from another function, with a job to index."""

    events: list[OssRecord] = Field(default_factory=list)
    job_id: str | None = None

    @model_validator(mode="after")
    def _name_something(self) -> "IndexEvent":
        if not self.events and self.job_id is None:
            raise ValueError("the event must have events or jobId")
        return self


class HttpEvent(Event):
    """An HTTP trigger's event. Header names are converted to lower case.

    ``raw_path`` is percent-encoded. A field that the platform leaves out or sets to null has its empty default.
    """

    raw_path: str = "/"
    body: str = ""
    is_base64_encoded: bool = False
    headers: Mapping[str, str] = Field(default_factory=dict)
    query_parameters: Mapping[str, str] = Field(default_factory=dict)
    request_context: Mapping[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, event: Any) -> Any:
        return {name: value for name, value in event.items() if value is not None} if isinstance(event, dict) else event

    @field_validator("headers", mode="before")
    @classmethod
    def _lower(cls, headers: Mapping[str, str]) -> dict[str, str]:
        joined: dict[str, str] = {}
        for name, value in headers.items():
            # Headers whose names differ only in case are one header; the platform joins those of the same spelling so.
            joined[name.lower()] = f"{joined[name.lower()]},{value}" if name.lower() in joined else value
        return joined

    @property
    def method(self) -> str:
        """The HTTP method."""
        return str((self.request_context.get("http") or {}).get("method") or "GET").upper()

    @property
    def segments(self) -> tuple[str, ...]:
        """The parts of the path between slashes. Each is decoded separately, so that ``%2F`` does not split a segment.

        A leading ``api`` is removed, because every route is served below ``/api``, too. Raises ValueError: not UTF-8.
        """
        root, *segments = (unquote(part, errors="strict") for part in self._raw_path.split("/"))
        if segments[:1] == ["api"]:
            del segments[0]
        return (root, *segments)

    @property
    def path(self) -> str:
        """The decoded path without ``/api``, for people and logs; routing uses ``segments``."""
        path = unquote(self._raw_path)
        return path.removeprefix("/api") or "/" if path == "/api" or path.startswith("/api/") else path

    @property
    def _raw_path(self) -> str:
        # A literal "?" would start a query, which the platform passes in another field.
        return self.raw_path.partition("?")[0] or "/"

    @property
    def body_bytes(self) -> bytes:
        """The body. Raises ValueError: the event declares base64, but the body is not valid base64."""
        if not self.is_base64_encoded:
            return self.body.encode("utf-8", "surrogatepass")
        try:
            return base64.b64decode(self.body, validate=True)
        except ValueError as error:
            raise ValueError("the body is not valid base64") from error


def parse_event(model: type[E], event: bytes) -> E:
    """Read an event into ``model``. Raises pydantic's ValidationError."""
    return model.model_validate(json.loads(event))
