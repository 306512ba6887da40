"""What requests may say, and the answers that only this API gives."""

import unicodedata
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, StringConstraints
from pydantic.alias_generators import to_camel

from shared.domain.deliveries import DeliveryStatus
from shared.domain.errors import AddressRefusedError
from shared.domain.keys import MediaType
from shared.domain.models import MAX_COUNT, MODELS
from shared.domain.web_addresses import read_web_address
from shared.representations import JobJson, Json, OutputJson, Time
from shared.settings import read_web_policy, webhooks_are_enabled

_MAX_SEED = 2_147_483_647


def _printable(value: str) -> str:
    # C0, DEL and C1. Bidirectional controls and joiners are letters of some scripts and of emoji.
    if any(unicodedata.category(character) == "Cc" and character not in "\t\n\r" for character in value):
        raise ValueError("must not hold control characters")
    return value


# What a description of the API says beside what pydantic knows; nothing here changes what is taken.
_PRINTABLE = Field(json_schema_extra={"pattern": r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]*$"})
_SIZES = Field(
    description="Width and height in pixels. Which ones there are depends on the model; a 422 names them.",
    json_schema_extra={"pattern": r"^[1-9][0-9]{1,4}x[1-9][0-9]{1,4}$"},
)
Prompt = Annotated[str, StringConstraints(min_length=1, max_length=4000), AfterValidator(_printable), _PRINTABLE]


def _contactable(value: str) -> str:
    try:
        read_web_address(value, read_web_policy())
    except AddressRefusedError as error:
        raise ValueError(str(error)) from error
    return value


def _deliverable(value: str) -> str:
    if not webhooks_are_enabled():
        raise ValueError("webhooks are not configured: leave it out, and ask for the job instead")
    return value


WebUrl = Annotated[
    str, StringConstraints(max_length=2048), AfterValidator(_contactable), Field(json_schema_extra={"format": "uri"})
]
WebhookUrl = Annotated[WebUrl, AfterValidator(_deliverable)]


class Input(BaseModel):
    """A body or a query. Unknown names are an error, so that a typo is not lost."""

    # Under its camelCase name alone: another spelling is an unknown name.
    model_config = ConfigDict(alias_generator=to_camel, extra="forbid")


class NoInput(Input):
    """Nothing."""


def _models_for(type: MediaType) -> Any:
    names: list[JsonValue] = [model.name for model in MODELS.values() if model.type is type]
    return Field(json_schema_extra={"enum": names})


class GenerateRequest(Input):
    """What both kinds of job take."""

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
    """A quota that begins anew every day."""

    resets_at: Time


class UsageJson(Json):
    """What a user takes up: unfinished jobs, jobs begun since 00:00 UTC, bytes of outputs."""

    concurrent_jobs: QuotaJson
    jobs_today: DailyQuotaJson
    stored_bytes: QuotaJson


def _in_digits(value: str) -> str:
    # Python's numbers may have signs, spaces, underscores and a fraction of zeros.
    if not (value.isascii() and value.isdecimal()):
        raise ValueError("must be an integer, in the digits 0 to 9")
    return value


class PageQuery(Input):
    """Which part of a list; ``cursor`` is the ``nextCursor`` of the page before."""

    type: Literal["image", "video"] | None = None
    cursor: str | None = None
    limit: Annotated[int, Field(ge=1, le=100), BeforeValidator(_in_digits)] = 20


class OutputsQuery(PageQuery):
    """The query of ``GET /outputs``."""


class JobsQuery(PageQuery):
    """The query of ``GET /jobs``."""

    status: Literal["queued", "running", "storing", "succeeded", "failed", "cancelled"] | None = None


class JobsPageJson(Json):
    """A page of jobs; ``nextCursor`` is null on the last one."""

    data: list[JobJson]
    next_cursor: str | None


class OutputsPageJson(Json):
    """A page of outputs; ``nextCursor`` is null on the last one."""

    data: list[OutputJson]
    next_cursor: str | None


class DeletionJson(Json):
    """A deletion of what there was at ``requestedAt``. It goes on by itself; repeat the request to hear of its end."""

    status: Literal["deleting"]
    requested_at: Time


class DeliveryJson(Json):
    """One delivery of a webhook. ``responseStatus`` and ``error`` are of the last attempt.

    While an attempt is at work, ``nextAttemptAt`` is when another would be made in its place.
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
    """That the function runs, and which version of it."""

    status: str
    version: str
    function_version: str


class OpenApiJson(Json):
    """The OpenAPI 3.1 description of this API."""

    model_config = ConfigDict(extra="allow")

    openapi: str
