"""Fixtures for all tests."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from tests.mariadb import MariaDb  # noqa: E402 - the path is set above

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
    """Begin with the longest test, so that no worker waits for another one at the end."""
    items.sort(key=lambda item: "fuzz" not in item.path.parts)


def pytest_make_parametrize_id(config: pytest.Config, val: object) -> str | None:
    """Name an empty text, because pytest cannot select a test whose id is empty."""
    return "empty" if val in ("", b"") else None


@pytest.fixture(scope="session")
def mariadb() -> Iterator[MariaDb]:
    """A private MariaDB for this test process; ``create_database()`` gives each test its own database."""
    server = MariaDb()
    try:
        server.start()
        yield server
    finally:
        server.close()


@pytest.fixture
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Remove the project's variables from the environment for one test."""
    for name in list(os.environ):
        if name.startswith(_OURS) or name in {"TEMP_DIR", "LOG_LEVEL", "CORS_ORIGINS", "POLL_INTERVAL_S"}:
            monkeypatch.delenv(name)
    return monkeypatch
