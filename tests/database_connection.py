"""Direct access to a database through a separate connection, without the code under test."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any
from urllib.parse import unquote, urlsplit

import pymysql.cursors


@contextmanager
def open_database(url: str) -> Iterator[tuple[Any, str]]:
    """Connect to the database at a DATABASE_URL; yield the connection and the driver's placeholder for a value."""
    parts = urlsplit(url)
    if parts.scheme == "sqlite":
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"), timeout=30)) as connection:
            connection.row_factory = sqlite3.Row
            yield connection, "?"
        return
    with closing(
        pymysql.connect(
            host=parts.hostname,
            port=parts.port or 3306,
            user=unquote(parts.username or ""),
            password=unquote(parts.password or ""),
            database=parts.path.removeprefix("/"),
            charset="utf8mb4",
            sql_mode="STRICT_ALL_TABLES",
            ssl_disabled=True,
            cursorclass=pymysql.cursors.DictCursor,
        )
    ) as connection:
        yield connection, "%s"
