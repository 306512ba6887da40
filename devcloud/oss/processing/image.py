"""``image/…`` with Pillow: info, resize, crop, rotate, auto-orient, format and quality, in the given order.

The encoders differ from the real service's, and so do sizes in bytes; dimensions, formats and errors are the same.
"""

import io
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO

from PIL import Image, ImageColor, ImageOps

from devcloud.oss.oss_errors import OssError
from devcloud.oss.processing import Action, bad_request, invalid_value, unknown_operation

MAX_SIDE = 30_000
MAX_PIXELS = 250_000_000
MAX_RESIZED_SIDE = 16_384
MAX_ROTATED_SIDE = 4_096

# Pillow's default limit is lower than OSS's.
Image.MAX_IMAGE_PIXELS = None

_FORMATS = {
    "jpg": ("JPEG", "image/jpeg"),
    "png": ("PNG", "image/png"),
    "webp": ("WEBP", "image/webp"),
    "bmp": ("BMP", "image/bmp"),
    "gif": ("GIF", "image/gif"),
    "tiff": ("TIFF", "image/tiff"),
    "avif": ("AVIF", "image/avif"),
}
_NAMES = {pillow: name for name, (pillow, _) in _FORMATS.items()} | {"MPO": "jpg"}
_GRAVITY = {
    name: (x / 2, y / 2)
    for y, row in enumerate((("nw", "north", "ne"), ("west", "center", "east"), ("sw", "south", "se")))
    for x, name in enumerate(row)
}
# The mean of the standard luminance table at quality 50; other qualities scale this table.
_MEAN_AT_50 = 57.625


@dataclass
class _Work:
    """An image between two actions, and how it will be written."""

    image: Image.Image
    format: str
    tables: Any = None
    quality: int | None = None


def process(file: BinaryIO, actions: tuple[Action, ...]) -> tuple[bytes, str]:
    """Return the bytes and content type of ``file`` after ``actions``. Raises ``OssError``."""
    data = file.read()
    source = _open(data)
    name = _NAMES[source.format or ""]
    if actions[0].name == "info":
        return _info(source, name, len(data)), "application/json"
    work = _Work(source, name, getattr(source, "quantization", None))
    for action in actions:
        step = _STEPS.get(action.name)
        if step is None:
            raise unknown_operation(action.name)
        step(work, action)
    return _encode(work), _FORMATS[work.format][1]


def _open(data: bytes) -> Image.Image:
    try:
        image = Image.open(io.BytesIO(data))
        if max(image.size) > MAX_SIDE or image.width * image.height > MAX_PIXELS:
            raise _too_large("The source image is too large.")
        if image.format not in _NAMES:
            raise bad_request("This image format is not supported.")
        image.load()
    except (OssError, MemoryError):
        raise
    except Exception as error:  # Pillow's decoders raise all kinds of errors for a damaged file
        raise bad_request("This image format is not supported.") from error
    return image


def _too_large(message: str) -> OssError:
    return OssError(400, "ImageTooLarge", message)


def _info(image: Image.Image, name: str, size: int) -> bytes:
    facts = {
        "FileSize": size,
        "Format": name,
        "FrameCount": getattr(image, "n_frames", 1),
        "ImageHeight": image.height,
        "ImageWidth": image.width,
    }
    orientation = image.getexif().get(0x0112)
    if orientation is not None:
        facts["Orientation"] = orientation
    return json.dumps({key: {"value": str(value)} for key, value in facts.items()}, indent=2).encode()


# Steps


def _resize(work: _Work, action: Action) -> None:
    mode = action.choice("m", ("lfit", "mfit", "fill", "pad", "fixed"))
    limit = action.number("limit", 0, 1, 1)
    percent = action.number("p", 1, 1000)
    mode, width, height = _requested_size(work.image, action, mode, limit=bool(limit))
    color = _color(action)
    image = work.image
    if percent is not None:
        # limit does not apply to percentages.
        work.image = _to_size(image, (_scaled(image.width, percent / 100), _scaled(image.height, percent / 100)))
        return
    if width is None or height is None:
        raise OssError(400, "MissingArgument", "The width or height of the resize operation is missing.")
    target = _target(image, mode, width, height)
    if limit and (target[0] > image.width or target[1] > image.height) and mode in ("lfit", "mfit", "fixed"):
        return
    if mode == "fill":
        work.image = _fill(image, width, height, enlarge=not limit)
    elif mode == "pad":
        work.image = _pad(image, width, height, color, enlarge=not limit)
    else:
        work.image = _to_size(image, target)


def _requested_size(
    image: Image.Image, action: Action, mode: str, *, limit: bool
) -> tuple[str, int | None, int | None]:
    """Return the mode that applies, and the width and height, which are both ``None`` if the action names no side."""
    width, height = (action.number(name, 1, MAX_RESIZED_SIDE) for name in ("w", "h"))
    longest, shortest = (action.number(name, 1, MAX_RESIZED_SIDE) for name in ("l", "s"))
    if width is None and height is None:
        longest, shortest = longest or shortest, shortest or longest
        width, height = (longest, shortest) if image.width >= image.height else (shortest, longest)
        if "l" not in action.parameters:
            mode = "mfit" if mode == "lfit" else mode
    elif width is None or height is None:
        # One side alone keeps the proportions, whatever the mode is.
        ratio = image.width / image.height
        width, height = width or _scaled(height or 1, ratio), height or _scaled(width or 1, 1 / ratio)
        if mode != "fixed" or limit:
            mode = "lfit" if mode in ("fill", "pad", "fixed") else mode
    return mode, width, height


def _target(image: Image.Image, mode: str, width: int, height: int) -> tuple[int, int]:
    if mode == "fixed":
        return width, height
    choose: Callable[[float, float], float] = max if mode in ("mfit", "fill") else min
    factor = choose(width / image.width, height / image.height)
    return _scaled(image.width, factor), _scaled(image.height, factor)


