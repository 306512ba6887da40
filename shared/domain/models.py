"""The model table: which provider serves a model, in which form, and which parameters the model accepts.

Requests always state the size and the count, because the providers' own defaults cost money: without ``n`` DashScope
generates four images, and without ``size`` a 1080p video. Where a provider publishes its limits, this table checks
them before anything is paid; the provider refuses the rest.
Source: https://www.alibabacloud.com/help/en/model-studio/text-to-image-v2-api-reference and the pages beside it.

To add a provider: its name here and the rows of its models, an adapter behind the port ``Provider``, and a line in
``bootstrap._provider``. mypy reports a name without this line.
"""

import re
from dataclasses import dataclass
from enum import StrEnum

from shared.domain.errors import ValidationError
from shared.domain.media_type import MediaType
from shared.domain.texts import bounded


class ProviderName(StrEnum):
    """Every provider. In capitals, a name begins the provider's variables: ``DASHSCOPE_API_KEY``."""

    DASHSCOPE = "dashscope"
    OPENAI = "openai"


class Form(StrEnum):
    """The form of a model's requests."""

    TEXT_TO_IMAGE = "text-to-image"
    MESSAGES_TO_IMAGE = "messages-to-image"  # the prompt is a chat message
    TEXT_TO_VIDEO = "text-to-video"
    IMAGE_TO_VIDEO = "image-to-video"


@dataclass(frozen=True)
class Size:
    """Width and height in pixels."""

    width: int
    height: int

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"

    @classmethod
    def parse(cls, text: str) -> "Size":
        """Read ``"1024x1024"``. Raises ValidationError."""
        match = re.fullmatch(r"([1-9][0-9]{1,4})x([1-9][0-9]{1,4})", text)
        if match is None:
            raise _size_refusal(f'must be width and height in pixels, like "1024x1024", got "{bounded(text, 40)}"')
        return cls(int(match[1]), int(match[2]))


def _size_refusal(rule: str) -> ValidationError:
    return ValidationError(f"size {rule}", errors=[{"field": "size", "message": rule}])


@dataclass(frozen=True)
class SizeRule:
    """The sizes that a model accepts: limits for each side and for the product (pixels), or a closed list."""

    min_side: int = 1
    max_side: int = 99_999
    min_pixels: int = 1
    max_pixels: int = 10**9
    only: tuple[str, ...] = ()
    even: bool = False

    def check(self, size: Size) -> None:
        """Raise ValidationError, which names the accepted sizes, if the model does not accept ``size``."""
        if self.only and str(size) not in self.only:
            raise _size_refusal(f"must be one of {', '.join(self.only)} for this model, got {size}")
        if min(size.width, size.height) < self.min_side or max(size.width, size.height) > self.max_side:
            raise _size_refusal(
                f"must have sides of {self.min_side} to {self.max_side} pixels for this model, got {size}"
            )
        if not self.min_pixels <= size.width * size.height <= self.max_pixels:
            raise _size_refusal(
                f"must have {self.min_pixels} to {self.max_pixels} pixels in total (width × height) for this model, "
                f"got {size} = {size.width * size.height}"
            )
        if self.even and (size.width % 2 or size.height % 2):
            raise _size_refusal(f"must have an even width and an even height for a video, got {size}")


