"""The storage on disk: blobs as files, everything else in one SQLite database.

Of a write the blob comes first and the row second; of a removal the row first and the blob second. What a
``kill -9`` between the two leaves behind is a blob without a row, swept at the next start.
"""

import json
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from devcloud.oss.blobs import BlobFiles, FileBlobReader, FileBlobWriter
from devcloud.oss.errors import no_such_bucket, no_such_upload
from devcloud.oss.storage import (
    Attributes,
    BucketRecord,
    Content,
    ObjectRecord,
    PartRecord,
    Segment,
    UploadRecord,
    Usage,
    successor,
)

# SQLite's integers are signed 64 bit, so checksums are text. BINARY collation of UTF-8 is the key order of OSS.
_SCHEMA = """
CREATE TABLE IF NOT EXISTS buckets (
    name TEXT PRIMARY KEY, created_at REAL NOT NULL, acl TEXT NOT NULL, storage_class TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS documents (
    bucket TEXT NOT NULL, name TEXT NOT NULL, body BLOB NOT NULL, PRIMARY KEY (bucket, name)
);
CREATE TABLE IF NOT EXISTS objects (
    bucket TEXT NOT NULL, key TEXT NOT NULL, size INTEGER NOT NULL, crc64 TEXT NOT NULL, segments TEXT NOT NULL,
    etag TEXT NOT NULL, type TEXT NOT NULL, modified_at REAL NOT NULL, attributes TEXT NOT NULL, symlink_target TEXT,
    PRIMARY KEY (bucket, key)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS uploads (
    bucket TEXT NOT NULL, key TEXT NOT NULL, upload_id TEXT NOT NULL UNIQUE, initiated_at REAL NOT NULL,
    attributes TEXT NOT NULL, PRIMARY KEY (bucket, key, upload_id)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS parts (
    upload_id TEXT NOT NULL, number INTEGER NOT NULL, size INTEGER NOT NULL, crc64 TEXT NOT NULL,
    segments TEXT NOT NULL, etag TEXT NOT NULL, modified_at REAL NOT NULL, PRIMARY KEY (upload_id, number)
) WITHOUT ROWID;
"""


