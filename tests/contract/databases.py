"""The databases on which the contract tests of the stores run."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from shared.adapters.sql.database import Database
from shared.settings import DatabaseSettings
from tests.mariadb import DatabaseServer

SQL_KINDS = ["sqlite", "mariadb"]
KINDS = ["memory", *SQL_KINDS]


def database_url(kind: str, request: pytest.FixtureRequest, folder: Path | None = None) -> str:
    """Return the URL of a separate database with the newest schema; ``folder`` is for SQLite's file."""
    if kind == "sqlite":
        file: Path = (folder or request.getfixturevalue("tmp_path")) / "jobs.db"
        file.write_bytes(request.getfixturevalue("sqlite_template"))
        return f"sqlite:///{file}"
    server: DatabaseServer = request.getfixturevalue("mariadb")
    return server.create_database()


def open_database(url: str) -> Database:
    """Open a database in the same way as the functions."""
    return Database(DatabaseSettings(SecretStr(url)))
