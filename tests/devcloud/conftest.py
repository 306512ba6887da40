"""Fixtures for the tests of the OSS emulator, for its plug-in in ``devcloud/oss/pytest_plugin.py``."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import oss2

    from devcloud.oss.testing import EmulatedOss, EmulatorSettings


@pytest.fixture(scope="session")
def oss_emulator_settings() -> "EmulatorSettings":
    """Return keys, region and bucket that the tests know; the plug-in's own ones are random."""
    from oss_support import SETTINGS  # only here: the tests of the other emulators do not need it

    return SETTINGS


@pytest.fixture
def oss(oss_emulator: "EmulatedOss") -> "EmulatedOss":
    """Return an emulator of this test alone; a module whose tests can share one overrides the fixture."""
    return oss_emulator


@pytest.fixture
def bucket(oss: "EmulatedOss") -> "oss2.Bucket":
    """Return a public bucket with the object ``a.txt``."""
    from oss_support import public_bucket  # only here: the tests of the other emulators do not need it

    return public_bucket(oss)


@pytest.fixture(params=["v1", "v4"])
def empty_bucket(shared_oss_emulator: "EmulatedOss", request: pytest.FixtureRequest) -> "Iterator[oss2.Bucket]":
    """Create a bucket, and delete it again; requests are signed V1 and V4."""
    bucket = shared_oss_emulator.client(f"documents-{request.param}", version=request.param)
    bucket.create_bucket()
    yield bucket
    bucket.delete_bucket()
