"""Headers of objects: what a write says, what a read answers, conditions and ranges."""

import re
from base64 import b64encode
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from urllib.parse import parse_qsl

from devcloud.oss.errors import OssError, invalid_argument
from devcloud.oss.request import OssRequest
from devcloud.oss.storage import Attributes, ObjectRecord

OBJECT_ACLS = ("default", "private", "public-read", "public-read-write")
STORAGE_CLASSES = ("Standard", "IA", "Archive", "ColdArchive", "DeepColdArchive")
_STORED_HEADERS = ("cache-control", "content-disposition", "content-encoding", "content-language", "expires")
_OVERRIDES = ("content-type", *_STORED_HEADERS)
DEFAULT_TYPE = "application/octet-stream"
_METADATA = "x-oss-meta-"
_SSE = "x-oss-server-side-encryption"
_SSE_KEY = "x-oss-server-side-encryption-key-id"
_SSE_DATA = "x-oss-server-side-data-encryption"
# Stands for the key that KMS makes for an account that names none.
_OSS_MANAGED_KEY = "0f4e1d3c-7a52-4b5e-9c1a-6d2f8e0b7a31"
MAX_METADATA_BYTES = 8 * 1024
MAX_TAGS = 10
# Letters are those of any script: https://www.alibabacloud.com/help/en/oss/user-guide/object-tagging-8
_TAG_KEY = re.compile(r"[\w +\-=.:/]{1,128}")
_TAG_VALUE = re.compile(r"[\w +\-=.:/]{0,256}")


def http_date(at: float) -> str:
    """Return Unix seconds as HTTP writes them."""
    return format_datetime(datetime.fromtimestamp(int(at), UTC), usegmt=True)


