"""What Function Compute hands to a handler, as typed models.

Source: https://www.alibabacloud.com/help/en/functioncompute/fc/user-guide/event-handlers-1-1 and the pages of the
triggers. Fields that nothing reads are left out; unknown ones are ignored.
"""

import base64
import json
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, TypeVar
from urllib.parse import unquote

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic.alias_generators import to_camel


class Event(BaseModel):
    """The root of the models."""

    model_config: ClassVar[ConfigDict] = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True)


E = TypeVar("E", bound=Event)


class JobEvent(Event):
    """An asynchronous invocation of ours: advance this job."""

    job_id: str


class TimerEvent(Event):
    """A timer. ``payload`` is the configured text, verbatim."""

    trigger_name: str = ""
    payload: str


class CleanUpTask(Event):
    """The payload of our timers, and of ``api``, which has one deletion carried out at once.

    With ``dry_run`` the reconcile changes nothing and says what it would do.
    """

    task: Literal["temp-files", "jobs", "reconcile", "delete"]
    dry_run: bool = False
    deletion_id: str = ""


class WebhookEvent(Event):
    """What ``deliver-webhooks`` takes: a timer's event, or ours, which names a job that has just ended."""

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
        """The object key as the event states it."""
        return self.oss.object.key


class OssEvent(Event):
    """An OSS trigger's event."""

    events: list[OssRecord]


class IndexEvent(OssEvent):
    """What ``index-outputs`` takes: an OSS trigger's event, or ours, which names a job whose prefix to index."""

    events: list[OssRecord] = Field(default_factory=list)
    job_id: str | None = None

    @model_validator(mode="after")
    def _name_something(self) -> "IndexEvent":
        if not self.events and self.job_id is None:
            raise ValueError("neither events nor jobId")
        return self


class HttpEvent(Event):
    """An HTTP trigger's event. Header names are in lower case here, whatever the platform made of them.

    ``raw_path`` is percent-encoded. What the platform leaves out or states as null is as if it were empty.
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
            # Two spellings of one name are one header, as the platform joins those of one spelling.
            joined[name.lower()] = f"{joined[name.lower()]},{value}" if name.lower() in joined else value
        return joined

    @property
    def method(self) -> str:
        """The HTTP method."""
        return str((self.request_context.get("http") or {}).get("method") or "GET").upper()

    @property
    def segments(self) -> tuple[str, ...]:
        """What is between the slashes of the path, each decoded by itself, so that ``%2F`` makes no segment.

        The ``api`` under which every route is served a second time is left out. Raises ValueError: it is not UTF-8.
        """
        root, *segments = (unquote(part, errors="strict") for part in self._raw_path.split("/"))
        if segments[:1] == ["api"]:
            del segments[0]
        return (root, *segments)

    @property
    def path(self) -> str:
        """The path for people and logs, decoded, without the ``/api``; ``segments`` is what routes go by."""
        path = unquote(self._raw_path)
        return path.removeprefix("/api") or "/" if path == "/api" or path.startswith("/api/") else path

    @property
    def _raw_path(self) -> str:
        # A literal "?" would begin a query, which the platform states elsewhere.
        return self.raw_path.partition("?")[0] or "/"

    @property
    def body_bytes(self) -> bytes:
        """The body. Raises ValueError: it is said to be base64 and is not."""
        if not self.is_base64_encoded:
            return self.body.encode("utf-8", "surrogatepass")
        try:
            return base64.b64decode(self.body, validate=True)
        except ValueError as error:
            raise ValueError("the body is not base64") from error


def parse_event(model: type[E], event: bytes) -> E:
    """Read an event into ``model``. Raises pydantic's ValidationError."""
    return model.model_validate(json.loads(event))
