"""What users see of jobs and outputs: the JSON of the API, camelCase, times as RFC 3339 in UTC."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, PlainSerializer, WithJsonSchema
from pydantic.alias_generators import to_camel

from shared.domain.jobs import Job, JobOutput
from shared.services.legacy import LegacyOutput


def _rfc3339(value: datetime) -> str:
    return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


_RFC3339_SCHEMA = WithJsonSchema({"type": "string", "format": "date-time"}, mode="serialization")
Time = Annotated[datetime, PlainSerializer(_rfc3339), _RFC3339_SCHEMA]


class Json(BaseModel):
    """What every one of them is."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", from_attributes=True)


class OutputJson(Json):
    """One image or video. ``size`` is in bytes; there is no local path and no object key here.

    ``thumbnail_url`` is a picture up to 512 pixels wide; null where OSS can make none.

    Of an output of the former system that is known by its URL alone, ``size`` and every value of ``meta`` are null.
    """

    id: str
    job_id: str
    user_id: str
    type: Literal["image", "video"]
    oss_url: str
    thumbnail_url: str | None
    size: int | None
    meta: dict[str, Any]
    created_at: Time


class ErrorJson(Json):
    """Why a job failed."""

    code: str
    message: str
    retryable: bool


class JobJson(Json):
    """One job with its outputs."""

    id: str
    type: Literal["image", "video"]
    status: Literal["queued", "running", "storing", "succeeded", "failed", "cancelled"]
    prompt: str
    model: str
    created_at: Time
    started_at: Time | None
    finished_at: Time | None
    error: ErrorJson | None
    warnings: list[str]
    outputs: list[OutputJson]


def show_output(output: JobOutput | LegacyOutput, url: str, thumbnail_url: str | None) -> OutputJson:
    """Return what a user may see of an output."""
    return OutputJson(
        id=output.id,
        job_id=output.job_id,
        user_id=output.user_id,
        type=output.type.value,
        oss_url=url,
        thumbnail_url=thumbnail_url,
        size=output.size,
        meta=output.meta,
        created_at=output.created_at,
    )


def show_job(job: Job, outputs: Sequence[OutputJson]) -> JobJson:
    """Return what a user may see of a job."""
    return JobJson(
        id=job.id,
        type=job.type.value,
        status=job.status.value,
        prompt=job.prompt,
        model=job.model,
        created_at=job.created_at,
        started_at=job.started_at,
        finished_at=job.finished_at,
        error=ErrorJson.model_validate(job.error) if job.error else None,
        warnings=list(job.warnings),
        outputs=list(outputs),
    )
