"""The model table: which provider serves a model, in which form, and what it takes.

Sizes and counts are always sent: the providers' own defaults cost money (DashScope draws four images when ``n``
is left out, and a 1080p video when ``size`` is). Where a provider publishes its limits they are checked here,
before anything is paid; the rest is the provider's to refuse.
Source: https://www.alibabacloud.com/help/en/model-studio/text-to-image-v2-api-reference and its siblings.
"""

import re
from dataclasses import dataclass, field
from enum import StrEnum

from shared.domain.errors import ValidationError
from shared.domain.media_type import MediaType


class Form(StrEnum):
    """A family of requests and answers."""

    TEXT_TO_IMAGE = "text-to-image"  # DashScope, results[]
    MESSAGES_TO_IMAGE = "messages-to-image"  # DashScope, choices[]
    TEXT_TO_VIDEO = "text-to-video"  # DashScope, video_url
    IMAGE_TO_VIDEO = "image-to-video"  # DashScope, video_url
    OPENAI_IMAGES = "openai-images"  # base64 in the answer


@dataclass(frozen=True)
class Size:
    """Pixels."""

    width: int
    height: int

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"

    @classmethod
    def parse(cls, text: str) -> "Size":
        """Read ``"1024x1024"``. Raises ValidationError."""
        match = re.fullmatch(r"([1-9][0-9]{1,4})x([1-9][0-9]{1,4})", text)
        if match is None:
            raise _size_refusal('must be like "1024x1024"')
        return cls(int(match[1]), int(match[2]))


def _size_refusal(rule: str) -> ValidationError:
    return ValidationError(f"size {rule}", errors=[{"field": "size", "message": rule}])


@dataclass(frozen=True)
class SizeRule:
    """What sizes a model takes: sides (pixels), pixels in all, or a closed list."""

    min_side: int = 1
    max_side: int = 99_999
    min_pixels: int = 1
    max_pixels: int = 10**9
    only: tuple[str, ...] = ()
    even: bool = False

    def check(self, size: Size) -> None:
        """Raise ValidationError, with what would be right, if the model does not take ``size``."""
        if self.only and str(size) not in self.only:
            raise _size_refusal(f"must be one of {', '.join(self.only)} for this model")
        if min(size.width, size.height) < self.min_side or max(size.width, size.height) > self.max_side:
            raise _size_refusal(f"must have sides of {self.min_side} to {self.max_side} pixels for this model")
        if not self.min_pixels <= size.width * size.height <= self.max_pixels:
            raise _size_refusal(f"must have {self.min_pixels} to {self.max_pixels} pixels in all for this model")
        if self.even and (size.width % 2 or size.height % 2):
            raise _size_refusal("must have even sides for a video")


@dataclass(frozen=True)
class Model:
    """One line of the table. ``max_prompt`` is where the provider cuts, in characters."""

    name: str
    form: Form
    default_size: Size
    sizes: SizeRule
    max_prompt: int
    durations: tuple[int, ...] = field(default=())

    @property
    def provider(self) -> str:
        """The provider's name."""
        return "openai" if self.form is Form.OPENAI_IMAGES else "dashscope"

    @property
    def type(self) -> MediaType:
        """What the model makes."""
        return MediaType.VIDEO if self.form in {Form.TEXT_TO_VIDEO, Form.IMAGE_TO_VIDEO} else MediaType.IMAGE

    def warnings(self, prompt: str, negative_prompt: str | None, seed: int | None) -> tuple[str, ...]:
        """Say what of a request this model will not heed: providers leave it out without a word."""
        found = []
        if len(prompt) > self.max_prompt:
            found.append(f"{self.name} reads the first {self.max_prompt} characters of the prompt")
        if self.form is Form.OPENAI_IMAGES:
            found += [
                f"{self.name} takes no {name}"
                for name, value in (("negativePrompt", negative_prompt), ("seed", seed))
                if value is not None
            ]
        return tuple(found)

    def check_duration(self, seconds: int) -> None:
        """Raise ValidationError, with what would be right, if the model does not make ``seconds``."""
        if seconds not in self.durations:
            rule = f"must be one of {', '.join(map(str, self.durations))} seconds for the model {self.name}"
            raise ValidationError(f"duration {rule}", errors=[{"field": "duration", "message": rule}])


_SQUARE = Size(1024, 1024)
_HD = Size(1280, 720)
_WAN22 = SizeRule(min_side=512, max_side=1440)
_WAN25 = SizeRule(min_pixels=1280 * 1280, max_pixels=1440 * 1440)
_VIDEO = SizeRule(min_side=128, max_side=1920, max_pixels=1920 * 1080, even=True)

_TABLE = (
    Model("wan2.2-t2i-flash", Form.TEXT_TO_IMAGE, _SQUARE, _WAN22, 500),
    Model("wan2.2-t2i-plus", Form.TEXT_TO_IMAGE, _SQUARE, _WAN22, 500),
    Model("wan2.5-t2i-preview", Form.TEXT_TO_IMAGE, Size(1280, 1280), _WAN25, 2000),
    Model("wan2.6-t2i", Form.MESSAGES_TO_IMAGE, Size(1280, 1280), _WAN25, 2100),
    Model("gpt-image-1", Form.OPENAI_IMAGES, _SQUARE, SizeRule(only=("1024x1024", "1536x1024", "1024x1536")), 32_000),
    Model("wan2.6-t2v", Form.TEXT_TO_VIDEO, _HD, _VIDEO, 1500, tuple(range(2, 16))),
    Model("wan2.5-t2v-preview", Form.TEXT_TO_VIDEO, _HD, _VIDEO, 1500, (5, 10)),
    Model("wan2.6-i2v", Form.IMAGE_TO_VIDEO, _HD, _VIDEO, 1500, tuple(range(2, 16))),
)
MODELS = {model.name: model for model in _TABLE}
DEFAULT_DURATION_S = 5
MAX_COUNT = 4  # outputs of one job


def choose_model(name: str | None, type: MediaType, *, from_image: bool) -> Model:
    """Return the model asked for, or the default one for the job. Raises ValidationError, naming the good ones."""
    fitting = [m for m in _TABLE if m.type is type and (m.form is Form.IMAGE_TO_VIDEO) is from_image]
    if name is None:
        return fitting[0]
    for model in fitting:
        if model.name == name:
            return model
    what = "video from an image" if from_image else type.value
    rule = f"must be one of {', '.join(m.name for m in fitting)} for {what}"
    raise ValidationError(f"model {rule}", errors=[{"field": "model", "message": rule}])
