"""The headers of an answer about an object."""

from base64 import b64encode
from collections.abc import Mapping

from devcloud.oss.http.dates import http_date
from devcloud.oss.storages.port import ObjectRecord

STORED_HEADERS = ("cache-control", "content-disposition", "content-encoding", "content-language", "expires")
METADATA = "x-oss-meta-"
_OVERRIDES = ("content-type", *STORED_HEADERS)


def object_headers(record: ObjectRecord) -> dict[str, str]:
    """Return the headers of GetObject and HeadObject, without Content-Length."""
    attributes = record.attributes
    headers = {
        **attributes.headers,
        **{METADATA + name: value for name, value in attributes.metadata.items()},
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


def stored_headers(record: ObjectRecord) -> dict[str, str]:
    """Return the headers of every answer about stored bytes: ETag, checksum and encryption."""
    checksum = str(record.content.crc64)
    return {"etag": f'"{record.etag}"', "x-oss-hash-crc64ecma": checksum, **record.attributes.encryption}


def restore_info(record: ObjectRecord, now: float) -> str:
    """Return the value of ``x-oss-restore`` and ``RestoreInfo``, "" without a current restoration."""
    ready_at, until = record.attributes.restore_ready_at, record.attributes.restored_until
    if ready_at is None or until is None or until <= now:
        return ""
    if now < ready_at:
        return 'ongoing-request="true"'
    return f'ongoing-request="false", expiry-date="{http_date(until)}"'


def overrides(query: Mapping[str, str]) -> dict[str, str]:
    """Return the headers that the ``response-*`` parameters of a signed GET request."""
    return {name: query[f"response-{name}"] for name in _OVERRIDES if f"response-{name}" in query}
