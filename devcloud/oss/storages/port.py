"""The storage port: what the front needs to keep, and the values that it keeps.

The front calls a storage from one thread and never awaits between a look and the write that depends on it, so
that every request sees and leaves whole states. Each writing method is one transaction: done when it returns,
also for a process that is killed right after.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from devcloud.oss import crc64

NULL_VERSION = "null"
DELETE_MARKER = "DeleteMarker"


class Segment(NamedTuple):
    """A whole blob as a piece of an object."""

    blob: str
    size: int


@dataclass(frozen=True)
class Content:
    """The bytes of an object or part: blobs in a row. Multipart uploads and appends only add to the row."""

    size: int = 0
    crc64: int = 0
    segments: tuple[Segment, ...] = ()

    def __add__(self, other: "Content") -> "Content":
        checksum = crc64.combine(self.crc64, other.crc64, other.size)
        return Content(self.size + other.size, checksum, self.segments + other.segments)


@dataclass(frozen=True)
class Attributes:
    """What a client says about an object when it writes it.

    ``headers`` are the HTTP headers that come back with it, ``metadata`` the ``x-oss-meta-*`` ones, both by
    lower-case name, ``encryption`` those that tell how it is encrypted. The restoration of an archived object is in
    Unix seconds.
    """

    headers: dict[str, str] = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)
    acl: str = "default"
    storage_class: str = "Standard"
    tags: dict[str, str] = field(default_factory=dict)
    encryption: dict[str, str] = field(default_factory=dict)
    restore_ready_at: float | None = None
    restored_until: float | None = None


@dataclass(frozen=True)
class ObjectRecord:
    """One version of an object. ``etag`` has no quotes; ``type`` is Normal, Multipart, Appendable, Symlink or one more.

    A delete marker is a version of the type ``DELETE_MARKER`` without content. Where a bucket has no versions, all
    objects are of the version ``NULL_VERSION``; a record that is yet to be stored has the version "". ``latest`` tells
    whether there is no newer version.
    """

    bucket: str
    key: str
    content: Content
    etag: str
    type: str
    modified_at: float
    attributes: Attributes
    symlink_target: str | None = None
    version_id: str = ""
    latest: bool = True


@dataclass(frozen=True)
class BucketRecord:
    """One bucket. ``versioning`` is "" (never asked for), "Enabled" or "Suspended"."""

    name: str
    created_at: float
    acl: str
    storage_class: str
    versioning: str = ""


@dataclass(frozen=True)
class Usage:
    """What ``?stat`` counts; ``classes`` has the number of versions and their bytes by storage class."""

    classes: dict[str, tuple[int, int]]
    uploads: int
    delete_markers: int = 0


@dataclass(frozen=True)
class UploadRecord:
    """One multipart upload under way."""

    upload_id: str
    bucket: str
    key: str
    initiated_at: float
    attributes: Attributes


@dataclass(frozen=True)
class PartRecord:
    """One uploaded part."""

    number: int
    content: Content
    etag: str
    modified_at: float


class BlobWriter(Protocol):
    """A blob being written. Exactly one of ``finish`` and ``discard`` ends it."""

    @property
    def size(self) -> int:
        """Bytes written so far."""

    def write(self, chunk: bytes) -> None:
        """Append ``chunk``."""

    def md5(self) -> bytes:
        """Return the digest of what was written."""

    def finish(self) -> Content:
        """Return the content, which is the caller's to store or to release."""

    def discard(self) -> None:
        """Forget everything."""


class BlobReader(Protocol):
    """Part of a content, readable to its end whatever is stored meanwhile."""

    @property
    def size(self) -> int:
        """Bytes that will come."""

    def __iter__(self) -> Iterator[bytes]:
        """Yield the bytes in chunks."""

    def close(self) -> None:
        """Give the blobs free; harmless when repeated."""


