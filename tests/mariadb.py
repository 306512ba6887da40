"""A private MariaDB: its own process, port, folder and user, gone when the tests are."""

import fcntl
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

import pymysql

ROOT = Path(__file__).resolve().parents[1]
_USER = "dream"
_START_TIMEOUT_S = 60
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


class MariaDb:
    """One server on 127.0.0.1. Data survives ``stop``, ``kill`` and ``restart``, and goes with ``close``.

    ``settings`` are more options of its command line, like ``--ssl-cert=…``.
    """

    def __init__(self, *settings: str) -> None:
        self._settings = settings
        self.host = "127.0.0.1"
        self.port = 0
        self.user = _USER
        self.password = secrets.token_urlsafe(16)
        # A socket's path has 107 characters at most: the folder lies directly in the system's temp folder.
        self._folder = Path(tempfile.mkdtemp(prefix="mariadb-"))
        self._process: subprocess.Popen[bytes] | None = None
        self._databases = 0

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

    def url(self, database: str) -> str:
        """Return the DATABASE_URL of a database here."""
        return f"mysql+pymysql://{self.user}:{self.password}@{self.host}:{self.port}/{database}"

    def create_database(self) -> str:
        """Create a fresh database with the migrated schema and return its DATABASE_URL."""
        if self._databases == 0:
            self.execute("CREATE DATABASE template")
            migrate(self.url("template"))
        self._databases += 1
        name = f"test_{self._databases}"
        tables = [str(row[0]) for row in self.execute("SHOW TABLES FROM template")]
        self.execute(
            f"CREATE DATABASE {name}",
            *(f"CREATE TABLE {name}.{table} LIKE template.{table}" for table in tables),
            f"INSERT INTO {name}.alembic_version SELECT * FROM template.alembic_version",
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
        timeout=60,
    )


def mariadbd() -> str:
    """Return the path of the server's program, which Debian's package brings if it is not there."""
    if found := _find():
        return found
    # Several test processes may come here at once.
    with (Path(tempfile.gettempdir()) / "mariadb-install.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _find():
            _install_package()
    if found := _find():
        return found
    raise RuntimeError("there is no mariadbd; install the package mariadb-server-core")


def _find() -> str | None:
    return shutil.which("mariadbd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


def _share() -> Path:
    for name in ("mysql", "mariadb"):
        folder = Path(mariadbd()).resolve().parents[1] / "share" / name
        if any(folder.glob("m*_system_tables.sql")):
            return folder
    raise RuntimeError("the SQL scripts of mariadb-server-core are not where its package puts them")


def _install_package() -> None:
    # The -core package has the programs and no service: nothing is started, nothing is configured.
    as_root = [] if os.geteuid() == 0 else ["sudo", "-n"]
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "install", "-y", "--no-install-recommends", "mariadb-server-core"]
    for command in (["apt-get", "update"], install):
        result = subprocess.run(
            [*as_root, *command], env=environment, capture_output=True, text=True, timeout=300, check=False
        )
        if result.returncode:
            raise RuntimeError(f"{' '.join(command)} failed; install it by hand:\n{result.stderr[-2000:]}")


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
