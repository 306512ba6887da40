"""The code of the last release works on the newest schema, because both are in use during a deployment."""

import json

import pytest

from tests.contract.databases import SQL_KINDS, database_url, open_database
from tests.contract.released_statements import FOLDER, Watched, drive, methods
from tests.database_connection import open_database as look_at


def replay(kind: str, url: str) -> int:
    """Execute the statements of the last release and return their number."""
    lines = (FOLDER / f"{kind}.jsonl").read_text(encoding="utf-8").splitlines()
    with look_at(url) as (connection, _):
        cursor = connection.cursor()
        for line in lines:
            statement = json.loads(line)
            cursor.execute(statement["sql"], statement["values"])
    return len(lines)


@pytest.mark.parametrize("kind", SQL_KINDS)
def test_the_newest_schema_accepts_the_statements_of_the_last_release(
    kind: str, request: pytest.FixtureRequest
) -> None:
    assert replay(kind, database_url(kind, request)) >= len(methods())


@pytest.mark.parametrize("kind", SQL_KINDS)
@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE jobs DROP COLUMN legacy_url",
        "ALTER TABLE webhook_deliveries RENAME COLUMN error TO problem",
        "ALTER TABLE daily_usage RENAME TO usage_by_day",
    ],
)
def test_a_change_that_breaks_the_last_release_is_noticed(
    kind: str, change: str, request: pytest.FixtureRequest
) -> None:
    alter(url := database_url(kind, request), change)
    with pytest.raises(Exception, match=r"."):  # each driver raises its own error
        replay(kind, url)


def test_a_new_column_without_a_default_is_noticed(request: pytest.FixtureRequest) -> None:
    # SQLite cannot add a column of this kind to an existing table.
    alter(url := database_url("mariadb", request), "ALTER TABLE deletions ADD COLUMN reason VARCHAR(16) NOT NULL")
    with pytest.raises(Exception, match="reason"):
        replay("mariadb", url)


def alter(url: str, change: str) -> None:
    with look_at(url) as (connection, _):
        connection.cursor().execute(change)


def test_every_method_of_every_store_is_recorded(request: pytest.FixtureRequest) -> None:
    database = open_database(database_url("sqlite", request))
    drive(stores := Watched(database))
    database.peewee.close()
    assert stores.called == methods()