@dataclass(frozen=True)
class Model:
    """One row of the table.

    The provider cuts a prompt after ``max_prompt`` characters and ignores the parameters in ``ignored``. ``durations``
    are in seconds; a model of images has no durations.
    """

    name: str
    provider: ProviderName
    form: Form
    default_size: Size
    sizes: SizeRule
    max_prompt: int
    durations: tuple[int, ...] = ()
    ignored: frozenset[str] = frozenset()

    @property
    def type(self) -> MediaType:
        """The type of the model's outputs."""
        return MediaType.VIDEO if self.form in {Form.TEXT_TO_VIDEO, Form.IMAGE_TO_VIDEO} else MediaType.IMAGE

    def warnings(self, prompt: str, negative_prompt: str | None, seed: int | None) -> tuple[str, ...]:
        """Return a warning for each part of a request that the provider ignores without an error."""
        found = []
        if len(prompt) > self.max_prompt:
            found.append(
                f"{self.name} uses only the first {self.max_prompt} characters of the prompt, which has {len(prompt)}"
            )
        found += [
            f"{self.name} ignores {name}"
            for name, value in (("negativePrompt", negative_prompt), ("seed", seed))
            if value is not None and name in self.ignored
        ]
        return tuple(found)

    def check_duration(self, seconds: int) -> None:
        """Raise ValidationError, which names the possible durations, if the model does not make ``seconds``."""
        if seconds not in self.durations:
            rule = (
                f"must be one of {', '.join(map(str, self.durations))} seconds for the model {self.name}, got {seconds}"
            )
            raise ValidationError(f"duration {rule}", errors=[{"field": "duration", "message": rule}])


_DASHSCOPE, _OPENAI = ProviderName.DASHSCOPE, ProviderName.OPENAI
_SQUARE = Size(1024, 1024)
_HD = Size(1280, 720)
_WAN22 = SizeRule(min_side=512, max_side=1440)
_WAN25 = SizeRule(min_pixels=1280 * 1280, max_pixels=1440 * 1440)
_GPT = SizeRule(only=("1024x1024", "1536x1024", "1024x1536"))
_VIDEO = SizeRule(min_side=128, max_side=1920, max_pixels=1920 * 1080, even=True)
_NO_EXTRAS = frozenset({"negativePrompt", "seed"})

# The first row that fits a job is its default model.
_TABLE = (
    Model("wan2.2-t2i-flash", _DASHSCOPE, Form.TEXT_TO_IMAGE, _SQUARE, _WAN22, 500),
    Model("wan2.2-t2i-plus", _DASHSCOPE, Form.TEXT_TO_IMAGE, _SQUARE, _WAN22, 500),
    Model("wan2.5-t2i-preview", _DASHSCOPE, Form.TEXT_TO_IMAGE, Size(1280, 1280), _WAN25, 2000),
    Model("wan2.6-t2i", _DASHSCOPE, Form.MESSAGES_TO_IMAGE, Size(1280, 1280), _WAN25, 2100),
    Model("gpt-image-1", _OPENAI, Form.TEXT_TO_IMAGE, _SQUARE, _GPT, 32_000, ignored=_NO_EXTRAS),
    Model("wan2.6-t2v", _DASHSCOPE, Form.TEXT_TO_VIDEO, _HD, _VIDEO, 1500, tuple(range(2, 16))),
    Model("wan2.5-t2v-preview", _DASHSCOPE, Form.TEXT_TO_VIDEO, _HD, _VIDEO, 1500, (5, 10)),
    Model("wan2.6-i2v", _DASHSCOPE, Form.IMAGE_TO_VIDEO, _HD, _VIDEO, 1500, tuple(range(2, 16))),
)
MODELS = {model.name: model for model in _TABLE}
DEFAULT_DURATION_S = 5
MAX_COUNT = 4  # outputs of one job


def choose_model(name: str | None, type: MediaType, *, from_image: bool) -> Model:
    """Return the model named ``name``, or the default model. Raises ValidationError, which names possible models."""
    fitting = [m for m in _TABLE if m.type is type and (m.form is Form.IMAGE_TO_VIDEO) is from_image]
    if name is None:
        return fitting[0]
    for model in fitting:
        if model.name == name:
            return model
    job = "a video from an image" if from_image else f"{'an' if type is MediaType.IMAGE else 'a'} {type}"
    rule = f'must be one of {", ".join(m.name for m in fitting)} for {job}, got "{bounded(name, 64)}"'
    raise ValidationError(f"model {rule}", errors=[{"field": "model", "message": rule}])
