"""Conditions that a request sets: If-Match, If-None-Match and their times, and x-oss-forbid-overwrite."""

from collections.abc import Mapping
from email.utils import parsedate_to_datetime

from devcloud.oss.http.oss_request import OssRequest
from devcloud.oss.http.response_headers import stored_headers
from devcloud.oss.oss_errors import OssError, file_already_exists
from devcloud.oss.storages.port import ObjectRecord, Storage


def check_conditions(headers: Mapping[str, str], record: ObjectRecord, prefix: str = "") -> None:
    """Raise ``PreconditionFailed`` or ``NotModified`` unless all conditions are met; ``prefix`` is for copies."""
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


def refuse_overwrite(storage: Storage, request: OssRequest) -> None:
    """Raise ``FileAlreadyExists`` if the object exists and ``x-oss-forbid-overwrite`` is "true"."""
    forbidden = request.headers.get("x-oss-forbid-overwrite", "").lower() == "true"
    if forbidden and storage.object(request.bucket, request.key) is not None:
        raise file_already_exists()


def _names_etag(header: str, record: ObjectRecord) -> bool:
    etags = {etag.strip().strip('"') for etag in header.split(",")}
    return "*" in etags or record.etag in etags


def _time(header: str | None) -> float | None:
    if header is None:
        return None
    try:
        return parsedate_to_datetime(header).timestamp()
    except (TypeError, ValueError):
        return None  # an invalid date is ignored