def _fill(image: Image.Image, width: int, height: int, *, enlarge: bool) -> Image.Image:
    target = _target(image, "fill", width, height)
    if enlarge or target[0] <= image.width:
        image = _to_size(image, target)
    box_width, box_height = min(width, image.width), min(height, image.height)
    left, top = (image.width - box_width) // 2, (image.height - box_height) // 2
    return image.crop((left, top, left + box_width, top + box_height))


def _pad(image: Image.Image, width: int, height: int, color: tuple[int, ...], *, enlarge: bool) -> Image.Image:
    target = _target(image, "lfit", width, height)
    if enlarge or target[0] <= image.width:
        image = _to_size(image, target)
    canvas = Image.new("RGB", (width, height), color)
    mask = image.convert("RGBA") if "A" in image.getbands() else None
    canvas.paste(image, ((width - image.width) // 2, (height - image.height) // 2), mask)
    return canvas


def _to_size(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    if max(size) > MAX_RESIZED_SIDE or size[0] * size[1] > MAX_RESIZED_SIDE**2:
        raise _too_large("The resized image is too large.")
    if image.mode == "P":
        image = image.convert("RGBA" if "transparency" in image.info else "RGB")
    return image.resize(size, Image.Resampling.BICUBIC)


def _scaled(side: int, factor: float) -> int:
    return max(1, round(side * factor))


def _color(action: Action) -> tuple[int, ...]:
    text = action.parameters.get("color", "FFFFFF")
    if not re.fullmatch(r"[0-9A-Fa-f]{6}", text):
        raise invalid_value("color", text)
    return ImageColor.getrgb(f"#{text}")


def _crop(work: _Work, action: Action) -> None:
    image = work.image
    x, y = (action.number(name, 0, MAX_SIDE, 0) or 0 for name in ("x", "y"))
    width, height = (action.number(name, 0, MAX_SIDE, 0) or side for name, side in zip("wh", image.size, strict=True))
    gravity = _GRAVITY[action.choice("g", tuple(_GRAVITY))]
    left, top = (
        int((side - min(box, side)) * part)
        for side, box, part in zip(image.size, (width, height), gravity, strict=True)
    )
    left, top = left + x, top + y
    if left >= image.width or top >= image.height:
        raise bad_request("Advance cut's position is out of image.")
    work.image = image.crop((left, top, min(left + width, image.width), min(top + height, image.height)))


def _rotate(work: _Work, action: Action) -> None:
    angle = action.bare_number(0, 360)
    if max(work.image.size) > MAX_ROTATED_SIDE:
        raise _too_large(f"Images of more than {MAX_ROTATED_SIDE} pixels a side cannot be rotated.")
    image = work.image
    if angle % 90:
        image = image.convert("RGBA")
    work.image = image.rotate(-angle, resample=Image.Resampling.BICUBIC, expand=True)


def _auto_orient(work: _Work, action: Action) -> None:
    if action.bare_number(0, 1):
        work.image = ImageOps.exif_transpose(work.image)


def _format(work: _Work, action: Action) -> None:
    name = {"jpeg": "jpg"}.get(action.value, action.value)
    if name not in _FORMATS:
        raise invalid_value("format", action.value)
    work.format = name


def _quality(work: _Work, action: Action) -> None:
    absolute, relative = action.number("Q", 1, 100), action.number("q", 1, 100)
    if absolute is None and relative is None:
        raise OssError(400, "MissingArgument", "The quality is missing.")
    if absolute is not None:
        work.quality = absolute
        return
    # Relative to the quality of the source JPEG; other formats count as 100.
    work.quality = max(1, round(_source_quality(work.tables) * (relative or 100) / 100))


_STEPS: dict[str, Callable[[_Work, Action], None]] = {
    "resize": _resize,
    "crop": _crop,
    "rotate": _rotate,
    "auto-orient": _auto_orient,
    "format": _format,
    "quality": _quality,
}


# Writing


def _encode(work: _Work) -> bytes:
    image, options = work.image, dict[str, Any]()
    if work.format == "jpg":
        image = _flat(image)
        options = {"optimize": True, "subsampling": 2}
        if work.quality is not None:
            options["quality"] = work.quality
        elif work.tables:
            options["qtables"] = work.tables
    elif work.format in ("webp", "avif"):
        image = image if image.mode in ("RGB", "RGBA") else image.convert("RGBA" if _has_alpha(image) else "RGB")
        options = {"quality": work.quality or 75}
    elif work.format == "png":
        options = {"compress_level": 9}
    elif work.format in ("bmp", "tiff"):
        image = _flat(image) if work.format == "bmp" else image
    out = io.BytesIO()
    image.save(out, _FORMATS[work.format][0], **options)
    return out.getvalue()


def _has_alpha(image: Image.Image) -> bool:
    return "A" in image.getbands() or "transparency" in image.info


def _flat(image: Image.Image) -> Image.Image:
    """Return the image on white, in colours that JPEG has."""
    if _has_alpha(image):
        image = image.convert("RGBA")
        canvas = Image.new("RGB", image.size, (255, 255, 255))
        canvas.paste(image, mask=image)
        return canvas
    return image if image.mode in ("L", "RGB", "CMYK") else image.convert("RGB")


def _source_quality(tables: Any) -> int:
    """Return the quality that a JPEG's tables stand for, by the formula of the Independent JPEG Group."""
    if not tables:
        return 100
    scale: float = 100 * sum(tables[0]) / 64 / _MEAN_AT_50
    quality = (200 - scale) / 2 if scale <= 100 else 5000 / scale
    return min(100, max(1, round(quality)))
