"""Fixtures for all tests."""

import gc
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

# The tests start hundreds of interpreters, each of which would compile the same modules again.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

from hypothesis import HealthCheck, settings  # noqa: E402 - the path is set above

from tests.mariadb import DatabaseServer, MariaDb, own_server, running_server  # noqa: E402

# A test must not fail because the machine is busy.
settings.register_profile("on any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("on any machine")

_LONGEST = {"test_api_schema.py", "test_model.py", "test_crash_states.py", "test_packages.py"}
# Variables of the developer's own shell must not decide what the tests see.
_OURS = (
    "OSS_",
    "DATABASE_URL",
    "DASHSCOPE_",
    "OPENAI_",
    "AUTH_",
    "ALIBABA_CLOUD_",
    "DOWNLOAD_",
    "FC_",
    "DISPATCH_",
    "QUOTA_",
    "WEBHOOK",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest tests, so that no worker waits for another one at the end."""
    items.sort(key=lambda item: item.path.name not in _LONGEST)


def pytest_collection_finish() -> None:
    """Leave the modules and the tests out of every later garbage collection."""
    gc.collect()
    gc.freeze()


def pytest_make_parametrize_id(config: pytest.Config, val: object) -> str | None:
    """Name an empty text, because pytest cannot select a test whose id is empty."""
    return "empty" if val in ("", b"") else None


@pytest.fixture(scope="session")
def mariadb() -> Iterator[DatabaseServer]:
    """The server of this test process; ``create_database()`` gives each test its own database."""
    with running_server() as server:
        yield server


@pytest.fixture(scope="module")
def own_mariadb() -> Iterator[MariaDb]:
    """A server process of the module's own, which its tests may stop, kill and change."""
    with own_server() as server:
        yield server


@pytest.fixture
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Remove the project's variables from the environment for one test."""
    for name in list(os.environ):
        if name.startswith(_OURS) or name in {"TEMP_DIR", "LOG_LEVEL", "CORS_ORIGINS", "POLL_INTERVAL_S"}:
            monkeypatch.delenv(name)
    return monkeypatch
