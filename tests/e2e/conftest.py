"""A local cloud per test module, and what tests of it have in common."""

import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.local_cloud import LocalCloud

_NUMBERS = itertools.count(1)


@pytest.fixture(scope="module")
def module_cloud(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    """A local cloud for the tests of a module; its ``CLOUD_ENV`` is exported before."""
    env = getattr(request.module, "CLOUD_ENV", None)
    running = LocalCloud(tmp_path_factory.mktemp("cloud") / "data", env=env).start()
    yield running
    running.stop()


@pytest.fixture
def cloud(module_cloud: LocalCloud) -> LocalCloud:
    """The module's local cloud without faults."""
    module_cloud.disarm()
    return module_cloud


@pytest.fixture
def start_cloud(tmp_path: Path) -> Iterator[Callable[..., LocalCloud]]:
    """Start local clouds of the test's own: ``start_cloud(data_dir=…, database_url=…, env=…, port=…)``."""
    with ExitStack() as stack:

        def start(data_dir: Path | None = None, **options: object) -> LocalCloud:
            running = LocalCloud(data_dir or tmp_path / f"data{next(_NUMBERS)}", **options).start()  # type: ignore[arg-type]  # handed on
            stack.callback(running.stop)
            return running

        yield start


@pytest.fixture
def fresh_cloud(start_cloud: Callable[..., LocalCloud]) -> LocalCloud:
    """A local cloud of the test's own."""
    return start_cloud()


@pytest.fixture
def prompt(request: pytest.FixtureRequest) -> str:
    """A prompt that no other test uses, so that its charges can be told from others'."""
    # Without brackets: words in brackets are switches of the provider emulator.
    name = request.node.name[:60].translate(str.maketrans("[]", "  "))
    return f"a lighthouse at dusk, {next(_NUMBERS)} {name}"
