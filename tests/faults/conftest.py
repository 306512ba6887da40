"""A world per test process and database, and the tally of the crash points."""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.faults.database import Database
from tests.faults.function_compute import Platform
from tests.faults.matrix import Choice
from tests.faults.scenarios import INLINE_JOB, Scenario
from tests.faults.world import running_world
from tests.mariadb import MariaDb, migrate

_TALLY = "crash points"
_STRIDE = 23
_UPLOAD = re.compile(r"net (before|after) PUT oss\b")
SHARES = 3


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--every-point", action="store_true", help="try every crash point in every variant")


@pytest.fixture
def every(request: pytest.FixtureRequest, pytestconfig: pytest.Config, share: int) -> Choice:
    """The share of a test that is to try every point; on MariaDB only its own ones, but for the long run."""
    is_long = _is_long(pytestconfig)
    on_server = request.node.callspec.params["platform"] == "on_mariadb"
    return Choice(share, SHARES, stride=1, with_twins=is_long, of_database=on_server and not is_long)


@pytest.fixture
def some(pytestconfig: pytest.Config, share: int) -> Choice:
    """The share of a test that tries some of the points, and all of them in the long run."""
    is_long = _is_long(pytestconfig)
    return Choice(share, SHARES, stride=1 if is_long else _STRIDE, with_twins=is_long)


@pytest.fixture
def some_and_uploads(some: Choice, scenario: Scenario) -> Choice:
    """The same, and each step of the uploads of what came inside an answer: no other attempt can make up for it."""
    return replace(some, always=_UPLOAD) if scenario is INLINE_JOB else some


def _is_long(config: pytest.Config) -> bool:
    return bool(config.getoption("--every-point", default=False))


@pytest.fixture(scope="session")
def on_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """The functions over SQLite."""
    folder = tmp_path_factory.mktemp("sqlite")
    url = f"sqlite:///{folder / 'jobs.db'}"
    migrate(url)
    yield from _platform(folder, url)


@pytest.fixture(scope="session")
def on_mariadb(tmp_path_factory: pytest.TempPathFactory, mariadb: MariaDb) -> Iterator[Platform]:
    """The functions over MariaDB."""
    yield from _platform(tmp_path_factory.mktemp("mariadb"), mariadb.create_database())


def _platform(folder: Path, url: str) -> Iterator[Platform]:
    with running_world(folder / "world", Database(url)) as world:
        platform = Platform(world, folder / "functions")
        try:
            yield platform
        finally:
            platform.close()


@pytest.fixture
def platform(request: pytest.FixtureRequest) -> Platform:
    """The functions over the database that the test's parameter names."""
    made: Platform = request.getfixturevalue(request.param)
    return made


@pytest.fixture
def tally(
    request: pytest.FixtureRequest, record_property: Callable[[str, object], None]
) -> Callable[[str, int, int], None]:
    """Note how many points were tried of how many: ``tally(name, tried, found)``."""
    database = request.node.callspec.params["platform"].replace("_", " ")

    def note(name: str, tried: int, found: int) -> None:
        record_property(_TALLY, json.dumps([f"{name} ({database})", tried, found]))

    return note


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    tried, found = Counter[str](), Counter[str]()
    for report in terminalreporter.getreports("passed") + terminalreporter.getreports("failed"):
        for name, value in report.user_properties if report.when == "call" else ():
            if name == _TALLY:
                subject, count, of = json.loads(str(value))
                tried[subject] += count
                found[subject] = max(found[subject], of)
    if tried:
        terminalreporter.section(_TALLY)
        for subject in sorted(tried):
            terminalreporter.write_line(f"{tried[subject]:6d} tried of {found[subject]:4d}  {subject}")
        terminalreporter.write_line(f"{tried.total():6d} in all")