class Storage(Protocol):
    """Keeps buckets, objects and uploads. Look-ups raise the ``OssError`` of what is not there."""

    def close(self) -> None:
        """Close the storage; nothing is called afterwards."""

    def create_bucket(self, bucket: BucketRecord) -> None:
        """Store a bucket, or new properties of a bucket."""

    def bucket(self, name: str) -> BucketRecord:
        """Return the bucket or raise ``NoSuchBucket``."""

    def buckets(self) -> list[BucketRecord]:
        """Return all buckets by name."""

    def delete_bucket(self, name: str) -> None:
        """Delete a bucket with its documents."""

    def usage(self, bucket: str) -> Usage:
        """Count what is in a bucket."""

    def document(self, bucket: str, name: str) -> bytes | None:
        """Return the configuration document of that name."""

    def put_document(self, bucket: str, name: str, body: bytes | None) -> None:
        """Store a configuration document; ``None`` deletes it."""

    def new_blob(self) -> BlobWriter:
        """Begin to take in bytes."""

    def copy(self, content: Content) -> Content:
        """Return a content with the same bytes that lives its own life."""

    def open(self, content: Content, start: int, size: int) -> BlobReader:
        """Open ``size`` bytes of a content from ``start`` on."""

    def release(self, content: Content) -> None:
        """Delete the blobs of a content that was never stored."""

    def object(self, bucket: str, key: str) -> ObjectRecord | None:
        """Return the latest version, ``None`` if there is none or it is a delete marker."""

    def version(self, bucket: str, key: str, version_id: str | None) -> ObjectRecord | None:
        """Return a version, delete markers included, or ``None``; without an id the latest one."""

    def put_object(self, record: ObjectRecord) -> None:
        """Store a version as the latest one of its key, in place of the one with the same id, if there is one.

        Versions with other ids stay; so do blobs that it shares with the one that goes.
        """

    def update_object(self, record: ObjectRecord) -> None:
        """Store new attributes of a version; it stays where it is in the row."""

    def delete_versions(self, bucket: str, versions: Sequence[tuple[str, str]]) -> list[ObjectRecord]:
        """Delete versions, named by key and id, and return those that there were."""

    def scan_objects(self, bucket: str, prefix: str, start: str) -> Iterator[ObjectRecord]:
        """Yield objects with ``prefix`` by key from ``start`` on, at the same cost from wherever it starts."""

    def scan_versions(self, bucket: str, prefix: str, start: str, after: str) -> Iterator[ObjectRecord]:
        """Yield versions with ``prefix`` by key from ``start`` on, the latest of a key first.

        Of the key ``start`` come those older than the version ``after``; all, if there is no such version.
        """

    def create_upload(self, upload: UploadRecord) -> None:
        """Begin a multipart upload."""

    def upload(self, bucket: str, key: str, upload_id: str) -> UploadRecord:
        """Return the upload or raise ``NoSuchUpload``."""

    def delete_upload(self, upload_id: str) -> None:
        """Give up an upload and its parts."""

    def scan_uploads(self, bucket: str, prefix: str, start: str, start_id: str) -> Iterator[UploadRecord]:
        """Yield uploads with ``prefix`` by key and id from ``(start, start_id)`` on."""

    def put_part(self, upload_id: str, part: PartRecord) -> None:
        """Store a part in place of the one with its number."""

    def parts(self, upload_id: str) -> list[PartRecord]:
        """Return the parts by number."""

    def complete_upload(self, upload_id: str, record: ObjectRecord) -> None:
        """Store ``record``, whose content is made of parts, and end the upload."""


def successor(prefix: str) -> str | None:
    """Return the least string above all those that begin with ``prefix``, ``None`` if there is none."""
    while prefix:
        code = ord(prefix[-1]) + 1
        if code == 0xD800:  # surrogates are no characters
            code = 0xE000
        if code <= 0x10FFFF:
            return prefix[:-1] + chr(code)
        prefix = prefix[:-1]
    return None


def join(contents: Iterable[Content]) -> Content:
    """Return the contents in a row."""
    return sum(contents, Content())