class DiskStorage:
    """See :class:`devcloud.oss.storage.Storage`; ``root`` belongs to one process at a time."""

    def __init__(self, root: Path) -> None:
        root.mkdir(parents=True, exist_ok=True)
        # The thread that starts and stops the emulator is not the one that serves it.
        self._db = sqlite3.connect(root / "oss.sqlite3", isolation_level=None, check_same_thread=False)
        self._lock = threading.Lock()
        # A commit reaches the kernel, which is what outlives kill -9; only a power cut asks for more.
        self._db.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;" + _SCHEMA)
        self._blobs = BlobFiles(root / "blobs")
        rows = self._db.execute("SELECT segments FROM objects UNION ALL SELECT segments FROM parts")
        self._blobs.sweep({segment.blob for (text,) in rows for segment in _segments(text)})

    def close(self) -> None:
        """Close the database."""
        self._db.close()

    # Buckets

    def create_bucket(self, bucket: BucketRecord) -> None:
        """Store a bucket, or new properties of a bucket."""
        values = (bucket.name, bucket.created_at, bucket.acl, bucket.storage_class)
        with self._transaction():
            self._db.execute("INSERT OR REPLACE INTO buckets VALUES (?, ?, ?, ?)", values)

    def bucket(self, name: str) -> BucketRecord:
        """Return the bucket or raise ``NoSuchBucket``."""
        row = self._db.execute("SELECT * FROM buckets WHERE name = ?", (name,)).fetchone()
        if row is None:
            raise no_such_bucket(name)
        return BucketRecord(*row)

    def buckets(self) -> list[BucketRecord]:
        """Return all buckets by name."""
        return [BucketRecord(*row) for row in self._db.execute("SELECT * FROM buckets ORDER BY name")]

    def delete_bucket(self, name: str) -> None:
        """Delete a bucket with its documents."""
        with self._transaction():
            self._db.execute("DELETE FROM documents WHERE bucket = ?", (name,))
            self._db.execute("DELETE FROM buckets WHERE name = ?", (name,))

    def usage(self, bucket: str) -> Usage:
        """Count what is in a bucket."""
        query = (
            "SELECT json_extract(attributes, '$.storage_class'), COUNT(*), SUM(size)"
            " FROM objects WHERE bucket = ? GROUP BY 1"
        )
        classes = {name: (count, size) for name, count, size in self._db.execute(query, (bucket,))}
        (uploads,) = self._db.execute("SELECT COUNT(*) FROM uploads WHERE bucket = ?", (bucket,)).fetchone()
        return Usage(classes, uploads)

    def document(self, bucket: str, name: str) -> bytes | None:
        """Return the configuration document of that name."""
        query = "SELECT body FROM documents WHERE bucket = ? AND name = ?"
        row = self._db.execute(query, (bucket, name)).fetchone()
        return None if row is None else bytes(row[0])

    def put_document(self, bucket: str, name: str, body: bytes | None) -> None:
        """Store a configuration document; ``None`` deletes it."""
        with self._transaction():
            if body is None:
                self._db.execute("DELETE FROM documents WHERE bucket = ? AND name = ?", (bucket, name))
            else:
                self._db.execute("INSERT OR REPLACE INTO documents VALUES (?, ?, ?)", (bucket, name, body))

    # Blobs

    def new_blob(self) -> FileBlobWriter:
        """Begin to take in bytes."""
        return self._blobs.create()

    def copy(self, content: Content) -> Content:
        """Return the same bytes under new names."""
        return Content(content.size, content.crc64, self._blobs.link(content.segments))

    def open(self, content: Content, start: int, size: int) -> FileBlobReader:
        """Open ``size`` bytes of a content from ``start`` on."""
        return self._blobs.open(content.segments, start, size)

    def release(self, content: Content) -> None:
        """Delete the blobs of a content that was never stored."""
        self._blobs.delete(content.segments)

    # Objects

    def object(self, bucket: str, key: str) -> ObjectRecord | None:
        """Return the object or ``None``."""
        row = self._db.execute("SELECT * FROM objects WHERE bucket = ? AND key = ?", (bucket, key)).fetchone()
        return None if row is None else _object(row)

    def put_object(self, record: ObjectRecord) -> None:
        """Store an object in place of the one with its key."""
        with self._transaction() as stale:
            self._replace_object(record, stale)

    def delete_objects(self, bucket: str, keys: Sequence[str]) -> list[ObjectRecord]:
        """Delete objects and return those that there were."""
        removed = []
        with self._transaction() as stale:
            for key in keys:
                record = self.object(bucket, key)
                if record is not None:
                    self._db.execute("DELETE FROM objects WHERE bucket = ? AND key = ?", (bucket, key))
                    stale.update(record.content.segments)
                    removed.append(record)
        return removed

    def scan_objects(self, bucket: str, prefix: str, start: str) -> Iterator[ObjectRecord]:
        """Yield objects with ``prefix`` by key from ``start`` on."""
        where, values = _range(bucket, prefix, start)
        query = f"SELECT * FROM objects WHERE {where} ORDER BY key"  # noqa: S608 - where is made of constants
        return map(_object, self._db.execute(query, values))

    # Uploads

    def create_upload(self, upload: UploadRecord) -> None:
        """Begin a multipart upload."""
        values = (upload.bucket, upload.key, upload.upload_id, upload.initiated_at, _dump(upload.attributes))
        with self._transaction():
            self._db.execute("INSERT INTO uploads VALUES (?, ?, ?, ?, ?)", values)

    def upload(self, bucket: str, key: str, upload_id: str) -> UploadRecord:
        """Return the upload or raise ``NoSuchUpload``."""
        query = "SELECT * FROM uploads WHERE bucket = ? AND key = ? AND upload_id = ?"
        row = self._db.execute(query, (bucket, key, upload_id)).fetchone()
        if row is None:
            raise no_such_upload(upload_id)
        return _upload(row)

    def delete_upload(self, upload_id: str) -> None:
        """Give up an upload and its parts."""
        with self._transaction() as stale:
            self._end_upload(upload_id, stale)

    def scan_uploads(self, bucket: str, prefix: str, start: str, start_id: str) -> Iterator[UploadRecord]:
        """Yield uploads with ``prefix`` by key and id from ``(start, start_id)`` on."""
        where, values = _range(bucket, prefix, start)
        # where is made of constants.
        query = f"SELECT * FROM uploads WHERE {where} AND (key, upload_id) >= (?, ?) ORDER BY key, upload_id"  # noqa: S608
        return map(_upload, self._db.execute(query, (*values, start, start_id)))

    def put_part(self, upload_id: str, part: PartRecord) -> None:
        """Store a part in place of the one with its number."""
        with self._transaction() as stale:
            query = "SELECT segments FROM parts WHERE upload_id = ? AND number = ?"
            for (segments,) in self._db.execute(query, (upload_id, part.number)):
                stale.update(_segments(segments))
            values = (upload_id, part.number, *_columns(part.content), part.etag, part.modified_at)
            self._db.execute("INSERT OR REPLACE INTO parts VALUES (?, ?, ?, ?, ?, ?, ?)", values)

    def parts(self, upload_id: str) -> list[PartRecord]:
        """Return the parts by number."""
        rows = self._db.execute("SELECT * FROM parts WHERE upload_id = ? ORDER BY number", (upload_id,))
        return [
            PartRecord(number, Content(size, int(checksum), _segments(segments)), etag, modified_at)
            for _, number, size, checksum, segments, etag, modified_at in rows
        ]

    def complete_upload(self, upload_id: str, record: ObjectRecord) -> None:
        """Store ``record``, whose content is made of parts, and end the upload."""
        with self._transaction() as stale:
            self._end_upload(upload_id, stale)
            self._replace_object(record, stale)

    # Within a transaction

    @contextmanager
    def _transaction(self) -> Iterator[set[Segment]]:
        """Commit what the block did, then delete the blobs that it put into the set."""
        stale: set[Segment] = set()
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield stale
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")
        self._blobs.delete(stale)

    def _replace_object(self, record: ObjectRecord, stale: set[Segment]) -> None:
        previous = self.object(record.bucket, record.key)
        if previous is not None:
            stale.update(previous.content.segments)
        stale.difference_update(record.content.segments)
        values = (
            record.bucket,
            record.key,
            *_columns(record.content),
            record.etag,
            record.type,
            record.modified_at,
            _dump(record.attributes),
            record.symlink_target,
        )
        self._db.execute("INSERT OR REPLACE INTO objects VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", values)

    def _end_upload(self, upload_id: str, stale: set[Segment]) -> None:
        for part in self.parts(upload_id):
            stale.update(part.content.segments)
        self._db.execute("DELETE FROM parts WHERE upload_id = ?", (upload_id,))
        self._db.execute("DELETE FROM uploads WHERE upload_id = ?", (upload_id,))


