"""What users see of jobs and outputs: the JSON of the API, camelCase, times as RFC 3339 in UTC."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, PlainSerializer, WithJsonSchema
from pydantic.alias_generators import to_camel

from shared.domain.jobs import Job, JobOutput, JobStatus
from shared.domain.keys import ObjectKey
from shared.ports import OutputStore
from shared.services.legacy import LegacyOutput, find_outputs


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


class OutputUrls(Protocol):
    """The addresses at which outputs can be read now."""

    def url_of(self, output: JobOutput) -> str:
        """Return the URL of a row."""

    def thumbnail_of(self, output: JobOutput) -> str | None:
        """Return the URL of a small picture of it, or None."""

    def key_of(self, url: str) -> ObjectKey | None:
        """Return the key of an output that a URL of the bucket names."""


def show_outputs(found: Sequence[JobOutput | LegacyOutput], *, urls: OutputUrls) -> Sequence[OutputJson]:
    """Return outputs with the URLs at which they can be read now."""
    return [
        show_output(output, urls.url_of(output), urls.thumbnail_of(output))
        if isinstance(output, JobOutput)
        else show_output(output, output.oss_url, None)
        for output in found
    ]


def find_and_show_outputs(
    job: Job, *, outputs: OutputStore, urls: OutputUrls, index: Callable[[Job], None]
) -> Sequence[OutputJson]:
    """Return the outputs of a job with the URLs at which they can be read now; ``index`` is for one without rows."""
    return show_outputs(find_outputs(job, outputs=outputs, key_of=urls.key_of, index=index), urls=urls)


def find_and_show_job(
    job: Job, *, outputs: OutputStore, urls: OutputUrls, index: Callable[[Job], None]
) -> dict[str, Any]:
    """Return the JSON of a job."""
    # While a job is at work its rows come one by one; they are shown when it is done.
    done = job.status is JobStatus.SUCCEEDED
    shown = find_and_show_outputs(job, outputs=outputs, urls=urls, index=index) if done else ()
    return show_job(job, shown).model_dump(by_alias=True)
