"""The versions of objects in SQLite: the tables ``objects`` and ``history``; see ``disk_format``."""

import sqlite3
import time
from collections.abc import Iterator
from dataclasses import replace
from heapq import merge
from operator import attrgetter

from devcloud.oss.storages.disk_format import content_columns, dump_attributes, key_range, read_object
from devcloud.oss.storages.port import DELETE_MARKER, NULL_VERSION, ObjectRecord, Segment


class VersionTables:
    """Reads and writes versions. The caller begins and ends transactions."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def object(self, bucket: str, key: str) -> ObjectRecord | None:
        """Return the latest version unless it is a delete marker."""
        row = self._db.execute("SELECT * FROM objects WHERE bucket = ? AND key = ?", (bucket, key)).fetchone()
        return None if row is None else read_object(row)

    def version(self, bucket: str, key: str, version_id: str | None) -> ObjectRecord | None:
        """Return a version, by default the latest version."""
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
        return replace(read_object(row), latest=latest)

    def add(self, record: ObjectRecord, stale: set[Segment]) -> None:
        """Store ``record`` as the latest version; add the blobs that it replaces to ``stale``."""
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
        # A clock that was turned back must not change the order of versions.
        rank = min(-time.time_ns(), self._least_rank(bucket, key) - 1)
        table = "history" if record.type == DELETE_MARKER else "objects"
        values = (
            bucket,
            key,
            *content_columns(record.content),
            record.etag,
            record.type,
            record.modified_at,
            dump_attributes(record.attributes),
            record.symlink_target,
            record.version_id,
            rank,
        )
        # table is one of two constants.
        self._db.execute(f"INSERT OR REPLACE INTO {table} VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", values)

    def remove(self, record: ObjectRecord) -> None:
        """Delete the row of ``record``; the version before the latest becomes the latest."""
        self._delete_row(record)
        if not record.latest:
            return
        where = "bucket = ? AND key = ? AND rank = ?"
        values = (record.bucket, record.key, self._least_rank(record.bucket, record.key))
        # where is a constant.
        query = f"INSERT INTO objects SELECT * FROM history WHERE {where} AND type != 'DeleteMarker'"
        if self._db.execute(query, values).rowcount:
            self._db.execute(f"DELETE FROM history WHERE {where}", values)

    def update_attributes(self, record: ObjectRecord) -> None:
        """Store new attributes of a version."""
        where = "WHERE bucket = ? AND key = ? AND version_id = ?"
        values = (dump_attributes(record.attributes), record.bucket, record.key, record.version_id)
        for table in ("objects", "history"):
            # where is a constant.
            self._db.execute(f"UPDATE {table} SET attributes = ? {where}", values)

    def scan_latest(self, bucket: str, prefix: str, start: str) -> Iterator[ObjectRecord]:
        """Yield objects with ``prefix`` by key from ``start`` on."""
        where, values = key_range(bucket, prefix, start)
        query = f"SELECT * FROM objects WHERE {where} ORDER BY key"
        return map(read_object, self._db.execute(query, values))

    def scan_all(self, bucket: str, prefix: str, start: str, after: str) -> Iterator[ObjectRecord]:
        """Yield versions with ``prefix`` by key from ``start`` on, the latest of a key first."""
        where, values = key_range(bucket, prefix, start)
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
        query = f"SELECT * FROM objects WHERE {where} ORDER BY key"
        current = (read_object(row) for row in self._db.execute(query, values))
        query = f"SELECT * FROM history WHERE {where} ORDER BY key, rank"
        older = (read_object(row) for row in self._db.execute(query, values))
        # Of a key, the row in objects is newer than those in history; merge takes equal keys from the first.
        previous = start if after else None
        for record in merge(current, older, key=attrgetter("key")):
            yield replace(record, latest=record.key != previous)
            previous = record.key

    def classes(self, bucket: str) -> dict[str, tuple[int, int]]:
        """Return the number of versions and their bytes by storage class."""
        query = (
            "SELECT json_extract(attributes, '$.storage_class'), COUNT(*), SUM(size) FROM ("
            " SELECT attributes, size FROM objects WHERE bucket = ?"
            " UNION ALL SELECT attributes, size FROM history WHERE bucket = ? AND type != 'DeleteMarker'"
            ") GROUP BY 1"
        )
        return {name: (count, size) for name, count, size in self._db.execute(query, (bucket, bucket))}

    def count_delete_markers(self, bucket: str) -> int:
        """Return the number of delete markers."""
        query = "SELECT COUNT(*) FROM history WHERE bucket = ? AND type = 'DeleteMarker'"
        (count,) = self._db.execute(query, (bucket,)).fetchone()
        return int(count)

    def _delete_row(self, record: ObjectRecord) -> None:
        table = "objects" if record.latest and record.type != DELETE_MARKER else "history"
        # table is one of two constants.
        query = f"DELETE FROM {table} WHERE bucket = ? AND key = ? AND version_id = ?"
        self._db.execute(query, (record.bucket, record.key, record.version_id))

    def _least_rank(self, bucket: str, key: str) -> int:
        (rank,) = self._db.execute(
            "SELECT MIN(rank) FROM history WHERE bucket = ? AND key = ?", (bucket, key)
        ).fetchone()
        return rank or 0
