"""The storage on disk: blobs as files, everything else in one SQLite database.

A write stores the blob first and the row second; a removal deletes the row first and the blob second. A ``kill -9``
between the two leaves a blob without a row, which the next start deletes.
"""

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from devcloud.oss.oss_errors import no_such_bucket, no_such_upload
from devcloud.oss.storages.blobs import BlobFiles, FileBlobReader, FileBlobWriter
from devcloud.oss.storages.disk_format import (
    SCHEMA,
    add_columns,
    content_columns,
    dump_attributes,
    key_range,
    read_segments,
    read_upload,
)
from devcloud.oss.storages.disk_versions import VersionTables
from devcloud.oss.storages.port import BucketRecord, Content, ObjectRecord, PartRecord, Segment, UploadRecord, Usage


class DiskStorage:
    """See :class:`devcloud.oss.storages.port.Storage`; ``root`` belongs to one process at a time."""

    def __init__(self, root: Path) -> None:
        root.mkdir(parents=True, exist_ok=True)
        # One thread starts and stops the emulator, another thread serves it.
        self._db = sqlite3.connect(root / "oss.sqlite3", isolation_level=None, check_same_thread=False)
        self._lock = threading.Lock()
        # A commit reaches the kernel, which is enough to survive kill -9, but not a power cut. A checkpoint waits until
        # all written data, blobs included, is on the disk, so checkpoints are rare.
        self._db.executescript(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = 8000;" + SCHEMA
        )
        add_columns(self._db)
        self._versions = VersionTables(self._db)
        # Every request reads its bucket and several documents, and only this process changes them.
        rows = self._db.execute("SELECT * FROM buckets")
        self._buckets = {row[0]: BucketRecord(*row) for row in rows}
        rows = self._db.execute("SELECT * FROM documents")
        self._documents = {(bucket, name): bytes(body) for bucket, name, body in rows}
        self._blobs = BlobFiles(root / "blobs")
        query = (
            "SELECT segments FROM objects UNION ALL SELECT segments FROM history UNION ALL SELECT segments FROM parts"
        )
        rows = self._db.execute(query)
        self._blobs.sweep({segment.blob for (text,) in rows for segment in read_segments(text)})

    def close(self) -> None:
        """Close the database."""
        self._db.close()

    # Buckets

    def create_bucket(self, bucket: BucketRecord) -> None:
        """Store a bucket, or new properties of a bucket."""
        values = (bucket.name, bucket.created_at, bucket.acl, bucket.storage_class, bucket.versioning)
        with self._transaction():
            self._db.execute("INSERT OR REPLACE INTO buckets VALUES (?, ?, ?, ?, ?)", values)
        self._buckets[bucket.name] = bucket

    def bucket(self, name: str) -> BucketRecord:
        """Return the bucket or raise ``NoSuchBucket``."""
        bucket = self._buckets.get(name)
        if bucket is None:
            raise no_such_bucket(name)
        return bucket

    def buckets(self) -> list[BucketRecord]:
        """Return all buckets by name."""
        return [self._buckets[name] for name in sorted(self._buckets)]

    def delete_bucket(self, name: str) -> None:
        """Delete a bucket with its documents."""
        with self._transaction():
            self._db.execute("DELETE FROM documents WHERE bucket = ?", (name,))
            self._db.execute("DELETE FROM buckets WHERE name = ?", (name,))
        self._buckets.pop(name, None)
        self._documents = {place: body for place, body in self._documents.items() if place[0] != name}

    def usage(self, bucket: str) -> Usage:
        """Count the contents of a bucket."""
        (uploads,) = self._db.execute("SELECT COUNT(*) FROM uploads WHERE bucket = ?", (bucket,)).fetchone()
        return Usage(self._versions.classes(bucket), uploads, self._versions.count_delete_markers(bucket))

    def document(self, bucket: str, name: str) -> bytes | None:
        """Return the configuration document of that name."""
        return self._documents.get((bucket, name))

    def put_document(self, bucket: str, name: str, body: bytes | None) -> None:
        """Store a configuration document; ``None`` deletes it."""
        with self._transaction():
            if body is None:
                self._db.execute("DELETE FROM documents WHERE bucket = ? AND name = ?", (bucket, name))
            else:
                self._db.execute("INSERT OR REPLACE INTO documents VALUES (?, ?, ?)", (bucket, name, body))
        if body is None:
            self._documents.pop((bucket, name), None)
        else:
            self._documents[bucket, name] = body

    # Blobs

    def new_blob(self) -> FileBlobWriter:
        """Begin a new blob."""
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
        """Return the latest version unless it is a delete marker."""
        return self._versions.object(bucket, key)

    def version(self, bucket: str, key: str, version_id: str | None) -> ObjectRecord | None:
        """Return a version, by default the latest version."""
        return self._versions.version(bucket, key, version_id)

    def put_object(self, record: ObjectRecord) -> None:
        """Store a version as the latest one of its key."""
        with self._transaction() as stale:
            self._versions.add(record, stale)

    def update_object(self, record: ObjectRecord) -> None:
        """Store new attributes of a version."""
        with self._transaction():
            self._versions.update_attributes(record)

    def delete_versions(self, bucket: str, versions: Sequence[tuple[str, str]]) -> list[ObjectRecord]:
        """Delete versions and return those that existed."""
        removed = []
        with self._transaction() as stale:
            for key, version_id in versions:
                record = self.version(bucket, key, version_id)
                if record is not None:
                    self._versions.remove(record)
                    stale.update(record.content.segments)
                    removed.append(record)
        return removed

    def scan_objects(self, bucket: str, prefix: str, start: str) -> Iterator[ObjectRecord]:
        """Yield objects with ``prefix`` by key from ``start`` on."""
        return self._versions.scan_latest(bucket, prefix, start)

    def scan_versions(self, bucket: str, prefix: str, start: str, after: str) -> Iterator[ObjectRecord]:
        """Yield versions with ``prefix`` by key from ``start`` on, the latest of a key first."""
        return self._versions.scan_all(bucket, prefix, start, after)

    # Uploads

    def create_upload(self, upload: UploadRecord) -> None:
        """Begin a multipart upload."""
        values = (upload.bucket, upload.key, upload.upload_id, upload.initiated_at, dump_attributes(upload.attributes))
        with self._transaction():
            self._db.execute("INSERT INTO uploads VALUES (?, ?, ?, ?, ?)", values)

    def upload(self, bucket: str, key: str, upload_id: str) -> UploadRecord:
        """Return the upload or raise ``NoSuchUpload``."""
        query = "SELECT * FROM uploads WHERE bucket = ? AND key = ? AND upload_id = ?"
        row = self._db.execute(query, (bucket, key, upload_id)).fetchone()
        if row is None:
            raise no_such_upload(upload_id)
        return read_upload(row)

    def delete_upload(self, upload_id: str) -> None:
        """Delete an upload and its parts."""
        with self._transaction() as stale:
            self._end_upload(upload_id, stale)

    def scan_uploads(self, bucket: str, prefix: str, start: str, start_id: str) -> Iterator[UploadRecord]:
        """Yield uploads with ``prefix`` by key and id from ``(start, start_id)`` on."""
        where, values = key_range(bucket, prefix, start)
        # where is made of constants.
        query = f"SELECT * FROM uploads WHERE {where} AND (key, upload_id) >= (?, ?) ORDER BY key, upload_id"
        return map(read_upload, self._db.execute(query, (*values, start, start_id)))

    def put_part(self, upload_id: str, part: PartRecord) -> None:
        """Store a part, and replace a part with the same number."""
        with self._transaction() as stale:
            query = "SELECT segments FROM parts WHERE upload_id = ? AND number = ?"
            for (segments,) in self._db.execute(query, (upload_id, part.number)):
                stale.update(read_segments(segments))
            values = (upload_id, part.number, *content_columns(part.content), part.etag, part.modified_at)
            self._db.execute("INSERT OR REPLACE INTO parts VALUES (?, ?, ?, ?, ?, ?, ?)", values)

    def parts(self, upload_id: str) -> list[PartRecord]:
        """Return the parts by number."""
        rows = self._db.execute("SELECT * FROM parts WHERE upload_id = ? ORDER BY number", (upload_id,))
        return [
            PartRecord(number, Content(size, int(checksum), read_segments(segments)), etag, modified_at)
            for _, number, size, checksum, segments, etag, modified_at in rows
        ]

    def complete_upload(self, upload_id: str, record: ObjectRecord) -> None:
        """Store ``record``, whose content is made of parts, and end the upload."""
        with self._transaction() as stale:
            self._end_upload(upload_id, stale)
            self._versions.add(record, stale)

    # Within a transaction

    @contextmanager
    def _transaction(self) -> Iterator[set[Segment]]:
        """Commit the changes of the block, then delete the blobs that the block added to the set."""
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

    def _end_upload(self, upload_id: str, stale: set[Segment]) -> None:
        for part in self.parts(upload_id):
            stale.update(part.content.segments)
        self._db.execute("DELETE FROM parts WHERE upload_id = ?", (upload_id,))
        self._db.execute("DELETE FROM uploads WHERE upload_id = ?", (upload_id,))
