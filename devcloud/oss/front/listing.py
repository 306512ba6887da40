"""Lists, page by page: objects (v1 and v2) and multipart uploads.

See https://www.alibabacloud.com/help/en/oss/developer-reference/listobjectsv2.
"""

import binascii
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar
from urllib.parse import quote

from devcloud.oss import xml
from devcloud.oss.errors import invalid_argument
from devcloud.oss.front.headers import iso_date, restore_info
from devcloud.oss.front.service import Service
from devcloud.oss.request import OssRequest, Reply, xml_reply
from devcloud.oss.storage import ObjectRecord, UploadRecord, successor

MAX_PAGE = 1000
MAX_MARKER_BYTES = 1024
_MARKERS = (
    *("prefix", "delimiter", "marker", "start-after", "key-marker"),
    *("upload-id-marker", "version-id-marker"),
)
T = TypeVar("T", ObjectRecord, UploadRecord)


@dataclass(frozen=True)
class Page(Generic[T]):
    """One page. ``last`` is what it ends with: an entry or a common prefix."""

    entries: list[T]
    prefixes: list[str]
    truncated: bool
    last: T | str | None


def paginate(
    first: Iterable[T], rescan: Callable[[str], Iterable[T]], prefix: str, delimiter: str, limit: int
) -> Page[T]:
    """Return up to ``limit`` entries and common prefixes of ``first``.

    ``rescan`` scans anew from a key: past a common prefix it saves going through all that is below it.
    """
    entries: list[T] = []
    prefixes: list[str] = []
    last: T | str | None = None
    scan: Iterator[T] = iter(first)
    while (entry := next(scan, None)) is not None:
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
        scan = iter(rescan(beyond))
    return Page(entries, prefixes, truncated=False, last=last)


def common_prefix(key: str, prefix: str, delimiter: str) -> str | None:
    """Return what ``key`` is rolled up under: itself up to the first delimiter behind ``prefix``."""
    end = key.find(delimiter, len(prefix)) if delimiter else -1
    return None if end < 0 else key[: end + len(delimiter)]


def start_after(marker: str, prefix: str, delimiter: str) -> str:
    """Return where to go on after ``marker``, which may be a common prefix that the page before ended with."""
    if marker.startswith(prefix) and common_prefix(marker, prefix, delimiter) == marker:
        return successor(marker) or marker + "\0"
    return marker + "\0" if marker else ""


def read_count(request: OssRequest, name: str, default: int) -> int:
    """Return a page size, 1 to 1000. Raises ``InvalidArgument``."""
    text = request.query.get(name) or str(default)
    if not text.isdecimal() or not 1 <= int(text) <= MAX_PAGE:
        raise invalid_argument(f"{name} must be a number from 1 to {MAX_PAGE}.", name, text)
    return int(text)


async def list_objects(service: Service, request: OssRequest) -> Reply:
    """GetBucket (ListObjects)."""
    marker = request.query.get("marker", "")
    page, limit, shown = _object_page(service, request, marker)
    nodes: list[xml.Node] = [
        ("Name", request.bucket),
        *echo(request, "Prefix", "Marker", "Delimiter"),
        ("MaxKeys", limit),
        ("IsTruncated", page.truncated),
    ]
    if page.truncated:
        nodes.append(("NextMarker", shown(key_of(page.last))))
    return xml_reply("ListBucketResult", *nodes, *_contents(service, page, shown, with_owner=True))


async def list_objects_v2(service: Service, request: OssRequest) -> Reply:
    """ListObjectsV2."""
    token, start = request.query.get("continuation-token", ""), request.query.get("start-after", "")
    page, limit, shown = _object_page(service, request, _decode_token(token) if token else start)
    nodes: list[xml.Node] = [
        ("Name", request.bucket),
        *echo(request, "Prefix", "StartAfter", "Delimiter"),
        ("MaxKeys", limit),
        ("KeyCount", len(page.entries) + len(page.prefixes)),
        ("IsTruncated", page.truncated),
    ]
    if token:
        nodes.append(("ContinuationToken", token))
    if page.truncated:
        nodes.append(("NextContinuationToken", b64encode(key_of(page.last).encode()).decode()))
    with_owner = request.query.get("fetch-owner", "").lower() == "true"
    return xml_reply("ListBucketResult", *nodes, *_contents(service, page, shown, with_owner=with_owner))


