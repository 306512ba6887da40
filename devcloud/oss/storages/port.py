"""The storage port: the methods that the operations need, and the records that they store.

The operations call a storage from one thread and never await between a read and the write that depends on it, so that
every request sees and leaves consistent states. Each writing method is one transaction: it is complete when the method
returns, also for a process that is killed right after.
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
    """The bytes of an object or part: joined blobs. Multipart uploads and appends only add blobs."""

    size: int = 0
    crc64: int = 0
    segments: tuple[Segment, ...] = ()

    def __add__(self, other: "Content") -> "Content":
        checksum = crc64.combine(self.crc64, other.crc64, other.size)
        return Content(self.size + other.size, checksum, self.segments + other.segments)


@dataclass(frozen=True)
class Attributes:
    """The properties of an object that a client sends with a write.

    ``headers`` are the HTTP headers that reads return, ``metadata`` the ``x-oss-meta-*`` headers, both by lower-case
    name, ``encryption`` the headers about its encryption. The times of a restoration are in Unix seconds.
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
    """One version of an object. ``etag`` has no quotes; ``type`` is Normal, Multipart, Appendable or Symlink.

    A delete marker is a version of the type ``DELETE_MARKER`` without content. In a bucket without
    versioning, all objects have the version ``NULL_VERSION``; a record that is not stored yet has the version "".
    ``latest`` tells whether this is the newest version.
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
    """One bucket. ``versioning`` is "" (never enabled), "Enabled" or "Suspended"."""

    name: str
    created_at: float
    acl: str
    storage_class: str
    versioning: str = ""


@dataclass(frozen=True)
class Usage:
    """The counts of ``?stat``; ``classes`` maps a storage class to the number of its versions and their bytes."""

    classes: dict[str, tuple[int, int]]
    uploads: int
    delete_markers: int = 0


@dataclass(frozen=True)
class UploadRecord:
    """One multipart upload in progress."""

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
        """The number of bytes written so far."""

    def write(self, chunk: bytes) -> None:
        """Append ``chunk``."""

    def md5(self) -> bytes:
        """Return the MD5 digest of the written bytes."""

    def finish(self) -> Content:
        """Return the content; the caller must store or release it."""

    def discard(self) -> None:
        """Forget everything."""


class BlobReader(Protocol):
    """Part of a content. It can be read to its end also if the object is overwritten or deleted in the meantime."""

    @property
    def size(self) -> int:
        """The number of bytes."""

    def __iter__(self) -> Iterator[bytes]:
        """Yield the bytes in chunks."""

    def close(self) -> None:
        """Release the blobs; may be called several times."""


class Storage(Protocol):
    """Stores buckets, objects and uploads."""

    def close(self) -> None:
        """Close the storage; no method is called afterwards."""

    def create_bucket(self, bucket: BucketRecord) -> None:
        """Store a bucket, or new properties of a bucket."""

    def bucket(self, name: str) -> BucketRecord:
        """Return the bucket or raise ``NoSuchBucket``."""

    def buckets(self) -> list[BucketRecord]:
        """Return all buckets by name."""

    def delete_bucket(self, name: str) -> None:
        """Delete a bucket with its documents."""

    def usage(self, bucket: str) -> Usage:
        """Count the contents of a bucket."""

    def document(self, bucket: str, name: str) -> bytes | None:
        """Return the configuration document of that name."""

    def put_document(self, bucket: str, name: str, body: bytes | None) -> None:
        """Store a configuration document; ``None`` deletes it."""

    def new_blob(self) -> BlobWriter:
        """Begin a new blob."""

    def copy(self, content: Content) -> Content:
        """Return an independent content with the same bytes."""

    def open(self, content: Content, start: int, size: int) -> BlobReader:
        """Open ``size`` bytes of a content from ``start`` on."""

    def release(self, content: Content) -> None:
        """Delete the blobs of a content that was never stored."""

    def object(self, bucket: str, key: str) -> ObjectRecord | None:
        """Return the latest version, ``None`` if the key does not exist or is hidden by a delete marker."""

    def version(self, bucket: str, key: str, version_id: str | None) -> ObjectRecord | None:
        """Return a version, delete markers included, or ``None``; by default the latest version."""

    def put_object(self, record: ObjectRecord) -> None:
        """Store a version as the latest one of its key, and replace a version with the same id.

        Versions with other ids stay; so do blobs that the record shares with the replaced version.
        """

    def update_object(self, record: ObjectRecord) -> None:
        """Store new attributes of a version; the order of versions does not change."""

    def delete_versions(self, bucket: str, versions: Sequence[tuple[str, str]]) -> list[ObjectRecord]:
        """Delete versions, named by key and id, and return those that existed."""

    def scan_objects(self, bucket: str, prefix: str, start: str) -> Iterator[ObjectRecord]:
        """Yield objects with ``prefix`` by key from ``start`` on, at the same cost from every start."""

    def scan_versions(self, bucket: str, prefix: str, start: str, after: str) -> Iterator[ObjectRecord]:
        """Yield versions with ``prefix`` by key from ``start`` on, the latest of a key first.

        For the key ``start`` yield the versions older than ``after``, or all if that version does not exist.
        """

    def create_upload(self, upload: UploadRecord) -> None:
        """Begin a multipart upload."""

    def upload(self, bucket: str, key: str, upload_id: str) -> UploadRecord:
        """Return the upload or raise ``NoSuchUpload``."""

    def delete_upload(self, upload_id: str) -> None:
        """Delete an upload and its parts."""

    def scan_uploads(self, bucket: str, prefix: str, start: str, start_id: str) -> Iterator[UploadRecord]:
        """Yield uploads with ``prefix`` by key and id from ``(start, start_id)`` on."""

    def put_part(self, upload_id: str, part: PartRecord) -> None:
        """Store a part, and replace a part with the same number."""

    def parts(self, upload_id: str) -> list[PartRecord]:
        """Return the parts by number."""

    def complete_upload(self, upload_id: str, record: ObjectRecord) -> None:
        """Store ``record``, whose content is made of parts, and end the upload."""


def successor(prefix: str) -> str | None:
    """Return the least string above all strings that begin with ``prefix``, ``None`` if it does not exist."""
    while prefix:
        code = ord(prefix[-1]) + 1
        if code == 0xD800:  # surrogates are not characters
            code = 0xE000
        if code <= 0x10FFFF:
            return prefix[:-1] + chr(code)
        prefix = prefix[:-1]
    return None


def join(contents: Iterable[Content]) -> Content:
    """Return the joined contents."""
    return sum(contents, Content())
