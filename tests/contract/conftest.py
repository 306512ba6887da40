"""The outside systems that the adapters use: emulators on loopback and a private MariaDB."""

import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

# The tests of the emulators contain the code that serves them.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "devcloud"))

from ai_support import ServedEmulator, served
from oss_support import running_oss

from devcloud.oss.testing import EmulatedOss
from shared.adapters.sql.jobs import SqlJobStore
from shared.adapters.sql.outputs import SqlOutputStore
from shared.ports import JobStore, OutputStore
from tests.contract.databases import KINDS, database_url, open_database
from tests.fakes import InMemoryJobStore, InMemoryOutputStore
from tests.mariadb import migrate


@pytest.fixture(scope="session")
def oss(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmulatedOss]:
    with running_oss(tmp_path_factory.mktemp("oss")) as running:
        yield running


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bytes of an SQLite file with the newest schema."""
    file = tmp_path_factory.mktemp("sqlite") / "template.db"
    migrate(f"sqlite:///{file}")
    return file.read_bytes()


@pytest.fixture
def ai(tmp_path: Path) -> Iterator[ServedEmulator]:
    with served(tmp_path / "ai") as emulator:
        yield emulator


@pytest.fixture(params=KINDS)
def stores(request: pytest.FixtureRequest) -> Iterator[tuple[JobStore, OutputStore]]:
    if request.param == "memory":
        in_memory = InMemoryJobStore()
        yield in_memory, InMemoryOutputStore(in_memory)
        return
    database = open_database(database_url(request.param, request))
    yield SqlJobStore(database), SqlOutputStore(database)
    database.peewee.close()


@pytest.fixture
def jobs(stores: tuple[JobStore, OutputStore]) -> JobStore:
    return stores[0]


@pytest.fixture
def outputs(stores: tuple[JobStore, OutputStore]) -> OutputStore:
    return stores[1]


@pytest.fixture
def no_connections(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Refuse every connection of this process, and return the list of the addresses that sockets tried."""
    wanted: list[Any] = []

    def connect(self: socket.socket, address: Any) -> None:
        wanted.append(address)
        raise ConnectionRefusedError

    monkeypatch.setattr(socket.socket, "connect", connect)
    return wanted
