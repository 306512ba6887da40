"""What requests may say, and the answers that only this API gives."""

import unicodedata
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel

from shared.representations import Json, OutputJson

_MAX_SEED = 2_147_483_647


def _printable(value: str) -> str:
    # C0, DEL and C1. Bidirectional controls and joiners are letters of some scripts and of emoji.
    if any(unicodedata.category(character) == "Cc" and character not in "\t\n\r" for character in value):
        raise ValueError("must not hold control characters")
    return value


Prompt = Annotated[str, StringConstraints(min_length=1, max_length=4000), AfterValidator(_printable)]
HttpUrl = Annotated[
    str, StringConstraints(max_length=2048, pattern=r"^https?://[^\s/@]+(/\S*)?$"), AfterValidator(_printable)
]


class Input(BaseModel):
    """A body or a query. Unknown names are an error, so that a typo is not lost."""

    # Under its camelCase name alone: another spelling is an unknown name.
    model_config = ConfigDict(alias_generator=to_camel, extra="forbid")


class NoInput(Input):
    """Nothing."""


class GenerateRequest(Input):
    """What both kinds of job take."""

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


class OutputsJson(Json):
    """The outputs of one job."""

    data: list[OutputJson]


class HealthJson(Json):
    """That the function runs, and which version of it."""

    status: str
    version: str
    function_version: str
