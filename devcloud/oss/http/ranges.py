"""The Range header."""

import re
from collections.abc import Mapping

from devcloud.oss.oss_errors import OssError


def read_range(headers: Mapping[str, str], size: int, name: str = "range") -> tuple[int, int] | None:
    """Return start and size of the range that ``headers`` request, ``None`` for the whole object.

    If the range does not lie within the object, OSS answers with the whole object. With
    ``x-oss-range-behavior: standard`` it follows HTTP instead: it clips the range, or raises ``InvalidRange``.
    https://www.alibabacloud.com/help/en/oss/developer-reference/getobject
    """
    match = re.fullmatch(r"bytes=(\d*)-(\d*)", headers.get(name, ""))
    if match is None or match.group() == "bytes=-":
        return None
    standard = headers.get("x-oss-range-behavior") == "standard"
    first, last = match.groups()
    if not first:
        start, end = size - int(last), size
        inside = 0 <= start < size
    else:
        start, end = int(first), int(last) + 1 if last else size
        if end <= start and last:
            return None
        inside = start < size and end <= size
    if inside:
        return start, end - start
    if not standard:
        return None
    start, end = max(start, 0), min(end, size)
    if start >= end:
        headers = {"content-range": f"bytes */{size}"}
        raise OssError(416, "InvalidRange", "The requested range cannot be satisfied.", headers=headers)
    return start, end - start
