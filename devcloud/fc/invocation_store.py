"""The durable state of Function Compute: accepted asynchronous invocations, and the record of every run."""

import sqlite3
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

_SCHEMA = """
CREATE TABLE IF NOT EXISTS tasks (
  request_id TEXT PRIMARY KEY, function TEXT NOT NULL, kind TEXT NOT NULL, task_id TEXT, payload BLOB NOT NULL,
  status TEXT NOT NULL, due REAL NOT NULL, accepted_at REAL NOT NULL, attempt INTEGER NOT NULL DEFAULT 0,
  put_off INTEGER NOT NULL DEFAULT 0, started_at REAL, ended_at REAL, instance_id TEXT, error TEXT, result BLOB);
CREATE UNIQUE INDEX IF NOT EXISTS tasks_by_id ON tasks (function, task_id) WHERE task_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS tasks_by_due ON tasks (due) WHERE status IN ('Enqueued', 'Retrying');
CREATE TABLE IF NOT EXISTS invocations (
  number INTEGER PRIMARY KEY, request_id TEXT NOT NULL, function TEXT NOT NULL, kind TEXT NOT NULL,
  attempt INTEGER NOT NULL, status TEXT NOT NULL, started_at REAL NOT NULL, duration_ms INTEGER);
"""

ENDED = ("Succeeded", "Failed", "Stopped", "Expired", "Invalid")


class TaskExistsError(Exception):
    """The function already has a task with that id."""


@dataclass(frozen=True)
class AsyncTask:
    """An accepted asynchronous invocation. Times are Unix seconds; ``put_off`` counts throttled attempts."""

    request_id: str
    function: str
    kind: str
    task_id: str | None
    payload: bytes
    status: str
    due: float
    accepted_at: float
    attempt: int = 0
    put_off: int = 0
    started_at: float | None = None
    ended_at: float | None = None
    instance_id: str | None = None
    error: str | None = None
    result: bytes | None = None

    @property
    def duration_s(self) -> float | None:
        """The time from the first start to the end, retries included."""
        return None if self.started_at is None or self.ended_at is None else self.ended_at - self.started_at


_COLUMNS = tuple(column.name for column in fields(AsyncTask))


class InvocationStore:
    """One SQLite file. Its methods may be called from any thread."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._connection.row_factory = sqlite3.Row
        # NORMAL keeps every answered write when the process is killed; no more is promised.
        self._connection.executescript(f"PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; {_SCHEMA}")

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    def recover(self, now: float) -> None:
        """Repair the state after a kill: queue running tasks again, and correct the due times of a moved clock."""
        self._run(
            "UPDATE tasks SET status = CASE status WHEN 'Stopping' THEN 'Stopped' WHEN 'Running' THEN 'Retrying'"
            " WHEN 'Held' THEN 'Enqueued' ELSE status END, due = MIN(due, ?), accepted_at = MIN(accepted_at, ?)"
            " WHERE status IN ('Enqueued', 'Retrying', 'Running', 'Stopping', 'Held')",
            (now, now),
        )
        self._run("UPDATE invocations SET status = 'lost' WHERE status = 'running'")

    def add(self, tasks: Iterable[AsyncTask]) -> None:
        """Store new tasks. Raises ``TaskExistsError``."""
        names = ", ".join(_COLUMNS)
        values = ", ".join(f":{name}" for name in _COLUMNS)
        with self._lock:
            try:
                for task in tasks:
                    self._connection.execute(f"INSERT INTO tasks ({names}) VALUES ({values})", asdict(task))  # noqa: S608  # our own column names
            except sqlite3.IntegrityError as error:
                raise TaskExistsError from error

    def change(self, task: AsyncTask, **changes: Any) -> AsyncTask:
        """Store ``changes`` of a task and return the changed task."""
        assignments = ", ".join(f"{name} = :{name}" for name in changes)
        self._run(f"UPDATE tasks SET {assignments} WHERE request_id = :id", {**changes, "id": task.request_id})  # noqa: S608  # our own column names
        return replace(task, **changes)

    def release_held(self, now: float) -> None:
        """Make held tasks due."""
        self._run("UPDATE tasks SET status = 'Enqueued', due = ? WHERE status = 'Held'", (now,))

    def next_waiting(self, busy: Sequence[str]) -> AsyncTask | None:
        """Return the waiting task with the earliest due time, except those of ``busy`` functions."""
        others = f"function NOT IN ({', '.join('?' * len(busy))})"
        found = self._tasks(f"status IN ('Enqueued', 'Retrying') AND {others} ORDER BY due, accepted_at LIMIT 1", busy)
        return found[0] if found else None

    def find(self, function: str, task_id: str) -> AsyncTask | None:
        """Return the task with that id; the id of a task without a task id is its request id."""
        found = self._tasks("function = ? AND COALESCE(task_id, request_id) = ?", (function, task_id))
        return found[0] if found else None

    def list_tasks(self, function: str, prefix: str, status: str | None) -> list[AsyncTask]:
        """Return the tasks that have a task id, the newest first."""
        return self._tasks(
            "function = ? AND task_id LIKE ? || '%' AND (? IS NULL OR status = ?)"
            " ORDER BY accepted_at DESC, rowid DESC",
            (function, prefix, status, status),
        )

    def forget_tasks(self, before: float) -> None:
        """Delete the tasks that ended before ``before``."""
        self._run("DELETE FROM tasks WHERE ended_at < ?", (before,))

    def start_invocation(self, request_id: str, function: str, kind: str, attempt: int, now: float) -> int:
        """Record the start of an invocation and return its number."""
        cursor = self._run(
            "INSERT INTO invocations (request_id, function, kind, attempt, status, started_at)"
            " VALUES (?, ?, ?, ?, 'running', ?)",
            (request_id, function, kind, attempt, now),
        )
        return int(cursor.lastrowid or 0)

    def end_invocation(self, number: int, status: str, duration_ms: int) -> None:
        """Record the end of an invocation."""
        self._run("UPDATE invocations SET status = ?, duration_ms = ? WHERE number = ?", (status, duration_ms, number))

    def invocations(self, function: str | None, since: float) -> list[sqlite3.Row]:
        """Return the invocations that started at ``since`` or later, in the order of their starts."""
        return self._run(
            "SELECT * FROM invocations WHERE (? IS NULL OR function = ?) AND started_at >= ? ORDER BY number",
            (function, function, since),
        ).fetchall()

    def _tasks(self, condition: str, values: Sequence[object]) -> list[AsyncTask]:
        rows = self._run(f"SELECT {', '.join(_COLUMNS)} FROM tasks WHERE {condition}", values).fetchall()  # noqa: S608  # our own conditions
        return [AsyncTask(**dict(row)) for row in rows]

    def _run(self, statement: str, values: Sequence[object] | Mapping[str, object] = ()) -> sqlite3.Cursor:
        with self._lock:
            return self._connection.execute(statement, values)
