"""The storage on disk: blobs as files, everything else in one SQLite database.

Of a write the blob comes first and the row second; of a removal the row first and the blob second. What a
``kill -9`` between the two leaves behind is a blob without a row, swept at the next start.
"""

import json
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from heapq import merge
from operator import attrgetter
from pathlib import Path
from typing import Any

from devcloud.oss.oss_errors import no_such_bucket, no_such_upload
from devcloud.oss.storages.blobs import BlobFiles, FileBlobReader, FileBlobWriter
from devcloud.oss.storages.port import (
    DELETE_MARKER,
    NULL_VERSION,
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
# The table objects has what a list shows: the latest version of each key, unless it is a delete marker. All other
# versions and the markers are in history, so that they cost a list nothing. rank orders a key's versions, latest first.
_SCHEMA = """
CREATE TABLE IF NOT EXISTS buckets (
    name TEXT PRIMARY KEY, created_at REAL NOT NULL, acl TEXT NOT NULL, storage_class TEXT NOT NULL,
    versioning TEXT NOT NULL DEFAULT ''
);
CREATE TABLE IF NOT EXISTS documents (
    bucket TEXT NOT NULL, name TEXT NOT NULL, body BLOB NOT NULL, PRIMARY KEY (bucket, name)
);
CREATE TABLE IF NOT EXISTS objects (
    bucket TEXT NOT NULL, key TEXT NOT NULL, size INTEGER NOT NULL, crc64 TEXT NOT NULL, segments TEXT NOT NULL,
    etag TEXT NOT NULL, type TEXT NOT NULL, modified_at REAL NOT NULL, attributes TEXT NOT NULL, symlink_target TEXT,
    version_id TEXT NOT NULL DEFAULT 'null', rank INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (bucket, key)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS history (
    bucket TEXT NOT NULL, key TEXT NOT NULL, size INTEGER NOT NULL, crc64 TEXT NOT NULL, segments TEXT NOT NULL,
    etag TEXT NOT NULL, type TEXT NOT NULL, modified_at REAL NOT NULL, attributes TEXT NOT NULL, symlink_target TEXT,
    version_id TEXT NOT NULL, rank INTEGER NOT NULL,
    PRIMARY KEY (bucket, key, rank)
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

_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_LATER_COLUMNS = (
    ("buckets", "versioning TEXT NOT NULL DEFAULT ''"),
    ("objects", "version_id TEXT NOT NULL DEFAULT 'null'"),
    ("objects", "rank INTEGER NOT NULL DEFAULT 0"),
)


class DiskStorage:
    """See :class:`devcloud.oss.storages.port.Storage`; ``root`` belongs to one process at a time."""

    def __init__(self, root: Path) -> None:
        root.mkdir(parents=True, exist_ok=True)
        # The thread that starts and stops the emulator is not the one that serves it.
        self._db = sqlite3.connect(root / "oss.sqlite3", isolation_level=None, check_same_thread=False)
        self._lock = threading.Lock()
        # A commit reaches the kernel, which is what outlives kill -9; only a power cut asks for more. A checkpoint
        # waits for the disk to take in all that was written, blobs too, so there are few of them.
        self._db.executescript(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = 8000;" + _SCHEMA
        )
        self._add_columns()
        # Every request asks for its bucket and several documents, which nobody else changes.
        rows = self._db.execute("SELECT * FROM buckets")
        self._buckets = {row[0]: BucketRecord(*row) for row in rows}
        rows = self._db.execute("SELECT * FROM documents")
        self._documents = {(bucket, name): bytes(body) for bucket, name, body in rows}
        self._blobs = BlobFiles(root / "blobs")
        query = (
            "SELECT segments FROM objects UNION ALL SELECT segments FROM history UNION ALL SELECT segments FROM parts"
        )
        rows = self._db.execute(query)
        self._blobs.sweep({segment.blob for (text,) in rows for segment in _segments(text)})

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
        """Count what is in a bucket."""
        query = (
            "SELECT json_extract(attributes, '$.storage_class'), COUNT(*), SUM(size) FROM ("
            " SELECT attributes, size FROM objects WHERE bucket = ?"
            " UNION ALL SELECT attributes, size FROM history WHERE bucket = ? AND type != 'DeleteMarker'"
            ") GROUP BY 1"
        )
        classes = {name: (count, size) for name, count, size in self._db.execute(query, (bucket, bucket))}
        (uploads,) = self._db.execute("SELECT COUNT(*) FROM uploads WHERE bucket = ?", (bucket,)).fetchone()
        query = "SELECT COUNT(*) FROM history WHERE bucket = ? AND type = 'DeleteMarker'"
        (markers,) = self._db.execute(query, (bucket,)).fetchone()
        return Usage(classes, uploads, markers)

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
        """Return the latest version unless it is a delete marker."""
        row = self._db.execute("SELECT * FROM objects WHERE bucket = ? AND key = ?", (bucket, key)).fetchone()
        return None if row is None else _object(row)

    def version(self, bucket: str, key: str, version_id: str | None) -> ObjectRecord | None:
        """Return a version, without an id the latest one."""
        current = self.object(bucket, key)
        if current is not None and version_id in (None, current.version_id):
            return current
        query, values = "SELECT * FROM history WHERE bucket = ? AND key = ?", [bucket, key]
        if version_id is not None:
            query, values = query + " AND version_id = ?", [*values, version_id]
        row = self._db.execute(query + " ORDER BY rank LIMIT 1", values).fetchone()
        if row is None:
            return None
        latest = current is None and row[-1] == self._least_rank(bucket, key)
        return replace(_object(row), latest=latest)

    def put_object(self, record: ObjectRecord) -> None:
        """Store a version as the latest one of its key."""
        with self._transaction() as stale:
            self._add_version(record, stale)

    def update_object(self, record: ObjectRecord) -> None:
        """Store new attributes of a version."""
        where = "WHERE bucket = ? AND key = ? AND version_id = ?"
        values = (_dump(record.attributes), record.bucket, record.key, record.version_id)
        with self._transaction():
            for table in ("objects", "history"):
                # where is a constant.
                self._db.execute(f"UPDATE {table} SET attributes = ? {where}", values)  # noqa: S608

    def delete_versions(self, bucket: str, versions: Sequence[tuple[str, str]]) -> list[ObjectRecord]:
        """Delete versions and return those that there were."""
        removed = []
        with self._transaction() as stale:
            for key, version_id in versions:
                record = self.version(bucket, key, version_id)
                if record is not None:
                    self._remove_version(record)
                    stale.update(record.content.segments)
                    removed.append(record)
        return removed

    def scan_objects(self, bucket: str, prefix: str, start: str) -> Iterator[ObjectRecord]:
        """Yield objects with ``prefix`` by key from ``start`` on."""
        where, values = _range(bucket, prefix, start)
        query = f"SELECT * FROM objects WHERE {where} ORDER BY key"  # noqa: S608 - where is made of constants
        return map(_object, self._db.execute(query, values))

    def scan_versions(self, bucket: str, prefix: str, start: str, after: str) -> Iterator[ObjectRecord]:
        """Yield versions with ``prefix`` by key from ``start`` on, the latest of a key first."""
        where, values = _range(bucket, prefix, start)
        if after:
            query = (
                "SELECT rank FROM objects WHERE bucket = ? AND key = ? AND version_id = ? UNION ALL"
                " SELECT rank FROM history WHERE bucket = ? AND key = ? AND version_id = ?"
            )
            row = self._db.execute(query, (bucket, start, after) * 2).fetchone()
            if row is None or start < prefix:
                after = ""
            else:
                where, values = where.replace("key >= ?", "(key, rank) > (?, ?)"), [bucket, start, row[0], *values[2:]]
        # where is made of constants.
        query = f"SELECT * FROM objects WHERE {where} ORDER BY key"  # noqa: S608
        current = (_object(row) for row in self._db.execute(query, values))
        query = f"SELECT * FROM history WHERE {where} ORDER BY key, rank"  # noqa: S608
        older = (_object(row) for row in self._db.execute(query, values))
        # Of a key, the row in objects is newer than those in history; merge takes equal keys from the first.
        previous = start if after else None
        for record in merge(current, older, key=attrgetter("key")):
            yield replace(record, latest=record.key != previous)
            previous = record.key

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
            self._add_version(record, stale)

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

    def _add_version(self, record: ObjectRecord, stale: set[Segment]) -> None:
        """Store ``record`` as the latest version."""
        bucket, key = record.bucket, record.key
        current = self.object(bucket, key)
        same: ObjectRecord | None = None
        if current is not None and current.version_id == record.version_id:
            same = current
        elif record.version_id == NULL_VERSION:
            same = self.version(bucket, key, NULL_VERSION)
        if same is not None:
            self._delete_row(same)
            stale.update(same.content.segments)
        if current is not None and current is not same:
            self._db.execute("INSERT INTO history SELECT * FROM objects WHERE bucket = ? AND key = ?", (bucket, key))
            self._db.execute("DELETE FROM objects WHERE bucket = ? AND key = ?", (bucket, key))
        stale.difference_update(record.content.segments)
        # A clock that was turned back must not turn the row of versions around.
        rank = min(-time.time_ns(), self._least_rank(bucket, key) - 1)
        table = "history" if record.type == DELETE_MARKER else "objects"
        values = (
            bucket,
            key,
            *_columns(record.content),
            record.etag,
            record.type,
            record.modified_at,
            _dump(record.attributes),
            record.symlink_target,
            record.version_id,
            rank,
        )
        # table is one of two constants.
        self._db.execute(f"INSERT OR REPLACE INTO {table} VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", values)  # noqa: S608

    def _remove_version(self, record: ObjectRecord) -> None:
        """Delete the row of ``record``; the version before the latest becomes the latest."""
        self._delete_row(record)
        if not record.latest:
            return
        where = "bucket = ? AND key = ? AND rank = ?"
        values = (record.bucket, record.key, self._least_rank(record.bucket, record.key))
        # where is a constant.
        query = f"INSERT INTO objects SELECT * FROM history WHERE {where} AND type != 'DeleteMarker'"  # noqa: S608
        if self._db.execute(query, values).rowcount:
            self._db.execute(f"DELETE FROM history WHERE {where}", values)  # noqa: S608

    def _delete_row(self, record: ObjectRecord) -> None:
        table = "objects" if record.latest and record.type != DELETE_MARKER else "history"
        # table is one of two constants.
        query = f"DELETE FROM {table} WHERE bucket = ? AND key = ? AND version_id = ?"  # noqa: S608
        self._db.execute(query, (record.bucket, record.key, record.version_id))

    def _least_rank(self, bucket: str, key: str) -> int:
        (rank,) = self._db.execute(
            "SELECT MIN(rank) FROM history WHERE bucket = ? AND key = ?", (bucket, key)
        ).fetchone()
        return rank or 0

    def _add_columns(self) -> None:
        """Give the tables of an older emulator the columns that they lack."""
        for table, column in _LATER_COLUMNS:
            names = {row[1] for row in self._db.execute(f"PRAGMA table_info({table})")}
            if column.split()[0] not in names:
                self._db.execute(f"ALTER TABLE {table} ADD COLUMN {column}")

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
    return content.size, str(content.crc64), _json(content.segments)


def _segments(text: str) -> tuple[Segment, ...]:
    return tuple(Segment(blob, size) for blob, size in json.loads(text))


def _dump(attributes: Attributes) -> str:
    return _json(vars(attributes))


def _object(row: tuple[Any, ...]) -> ObjectRecord:
    bucket, key, size, checksum, segments, etag, kind, modified_at, attributes, target, version_id, _ = row
    content = Content(size, int(checksum), _segments(segments))
    facts = Attributes(**json.loads(attributes))
    return ObjectRecord(bucket, key, content, etag, kind, modified_at, facts, target, version_id)


def _upload(row: tuple[Any, ...]) -> UploadRecord:
    bucket, key, upload_id, initiated_at, attributes = row
    return UploadRecord(upload_id, bucket, key, initiated_at, Attributes(**json.loads(attributes)))
