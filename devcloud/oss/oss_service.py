"""The parts of one emulator, and the look-ups that several operations share."""

import re
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from devcloud.clock import Clock
from devcloud.oss.http import xml
from devcloud.oss.http.oss_request import OssRequest
from devcloud.oss.oss_errors import OssError, invalid_argument, no_such_key, no_such_version
from devcloud.oss.oss_events import event_record
from devcloud.oss.processing.workers import Workers
from devcloud.oss.storages.port import DELETE_MARKER, NULL_VERSION, Attributes, Content, ObjectRecord, Storage

_VERSION_ID = re.compile(rf"{NULL_VERSION}|CAEQ[\w\-+/=]{{20,}}")


@dataclass(frozen=True)
class OssService:
    """The parts of one emulator."""

    storage: Storage
    clock: Clock
    region: str
    account_id: str
    on_event: Callable[[dict[str, Any]], None]
    workers: Workers

    def object(self, request: OssRequest) -> ObjectRecord:
        """Return the version that ``request`` names, by default the latest version.

        Raises ``NoSuchKey``, ``NoSuchVersion``, and ``MethodNotAllowed`` for a delete marker.
        """
        return self.find(request.bucket, request.key, version_of(request))

    def find(self, bucket: str, key: str, version_id: str | None) -> ObjectRecord:
        """Return a version, by default the latest version; see :meth:`object`."""
        record = self.storage.version(bucket, key, version_id)
        if record is None and version_id is not None:
            raise no_such_version(key, version_id)
        if record is None:
            raise no_such_key(key)
        if record.type != DELETE_MARKER:
            return record
        headers = self.version_headers(record) | {"x-oss-delete-marker": "true"}
        if version_id is None:
            error = no_such_key(key)
            error.headers |= headers
            raise error
        message = "The specified method is not allowed against this resource."
        raise OssError(405, "MethodNotAllowed", message, headers=headers)

    def new_version_id(self, bucket: str) -> str:
        """Return the id of a version that is written now."""
        if self.storage.bucket(bucket).versioning != "Enabled":
            return NULL_VERSION
        return "CAEQ" + urlsafe_b64encode(secrets.token_bytes(45)).decode()

    def new_delete_marker(self, bucket: str, key: str) -> ObjectRecord:
        """Return a delete marker for ``key``, which is not stored yet."""
        version_id, now = self.new_version_id(bucket), self.clock.now()
        return ObjectRecord(bucket, key, Content(), "", DELETE_MARKER, now, Attributes(), version_id=version_id)

    def version_headers(self, record: ObjectRecord) -> dict[str, str]:
        """Return the header with the version id, or no header if the bucket never had versioning."""
        return {"x-oss-version-id": record.version_id} if self.storage.bucket(record.bucket).versioning else {}

    def owner(self) -> xml.Node:
        """Return the element ``Owner``: the account that owns all buckets."""
        return ("Owner", [("ID", self.account_id), ("DisplayName", self.account_id)])

    def emit(self, name: str, request: OssRequest, record: ObjectRecord, delta_size: int) -> None:
        """Report a committed change to the listener."""
        self.on_event(
            event_record(
                name,
                request,
                record,
                delta_size=delta_size,
                at=self.clock.now(),
                region=self.region,
                account_id=self.account_id,
            )
        )


def version_of(request: OssRequest) -> str | None:
    """Return the version that ``request`` names, ``None`` for the latest version."""
    version_id = request.query.get("versionId")
    return None if version_id is None else check_version_id(version_id)


def check_version_id(version_id: str) -> str:
    """Return ``version_id``. Raises ``InvalidArgument`` unless it has the form of OSS's version ids."""
    if not _VERSION_ID.fullmatch(version_id):
        raise invalid_argument("Invalid version id specified", "versionId", version_id)
    return version_id
