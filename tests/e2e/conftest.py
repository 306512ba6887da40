"""A local cloud per test process, and the fixtures that its tests share."""

import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.local_cloud import LocalCloud

CORS_ORIGINS = "https://studio.example.com,https://other.example.com"
_NUMBERS = itertools.count(1)


@pytest.fixture(scope="session")
def running_cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    """The local cloud of this test process. Tests use separate prompts, jobs and keys."""
    running = LocalCloud(tmp_path_factory.mktemp("cloud") / "data", env={"CORS_ORIGINS": CORS_ORIGINS}).start()
    yield running
    running.stop()


@pytest.fixture
def cloud(running_cloud: LocalCloud) -> LocalCloud:
    """A local cloud without faults."""
    running_cloud.disarm()
    return running_cloud


@pytest.fixture
def start_cloud(tmp_path: Path) -> Iterator[Callable[..., LocalCloud]]:
    """Start separate local clouds for one test: ``start_cloud(data_dir=…, database_url=…, env=…, port=…)``."""
    with ExitStack() as stack:

        def start(data_dir: Path | None = None, **options: Any) -> LocalCloud:
            running = LocalCloud(data_dir or tmp_path / f"data{next(_NUMBERS)}", **options).start()
            stack.callback(running.stop)
            return running

        yield start


@pytest.fixture
def fresh_cloud(start_cloud: Callable[..., LocalCloud]) -> LocalCloud:
    """A separate local cloud for one test."""
    return start_cloud()


@pytest.fixture
def prompt(request: pytest.FixtureRequest) -> str:
    """A prompt that no other test uses, so that its charges differ from those of other tests."""
    # Without brackets: words in brackets are switches of the provider emulator.
    name = request.node.name[:60].translate(str.maketrans("[]", "  "))
    return f"a lighthouse at dusk, {next(_NUMBERS)} {name}"
