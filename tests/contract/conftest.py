"""The outside systems that the adapters meet: emulators on loopback and a private MariaDB."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

# The emulators' own tests know how to serve them.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "devcloud"))

from ai_support import ServedEmulator, served
from oss_support import RunningOss, running_oss

from tests.mariadb import migrate


@pytest.fixture(scope="session")
def oss(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningOss]:
    with running_oss(tmp_path_factory.mktemp("oss")) as running:
        yield running


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A file of SQLite with the newest schema."""
    file = tmp_path_factory.mktemp("sqlite") / "template.db"
    migrate(f"sqlite:///{file}")
    return file.read_bytes()


@pytest.fixture
def ai(tmp_path: Path) -> Iterator[ServedEmulator]:
    with served(tmp_path / "ai") as emulator:
        yield emulator
