"""A running OSS emulator for tests, driven through the official SDK."""

import asyncio
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import oss2

from devcloud.clock import Clock
from devcloud.credentials import AccessKey, Credentials
from devcloud.faults import Faults
from devcloud.oss import OssEmulator
from devcloud.oss.processing.workers import Limits
from devcloud.oss.storages.port import Storage
from devcloud.serving import served_in_thread

REGION = "cn-hangzhou"
ACCOUNT = "1234567890123456"
KEY = AccessKey("LTAItest", "secret-of-the-test")
OTHER_KEY = AccessKey("LTAIpayer", "secret-of-another-account", account_id="2234567890123456")
BUCKET = "media-test"


@dataclass
class RunningOss:
    """The emulator and its address."""

    emulator: OssEmulator
    port: int
    credentials: Credentials
    clock: Clock
    faults: Faults
    loop: asyncio.AbstractEventLoop
    events: list[dict[str, Any]] = field(default_factory=list)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def turn_clock(self, seconds: float) -> None:
        """Turn the clock in the thread whose tasks wait on it."""
        self.loop.call_soon_threadsafe(self.clock.advance, seconds)

    def url(self, path: str) -> str:
        return f"{self.endpoint}/{path}"

    def bucket(self, name: str = BUCKET, *, version: str = "v4", key: AccessKey = KEY) -> oss2.Bucket:
        return oss2.Bucket(auth(version, key), self.endpoint, name, region=REGION)

    def service(self, *, version: str = "v4") -> oss2.Service:
        return oss2.Service(auth(version), self.endpoint, region=REGION)

    def anonymous(self, name: str) -> oss2.Bucket:
        return oss2.Bucket(oss2.AnonymousAuth(), self.endpoint, name)


def md5(data: bytes) -> bytes:
    return hashlib.md5(data, usedforsecurity=False).digest()


def auth(version: str, key: AccessKey = KEY) -> Any:
    if key.security_token:
        return oss2.StsAuth(key.access_key_id, key.access_key_secret, key.security_token, auth_version=version)
    return oss2.make_auth(key.access_key_id, key.access_key_secret, version)


@contextmanager
def running_oss(data: Path | Storage, limits: Limits = Limits()) -> Iterator[RunningOss]:  # noqa: B008 - frozen
    """Serve an emulator on a free port of 127.0.0.1 with the bucket ``BUCKET``, and stop it."""
    credentials, clock, faults = Credentials(KEY, OTHER_KEY), Clock(), Faults()
    events: list[dict[str, Any]] = []
    emulator = OssEmulator(
        data,
        credentials=credentials,
        clock=clock,
        faults=faults,
        region=REGION,
        account_id=ACCOUNT,
        on_event=events.append,
        limits=limits,
    )
    emulator.create_bucket(BUCKET)
    try:
        with served_in_thread(emulator.app) as (port, loop):
            yield RunningOss(emulator, port, credentials, clock, faults, loop, events)
    finally:
        emulator.close()
