"""The MySQL or MariaDB server of the tests: the one at MYSQL_URL, or a private MariaDB that ends with the tests.

``python -m tests.mariadb`` installs MariaDB's programs where they are needed and missing.
"""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pymysql
import pytest

ROOT = Path(__file__).resolve().parents[1]
_USER = "dream"
_PACKAGE = "mariadb-server-core"
_VARIABLE = "MYSQL_URL"
_START_TIMEOUT_S = 180
_SETTINGS = (
    "--bind-address=127.0.0.1",
    "--skip-name-resolve",
    "--skip-log-bin",
    "--performance-schema=OFF",
    "--character-set-server=utf8mb4",
    "--innodb-buffer-pool-size=16M",
    "--innodb-log-file-size=8M",
    "--innodb-flush-log-at-trx-commit=0",
    "--innodb-flush-method=nosync",
    "--innodb-use-native-aio=OFF",
    "--aria-pagecache-buffer-size=8M",
    "--key-buffer-size=1M",
    "--max-connections=200",
    "--sql-mode=",  # as carelessly as a server can be set
)


class DatabaseServer:
    """A server that runs, and the databases that the tests create in it; ``close`` drops them."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.host = parts.hostname or "127.0.0.1"
        self.port = parts.port or 3306
        self.user = unquote(parts.username or "")
        self.password = unquote(parts.password or "")
        self._login = parts.netloc.rpartition("@")[0]
        self._options = f"?{parts.query}" if parts.query else ""
        self._prefix = f"dream_test_{secrets.token_hex(4)}"
        self._databases: list[str] = []
        self._template = ""

    def close(self) -> None:
        """Drop every database that was created here."""
        self.execute(*(f"DROP DATABASE IF EXISTS {name}" for name in self._databases))

    def url(self, database: str) -> str:
        """Return the DATABASE_URL of a database here."""
        return f"mysql+pymysql://{self._login}@{self.host}:{self.port}/{database}{self._options}"

    def create_empty_database(self) -> str:
        """Create a database without tables and return its name."""
        name = f"{self._prefix}_{len(self._databases)}"
        self._databases.append(name)
        self.execute(f"CREATE DATABASE {name}")
        return name

    def create_database(self) -> str:
        """Create a fresh database with the migrated schema and return its DATABASE_URL."""
        if not self._template:
            self._template = self.create_empty_database()
            migrate(self.url(self._template))
        name = self.create_empty_database()
        tables = [str(row[0]) for row in self.execute(f"SHOW TABLES FROM {self._template}")]
        self.execute(
            *(f"CREATE TABLE {name}.{table} LIKE {self._template}.{table}" for table in tables),
            f"INSERT INTO {name}.alembic_version SELECT * FROM {self._template}.alembic_version",
        )
        return self.url(name)

    def execute(self, *statements: str, database: str | None = None) -> list[tuple[object, ...]]:
        """Execute statements and return the rows of the last one."""
        with closing(self._connect(database)) as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            return list(cursor.fetchall())

    def _connect(self, database: str | None = None) -> "pymysql.Connection[pymysql.cursors.Cursor]":
        return pymysql.connect(
            host=self.host,
            port=self.port,
            user=self.user,
            password=self.password,
            database=database,
            autocommit=True,
            ssl_disabled=True,
            connect_timeout=5,
        )


class MariaDb(DatabaseServer):
    """A server process on 127.0.0.1. Data survives ``stop``, ``kill`` and ``restart``; ``close`` removes it.

    ``settings`` are more options of its command line, such as ``--ssl-cert=…``.
    """

    def __init__(self, *settings: str) -> None:
        super().__init__(f"mysql://{_USER}:{secrets.token_urlsafe(16)}@127.0.0.1")
        self._settings = settings
        self.port = 0
        # A socket's path has 107 characters at most: the folder lies directly in the system's temp folder.
        self._folder = Path(tempfile.mkdtemp(prefix="mariadb-"))
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the server and return when it takes connections; nothing happens if it runs."""
        if self._process is not None:
            return
        if not (self._folder / "data").exists():
            self._install()
        self.port = self.port or _free_port()
        log = (self._folder / "log").open("ab")
        with log:
            self._process = subprocess.Popen(
                [
                    *_dies_with_this_process(),
                    mariadbd(),
                    "--no-defaults",
                    *_as_user(),
                    *_SETTINGS,
                    f"--datadir={self._folder / 'data'}",
                    f"--tmpdir={self._folder}",
                    f"--socket={self._folder / 'socket'}",
                    f"--pid-file={self._folder / 'pid'}",
                    f"--init-file={self._folder / 'init.sql'}",
                    f"--port={self.port}",
                    *self._settings,
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self._wait_until_ready()

    def stop(self) -> None:
        """Shut the server down in good order; nothing happens if it does not run."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End the server as a crash does."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Stop and start on the same port, which breaks every connection."""
        self.stop()
        self.start()

    def close(self) -> None:
        """End the server and remove its data."""
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _install(self) -> None:
        """Make the system tables as mariadb-install-db does, which would need the client's programs too."""
        (self._folder / "data").mkdir()
        share = _share()
        names = ("_system_tables.sql", "_performance_tables.sql", "_system_tables_data.sql")
        scripts = [next(share.glob(f"m*{name}")).read_bytes() for name in names]
        begin = b"CREATE DATABASE mysql;\nUSE mysql;\nSET @auth_root_socket=NULL;\n"
        result = subprocess.run(
            [
                mariadbd(),
                "--no-defaults",
                *_as_user(),
                "--bootstrap",
                *_SETTINGS,
                f"--datadir={self._folder / 'data'}",
                f"--tmpdir={self._folder}",
            ],
            input=begin + b"\n".join(scripts),
            capture_output=True,
            timeout=_START_TIMEOUT_S,
            check=False,
        )
        if result.returncode:
            raise RuntimeError(f"MariaDB made no system tables:\n{result.stderr.decode(errors='replace')[-3000:]}")
        (self._folder / "init.sql").write_text(
            "DELETE FROM mysql.global_priv WHERE User = 'root' AND Host <> 'localhost';\n"
            "FLUSH PRIVILEGES;\n"
            f"ALTER USER 'root'@'localhost' IDENTIFIED BY '{secrets.token_urlsafe(16)}';\n"
            f"CREATE USER IF NOT EXISTS '{self.user}'@'{self.host}' IDENTIFIED BY '{self.password}';\n"
            f"GRANT ALL ON *.* TO '{self.user}'@'{self.host}' WITH GRANT OPTION;\n",
            encoding="utf-8",
        )

    def _wait_until_ready(self) -> None:
        assert self._process is not None
        until = time.monotonic() + _START_TIMEOUT_S
        while True:
            try:
                self._connect().close()
                return
            except pymysql.err.OperationalError as error:
                if self._process.poll() is None and time.monotonic() < until:
                    time.sleep(0.02)
                    continue
                self.kill()
                log = (self._folder / "log").read_text(encoding="utf-8", errors="replace")
                raise RuntimeError(f"MariaDB did not start:\n{log[-3000:]}") from error

    def _end(self, how: signal.Signals) -> None:
        if self._process is None:
            return
        process, self._process = self._process, None
        process.send_signal(how)
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def migrate(url: str, *command: str) -> None:
    """Bring the database to the newest schema, as a deployment does, or to another by Alembic's ``command``."""
    subprocess.run(
        [sys.executable, "-m", "alembic", "-c", "migrations/alembic.ini", *(command or ("upgrade", "head"))],
        cwd=ROOT,
        env={**os.environ, "DATABASE_URL": url},
        check=True,
        timeout=_START_TIMEOUT_S,
    )


@contextmanager
def running_server() -> Iterator[DatabaseServer]:
    """Yield the server at MYSQL_URL or, without that variable, a private one."""
    url = os.environ.get(_VARIABLE)
    with closing(DatabaseServer(url)) if url else own_server() as server:
        yield server


@contextmanager
def own_server(*settings: str) -> Iterator[MariaDb]:
    """Start a server process that the tests may stop and kill; skip them where MYSQL_URL has to do without one."""
    if os.environ.get(_VARIABLE) and not _find():
        pytest.skip(f"this test needs a separate server process: mariadbd is not installed, {_VARIABLE} is set")
    with closing(MariaDb(*settings)) as server:
        server.start()
        yield server


def mariadbd() -> str:
    """Return the path of the server's program."""
    if found := _find():
        return found
    raise RuntimeError(f"mariadbd is not installed: run `make database`, or set {_VARIABLE} to use your own server")


def _find() -> str | None:
    return shutil.which("mariadbd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


def _share() -> Path:
    for name in ("mysql", "mariadb"):
        folder = Path(mariadbd()).resolve().parents[1] / "share" / name
        if any(folder.glob("m*_system_tables.sql")):
            return folder
    raise RuntimeError("the SQL scripts of mariadb-server-core are not where its package puts them")


def install() -> None:
    """Install the server's programs if the tests have no server; say so before."""
    if os.environ.get(_VARIABLE) or _find():
        return
    print(
        f"installing {_PACKAGE} with apt as root, because mariadbd is not installed and {_VARIABLE} is not set;"
        f" set {_VARIABLE} to use your own server",
        flush=True,
    )
    # The -core package has the programs and no service: apt starts nothing and configures nothing.
    as_root = [] if os.geteuid() == 0 else ["sudo", "-n"]
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["apt-get", "update"], ["apt-get", "install", "-y", "--no-install-recommends", _PACKAGE]):
        result = subprocess.run(
            [*as_root, *command], env=environment, capture_output=True, text=True, timeout=300, check=False
        )
        if result.returncode:
            sys.exit(f"{' '.join(command)} failed; install {_PACKAGE} or set {_VARIABLE}:\n{result.stderr[-2000:]}")


def _as_user() -> list[str]:
    return ["--user=root"] if os.geteuid() == 0 else []


def _dies_with_this_process() -> list[str]:
    """Return a prefix for commands that shall not outlive the tests, whatever ends them."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL", "--"] if setpriv else []


def _free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


if __name__ == "__main__":
    install()
