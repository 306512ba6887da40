"""The migrations, on tables that already contain rows."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.contract.databases import SQL_KINDS
from tests.database_connection import open_database
from tests.mariadb import DatabaseServer, migrate

_CREATED_AT = "2026-11-24 05:51:17.249000"
_COLUMNS = {
    "user_id": "test@factory-buy.com",
    "type": "image",
    "status": "succeeded",
    "prompt": "a lake",
    "model": "wan2.2-t2i-flash",
    "size": "512x512",
    "count": 1,
    "created_at": _CREATED_AT,
    "warnings": "[]",
    "attempt": 1,
    "failures": 0,
}
_KEYS = "SELECT id, idempotency_key, request_hash FROM jobs ORDER BY id"
Run = Callable[..., list[dict[str, Any]]]


@pytest.fixture(params=SQL_KINDS)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database without tables."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'empty.db'}"
    server: DatabaseServer = request.getfixturevalue("mariadb")
    return server.url(server.create_empty_database())


def run(url: str, sql: str, *values: object) -> list[dict[str, Any]]:
    with open_database(url) as (connection, mark):
        cursor = connection.cursor()
        cursor.execute(sql.replace("?", mark), values)
        connection.commit()
        return [dict(row) for row in cursor.fetchall()]


def add_job(url: str, job_id: str, **columns: object) -> None:
    row = {"id": job_id, **_COLUMNS, **columns}
    run(url, f"INSERT INTO jobs ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})", *row.values())


def test_keys_move_from_jobs_to_their_own_table_and_back(url: str) -> None:
    migrate(url, "upgrade", "0002")
    add_job(url, "a", idempotency_key="k", request_hash="h")
    add_job(url, "b")
    add_job(url, "c", user_id="other", idempotency_key="k", request_hash="x")
    before = run(url, _KEYS)
    migrate(url)
    (first, second) = run(url, "SELECT * FROM idempotency_keys ORDER BY job_id")
    assert datetime.fromisoformat(str(first.pop("created_at"))) == datetime.fromisoformat(_CREATED_AT)
    assert first == {
        "user_id": "test@factory-buy.com",
        "idempotency_key": "k",
        "request_hash": "h",
        "job_id": "a",
        "answer": None,
    }
    assert (second["user_id"], second["job_id"], second["request_hash"]) == ("other", "c", "x")
    jobs = run(url, "SELECT * FROM jobs ORDER BY id")
    assert [job["id"] for job in jobs] == ["a", "b", "c"]
    assert not {"idempotency_key", "request_hash"} & jobs[0].keys()
    # The earlier schema cannot store a key whose job was deleted.
    run(url, "DELETE FROM jobs WHERE id = 'c'")
    migrate(url, "downgrade", "0002")
    assert run(url, _KEYS) == before[:2]
    with pytest.raises(Exception, match=r"UNIQUE|Duplicate"):
        add_job(url, "d", idempotency_key="k", request_hash="h")
    migrate(url)
    assert [row["job_id"] for row in run(url, "SELECT job_id FROM idempotency_keys")] == ["a"]


def test_migrations_go_down_to_an_empty_schema_and_up_again(url: str) -> None:
    for command in (("upgrade", "head"), ("downgrade", "base"), ("upgrade", "head")):
        migrate(url, *command)
    assert run(url, "SELECT * FROM jobs") == []
