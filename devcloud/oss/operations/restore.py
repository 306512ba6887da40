"""Objects of the archive classes: they can be read only after a restoration, for some days.

See https://www.alibabacloud.com/help/en/oss/developer-reference/restoreobject. Times are by the emulator's
clock; a restoration takes the minimum time that the real service documents.
"""

from dataclasses import replace
from typing import NamedTuple
from xml.etree import ElementTree as ET

from devcloud.oss.documents.bucket_settings import is_enabled
from devcloud.oss.http import xml
from devcloud.oss.http.oss_reply import Reply
from devcloud.oss.http.oss_request import OssRequest
from devcloud.oss.http.response_headers import restore_info
from devcloud.oss.oss_errors import OssError, invalid_argument, malformed_xml
from devcloud.oss.oss_service import OssService
from devcloud.oss.storages.port import ObjectRecord

DAY_S = 24 * 3600
HOUR_S = 3600


class _Terms(NamedTuple):
    max_days: int
    seconds: dict[str, float]


_TERMS = {
    "Archive": _Terms(7, {"Standard": 60}),
    "ColdArchive": _Terms(365, {"Expedited": HOUR_S, "Standard": 2 * HOUR_S, "Bulk": 5 * HOUR_S}),
    "DeepColdArchive": _Terms(365, {"Expedited": 12 * HOUR_S, "Standard": 48 * HOUR_S}),
}


async def restore_object(service: OssService, request: OssRequest) -> Reply:
    """RestoreObject: 202 begins a restoration, 200 prolongs a finished one."""
    body = await request.document()
    record = service.object(request)
    storage_class = record.attributes.storage_class
    terms = _TERMS.get(storage_class)
    if terms is None:
        raise OssError(400, "OperationNotSupported", "The operation is not supported for this resource")
    root = xml.parse(body) if body.strip() else None
    days, tier = _read_days(root, terms), _read_tier(root, storage_class, terms)
    now = service.clock.now()
    info = restore_info(record, now)
    if info.startswith('ongoing-request="true"'):
        raise OssError(409, "RestoreAlreadyInProgress", "The restore operation is in progress.")
    ready_at = record.attributes.restore_ready_at if info else None
    status = 202 if ready_at is None else 200
    ready_at = now + terms.seconds[tier] if ready_at is None else ready_at
    until = max(now, ready_at) + days * DAY_S
    attributes = replace(record.attributes, restore_ready_at=ready_at, restored_until=until)
    service.storage.update_object(replace(record, attributes=attributes))
    headers = service.version_headers(record)
    if storage_class != "Archive":
        headers["x-oss-object-restore-priority"] = tier
    return Reply(status, headers)


def check_readable(service: OssService, record: ObjectRecord) -> None:
    """Raise ``InvalidObjectState`` if the object is archived and not restored."""
    storage_class = record.attributes.storage_class
    if not storage_class.endswith("Archive"):
        return
    restored = restore_info(record, service.clock.now()).startswith('ongoing-request="false"')
    direct = service.storage.document(record.bucket, "bucketArchiveDirectRead")
    if not restored and not (storage_class == "Archive" and is_enabled(direct, "Enabled")):
        message = "The operation is not valid for the object's state."
        raise OssError(403, "InvalidObjectState", message, ec="0026-00000007", details={"ObjectName": record.key})


def _read_days(root: ET.Element | None, terms: _Terms) -> int:
    text = (xml.text_of(root, "Days") if root is not None else None) or "1"
    if not text.isdecimal() or not 1 <= int(text) <= terms.max_days:
        raise invalid_argument(f"The days of a restoration must be 1 to {terms.max_days}.", "Days", text)
    return int(text)


def _read_tier(root: ET.Element | None, storage_class: str, terms: _Terms) -> str:
    if root is None:
        return "Standard"
    if root.tag != "RestoreRequest":
        raise malformed_xml()
    if storage_class == "Archive":
        if root.find("JobParameters") is not None:
            raise malformed_xml()
        return "Standard"
    tier = xml.text_of(root, "JobParameters/Tier") or "Standard"
    if tier not in terms.seconds:
        raise invalid_argument("The tier of a restoration is invalid.", "Tier", tier)
    return tier
