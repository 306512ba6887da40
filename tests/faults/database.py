"""The database through a separate connection, without the code under test."""

from contextlib import ExitStack
from typing import Any

from tests.database_connection import open_database

_PAST = "2020-01-01 00:00:00"


class Database:
    """The database at a DATABASE_URL. In statements ``?`` stands for a value."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._sqlite = url.startswith("sqlite:")
        self._stack = ExitStack()
        self._connection, self._mark = self._stack.enter_context(open_database(url))
        if self._sqlite:
            self._connection.execute("PRAGMA synchronous = OFF")
        self.tables = self._tables()

    def close(self) -> None:
        """Close the connection."""
        self._stack.close()

    def rows(self, sql: str, *values: object) -> list[dict[str, Any]]:
        """Query the current state."""
        cursor = self._connection.cursor()
        cursor.execute(sql.replace("?", self._mark), values)
        found = [dict(row) for row in cursor.fetchall()]
        self._connection.commit()  # the next query must see what others have written since
        return found

    def execute(self, sql: str, *values: object) -> None:
        """Change rows."""
        self._execute_all([sql], *values)

    def clear(self) -> None:
        """Remove every row."""
        self._execute_all([f"DELETE FROM {table}" for table in self.tables])

    def _execute_all(self, statements: list[str], *values: object) -> None:
        cursor = self._connection.cursor()
        for sql in statements:
            cursor.execute(sql.replace("?", self._mark), values)
        self._connection.commit()

    def contents(self) -> dict[str, list[dict[str, Any]]]:
        """Return every row of every table."""
        return {table: sorted(self.rows(f"SELECT * FROM {table}"), key=str) for table in self.tables}

    def job(self, job_id: str) -> dict[str, Any]:
        """Return the row of a job."""
        (row,) = self.rows("SELECT * FROM jobs WHERE id = ?", job_id)
        return row

    def a_lease_lives(self) -> bool:
        """Tell whether an attempt has begun since the last minute passed, and not given its job back."""
        return bool(self.rows(f"SELECT id FROM jobs WHERE lease_expires_at > '{_PAST}'"))

    def let_a_minute_pass(self) -> None:
        """Make every lease dead and every next attempt due, which is what a minute does to them."""
        columns = (
            ("jobs", "lease_expires_at"),
            ("jobs", "next_attempt_at"),
            ("webhook_deliveries", "next_attempt_at"),
        )
        self._execute_all(
            [f"UPDATE {table} SET {column} = '{_PAST}' WHERE {column} IS NOT NULL" for table, column in columns]
        )

    def let_an_hour_pass(self) -> None:
        """Let a minute pass, and age the intents."""
        self.let_a_minute_pass()
        if "output_intents" in self.tables:
            self.execute(f"UPDATE output_intents SET created_at = '{_PAST}'")

    def _tables(self) -> list[str]:
        query = "SELECT name FROM sqlite_master WHERE type = 'table'" if self._sqlite else "SHOW TABLES"
        names = [str(next(iter(row.values()))) for row in self.rows(query)]
        return [name for name in names if name != "alembic_version"]
