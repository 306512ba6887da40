"""Reads a request to DashScope into an order; a prompt that is too long is cut silently, as the real service does."""

from typing import Any

from devcloud.ai.dashscope_models import (
    IMAGE_FAMILIES,
    TEXT2IMAGE,
    VIDEO_FAMILIES,
    VIDEO_SIZE_RULE,
    VIDEO_SIZES,
    VIDEO_SYNTHESIS,
    ImageFamily,
    SizeRule,
    VideoFamily,
    family_of,
    invalid,
)
from devcloud.ai.orders import Order, Size, parse_size
from devcloud.ai.provider_error import ProviderError

LARGEST_SEED = 2**31 - 1


def read_order(path: str, body: object) -> Order:
    """Read the JSON body of a generation request at ``path``, or raise the ``ProviderError`` that DashScope answers."""
    if not isinstance(body, dict):
        raise invalid("Required body invalid, please check the request body format.")
    model, input_, parameters = body.get("model"), body.get("input"), body.get("parameters", {})
    if not model or not isinstance(model, str):
        raise ProviderError(400, "BadRequest.EmptyModel", 'Required parameter "model" missing from request.')
    if not input_ or not isinstance(input_, dict):
        raise ProviderError(400, "BadRequest.EmptyInput", 'Required parameter "input" missing from request.')
    if not isinstance(parameters, dict):
        raise invalid('"parameters" must be an object')
    if path == VIDEO_SYNTHESIS:
        return _read_video_order(family_of(model, VIDEO_FAMILIES, IMAGE_FAMILIES), model, input_, parameters)
    family = family_of(model, IMAGE_FAMILIES, VIDEO_FAMILIES)
    if path not in family.paths:
        raise invalid("url error, please check url!")
    return _read_image_order(family, path, model, input_, parameters)


def _read_image_order(
    family: ImageFamily, path: str, model: str, input_: dict[str, Any], parameters: dict[str, Any]
) -> Order:
    prompt = input_.get("prompt") if path == TEXT2IMAGE else _text_of_messages(input_)
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


def _read_video_order(family: VideoFamily, model: str, input_: dict[str, Any], parameters: dict[str, Any]) -> Order:
    prompt = input_.get("prompt", "")
    from_image = "-i2v" in model
    if not isinstance(prompt, str) or not (prompt or from_image):
        raise invalid("Required parameter(prompt) missing or invalid, please check the request parameters.")
    if from_image:
        _check_image_url(input_)
    duration_s = parameters.get("duration", 5)
    if not isinstance(duration_s, int) or duration_s not in family.durations:
        raise invalid(f"duration must be one of {', '.join(map(str, family.durations))}")
    if "resolution" in parameters:
        size = VIDEO_SIZES.get(str(parameters["resolution"]).upper(), {}).get(parameters.get("ratio", "16:9"))
        if size is None:
            raise invalid(f"resolution must be one of {', '.join(VIDEO_SIZES)}")
    else:
        size = parameters.get("size", family.default_size)
    width, height = _read_size(size, VIDEO_SIZE_RULE)
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


def _text_of_messages(input_: dict[str, Any]) -> str:
    try:
        (message,) = input_["messages"]
        (text,) = [part["text"] for part in message["content"] if "text" in part]
    except (KeyError, TypeError, ValueError) as error:
        raise invalid("messages must be one message whose content has exactly one text") from error
    return str(text)


def _check_image_url(input_: dict[str, Any]) -> None:
    media = input_.get("media") or [{"url": input_.get("img_url")}]
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
