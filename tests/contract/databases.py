"""The databases that one contract holds for."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from shared.adapters.database import Database
from shared.settings import DatabaseSettings
from tests.mariadb import DatabaseServer

SQL_KINDS = ["sqlite", "mariadb"]
KINDS = ["memory", *SQL_KINDS]


def database_url(kind: str, request: pytest.FixtureRequest, folder: Path | None = None) -> str:
    """Return the URL of a database of the test's own, with the newest schema; ``folder`` is for SQLite's file."""
    if kind == "sqlite":
        file: Path = (folder or request.getfixturevalue("tmp_path")) / "jobs.db"
        file.write_bytes(request.getfixturevalue("sqlite_template"))
        return f"sqlite:///{file}"
    server: DatabaseServer = request.getfixturevalue("mariadb")
    return server.create_database()


def open_database(url: str) -> Database:
    """Open a database as the functions do."""
    return Database(DatabaseSettings(SecretStr(url)))
