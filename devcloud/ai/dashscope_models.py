"""DashScope's model families, and the limits that the API enforces for each.

The limits are those of the text-to-image, Qwen-Image and text/image-to-video references at
https://help.aliyun.com/zh/model-studio/ .
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TypeVar

from devcloud.ai.orders import Size, parse_size
from devcloud.ai.provider_error import ProviderError

TEXT2IMAGE = "/api/v1/services/aigc/text2image/image-synthesis"
IMAGE_GENERATION = "/api/v1/services/aigc/image-generation/generation"
MULTIMODAL_GENERATION = "/api/v1/services/aigc/multimodal-generation/generation"
VIDEO_SYNTHESIS = "/api/v1/services/aigc/video-generation/video-synthesis"


@dataclass(frozen=True)
class SizeRule:
    """The sizes that a family accepts: ``words`` for the error, ``admits`` for the check."""

    words: str
    admits: Callable[[Size], bool]


def _sides(least: int, most: int) -> SizeRule:
    return SizeRule(f"sides of {least} to {most} pixels", lambda size: all(least <= side <= most for side in size))


def _area(least_side: int, most_side: int) -> SizeRule:
    return SizeRule(
        f"{least_side}*{least_side} to {most_side}*{most_side} pixels in all, at a ratio of 1:4 to 4:1",
        lambda size: least_side**2 <= size[0] * size[1] <= most_side**2 and max(size) <= 4 * min(size),
    )


def _any_of(*sizes: str) -> SizeRule:
    known = {parse_size(size) for size in sizes}
    return SizeRule(f"one of {', '.join(sizes)}", lambda size: size in known)


@dataclass(frozen=True)
class ImageFamily:
    """Image models with the same interface: their names start with ``prefixes``, and ``paths`` serve them."""

    prefixes: tuple[str, ...]
    paths: frozenset[str]
    longest_prompt: int
    default_size: str
    sizes: SizeRule
    most_images: int = 4
    default_images: int = 4
    named_sizes: Mapping[str, str] | None = None


@dataclass(frozen=True)
class VideoFamily:
    """Video models with the same interface."""

    prefixes: tuple[str, ...]
    durations: Collection[int]
    longest_prompt: int
    default_size: str
    old_usage: bool = False


Family = TypeVar("Family", ImageFamily, VideoFamily)

_MESSAGES = frozenset({IMAGE_GENERATION, MULTIMODAL_GENERATION})

IMAGE_FAMILIES = (
    ImageFamily(
        ("wanx2.", "wanx-v1", "wan2.1-t2i", "wan2.2-t2i"), frozenset({TEXT2IMAGE}), 500, "1024*1024", _sides(512, 1440)
    ),
    ImageFamily(("wan2.5-t2i",), frozenset({TEXT2IMAGE}), 2000, "1280*1280", _area(1280, 1440)),
    ImageFamily(("wan2.6-t2i", "wan2.6-image"), _MESSAGES, 2100, "1280*1280", _area(1280, 1440)),
    ImageFamily(
        ("wan2.7-image",),
        _MESSAGES,
        5000,
        "2048*2048",
        _area(768, 4096),
        named_sizes={"1K": "1024*1024", "2K": "2048*2048", "4K": "4096*4096"},
    ),
    ImageFamily(
        ("qwen-image-2.0",),
        frozenset({MULTIMODAL_GENERATION}),
        800,
        "2048*2048",
        _area(512, 2048),
        most_images=6,
        default_images=1,
    ),
    ImageFamily(
        ("qwen-image",),
        frozenset({MULTIMODAL_GENERATION}),
        800,
        "1664*928",
        _any_of("1664*928", "1472*1140", "1328*1328", "1140*1472", "928*1664"),
        most_images=1,
        default_images=1,
    ),
)

VIDEO_FAMILIES = (
    VideoFamily(
        ("wanx2.1-t2v", "wanx2.1-i2v", "wan2.1-t2v", "wan2.1-i2v"), (5,), 800, default_size="1280*720", old_usage=True
    ),
    VideoFamily(("wan2.2-t2v", "wan2.2-i2v"), (5,), 800, default_size="1920*1080", old_usage=True),
    VideoFamily(("wan2.5-t2v", "wan2.5-i2v"), (5, 10), 1500, default_size="1920*1080", old_usage=True),
    VideoFamily(("wan2.6-t2v", "wan2.6-i2v"), range(2, 16), 1500, default_size="1920*1080"),
    VideoFamily(("wan2.7-t2v", "wan2.7-i2v"), range(2, 16), 5000, default_size="1920*1080"),
)

# By resolution and ratio; the ratio of a resolution without a ratio is 16:9.
VIDEO_SIZES = {
    "480P": {"16:9": "832*480", "9:16": "480*832", "1:1": "624*624"},
    "720P": {"16:9": "1280*720", "9:16": "720*1280", "1:1": "960*960", "4:3": "1088*832", "3:4": "832*1088"},
    "1080P": {"16:9": "1920*1080", "9:16": "1080*1920", "1:1": "1440*1440", "4:3": "1632*1248", "3:4": "1248*1632"},
}
VIDEO_SIZE_RULE = _any_of(*(size for ratios in VIDEO_SIZES.values() for size in ratios.values()))


def invalid(message: str) -> ProviderError:
    """Build the answer to a parameter that is missing or wrong."""
    return ProviderError(400, "InvalidParameter", message)


def video_family(model: str) -> VideoFamily:
    """Return the family of a video model that an order was accepted for."""
    return family_of(model, VIDEO_FAMILIES, ())


def family_of(model: str, families: tuple[Family, ...], elsewhere: tuple[ImageFamily | VideoFamily, ...]) -> Family:
    """Return the family of ``model``; a model of a family ``elsewhere`` is served at another path."""
    for family in families:
        if model.startswith(family.prefixes):
            return family
    if any(model.startswith(family.prefixes) for family in elsewhere):
        raise invalid("url error, please check url!")
    raise ProviderError(404, "ModelNotFound", f"Model not found ({model})!")