async def list_multipart_uploads(service: Service, request: OssRequest) -> Reply:
    """ListMultipartUploads."""
    prefix, delimiter, limit, shown = read_page(request, "max-uploads", MAX_PAGE)
    key_marker, id_marker = request.query.get("key-marker", ""), request.query.get("upload-id-marker", "")
    start, start_id = start_after(key_marker, prefix, delimiter), ""
    if key_marker and id_marker:
        start, start_id = key_marker, id_marker + "\0"

    def rescan(key: str) -> Iterator[UploadRecord]:
        return service.storage.scan_uploads(request.bucket, prefix, key, "")

    first = service.storage.scan_uploads(request.bucket, prefix, start, start_id)
    page = paginate(first, rescan, prefix, delimiter, limit)
    nodes: list[xml.Node] = [
        ("Bucket", request.bucket),
        *echo(request, "Prefix", "KeyMarker", "Delimiter"),
        ("UploadIdMarker", id_marker),
        ("NextKeyMarker", shown(key_of(page.last)) if page.truncated else ""),
        ("NextUploadIdMarker", page.last.upload_id if page.truncated and isinstance(page.last, UploadRecord) else ""),
        ("MaxUploads", limit),
        ("IsTruncated", page.truncated),
    ]
    for upload in page.entries:
        initiated = iso_date(upload.initiated_at)
        fields: list[xml.Node] = [("Key", shown(upload.key)), ("UploadId", upload.upload_id), ("Initiated", initiated)]
        nodes.append(("Upload", [*fields, ("StorageClass", upload.attributes.storage_class)]))
    return xml_reply("ListMultipartUploadsResult", *nodes, *prefix_nodes(page.prefixes, shown))


def _object_page(
    service: Service, request: OssRequest, marker: str
) -> tuple[Page[ObjectRecord], int, Callable[[str], str]]:
    prefix, delimiter, limit, shown = read_page(request, "max-keys", 100)

    def rescan(key: str) -> Iterator[ObjectRecord]:
        return service.storage.scan_objects(request.bucket, prefix, key)

    page = paginate(rescan(start_after(marker, prefix, delimiter)), rescan, prefix, delimiter, limit)
    return page, limit, shown


def read_page(request: OssRequest, count: str, default: int) -> tuple[str, str, int, Callable[[str], str]]:
    """Return prefix, delimiter, page size and how to write a key."""
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
    """Return parameters of the request as the elements ``names``, and its encoding."""
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


def _contents(
    service: Service, page: Page[ObjectRecord], shown: Callable[[str], str], *, with_owner: bool
) -> list[xml.Node]:
    owner: list[xml.Node] = [("ID", service.account_id), ("DisplayName", service.account_id)]
    nodes: list[xml.Node] = []
    for record in page.entries:
        fields = record_nodes(record, shown, service.clock.now())
        if with_owner:
            fields.append(("Owner", owner))
        nodes.append(("Contents", fields))
    return nodes + prefix_nodes(page.prefixes, shown)


def record_nodes(record: ObjectRecord, shown: Callable[[str], str], now: float) -> list[xml.Node]:
    """Return what lists say of an object; ``shown`` tells how to write its key."""
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
    """Return the marker of what a page ends with."""
    return last.key if isinstance(last, ObjectRecord | UploadRecord) else last or ""


def _decode_token(token: str) -> str:
    try:
        return b64decode(token, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise invalid_argument("The continuation token is invalid.", "continuation-token", token) from error