def _range(bucket: str, prefix: str, start: str) -> tuple[str, list[str]]:
    where, values = "bucket = ? AND key >= ?", [bucket, max(prefix, start)]
    end = successor(prefix)
    if end is not None:
        where += " AND key < ?"
        values.append(end)
    return where, values


def _columns(content: Content) -> tuple[int, str, str]:
    return content.size, str(content.crc64), json.dumps(content.segments, separators=(",", ":"))


def _segments(text: str) -> tuple[Segment, ...]:
    return tuple(Segment(blob, size) for blob, size in json.loads(text))


def _dump(attributes: Attributes) -> str:
    return json.dumps(asdict(attributes), ensure_ascii=False, separators=(",", ":"))


def _object(row: tuple[Any, ...]) -> ObjectRecord:
    bucket, key, size, checksum, segments, etag, kind, modified_at, attributes, target = row
    content = Content(size, int(checksum), _segments(segments))
    return ObjectRecord(bucket, key, content, etag, kind, modified_at, Attributes(**json.loads(attributes)), target)


def _upload(row: tuple[Any, ...]) -> UploadRecord:
    bucket, key, upload_id, initiated_at, attributes = row
    return UploadRecord(upload_id, bucket, key, initiated_at, Attributes(**json.loads(attributes)))
