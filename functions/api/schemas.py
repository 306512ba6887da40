"""The JSON of the API: camelCase, times as RFC 3339 in UTC."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainSerializer, StringConstraints
from pydantic.alias_generators import to_camel

from shared.domain.jobs import Job, JobOutput
from shared.services.legacy import LegacyOutput

_MAX_SEED = 2_147_483_647


def _rfc3339(value: datetime) -> str:
    return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _printable(value: str) -> str:
    if any(ord(character) < 32 and character not in "\t\n\r" for character in value):
        raise ValueError("must not hold control characters")
    return value


Time = Annotated[datetime, PlainSerializer(_rfc3339)]
Prompt = Annotated[str, StringConstraints(min_length=1, max_length=4000), AfterValidator(_printable)]
HttpUrl = Annotated[str, StringConstraints(max_length=2048, pattern=r"^https?://[^\s/@]+(/\S*)?$")]


class _Json(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", from_attributes=True)


class GenerateRequest(BaseModel):
    """What both kinds of job take. Unknown fields are an error, so that a typo is not lost."""

    # Under its camelCase name alone: another spelling is an unknown field.
    model_config = ConfigDict(alias_generator=to_camel, extra="forbid")

    prompt: Prompt
    negative_prompt: Prompt | None = None
    model: str | None = None
    seed: Annotated[int, Field(ge=0, le=_MAX_SEED, strict=True)] | None = None
    size: str | None = None
    webhook_url: HttpUrl | None = None


class ImageRequest(GenerateRequest):
    """The body of ``POST /ai/generate-image``."""

    count: Annotated[int, Field(ge=1, le=4, strict=True)] = 1


class VideoRequest(GenerateRequest):
    """The body of ``POST /ai/generate-video``. ``duration`` is in seconds."""

    duration: Annotated[int, Field(ge=1, le=60, strict=True)] | None = None
    image_url: HttpUrl | None = None


class OutputJson(_Json):
    """One image or video. ``size`` is in bytes; there is no local path and no object key here.

    Of an output of the former system that is known by its URL alone, ``size`` and every value of ``meta`` are null.
    """

    id: str
    job_id: str
    user_id: str
    type: Literal["image", "video"]
    oss_url: str
    size: int | None
    meta: dict[str, Any]
    created_at: Time


class ErrorJson(_Json):
    """Why a job failed."""

    code: str
    message: str
    retryable: bool


class JobJson(_Json):
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


def show_output(output: JobOutput | LegacyOutput, url: str) -> OutputJson:
    """Return what a user may see of an output."""
    return OutputJson(
        id=output.id,
        job_id=output.job_id,
        user_id=output.user_id,
        type=output.type.value,
        oss_url=url,
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
