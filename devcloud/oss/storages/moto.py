"""The storage in moto's S3 backend: in memory, gone with the process, and visible to boto3.

Under ``moto.mock_aws``, ``boto3.client("s3")`` finds the emulator's objects in the bucket of the same name, and the
emulator finds those of boto3, so that a test can look at one bucket with two unrelated clients. Only tests depend on
moto: the emulator never imports this module.

The objects are moto's. The order of their versions is ours where moto differs from OSS: a suspended bucket keeps its
versions, a body can be read while it is overwritten, and lists have pages. Some differences remain, see
``tests/devcloud/test_oss_storage_contract.py``: a range reads the whole object, the cost of a page of a list grows with
the bucket, and nothing survives the process.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.s3.exceptions import MissingBucket
from moto.s3.models import FakeBucket, FakeDeleteMarker, FakeKey, FakeMultipart, get_canned_acl, s3_backends

from devcloud.oss import crc64
from devcloud.oss.oss_errors import no_such_bucket, no_such_upload
from devcloud.oss.storages.moto_blobs import MotoBlobReader, MotoBlobs, MotoBlobWriter
from devcloud.oss.storages.port import (
    DELETE_MARKER,
    NULL_VERSION,
    Attributes,
    BucketRecord,
    Content,
    ObjectRecord,
    PartRecord,
    UploadRecord,
    Usage,
    successor,
)

_CLASSES = {
    "Standard": "STANDARD",
    "IA": "STANDARD_IA",
    "Archive": "GLACIER",
    "ColdArchive": "DEEP_ARCHIVE",
    "DeepColdArchive": "DEEP_ARCHIVE",
}
_CLASSES_BACK = {theirs: ours for ours, theirs in reversed(_CLASSES.items())}
_HEADERS = {
    "cache-control": "Cache-Control",
    "content-disposition": "Content-Disposition",
    "content-encoding": "Content-Encoding",
    "content-language": "Content-Language",
    "content-type": "Content-Type",
    "expires": "Expires",
}
_ACLS = ("private", "public-read", "public-read-write")
_METADATA = "x-amz-meta-"
# The attributes of moto's objects that contain our records.
_RECORD, _DOCUMENTS = "oss_record", "oss_documents"


class MotoStorage:
    """See :class:`devcloud.oss.storages.port.Storage`; the buckets are those of moto's account ``account_id``."""

    def __init__(self, account_id: str = DEFAULT_ACCOUNT_ID, region: str = "us-east-1") -> None:
        self._backend = s3_backends[account_id]["aws"]
        self._region = region
        self._blobs = MotoBlobs()

    def close(self) -> None:
        """Do nothing: the buckets are moto's."""

    # Buckets

    def create_bucket(self, bucket: BucketRecord) -> None:
        """Store a bucket, or new properties of a bucket."""
        found = self._backend.buckets.get(bucket.name) or self._backend.create_bucket(bucket.name, self._region)
        found.versioning_status = bucket.versioning or None
        found.acl = get_canned_acl(bucket.acl)
        setattr(found, _RECORD, bucket)

    def bucket(self, name: str) -> BucketRecord:
        """Return the bucket or raise ``NoSuchBucket``."""
        return _bucket_record(self._bucket(name))

    def buckets(self) -> list[BucketRecord]:
        """Return all buckets by name."""
        return [_bucket_record(bucket) for _, bucket in sorted(self._backend.buckets.items())]

    def delete_bucket(self, name: str) -> None:
        """Delete a bucket with its documents."""
        self._backend.delete_bucket(name)

    def usage(self, bucket: str) -> Usage:
        """Count the contents of a bucket."""
        classes: dict[str, tuple[int, int]] = {}
        markers = 0
        for record in self.scan_versions(bucket, "", "", ""):
            if record.type == DELETE_MARKER:
                markers += 1
                continue
            count, size = classes.get(record.attributes.storage_class, (0, 0))
            classes[record.attributes.storage_class] = (count + 1, size + record.content.size)
        return Usage(classes, len(self._bucket(bucket).multiparts), markers)

    def document(self, bucket: str, name: str) -> bytes | None:
        """Return the configuration document of that name; moto's own configurations are ignored."""
        documents: dict[str, bytes] = getattr(self._backend.buckets.get(bucket), _DOCUMENTS, {})
        return documents.get(name)

    def put_document(self, bucket: str, name: str, body: bytes | None) -> None:
        """Store a configuration document; ``None`` deletes it."""
        found = self._bucket(bucket)
        documents = {**getattr(found, _DOCUMENTS, {}), name: body}
        setattr(found, _DOCUMENTS, {key: value for key, value in documents.items() if value is not None})

    # Blobs

    def new_blob(self) -> MotoBlobWriter:
        """Begin a new blob."""
        return MotoBlobWriter(self._blobs)

    def copy(self, content: Content) -> Content:
        """Return the same bytes under a new name."""
        return self._blobs.keep(self._blobs.read(content), content.crc64)

    def open(self, content: Content, start: int, size: int) -> MotoBlobReader:
        """Open ``size`` bytes of a content from ``start`` on.

        The bytes are read now, because moto closes an object that is overwritten during a read.
        """
        return MotoBlobReader(memoryview(self._blobs.read(content))[start : start + size])

    def release(self, content: Content) -> None:
        """Forget the blobs of a content that was never stored."""
        self._blobs.release(content)

    # Objects

    def object(self, bucket: str, key: str) -> ObjectRecord | None:
        """Return the latest version, ``None`` if the key does not exist or is hidden by a delete marker."""
        record = self.version(bucket, key, None)
        return None if record is None or record.type == DELETE_MARKER else record

    def version(self, bucket: str, key: str, version_id: str | None) -> ObjectRecord | None:
        """Return a version, delete markers included, or ``None``; by default the latest version."""
        found = self._backend.buckets.get(bucket)
        for record in self._versions(found, key) if found else ():
            if version_id in (None, record.version_id):
                return record
        return None

    def put_object(self, record: ObjectRecord) -> None:
        """Store a version as the latest one of its key."""
        self._put(record)

    def update_object(self, record: ObjectRecord) -> None:
        """Store new attributes of a version."""
        for item in self._bucket(record.bucket).keys.getlist(record.key, []):
            if item.version_id == record.version_id:
                setattr(item, _RECORD, replace(record, content=self._record(item).content))
                self._describe(item, record.attributes)

    def delete_versions(self, bucket: str, versions: Sequence[tuple[str, str]]) -> list[ObjectRecord]:
        """Delete versions and return those that existed."""
        removed = []
        for key, version_id in versions:
            record = self.version(bucket, key, version_id)
            if record is not None:
                kept = [item for item in self._items(bucket, key) if item.version_id != version_id]
                self._set_items(bucket, key, kept)
                removed.append(record)
        return removed

    def scan_objects(self, bucket: str, prefix: str, start: str) -> Iterator[ObjectRecord]:
        """Yield objects with ``prefix`` by key from ``start`` on; the cost grows with the bucket."""
        for key in _range(self._bucket(bucket).keys, prefix, start):
            record = self.object(bucket, key)
            if record is not None:
                yield record

    def scan_versions(self, bucket: str, prefix: str, start: str, after: str) -> Iterator[ObjectRecord]:
        """Yield versions with ``prefix`` by key from ``start`` on, the latest of a key first."""
        found = self._bucket(bucket)
        for key in _range(found.keys, prefix, start):
            versions = list(self._versions(found, key))
            ids = [record.version_id for record in versions]
            if key == start and after in ids:
                versions = versions[ids.index(after) + 1 :]
            yield from versions

    # Uploads

    def create_upload(self, upload: UploadRecord) -> None:
        """Begin a multipart upload."""
        made = FakeMultipart(upload.key, {}, self._backend.account_id, self._region)  # type: ignore[arg-type]  # moto does not read it
        made.id = upload.upload_id
        setattr(made, _RECORD, upload)
        self._bucket(upload.bucket).multiparts[made.id] = made

    def upload(self, bucket: str, key: str, upload_id: str) -> UploadRecord:
        """Return the upload or raise ``NoSuchUpload``."""
        found = self._bucket(bucket).multiparts.get(upload_id)
        if found is None or found.key_name != key:
            raise no_such_upload(upload_id)
        return _upload_record(bucket, found)

    def delete_upload(self, upload_id: str) -> None:
        """Delete an upload and its parts."""
        for bucket in self._backend.buckets.values():
            upload = bucket.multiparts.get(upload_id)
            if upload is not None:
                del bucket.multiparts[upload_id]
                for part in upload.parts.values():
                    self._forget(part)

    def scan_uploads(self, bucket: str, prefix: str, start: str, start_id: str) -> Iterator[UploadRecord]:
        """Yield uploads with ``prefix`` by key and id from ``(start, start_id)`` on."""
        uploads = [_upload_record(bucket, upload) for upload in self._bucket(bucket).multiparts.values()]
        uploads.sort(key=lambda upload: (upload.key, upload.upload_id))
        for upload in uploads:
            if upload.key.startswith(prefix) and (upload.key, upload.upload_id) >= (start, start_id):
                yield upload

    def put_part(self, upload_id: str, part: PartRecord) -> None:
        """Store a part, and replace a part with the same number."""
        upload = self._find_upload(upload_id)
        data = self._blobs.read(part.content)
        previous = upload.parts.get(part.number)
        if previous is not None:
            self._blobs.forget(previous)
        key = upload.set_part(part.number, data)
        self.release(part.content)
        setattr(key, _RECORD, replace(part, content=self._blobs.hold(key, part.content)))

    def parts(self, upload_id: str) -> list[PartRecord]:
        """Return the parts by number."""
        parts = self._find_upload(upload_id).parts
        return [self._part_record(number, key) for number, key in sorted(parts.items())]

    def complete_upload(self, upload_id: str, record: ObjectRecord) -> None:
        """Store ``record``, whose content is made of parts, and end the upload."""
        self._put(record)
        self.delete_upload(upload_id)

    def _find_upload(self, upload_id: str) -> FakeMultipart:
        for bucket in self._backend.buckets.values():
            if upload_id in bucket.multiparts:
                return bucket.multiparts[upload_id]
        raise no_such_upload(upload_id)

    # moto's objects and our records of them

    def _bucket(self, name: str) -> FakeBucket:
        try:
            return self._backend.get_bucket(name)
        except MissingBucket:
            raise no_such_bucket(name) from None

    def _items(self, bucket: str, key: str) -> list[Any]:
        """Return the versions as moto has them, the oldest first."""
        return list(self._bucket(bucket).keys.getlist(key, []))

    def _set_items(self, bucket: str, key: str, items: list[Any]) -> None:
        keys = self._bucket(bucket).keys
        for item in self._items(bucket, key):
            if item not in items and isinstance(item, FakeKey):
                self._forget(item)
        if items:
            keys.setlist(key, items)
        else:
            del keys[key]  # pop would call dispose, which delete markers do not have

    def _put(self, record: ObjectRecord) -> None:
        item = self._delete_marker(record) if record.type == DELETE_MARKER else self._key(record)
        # moto would drop every older version of a suspended bucket.
        others = [other for other in self._items(record.bucket, record.key) if other.version_id != record.version_id]
        self._set_items(record.bucket, record.key, [*others, item])
        self.release(record.content)

    def _key(self, record: ObjectRecord) -> FakeKey:
        key = FakeKey(
            record.key,
            self._blobs.read(record.content),
            self._backend.account_id,
            self._region,
            etag=record.etag.lower(),
            is_versioned=record.version_id != NULL_VERSION,
            version_id=record.version_id,
            bucket_name=record.bucket,
        )
        setattr(key, _RECORD, replace(record, content=self._blobs.hold(key, record.content)))
        key.last_modified = datetime.fromtimestamp(record.modified_at, UTC).replace(tzinfo=None)
        self._describe(key, record.attributes)
        return key

    def _delete_marker(self, record: ObjectRecord) -> FakeDeleteMarker:
        key = FakeKey(record.key, b"", self._backend.account_id, self._region)
        marker = FakeDeleteMarker(key)  # the marker takes its name from the key
        key.dispose()
        marker._version_id = record.version_id
        setattr(marker, _RECORD, record)
        return marker

    def _describe(self, key: FakeKey, attributes: Attributes) -> None:
        """Set the properties of moto's object that boto3 can read."""
        headers = {_HEADERS[name]: value for name, value in attributes.headers.items() if name in _HEADERS}
        metadata = {_METADATA + name: value for name, value in attributes.metadata.items()}
        key.set_metadata(headers | metadata, replace=True)
        key.set_storage_class(_CLASSES[attributes.storage_class])
        key.acl = get_canned_acl(attributes.acl if attributes.acl in _ACLS else "private")
        self._backend.put_object_tagging(key, attributes.tags)

    def _versions(self, bucket: FakeBucket, key: str) -> Iterator[ObjectRecord]:
        latest = True
        for item in reversed(bucket.keys.getlist(key, [])):
            record = self._record(item, bucket.name)
            yield replace(record, latest=latest)
            latest = False

    def _record(self, item: Any, bucket: str = "") -> ObjectRecord:
        record: ObjectRecord | None = getattr(item, _RECORD, None)
        if record is None:  # boto3 made it
            record = self._found(item, bucket)
            setattr(item, _RECORD, record)
        return record

    def _found(self, item: Any, bucket: str) -> ObjectRecord:
        modified_at = item.last_modified.replace(tzinfo=UTC).timestamp()
        if isinstance(item, FakeDeleteMarker):
            nothing = Attributes()
            kind = DELETE_MARKER
            return ObjectRecord(
                bucket, item.name, Content(), "", kind, modified_at, nothing, version_id=item.version_id
            )
        names = {theirs.lower(): ours for ours, theirs in _HEADERS.items()}
        metadata = {name.lower(): value for name, value in item.metadata.items()}
        attributes = Attributes(
            headers={names[name]: value for name, value in metadata.items() if name in names},
            metadata={
                name.removeprefix(_METADATA): value for name, value in metadata.items() if name.startswith(_METADATA)
            },
            storage_class=_CLASSES_BACK.get(item.storage_class, "Standard"),
            tags=self._backend.tagger.get_tag_dict_for_resource(item.arn),
        )
        etag = item.etag.strip('"').upper()
        kind = "Multipart" if "-" in etag else "Normal"
        data = item.value
        content = self._blobs.hold(item, Content(len(data), crc64.update(0, data)))
        return ObjectRecord(bucket, item.name, content, etag, kind, modified_at, attributes, version_id=item.version_id)

    def _part_record(self, number: int, key: FakeKey) -> PartRecord:
        record: PartRecord | None = getattr(key, _RECORD, None)
        if record is None:  # boto3 made it
            data = key.value
            content = self._blobs.hold(key, Content(len(data), crc64.update(0, data)))
            modified_at = key.last_modified.replace(tzinfo=UTC).timestamp()
            record = PartRecord(number, content, key.etag.strip('"').upper(), modified_at)
            setattr(key, _RECORD, record)
        return record

    def _forget(self, key: FakeKey) -> None:
        self._blobs.forget(key)
        key.dispose()


def _range(keys: Any, prefix: str, start: str) -> list[str]:
    end = successor(prefix)
    first = max(prefix, start)
    return sorted(key for key in dict(keys) if key >= first and (end is None or key < end))


def _bucket_record(bucket: FakeBucket) -> BucketRecord:
    record: BucketRecord | None = getattr(bucket, _RECORD, None)
    if record is None:  # boto3 made it
        record = BucketRecord(bucket.name, bucket.creation_date.timestamp(), "private", "Standard")
    return replace(record, versioning=bucket.versioning_status or "")


def _upload_record(bucket: str, upload: FakeMultipart) -> UploadRecord:
    record: UploadRecord | None = getattr(upload, _RECORD, None)
    if record is None:  # boto3 made it
        record = UploadRecord(upload.id, bucket, upload.key_name, datetime.now(UTC).timestamp(), Attributes())
        setattr(upload, _RECORD, record)
    return record
