"""The connection to the database, MySQL or SQLite; the same queries serve both."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
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


class _ReconnectingMySql(ReconnectMixin, peewee.MySQLDatabase):  # type: ignore[misc]  # playhouse carries no types
    """A connection that opens again if the server closed it, for example while the instance was frozen."""


class Database:
    """One connection per thread, which stays open as long as the function instance lives.

    Raises ConfigurationError: the URL or one of its options is not valid.
    """

    def __init__(self, config: DatabaseSettings) -> None:
        self.peewee = _connect(config)

    @contextmanager
    def session(self) -> Iterator[peewee.Database]:
        """Yield the open database, with which the caller executes its queries, and translate the database's errors.

        Raises DatabaseUnavailableError.
        """
        try:
            self.peewee.connect(reuse_if_open=True)
            yield self.peewee
        except (peewee.OperationalError, peewee.InterfaceError) as error:
            # The next session opens a new connection.
            self.peewee.close()
            raise DatabaseUnavailableError("the database did not answer") from error

    @contextmanager
    def transaction(self) -> Iterator[peewee.Database]:
        """Open a session whose statements happen together or not at all.

        The first statement must write: SQLite refuses the lock for writing to a transaction that began with a read if
        another connection has written since that read.
        """
        with self.session() as db, db.atomic():
            yield db


def _connect(config: DatabaseSettings) -> peewee.Database:
    url, tls = config.url.get_secret_value(), config.tls()
    parts = urlsplit(url)
    if parts.scheme == "sqlite":
        return peewee.SqliteDatabase(
            url.removeprefix("sqlite:///"), pragmas={"journal_mode": "wal", "synchronous": "normal"}, timeout=30
        )
    name = parts.path.removeprefix("/")
    if not parts.hostname or not name:
        raise ConfigurationError(
            "DATABASE_URL must name a host and a database, like mysql+pymysql://user:password@host/name"
        )
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
        # Without the strict mode, a server may silently cut a value that is too long for its column.
        sql_mode="STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION",
        # The default, REPEATABLE READ, locks gaps between rows, which makes unrelated transactions deadlock.
        init_command="SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
        # An UPDATE that finds a row but changes no value must still count the row.
        client_flag=pymysql.constants.CLIENT.FOUND_ROWS,
        **tls_arguments(tls),
    )


def tls_arguments(tls: DatabaseTls | None) -> dict[str, Any]:
    """Return pymysql's arguments for TLS. With a context, pymysql refuses a server without TLS."""
    return {"ssl_disabled": True} if tls is None else {"ssl": _tls_context(tls)}


@cache
def _tls_context(tls: DatabaseTls) -> ssl.SSLContext:
    """Return one context for the process, because each context costs 25 to 36 ms of CPU time."""
    try:
        context = ssl.create_default_context(cafile=tls.ca_file)
    except OSError as error:
        raise ConfigurationError(
            f"ssl_ca in DATABASE_URL must be the path of a file of certificates in PEM; {tls.ca_file}: {error}"
        ) from error
    context.check_hostname = tls.mode is SslMode.VERIFY_IDENTITY
    if tls.mode is SslMode.REQUIRED:
        context.verify_mode = ssl.CERT_NONE
    return context
