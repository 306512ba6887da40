"""The database: MySQL or SQLite, spoken to by the same queries."""

import json
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from typing import Any
from urllib.parse import unquote, urlsplit

import peewee
import pymysql.constants.CLIENT
from playhouse.shortcuts import ReconnectMixin

from shared.domain.errors import ConfigurationError, DatabaseUnavailableError
from shared.settings import DatabaseSettings, DatabaseTls, SslMode

_CONNECT_TIMEOUT_S = 10
_QUERY_TIMEOUT_S = 30


class UtcField(peewee.DateTimeField):
    """An aware UTC time; the column holds it without the zone."""

    def db_value(self, value: datetime | None) -> object:
        """Return what the column holds."""
        return None if value is None else value.astimezone(UTC).replace(tzinfo=None)

    def python_value(self, value: datetime | str | None) -> datetime | None:
        """Return what the column means."""
        # MySQL's driver hands out times, SQLite's text.
        naive = datetime.fromisoformat(value) if isinstance(value, str) else value
        return None if naive is None else naive.replace(tzinfo=UTC)


class JsonField(peewee.TextField):
    """JSON as text."""

    def db_value(self, value: object) -> str | None:
        """Return what the column holds."""
        return None if value is None else json.dumps(value, ensure_ascii=False)

    def python_value(self, value: str | bytes | None) -> Any:
        """Return what the column means."""
        return None if value is None else json.loads(value)


class _ReconnectingMySql(ReconnectMixin, peewee.MySQLDatabase):  # type: ignore[misc]  # playhouse carries no types
    """A connection that may have gone stale while the instance was frozen."""


class Database:
    """One connection for the life of the instance, which handles one request at a time.

    Raises ConfigurationError: the URL cannot be read, or its options are not valid.
    """

    def __init__(self, config: DatabaseSettings) -> None:
        self.peewee = _connect(config)

    @contextmanager
    def session(self) -> Iterator[None]:
        """Translate the database's errors; open the connection if it is not open."""
        try:
            self.peewee.connect(reuse_if_open=True)
            yield
        except (peewee.OperationalError, peewee.InterfaceError) as error:
            # The next session begins with a connection of its own.
            self.peewee.close()
            raise DatabaseUnavailableError("the database did not answer") from error

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Open a session whose statements happen together or not at all.

        The first of them must write: SQLite refuses a transaction that has read the lock for writing when another
        connection has written meanwhile.
        """
        with self.session(), self.peewee.atomic():
            yield


def utc(moment: datetime) -> peewee.Value:
    """Return a time as columns hold it, to be compared with what is not a column itself."""
    return peewee.Value(moment, converter=UtcField().db_value)


def is_behind(column: Any, value: object, id_column: Any, id_value: str) -> Any:
    """Return the condition for rows behind one row of a list that goes by ``column`` and, within it, by the id."""
    return (column > value) | ((column == value) & (id_column > id_value))


def _connect(config: DatabaseSettings) -> peewee.Database:
    url, tls = config.url.get_secret_value(), config.tls()
    parts = urlsplit(url)
    if parts.scheme == "sqlite":
        return peewee.SqliteDatabase(
            url.removeprefix("sqlite:///"), pragmas={"journal_mode": "wal", "synchronous": "normal"}, timeout=30
        )
    name = parts.path.removeprefix("/")
    if not parts.hostname or not name:
        raise ConfigurationError("DATABASE_URL must name a host and a database")
    return _ReconnectingMySql(
        unquote(name),
        host=parts.hostname,
        port=parts.port or 3306,
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        charset="utf8mb4",
        connect_timeout=_CONNECT_TIMEOUT_S,
        read_timeout=_QUERY_TIMEOUT_S,
        write_timeout=_QUERY_TIMEOUT_S,
        # A server may be set to cut what is too long for its column, without a word.
        sql_mode="STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION",
        # Locks on the gaps between rows, which the default takes, make strangers' transactions deadlock.
        init_command="SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
        # An UPDATE that changes nothing must still count the row that it found.
        client_flag=pymysql.constants.CLIENT.FOUND_ROWS,
        **tls_arguments(tls),
    )


def tls_arguments(tls: DatabaseTls | None) -> dict[str, Any]:
    """Return what pymysql is told. Given a context, it refuses a server that speaks plain text alone."""
    return {"ssl_disabled": True} if tls is None else {"ssl": _tls_context(tls)}


@cache
def _tls_context(tls: DatabaseTls) -> ssl.SSLContext:
    """Return one context for the process: each costs 25 to 36 ms of CPU."""
    try:
        context = ssl.create_default_context(cafile=tls.ca_file)
    except OSError as error:
        raise ConfigurationError(
            f"ssl_ca of DATABASE_URL must name certificates in PEM, {tls.ca_file}: {error}"
        ) from error
    context.check_hostname = tls.mode is SslMode.VERIFY_IDENTITY
    if tls.mode is SslMode.REQUIRED:
        context.verify_mode = ssl.CERT_NONE
    return context
