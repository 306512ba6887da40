"""A world per test process and database, and the tally of the crash points."""

import json
import re
import secrets
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.faults.database import Database
from tests.faults.function_compute import Platform
from tests.faults.matrix import Choice
from tests.faults.scenarios import INLINE_JOB, Scenario
from tests.faults.world import running_world
from tests.mariadb import DatabaseServer, migrate

_TALLY = "crash points"
_STRIDE = 25
_LINES_AT_ONCE = 15
_UPLOAD = re.compile(r"net (before|after) PUT oss\b")
SHARES = 3


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--every-point", action="store_true", help="try every crash point in every variant")
    parser.addoption(
        "--model-seed", type=int, help="the model's first seed in the long run (default: another each time)"
    )


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    if is_long(config):
        if config.option.model_seed is None:
            from_controller = getattr(config, "workerinput", {}).get("model_seed")
            config.option.model_seed = secrets.randbelow(1_000_000) if from_controller is None else from_controller
        config.pluginmanager.register(_FailuresAtOnce(config))


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Hand the seed to a test process of pytest-xdist: all of them must collect the same tests."""
    node.workerinput["model_seed"] = node.config.option.model_seed


class _FailuresAtOnce:
    """Reports each failure when it happens: the long run takes half an hour, and may be interrupted."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        terminal = self._config.pluginmanager.get_plugin("terminalreporter")
        if report.failed and terminal is not None:
            crash = getattr(report.longrepr, "reprcrash", None)
            why = report.longreprtext if crash is None else crash.message
            terminal.write_line("")  # behind the letter of this test
            terminal.write_line(f"FAILED {report.nodeid} ({report.when}, after {report.duration:.0f} s)", red=True)
            for line in why.splitlines()[:_LINES_AT_ONCE]:
                terminal.write_line(f"    {line}")


@pytest.fixture
def every(request: pytest.FixtureRequest, pytestconfig: pytest.Config, share: int) -> Choice:
    """The share of a test that is to try every point; on MariaDB only its own ones, but for the long run."""
    long_run = is_long(pytestconfig)
    on_server = request.node.callspec.params["platform"] == "on_mariadb"
    return Choice(share, SHARES, stride=1, with_twins=long_run, of_database=on_server and not long_run)


@pytest.fixture
def some(pytestconfig: pytest.Config, share: int) -> Choice:
    """The share of a test that tries some of the points, and all of them in the long run."""
    long_run = is_long(pytestconfig)
    return Choice(share, SHARES, stride=1 if long_run else _STRIDE, with_twins=long_run)


@pytest.fixture
def some_and_uploads(some: Choice, scenario: Scenario) -> Choice:
    """The same, and each step of the uploads of what came inside an answer: no other attempt can make up for it."""
    return replace(some, always=_UPLOAD) if scenario is INLINE_JOB else some


def is_long(config: pytest.Config) -> bool:
    """Tell whether every point is to be tried."""
    return bool(config.getoption("--every-point", default=False))


@pytest.fixture(scope="session")
def on_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """The functions over SQLite."""
    folder = tmp_path_factory.mktemp("sqlite")
    url = f"sqlite:///{folder / 'jobs.db'}"
    migrate(url)
    yield from _platform(folder, url)


@pytest.fixture(scope="session")
def on_mariadb(tmp_path_factory: pytest.TempPathFactory, mariadb: DatabaseServer) -> Iterator[Platform]:
    """The functions over MariaDB."""
    yield from _platform(tmp_path_factory.mktemp("mariadb"), mariadb.create_database())


def _platform(folder: Path, url: str) -> Iterator[Platform]:
    with closing(Database(url)) as database, running_world(folder / "world", database) as world:
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


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
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
    if is_long(config):
        terminalreporter.write_line(f"{config.option.model_seed:6d} is the model's seed (--model-seed)")
