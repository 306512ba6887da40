"""Pages of lists: how keys are grouped, where a page begins and how it is written."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar
from urllib.parse import quote

from devcloud.oss.http import xml
from devcloud.oss.http.dates import iso_date
from devcloud.oss.http.oss_request import OssRequest
from devcloud.oss.http.response_headers import restore_info
from devcloud.oss.oss_errors import invalid_argument
from devcloud.oss.storages.port import ObjectRecord, UploadRecord, successor

MAX_PAGE = 1000
MAX_MARKER_BYTES = 1024
_MARKERS = (
    *("prefix", "delimiter", "marker", "start-after", "key-marker"),
    *("upload-id-marker", "version-id-marker"),
)
T = TypeVar("T", ObjectRecord, UploadRecord)


@dataclass(frozen=True)
class Page(Generic[T]):
    """One page. ``last`` is its last item: an entry or a common prefix."""

    entries: list[T]
    prefixes: list[str]
    truncated: bool
    last: T | str | None


def paginate(
    scan: Callable[[str, str], Iterator[T]], start: str, start_id: str, prefix: str, delimiter: str, limit: int
) -> Page[T]:
    """Return up to ``limit`` entries and common prefixes.

    ``scan`` yields entries from a key and an id of that key on; it is called again to skip all keys under a common
    prefix. The id is that of an upload or a version, "" for the first one.
    """
    entries: list[T] = []
    prefixes: list[str] = []
    last: T | str | None = None
    found = scan(start, start_id)
    while (entry := next(found, None)) is not None:
        if len(entries) + len(prefixes) == limit:
            return Page(entries, prefixes, truncated=True, last=last)
        group = common_prefix(entry.key, prefix, delimiter)
        if group is None:
            entries.append(entry)
            last = entry
            continue
        prefixes.append(group)
        last = group
        beyond = successor(group)
        if beyond is None:
            break
        found = scan(beyond, "")
    return Page(entries, prefixes, truncated=False, last=last)


def common_prefix(key: str, prefix: str, delimiter: str) -> str | None:
    """Return the common prefix of ``key``: its part up to the first delimiter after ``prefix``."""
    end = key.find(delimiter, len(prefix)) if delimiter else -1
    return None if end < 0 else key[: end + len(delimiter)]


def start_after(marker: str, prefix: str, delimiter: str) -> str:
    """Return the first key after ``marker``, which may be the common prefix at the end of the previous page."""
    if marker.startswith(prefix) and common_prefix(marker, prefix, delimiter) == marker:
        return successor(marker) or marker + "\0"
    return marker + "\0" if marker else ""


def read_count(request: OssRequest, name: str, default: int) -> int:
    """Return a page size, 1 to 1000. Raises ``InvalidArgument``."""
    text = request.query.get(name) or str(default)
    if not text.isdecimal() or not 1 <= int(text) <= MAX_PAGE:
        raise invalid_argument(f"{name} must be a number from 1 to {MAX_PAGE}.", name, text)
    return int(text)


def read_page(request: OssRequest, count: str, default: int) -> tuple[str, str, int, Callable[[str], str]]:
    """Return prefix, delimiter, page size and the function that writes a key."""
    query = request.query
    for name in _MARKERS:
        if len(query.get(name, "").encode()) > MAX_MARKER_BYTES:
            raise invalid_argument(f"The length of {name} is invalid.", name, query[name])
    return query.get("prefix", ""), query.get("delimiter", ""), read_count(request, count, default), _shown(request)


def _shown(request: OssRequest) -> Callable[[str], str]:
    encoding = request.query.get("encoding-type", "")
    if encoding not in ("", "url"):
        raise invalid_argument("Invalid Encoding Method specified in Request.", "encoding-type", encoding)
    return (lambda key: quote(key, safe="")) if encoding else str


def echo(request: OssRequest, *names: str) -> list[xml.Node]:
    """Return parameters of the request as the elements ``names``, and the element of its encoding."""
    parameters = {
        "Prefix": "prefix",
        "Marker": "marker",
        "Delimiter": "delimiter",
        "StartAfter": "start-after",
        "KeyMarker": "key-marker",
    }
    shown = _shown(request)
    nodes: list[xml.Node] = [(name, shown(request.query.get(parameters[name], ""))) for name in names]
    if request.query.get("encoding-type"):
        nodes.append(("EncodingType", "url"))
    return nodes


def record_nodes(record: ObjectRecord, shown: Callable[[str], str], now: float) -> list[xml.Node]:
    """Return the elements of an object in a list; ``shown`` writes its key."""
    info = restore_info(record, now)
    return [
        ("Key", shown(record.key)),
        ("LastModified", iso_date(record.modified_at)),
        ("ETag", f'"{record.etag}"'),
        ("Type", record.type),
        ("Size", record.content.size),
        ("StorageClass", record.attributes.storage_class),
        *([("RestoreInfo", info)] if info else []),
    ]


def prefix_nodes(prefixes: list[str], shown: Callable[[str], str]) -> list[xml.Node]:
    """Return the common prefixes of a page."""
    return [("CommonPrefixes", [("Prefix", shown(prefix))]) for prefix in prefixes]


def key_of(last: ObjectRecord | UploadRecord | str | None) -> str:
    """Return the marker of the last item of a page."""
    return last.key if isinstance(last, ObjectRecord | UploadRecord) else last or ""
