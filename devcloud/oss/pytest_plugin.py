"""A pytest plug-in: ``pytest_plugins = ["devcloud.oss.pytest_plugin"]`` gives tests an OSS emulator.

``oss_emulator`` is a new emulator for each test, ``shared_oss_emulator`` one for all tests of a module. Both begin with
one empty bucket, on a free port of 127.0.0.1. Override ``oss_emulator_settings`` to choose keys, region and bucket.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from devcloud.oss.testing import EmulatedOss, EmulatorSettings, emulated_oss


@pytest.fixture(scope="session")
def oss_emulator_settings() -> EmulatorSettings:
    """Return the settings of all emulators."""
    return EmulatorSettings()


@pytest.fixture
def oss_emulator(oss_emulator_settings: EmulatorSettings, tmp_path: Path) -> Iterator[EmulatedOss]:
    """Serve an emulator for one test."""
    with emulated_oss(tmp_path / "oss", oss_emulator_settings) as oss:
        yield oss


@pytest.fixture(scope="module")
def shared_oss_emulator(
    oss_emulator_settings: EmulatorSettings, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[EmulatedOss]:
    """Serve an emulator for the tests of one module."""
    with emulated_oss(tmp_path_factory.mktemp("oss"), oss_emulator_settings) as oss:
        yield oss
