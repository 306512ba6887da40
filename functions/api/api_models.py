"""The JSON of the API: bodies and queries of requests, and the answers that only this API gives."""

import unicodedata
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    StringConstraints,
    ValidationInfo,
)
from pydantic.alias_generators import to_camel

from shared.domain.deliveries import DeliveryStatus
from shared.domain.errors import AddressRefusedError
from shared.domain.media_type import MediaType
from shared.domain.models import MAX_COUNT, MODELS
from shared.domain.web_addresses import WebPolicy, read_web_address
from shared.presentation import JobJson, JobStatusName, Json, MediaTypeName, OutputJson, Time

_MAX_SEED = 2_147_483_647


def _printable(value: str) -> str:
    # C0, DEL and C1. Bidirectional controls and joiners are allowed: some scripts and emoji need them.
    if any(unicodedata.category(character) == "Cc" and character not in "\t\n\r" for character in value):
        raise ValueError("must not contain control characters, except tab and line break")
    return value


# These fields only add to the OpenAPI description; they do not change which values are accepted.
_PRINTABLE = Field(json_schema_extra={"pattern": r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]*$"})
_SIZES = Field(
    description="Width and height in pixels. Each model has its own sizes; a 422 names them.",
    json_schema_extra={"pattern": r"^[1-9][0-9]{1,4}x[1-9][0-9]{1,4}$"},
)
Prompt = Annotated[str, StringConstraints(min_length=1, max_length=4000), AfterValidator(_printable), _PRINTABLE]


@dataclass(frozen=True)
class UrlRules:
    """The rules for URLs in bodies: which addresses may be contacted, and whether webhooks are configured.

    The rules are the context of the validation.
    """

    policy: WebPolicy
    webhooks_enabled: bool


def _contactable(value: str, info: ValidationInfo) -> str:
    try:
        read_web_address(value, _rules_of(info).policy)
    except AddressRefusedError as error:
        raise ValueError(str(error)) from error
    return value


def _deliverable(value: str, info: ValidationInfo) -> str:
    if not _rules_of(info).webhooks_enabled:
        raise ValueError("is not supported, because webhooks are not configured; omit it and read the job instead")
    return value


def _rules_of(info: ValidationInfo) -> UrlRules:
    assert isinstance(info.context, UrlRules)  # noqa: S101 - read_body hands them in
    return info.context


WebUrl = Annotated[
    str, StringConstraints(max_length=2048), AfterValidator(_contactable), Field(json_schema_extra={"format": "uri"})
]
WebhookUrl = Annotated[WebUrl, AfterValidator(_deliverable)]


class Input(BaseModel):
    """A body or a query. An unknown name is an error, so that a typo has no silent effect."""

    # Only the camelCase name of a field is known; any other spelling is an unknown name.
    model_config = ConfigDict(alias_generator=to_camel, extra="forbid")


class NoInput(Input):
    """No body and no query parameters."""


def _models_for(type: MediaType) -> Any:
    names: list[JsonValue] = [model.name for model in MODELS.values() if model.type is type]
    return Field(json_schema_extra={"enum": names})


class GenerateRequest(Input):
    """The fields of both kinds of job."""

    prompt: Prompt
    negative_prompt: Prompt | None = None
    model: str | None = None
    seed: Annotated[int, Field(ge=0, le=_MAX_SEED, strict=True)] | None = None
    size: Annotated[str, _SIZES] | None = None
    webhook_url: WebhookUrl | None = None


class ImageRequest(GenerateRequest):
    """The body of ``POST /ai/generate-image``."""

    model: Annotated[str, _models_for(MediaType.IMAGE)] | None = None
    count: Annotated[int, Field(ge=1, le=MAX_COUNT, strict=True)] = 1


class VideoRequest(GenerateRequest):
    """The body of ``POST /ai/generate-video``. ``duration`` is in seconds."""

    model: Annotated[str, _models_for(MediaType.VIDEO)] | None = None
    duration: Annotated[int, Field(ge=1, le=60, strict=True)] | None = None
    image_url: WebUrl | None = None


class OutputsJson(Json):
    """The outputs of one job."""

    data: list[OutputJson]


class QuotaJson(Json):
    """One quota and how much of it is used."""

    used: int
    limit: int


class DailyQuotaJson(QuotaJson):
    """A daily quota. Its count starts again at 0 at ``resetsAt``."""

    resets_at: Time


class UsageJson(Json):
    """A user's quotas: unfinished jobs, jobs started since 00:00 UTC, bytes of outputs."""

    concurrent_jobs: QuotaJson
    jobs_today: DailyQuotaJson
    stored_bytes: QuotaJson


def _in_digits(value: str) -> str:
    # Python also accepts signs, spaces, underscores and a fraction of zeros.
    if not (value.isascii() and value.isdecimal()):
        raise ValueError("must be an integer, written with the digits 0 to 9 only")
    return value


class PageQuery(Input):
    """A part of a list. ``cursor`` is the ``nextCursor`` of the previous page."""

    type: MediaTypeName | None = None
    cursor: str | None = None
    limit: Annotated[int, Field(ge=1, le=100), BeforeValidator(_in_digits)] = 20


class OutputsQuery(PageQuery):
    """The query of ``GET /outputs``."""


class JobsQuery(PageQuery):
    """The query of ``GET /jobs``."""

    status: JobStatusName | None = None


class JobsPageJson(Json):
    """A page of jobs. ``nextCursor`` is null on the last page."""

    data: list[JobJson]
    next_cursor: str | None


class OutputsPageJson(Json):
    """A page of outputs. ``nextCursor`` is null on the last page."""

    data: list[OutputJson]
    next_cursor: str | None


class DeletionJson(Json):
    """A deletion in progress. It covers everything that existed at ``requestedAt``.

    It continues in the background; repeat the request to see whether it has finished.
    """

    status: Literal["deleting"]
    requested_at: Time


class DeliveryJson(Json):
    """One delivery of a webhook. ``responseStatus`` and ``error`` describe the last attempt.

    During an attempt, ``nextAttemptAt`` is the time of the next attempt if this one breaks off.
    """

    id: str
    event: Literal["job.succeeded", "job.failed", "job.cancelled"]
    url: str
    status: DeliveryStatus
    attempts: int
    created_at: Time
    last_attempt_at: Time | None
    next_attempt_at: Time | None
    response_status: int | None
    error: str | None


class DeliveriesJson(Json):
    """The deliveries of one job."""

    data: list[DeliveryJson]


class HealthJson(Json):
    """The function runs. ``version`` is the version of the API, ``functionVersion`` that of the function."""

    status: str
    version: str
    function_version: str


class OpenApiJson(Json):
    """The OpenAPI 3.1 description of this API."""

    model_config = ConfigDict(extra="allow")

    openapi: str
