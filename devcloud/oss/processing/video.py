"""``video/snapshot`` with PyAV: one frame of a video as JPEG or PNG.

See https://www.alibabacloud.com/help/en/oss/user-guide/video-snapshots.
"""

import io
from typing import Any, BinaryIO

import av
from av.error import FFmpegError
from PIL import Image

from devcloud.oss.oss_errors import OssError
from devcloud.oss.processing import Action, bad_request, invalid_value, unknown_operation

MAX_SIDE = 4096
_MAX_MS = 2**31 - 1
_TYPES = {"jpg": ("JPEG", "image/jpeg"), "png": ("PNG", "image/png")}


def process(file: BinaryIO, actions: tuple[Action, ...]) -> tuple[bytes, str]:
    """Return the bytes and content type of the snapshot. Raises ``OssError``."""
    (action, *others) = actions
    for step in (action, *others)[int(action.name == "snapshot") :]:
        raise unknown_operation(step.name)
    at_ms = action.number("t", 0, _MAX_MS)
    if at_ms is None:
        raise OssError(400, "MissingArgument", "The t of the snapshot operation is missing.")
    form = action.choice("f", ("jpg", "png"))
    width, height = action.number("w", 0, MAX_SIDE, 0) or 0, action.number("h", 0, MAX_SIDE, 0) or 0
    fast = "m" in action.parameters and action.choice("m", ("fast",)) == "fast"
    turn = action.choice("ar", ("auto", "h", "w"))
    image = _turned(_frame(file, at_ms, fast=fast), turn)
    if width or height:
        ratio = image.width / image.height
        size = (width or max(1, round(height * ratio)), height or max(1, round(width / ratio)))
        image = image.resize(size, Image.Resampling.BICUBIC)
    out, (name, content_type) = io.BytesIO(), _TYPES[form]
    image.save(out, name)
    return out.getvalue(), content_type


def _frame(file: BinaryIO, at_ms: int, *, fast: bool) -> Image.Image:
    try:
        with av.open(file) as container:
            still = container.format.name == "image2" or container.format.name.endswith("_pipe")
            if still or not container.streams.video:
                raise bad_request("The object is not a video.")
            return _seek(container, at_ms, fast=fast)
    except (FFmpegError, UnicodeDecodeError) as error:
        raise bad_request("The object is not a video that can be read.") from error


def _seek(container: Any, at_ms: int, *, fast: bool) -> Image.Image:
    stream = container.streams.video[0]
    if container.duration is not None and at_ms * 1000 > container.duration:
        raise invalid_value("t", str(at_ms))
    start_s = float(stream.start_time * stream.time_base) if stream.start_time else 0.0
    wanted_s = start_s + at_ms / 1000
    container.seek(int(wanted_s / stream.time_base), stream=stream)
    found = None
    for frame in container.decode(stream):
        # The frame that is shown at t is the last frame that does not begin after t.
        if found is not None and frame.time is not None and frame.time > wanted_s + 1e-6:
            break
        found = frame
        if fast:  # the key frame before t
            break
    if found is None:
        raise bad_request("The video has no frame there.")
    image: Image.Image = found.to_image()
    rotation = getattr(found, "rotation", 0)
    return image.rotate(rotation, expand=True) if rotation else image


def _turned(image: Image.Image, turn: str) -> Image.Image:
    """Return the image turned so that it is higher than wide (h) or wider than high (w), if necessary."""
    wrong = (turn == "h" and image.width > image.height) or (turn == "w" and image.height > image.width)
    return image.rotate(-90, expand=True) if wrong else image
