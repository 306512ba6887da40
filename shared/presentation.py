"""The JSON of jobs and outputs that users see, in the API and in webhooks: camelCase, times as RFC 3339 in UTC."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, PlainSerializer, WithJsonSchema
from pydantic.alias_generators import to_camel

from shared.domain.jobs import Job, JobOutput, JobStatus
from shared.services.legacy import LegacyOutput, OutputPorts, find_known_outputs, find_outputs
from shared.services.reading import ListedJob

MediaTypeName = Literal["image", "video"]
JobStatusName = Literal["queued", "running", "storing", "succeeded", "failed", "cancelled"]


def _rfc3339(value: datetime) -> str:
    return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


_RFC3339_SCHEMA = WithJsonSchema({"type": "string", "format": "date-time"}, mode="serialization")
Time = Annotated[datetime, PlainSerializer(_rfc3339), _RFC3339_SCHEMA]


class Json(BaseModel):
    """The base of all JSON answers."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", from_attributes=True)


class OutputJson(Json):
    """One image or video. ``size`` is in bytes.

    ``thumbnailUrl`` is a picture up to 512 pixels wide; it is null if OSS cannot make one.

    Outputs of the previous system may be known only by their URL; then ``size`` and every value of ``meta`` are null.
    """

    id: str
    job_id: str
    user_id: str
    type: MediaTypeName
    oss_url: str
    thumbnail_url: str | None
    size: int | None
    meta: dict[str, Any]
    created_at: Time


class ErrorJson(Json):
    """The reason why a job failed. ``retryable`` says whether a new job may succeed."""

    code: str
    message: str
    retryable: bool


class JobJson(Json):
    """One job with its outputs."""

    id: str
    type: MediaTypeName
    status: JobStatusName
    prompt: str
    model: str
    created_at: Time
    started_at: Time | None
    finished_at: Time | None
    error: ErrorJson | None
    warnings: list[str]
    outputs: list[OutputJson]


def job_json(job: Job, outputs: Sequence[OutputJson]) -> JobJson:
    """Return a job with these outputs."""
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
    """The URLs at which outputs can be read now."""

    def url_of(self, output: JobOutput) -> str:
        """Return the URL of an output."""

    def thumbnail_of(self, output: JobOutput) -> str | None:
        """Return the URL of a small picture of an output, or None."""


@dataclass(frozen=True)
class JobPresenter:
    """Shows jobs and outputs to their user. Each call signs the URLs again."""

    ports: OutputPorts
    urls: OutputUrls

    def show_job(self, job: Job) -> JobJson:
        """Return a job; a succeeded job without rows is indexed first. Raises DatabaseUnavailableError."""
        # The rows of an unfinished job appear one by one; they are shown when the job has succeeded.
        return job_json(job, self.show_outputs(job) if job.status is JobStatus.SUCCEEDED else ())

    def show_ended_job(self, job: Job) -> JobJson:
        """Return a job that has just ended and therefore has its rows; nothing is indexed.

        Raises DatabaseUnavailableError.
        """
        rows = self.ports.outputs.of_job(job.id) if job.status is JobStatus.SUCCEEDED else ()
        return self.show_listed_job(ListedJob(job, find_known_outputs(job, rows, key_of=self.ports.key_of)))

    def show_listed_job(self, listed: ListedJob) -> JobJson:
        """Return a job of a list."""
        return job_json(listed.job, [self.show_output(output) for output in listed.outputs])

    def show_outputs(self, job: Job) -> Sequence[OutputJson]:
        """Return the outputs of a job; a succeeded job without rows is indexed. Raises DatabaseUnavailableError."""
        return [self.show_output(output) for output in find_outputs(job, ports=self.ports)]

    def show_output(self, output: JobOutput | LegacyOutput) -> OutputJson:
        """Return one output."""
        row = output if isinstance(output, JobOutput) else None
        return OutputJson(
            id=output.id,
            job_id=output.job_id,
            user_id=output.user_id,
            type=output.type.value,
            oss_url=self.urls.url_of(row) if row else output.oss_url,
            thumbnail_url=self.urls.thumbnail_of(row) if row else None,
            size=output.size,
            meta=output.meta,
            created_at=output.created_at,
        )
