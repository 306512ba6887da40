"""A pytest plugin: ``pytest_plugins = ["devcloud.oss.pytest_plugin"]`` in a conftest gives ``oss_emulator``.

Each test that asks for the fixture has an emulator of its own, empty but for one bucket, on a free port of loopback.
"""

import secrets
from asyncio import AbstractEventLoop
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from devcloud.clock import Clock
from devcloud.credentials import AccessKey, Credentials
from devcloud.faults import Fault, Faults
from devcloud.oss.oss_emulator import OssEmulator
from devcloud.serving import LOOPBACK, served_in_thread

if TYPE_CHECKING:
    import oss2


@dataclass
class EmulatedOss:
    """An emulator that serves, and what clients need to talk to it. ``events`` are those of FC's OSS trigger."""

    endpoint: str
    region: str
    access_key_id: str
    access_key_secret: str
    bucket_name: str
    clock: Clock
    faults: Faults
    emulator: OssEmulator
    loop: AbstractEventLoop
    events: list[dict[str, Any]] = field(default_factory=list)

    @cached_property
    def bucket(self) -> "oss2.Bucket":
        """The bucket through oss2, signed V4."""
        import oss2  # only here: tests through other clients do without it

        auth = oss2.AuthV4(self.access_key_id, self.access_key_secret)
        return oss2.Bucket(auth, self.endpoint, self.bucket_name, region=self.region)

    def create_bucket(self, name: str, acl: str = "private") -> None:
        """Create another bucket."""
        self.emulator.create_bucket(name, acl)

    def fail(self, effect: dict[str, Any], *, times: int = 1, **match: str) -> None:
        """Arm a fault for the next ``times`` requests that match, like ``operation="PutObject"``; see devcloud.oss."""
        self.faults.arm(Fault("oss", match, effect, times))

    def advance(self, seconds: float) -> None:
        """Turn the emulator's clock forward."""
        self.loop.call_soon_threadsafe(self.clock.advance, seconds)


@pytest.fixture
def oss_emulator(tmp_path: Path) -> Iterator[EmulatedOss]:
    """Serve an emulator with one empty bucket."""
    key = AccessKey(f"LTAI{secrets.token_hex(10)}", secrets.token_urlsafe(24))
    clock, faults, region, bucket = Clock(), Faults(), "cn-hangzhou", f"test-{secrets.token_hex(4)}"
    events: list[dict[str, Any]] = []
    emulator = OssEmulator(
        tmp_path / "oss",
        credentials=Credentials(key),
        clock=clock,
        faults=faults,
        region=region,
        on_event=events.append,
    )
    emulator.create_bucket(bucket)
    try:
        with served_in_thread(emulator.app) as (port, loop):
            endpoint = f"http://{LOOPBACK}:{port}"
            key_id, secret = key.access_key_id, key.access_key_secret
            yield EmulatedOss(endpoint, region, key_id, secret, bucket, clock, faults, emulator, loop, events)
    finally:
        emulator.close()
