"""What the operations share: the emulator's parts, and the steps that several of them take."""

import re
import secrets
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from devcloud.clock import Clock
from devcloud.oss.documents.encryption import ENCRYPTION, headers_of_encryption
from devcloud.oss.documents.settings import is_enabled
from devcloud.oss.documents.worm import read_worm
from devcloud.oss.errors import OssError, file_already_exists, invalid_argument, no_such_key, no_such_version
from devcloud.oss.events import event_record
from devcloud.oss.front.headers import read_attributes, restore_info, stored_headers
from devcloud.oss.front.intake import Intake
from devcloud.oss.pacing import Pace, read_traffic_limit
from devcloud.oss.processing.workers import Workers
from devcloud.oss.request import OssRequest
from devcloud.oss.storage import DELETE_MARKER, NULL_VERSION, Attributes, Content, ObjectRecord, Storage

MAX_PUT_BYTES = 5 * 1024**3
_VERSION_ID = re.compile(rf"{NULL_VERSION}|CAEQ[\w\-+/=]{{20,}}")


@dataclass(frozen=True)
class Service:
    """The parts of one emulator."""

    storage: Storage
    clock: Clock
    region: str
    account_id: str
    on_event: Callable[[dict[str, Any]], None]
    workers: Workers

    def object(self, request: OssRequest) -> ObjectRecord:
        """Return the version that ``request`` names, by default the latest one, if it is no delete marker.

        Raises ``NoSuchKey``, ``NoSuchVersion`` or ``MethodNotAllowed``.
        """
        return self.find(request.bucket, request.key, version_of(request))

    def find(self, bucket: str, key: str, version_id: str | None) -> ObjectRecord:
        """Return a version, by default the latest one; see :meth:`object`."""
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
        """Return the id that a version written now gets."""
        if self.storage.bucket(bucket).versioning != "Enabled":
            return NULL_VERSION
        return "CAEQ" + urlsafe_b64encode(secrets.token_bytes(45)).decode()

    def version_headers(self, record: ObjectRecord) -> dict[str, str]:
        """Return the header that names the version where the bucket has, or had, versions."""
        return {"x-oss-version-id": record.version_id} if self.storage.bucket(record.bucket).versioning else {}

    def attributes(self, request: OssRequest) -> Attributes:
        """Return what the headers of a write say."""
        body = self.storage.document(request.bucket, ENCRYPTION.name)
        encryption = {} if body is None else headers_of_encryption(body)
        return read_attributes(request, self.storage.bucket(request.bucket).storage_class, encryption)

    def check_readable(self, record: ObjectRecord) -> None:
        """Raise ``InvalidObjectState`` if the object is archived and not restored."""
        storage_class = record.attributes.storage_class
        if not storage_class.endswith("Archive"):
            return
        restored = restore_info(record, self.clock.now()).startswith('ongoing-request="false"')
        direct = self.storage.document(record.bucket, "bucketArchiveDirectRead")
        if not restored and not (storage_class == "Archive" and is_enabled(direct, "Enabled")):
            message = "The operation is not valid for the object's state."
            raise OssError(403, "InvalidObjectState", message, ec="0026-00000007", details={"ObjectName": record.key})

    async def receive(self, request: OssRequest) -> tuple[Content, bytes]:
        """Take in the body of ``request`` and return it with its MD5 digest.

        Raises ``InvalidDigest`` if it is not what Content-MD5 announced. Of a body that breaks off nothing stays.
        """
        length = request.headers.get("content-length")
        if length is None and request.headers.get("transfer-encoding", "").lower() != "chunked":
            raise OssError(411, "MissingContentLength", "You must provide the Content-Length HTTP header.")
        if length is not None and int(length) > MAX_PUT_BYTES:
            raise OssError(400, "EntityTooLarge", "Your proposed upload exceeds the maximum allowed size.")
        pace = Pace(self.clock, read_traffic_limit(request))
        blob = self.storage.new_blob()
        intake = Intake(blob)
        try:
            async for chunk in request.body():
                await intake.write(chunk)
                await pace.passed(len(chunk))
            await intake.finish()
            digest = blob.md5()
            check_md5(request, digest)
        except BaseException:
            intake.stop()
            blob.discard()
            raise
        return blob.finish(), digest

    def refuse_overwrite(self, request: OssRequest) -> None:
        """Raise ``FileAlreadyExists`` if the object exists and ``request`` forbids to overwrite it."""
        forbidden = request.headers.get("x-oss-forbid-overwrite", "").lower() == "true"
        if forbidden and self.storage.object(request.bucket, request.key) is not None:
            raise file_already_exists()

    def refuse_protected(self, record: ObjectRecord | None) -> None:
        """Raise ``FileImmutable`` if the bucket's retention policy protects what is there."""
        if record is None or record.type == DELETE_MARKER:
            return
        now = self.clock.now()
        worm = read_worm(self.storage.document(record.bucket, "worm"), now)
        if worm is not None and worm.protects(record.modified_at, now):
            raise OssError(409, "FileImmutable", "The object you specified is immutable.", details={"Key": record.key})

    def store(
        self,
        request: OssRequest,
        record: ObjectRecord,
        event: str,
        put: Callable[[ObjectRecord], None] | None = None,
        fresh: Content | None = None,
    ) -> dict[str, str]:
        """Store an object by ``put`` (``storage.put_object``) and tell of it as "ObjectCreated:``event``".

        ``fresh`` is what to release if it cannot be stored; by default the whole content. A record without a version
        (``version_id`` "") gets a new one. Returns the headers of every answer about stored bytes.
        """
        try:
            # Only now: the bucket may have gone, and its versioning changed, while the body came in.
            record = replace(record, version_id=record.version_id or self.new_version_id(record.bucket))
            self.refuse_overwrite(request)
            previous = self.storage.object(record.bucket, record.key)
            if previous is not None and previous.version_id == record.version_id:
                self.refuse_protected(previous)
            (put or self.storage.put_object)(record)
        except BaseException:
            self.storage.release(record.content if fresh is None else fresh)
            raise
        delta_size = record.content.size - (previous.content.size if previous else 0)
        self.emit(f"ObjectCreated:{event}", request, record, delta_size)
        return stored_headers(record) | self.version_headers(record)

    def emit(self, name: str, request: OssRequest, record: ObjectRecord, delta_size: int) -> None:
        """Tell the listener of a change that is committed."""
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
    """Return the version that ``request`` names, ``None`` for the latest one."""
    version_id = request.query.get("versionId")
    return None if version_id is None else check_version_id(version_id)


def check_version_id(version_id: str) -> str:
    """Return ``version_id``. Raises ``InvalidArgument`` unless it is one that OSS makes."""
    if not _VERSION_ID.fullmatch(version_id):
        raise invalid_argument("Invalid version id specified", "versionId", version_id)
    return version_id


def check_md5(request: OssRequest, digest: bytes) -> None:
    """Raise ``InvalidDigest`` if Content-MD5 announced another body."""
    announced = request.headers.get("content-md5")
    if announced and announced != b64encode(digest).decode():
        details = {"Content-MD5": announced}
        raise OssError(400, "InvalidDigest", "The Content-MD5 you specified was invalid.", details=details)
