"""The format on disk: the tables of the SQLite database ``oss.sqlite3``, and rows as records and back.

The bytes of objects are files beside it; see ``blobs``.
"""

import json
import sqlite3
from typing import Any

from devcloud.oss.storages.port import Attributes, Content, ObjectRecord, Segment, UploadRecord, successor

# SQLite's integers are signed 64 bit, so checksums are text. BINARY collation of UTF-8 is the key order of OSS.
# The table objects contains what a list shows: the latest version of each key, unless it is a delete marker. All other
# versions and the delete markers are in history, so that a list does not read them. rank orders the versions of a key,
# the latest first.
SCHEMA = """
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


def add_columns(db: sqlite3.Connection) -> None:
    """Give the tables of an older emulator the columns that they lack."""
    for table, column in _LATER_COLUMNS:
        names = {row[1] for row in db.execute(f"PRAGMA table_info({table})")}
        if column.split()[0] not in names:
            db.execute(f"ALTER TABLE {table} ADD COLUMN {column}")


def key_range(bucket: str, prefix: str, start: str) -> tuple[str, list[str]]:
    """Return the SQL condition, and its values, for keys with ``prefix`` from ``start`` on."""
    where, values = "bucket = ? AND key >= ?", [bucket, max(prefix, start)]
    end = successor(prefix)
    if end is not None:
        where += " AND key < ?"
        values.append(end)
    return where, values


def content_columns(content: Content) -> tuple[int, str, str]:
    """Return the columns size, crc64 and segments."""
    return content.size, str(content.crc64), _json(content.segments)


def read_segments(text: str) -> tuple[Segment, ...]:
    """Return the blobs that a column names."""
    return tuple(Segment(blob, size) for blob, size in json.loads(text))


def dump_attributes(attributes: Attributes) -> str:
    """Return the column attributes."""
    return _json(vars(attributes))


def read_object(row: tuple[Any, ...]) -> ObjectRecord:
    """Return the record of a row of the table objects or history."""
    bucket, key, size, checksum, segments, etag, kind, modified_at, attributes, target, version_id, _ = row
    content = Content(size, int(checksum), read_segments(segments))
    facts = Attributes(**json.loads(attributes))
    return ObjectRecord(bucket, key, content, etag, kind, modified_at, facts, target, version_id)


def read_upload(row: tuple[Any, ...]) -> UploadRecord:
    """Return the record of a row of the table uploads."""
    bucket, key, upload_id, initiated_at, attributes = row
    return UploadRecord(upload_id, bucket, key, initiated_at, Attributes(**json.loads(attributes)))
