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
    """The payload of our timers. With ``dry_run`` the reconcile changes nothing and says what it would do."""

    task: Literal["temp-files", "jobs", "reconcile"]
    dry_run: bool = False


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
    """An HTTP trigger's event. Header names are in lower case here, whatever the platform made of them."""

    raw_path: str = "/"
    body: str = ""
    is_base64_encoded: bool = False
    headers: Mapping[str, str] = Field(default_factory=dict)
    query_parameters: Mapping[str, str] = Field(default_factory=dict)
    request_context: Mapping[str, Any] = Field(default_factory=dict)

    @field_validator("headers", mode="before")
    @classmethod
    def _lower(cls, headers: Mapping[str, str] | None) -> dict[str, str]:
        return {name.lower(): value for name, value in (headers or {}).items()}

    @property
    def method(self) -> str:
        """The HTTP method."""
        return str(self.request_context.get("http", {}).get("method", "GET")).upper()

    @property
    def path(self) -> str:
        """The path, decoded, without the ``/api`` under which every route is served a second time."""
        path = unquote(self.raw_path) or "/"
        return path.removeprefix("/api") or "/" if path == "/api" or path.startswith("/api/") else path

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