def iso_date(at: float) -> str:
    """Return Unix seconds as the XML of OSS writes them."""
    return datetime.fromtimestamp(int(at), UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def read_attributes(request: OssRequest, default_class: str, default_encryption: Mapping[str, str]) -> Attributes:
    """Return what the headers of a write say; of the bucket are its class and the headers of its encryption.

    Raises ``InvalidArgument``, ``InvalidTag`` and the like.
    """
    headers = {name: request.headers[name] for name in _STORED_HEADERS if name in request.headers}
    headers["content-type"] = request.headers.get("content-type") or DEFAULT_TYPE
    metadata = {
        name.removeprefix(_METADATA): value for name, value in request.headers.items() if name.startswith(_METADATA)
    }
    if sum(len(name) + len(value.encode()) for name, value in metadata.items()) > MAX_METADATA_BYTES:
        message = "Your metadata headers exceed the maximum allowed metadata size."
        raise OssError(400, "MetadataTooLarge", message)
    storage_class = request.headers.get("x-oss-storage-class", default_class)
    if storage_class not in STORAGE_CLASSES:
        raise invalid_argument("Invalid storage class.", "x-oss-storage-class", storage_class)
    tags = check_tags(parse_qsl(request.headers.get("x-oss-tagging", ""), keep_blank_values=True))
    encryption = read_encryption(request.headers if _SSE in request.headers else default_encryption)
    return Attributes(headers, metadata, read_object_acl(request), storage_class, tags, encryption)


def read_encryption(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers that answers carry about an encryption that ``headers`` ask for. Raises ``InvalidArgument``.

    Nothing is really encrypted: what is stored stays readable on disk.
    """
    algorithm = headers.get(_SSE)
    if algorithm is None:
        return {}
    if algorithm not in ("AES256", "KMS", "SM4"):
        message = "The encryption request you specified is not valid. Supported value: AES256/KMS/SM4."
        raise OssError(400, "InvalidEncryptionAlgorithmError", message)
    if algorithm != "KMS":
        if headers.get(_SSE_KEY):
            raise invalid_argument("The key id is only valid for KMS.", _SSE_KEY, headers[_SSE_KEY])
        return {_SSE: algorithm}
    encryption = {_SSE: algorithm, _SSE_KEY: headers.get(_SSE_KEY) or _OSS_MANAGED_KEY}
    if data := headers.get(_SSE_DATA):
        if data != "SM4":
            raise invalid_argument("The data encryption must be SM4.", _SSE_DATA, data)
        encryption[_SSE_DATA] = data
    return encryption


def read_object_acl(request: OssRequest) -> str:
    """Return ``x-oss-object-acl``, "default" where absent."""
    acl = request.headers.get("x-oss-object-acl", "default")
    if acl not in OBJECT_ACLS:
        raise invalid_argument("no such object access control exists", "x-oss-object-acl", acl)
    return acl


def check_tags(pairs: list[tuple[str, str]]) -> dict[str, str]:
    """Return the tags as a dict. Raises ``InvalidTag`` for those that OSS does not take."""
    tags = dict(pairs)
    valid = all(_TAG_KEY.fullmatch(name) and _TAG_VALUE.fullmatch(value) for name, value in pairs)
    if len(pairs) > MAX_TAGS or len(tags) < len(pairs) or not valid:
        raise OssError(400, "InvalidTag", "The tag you specified is invalid.")
    return tags


def stored_headers(record: ObjectRecord) -> dict[str, str]:
    """Return what every answer about stored bytes carries: ETag, checksum and encryption."""
    checksum = str(record.content.crc64)
    return {"etag": f'"{record.etag}"', "x-oss-hash-crc64ecma": checksum, **record.attributes.encryption}


def restore_info(record: ObjectRecord, now: float) -> str:
    """Return what ``x-oss-restore`` and lists say of a restoration, "" if there is none under way or in force."""
    ready_at, until = record.attributes.restore_ready_at, record.attributes.restored_until
    if ready_at is None or until is None or until <= now:
        return ""
    if now < ready_at:
        return 'ongoing-request="true"'
    return f'ongoing-request="false", expiry-date="{http_date(until)}"'


def object_headers(record: ObjectRecord) -> dict[str, str]:
    """Return the headers of GetObject and HeadObject, without Content-Length."""
    attributes = record.attributes
    headers = {
        **attributes.headers,
        **{_METADATA + name: value for name, value in attributes.metadata.items()},
        **stored_headers(record),
        "accept-ranges": "bytes",
        "last-modified": http_date(record.modified_at),
        "x-oss-object-type": record.type,
        "x-oss-storage-class": attributes.storage_class,
    }
    if attributes.tags:
        headers["x-oss-tagging-count"] = str(len(attributes.tags))
    if record.type == "Appendable":
        headers["x-oss-next-append-position"] = str(record.content.size)
    if record.type == "Normal" and len(record.etag) == 32:
        headers["content-md5"] = b64encode(bytes.fromhex(record.etag)).decode()
    return headers


def overrides(query: Mapping[str, str]) -> dict[str, str]:
    """Return the headers that the ``response-*`` parameters of a signed GET ask for."""
    return {name: query[f"response-{name}"] for name in _OVERRIDES if f"response-{name}" in query}


def check_conditions(headers: Mapping[str, str], record: ObjectRecord, prefix: str = "") -> None:
    """Raise ``PreconditionFailed`` or ``NotModified`` as If-Match and the like ask; ``prefix`` is for copies."""
    match = headers.get(f"{prefix}if-match")
    unmodified_since = _time(headers.get(f"{prefix}if-unmodified-since"))
    none_match = headers.get(f"{prefix}if-none-match")
    modified_since = _time(headers.get(f"{prefix}if-modified-since"))
    modified_at = int(record.modified_at)
    if (match is not None and not _names_etag(match, record)) or (
        unmodified_since is not None and modified_at > unmodified_since
    ):
        message = "At least one of the pre-conditions you specified did not hold."
        raise OssError(412, "PreconditionFailed", message)
    if (none_match is not None and _names_etag(none_match, record)) or (
        modified_since is not None and modified_at <= modified_since
    ):
        raise OssError(304, "NotModified", "Not Modified", headers=stored_headers(record))


def read_range(headers: Mapping[str, str], size: int, name: str = "range") -> tuple[int, int] | None:
    """Return start and size of the range that ``headers`` ask for, ``None`` for the whole object.

    OSS answers a range that does not lie in the object with the whole of it, unless
    ``x-oss-range-behavior: standard`` asks for what HTTP says: clip it, or ``InvalidRange``.
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


def _names_etag(header: str, record: ObjectRecord) -> bool:
    etags = {etag.strip().strip('"') for etag in header.split(",")}
    return "*" in etags or record.etag in etags


def _time(header: str | None) -> float | None:
    if header is None:
        return None
    try:
        return parsedate_to_datetime(header).timestamp()
    except (TypeError, ValueError):
        return None  # a date that cannot be read sets no condition
