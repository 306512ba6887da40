"""What may be ordered from DashScope: the model families, their limits, and the reading of a request into an order.

The limits are those of the text-to-image, Qwen-Image and text/image-to-video references at
https://help.aliyun.com/zh/model-studio/ . As there, a prompt that is too long is cut without a word.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from devcloud.ai.errors import ProviderError

MediaType = Literal["image", "video"]
Size = tuple[int, int]

LARGEST_SEED = 2**31 - 1

TEXT2IMAGE = "/api/v1/services/aigc/text2image/image-synthesis"
IMAGE_GENERATION = "/api/v1/services/aigc/image-generation/generation"
MULTIMODAL_GENERATION = "/api/v1/services/aigc/multimodal-generation/generation"
VIDEO_SYNTHESIS = "/api/v1/services/aigc/video-generation/video-synthesis"


@dataclass(frozen=True)
class Order:
    """One accepted wish: ``count`` images, or one video of ``duration_s`` seconds (0 for images)."""

    type: MediaType
    model: str
    prompt: str
    width: int
    height: int
    count: int = 1
    seed: int = 0
    duration_s: int = 0
    extend_prompt: bool = True
    suffix: str = ".png"


@dataclass(frozen=True)
class SizeRule:
    """Which sizes a family takes, in words for the error and as a check."""

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


def parse_size(size: object, separator: str = "*") -> Size:
    """Read "1280*720"; raises ``ValueError`` for anything else."""
    width, height = (int(side) for side in str(size).split(separator))
    return width, height


@dataclass(frozen=True)
class ImageFamily:
    """Image models that share their interface: found by the start of the name, served at ``paths``."""

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
    """Video models that share their interface."""

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

# By resolution and ratio; 16:9 is what a resolution alone means.
VIDEO_SIZES = {
    "480P": {"16:9": "832*480", "9:16": "480*832", "1:1": "624*624"},
    "720P": {"16:9": "1280*720", "9:16": "720*1280", "1:1": "960*960", "4:3": "1088*832", "3:4": "832*1088"},
    "1080P": {"16:9": "1920*1080", "9:16": "1080*1920", "1:1": "1440*1440", "4:3": "1632*1248", "3:4": "1248*1632"},
}
_VIDEO_SIZE_RULE = _any_of(*(size for ratios in VIDEO_SIZES.values() for size in ratios.values()))


def invalid(message: str) -> ProviderError:
    """Build the answer to a parameter that is missing or wrong."""
    return ProviderError(400, "InvalidParameter", message)


def read_order(path: str, body: object) -> Order:
    """Read the JSON body of a generation request at ``path``, or raise the ``ProviderError`` that DashScope answers."""
    if not isinstance(body, dict):
        raise invalid("Required body invalid, please check the request body format.")
    model, wish, parameters = body.get("model"), body.get("input"), body.get("parameters", {})
    if not model or not isinstance(model, str):
        raise ProviderError(400, "BadRequest.EmptyModel", 'Required parameter "model" missing from request.')
    if not wish or not isinstance(wish, dict):
        raise ProviderError(400, "BadRequest.EmptyInput", 'Required parameter "input" missing from request.')
    if not isinstance(parameters, dict):
        raise invalid('"parameters" must be an object')
    if path == VIDEO_SYNTHESIS:
        return _read_video_order(_family_of(model, VIDEO_FAMILIES, IMAGE_FAMILIES), model, wish, parameters)
    family = _family_of(model, IMAGE_FAMILIES, VIDEO_FAMILIES)
    if path not in family.paths:
        raise invalid("url error, please check url!")
    return _read_image_order(family, path, model, wish, parameters)


def video_family(model: str) -> VideoFamily:
    """Return the family of a video model that an order was accepted for."""
    return _family_of(model, VIDEO_FAMILIES, ())


def _family_of(model: str, families: tuple[Family, ...], elsewhere: tuple[ImageFamily | VideoFamily, ...]) -> Family:
    for family in families:
        if model.startswith(family.prefixes):
            return family
    if any(model.startswith(family.prefixes) for family in elsewhere):
        raise invalid("url error, please check url!")
    raise ProviderError(404, "ModelNotFound", f"Model not found ({model})!")


def _read_image_order(
    family: ImageFamily, path: str, model: str, wish: dict[str, Any], parameters: dict[str, Any]
) -> Order:
    prompt = wish.get("prompt") if path == TEXT2IMAGE else _text_of_messages(wish)
    if not prompt or not isinstance(prompt, str):
        raise invalid("Required parameter(prompt) missing or invalid, please check the request parameters.")
    count = parameters.get("n", family.default_images)
    if not _is_integer_within(count, 1, family.most_images):
        limits = "1" if family.most_images == 1 else f"between 1 and {family.most_images}"
        raise invalid(f"num_images_per_prompt must be {limits}")
    size = parameters.get("size", family.default_size)
    width, height = _read_size((family.named_sizes or {}).get(size, size), family.sizes)
    return Order(
        "image",
        model,
        prompt[: family.longest_prompt],
        width,
        height,
        count=count,
        seed=_read_seed(parameters),
        extend_prompt=parameters.get("prompt_extend", True) is not False,
    )


def _read_video_order(family: VideoFamily, model: str, wish: dict[str, Any], parameters: dict[str, Any]) -> Order:
    prompt = wish.get("prompt", "")
    from_image = "-i2v" in model
    if not isinstance(prompt, str) or not (prompt or from_image):
        raise invalid("Required parameter(prompt) missing or invalid, please check the request parameters.")
    if from_image:
        _check_image_url(wish)
    duration_s = parameters.get("duration", 5)
    if not isinstance(duration_s, int) or duration_s not in family.durations:
        raise invalid(f"duration must be one of {', '.join(map(str, family.durations))}")
    if "resolution" in parameters:
        size = VIDEO_SIZES.get(str(parameters["resolution"]).upper(), {}).get(parameters.get("ratio", "16:9"))
        if size is None:
            raise invalid(f"resolution must be one of {', '.join(VIDEO_SIZES)}")
    else:
        size = parameters.get("size", family.default_size)
    width, height = _read_size(size, _VIDEO_SIZE_RULE)
    return Order(
        "video",
        model,
        prompt[: family.longest_prompt],
        width,
        height,
        seed=_read_seed(parameters),
        duration_s=duration_s,
        extend_prompt=parameters.get("prompt_extend", True) is not False,
        suffix=".mp4",
    )


def _text_of_messages(wish: dict[str, Any]) -> str:
    try:
        (message,) = wish["messages"]
        (text,) = [part["text"] for part in message["content"] if "text" in part]
    except (KeyError, TypeError, ValueError) as error:
        raise invalid("messages must be one message whose content has exactly one text") from error
    return str(text)


def _check_image_url(wish: dict[str, Any]) -> None:
    media = wish.get("media") or [{"url": wish.get("img_url")}]
    try:
        urls = [part["url"] for part in media]
    except (KeyError, TypeError) as error:
        raise invalid("media must be a list of objects with a type and a url") from error
    if not all(isinstance(url, str) for url in urls):
        raise invalid("Required parameter(img_url) missing or invalid, please check the request parameters.")
    if not all(url.startswith(("http://", "https://", "data:image/", "oss://")) for url in urls):
        raise ProviderError(400, "InvalidURL", "The img_url is not a URL or a data URI.")


def _read_size(size: object, rule: SizeRule) -> Size:
    try:
        pixels = parse_size(size)
    except ValueError as error:
        raise invalid(f'size must be "width*height", got {size!r}') from error
    if not rule.admits(pixels):
        raise invalid(f"size must be {rule.words}, got {size}")
    return pixels


def _read_seed(parameters: dict[str, Any]) -> int:
    seed = parameters.get("seed", 0)
    if not _is_integer_within(seed, 0, LARGEST_SEED):
        raise invalid(f"seed must be between 0 and {LARGEST_SEED}")
    return int(seed)


def _is_integer_within(value: object, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most
