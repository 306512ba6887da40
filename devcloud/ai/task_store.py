"""The tasks that the providers have accepted, stored in SQLite so that they survive a kill of the process.

A task stores from the start when it begins to run, when it ends, and how. Its state and the charges therefore follow
from the present time, and no background work has to change them.
"""

import json
import sqlite3
import threading
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from devcloud.ai.orders import Order

_SCHEMA = """
CREATE TABLE IF NOT EXISTS tasks (
    task_id TEXT PRIMARY KEY, request_id TEXT NOT NULL, background INTEGER NOT NULL, parameters TEXT NOT NULL,
    submitted_at REAL NOT NULL, starts_at REAL NOT NULL, ends_at REAL NOT NULL,
    outcome TEXT NOT NULL, code TEXT, message TEXT, spoiled INTEGER NOT NULL, canceled_at REAL
);
CREATE INDEX IF NOT EXISTS tasks_by_time ON tasks (submitted_at);
"""


@dataclass(frozen=True)
class Task:
    """One accepted order. Times are Unix seconds by the emulators' clock.

    ``outcome`` is the final status, with ``code`` and ``message`` unless the status is SUCCEEDED. The last ``spoiled``
    results are errors. Only a ``background`` task can be polled: the answer to other requests contains the results.
    """

    task_id: str
    request_id: str
    background: bool
    order: Order
    submitted_at: float
    starts_at: float
    ends_at: float
    outcome: str = "SUCCEEDED"
    code: str | None = None
    message: str | None = None
    spoiled: int = 0
    canceled_at: float | None = None

    def status(self, now: float) -> str:
        """Return the state at the time ``now``."""
        if self.canceled_at is not None:
            return "CANCELED"
        if now < self.starts_at:
            return "PENDING"
        return "RUNNING" if now < self.ends_at else self.outcome

    @property
    def delivered(self) -> int:
        """How many results are media and not errors, if the task succeeds."""
        return self.order.count - self.spoiled


class TaskStore:
    """The tasks of one data folder."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._db.row_factory = sqlite3.Row
        self._db.execute("PRAGMA journal_mode = WAL")
        # NORMAL is safe against a kill of the process; only a power failure can lose the last tasks.
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.executescript(_SCHEMA)

    def save(self, task: Task) -> None:
        """Add ``task``, or replace the stored task with the same id."""
        values = {field: value for field, value in vars(task).items() if field != "order"}
        values["parameters"] = json.dumps(asdict(task.order), ensure_ascii=False)
        columns, marks = ", ".join(values), ", ".join(f":{field}" for field in values)
        self._query(f"INSERT OR REPLACE INTO tasks ({columns}) VALUES ({marks})", values)  # noqa: S608 - field names

    def get(self, task_id: str) -> Task | None:
        """Return the task with that id, or ``None``."""
        tasks = self._query("SELECT * FROM tasks WHERE task_id = :task_id", {"task_id": task_id})
        return tasks[0] if tasks else None

    def submitted_between(self, start: float, end: float) -> list[Task]:
        """Return the tasks submitted from ``start`` to ``end``, latest first."""
        return self._query(
            "SELECT * FROM tasks WHERE submitted_at BETWEEN :start AND :end ORDER BY submitted_at DESC, rowid DESC",
            {"start": start, "end": end},
        )

    def succeeded(self, now: float) -> list[Task]:
        """Return the tasks that have succeeded by ``now``, in the order in which they ended."""
        return self._query(
            "SELECT * FROM tasks WHERE outcome = 'SUCCEEDED' AND canceled_at IS NULL AND ends_at <= :now"
            " ORDER BY ends_at, rowid",
            {"now": now},
        )

    def cancel(self, task: Task, now: float) -> None:
        """Record that ``task`` was canceled at ``now``."""
        self.save(replace(task, canceled_at=now))

    def close(self) -> None:
        """Close the database."""
        self._db.close()

    def _query(self, sql: str, values: dict[str, Any]) -> list[Task]:
        with self._lock:
            rows = [dict(row) for row in self._db.execute(sql, values)]
        return [
            Task(order=Order(**json.loads(row.pop("parameters"))), background=bool(row.pop("background")), **row)
            for row in rows
        ]
