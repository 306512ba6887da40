"""An emulator in a thread of a test, and clients for it; ``pytest_plugin`` makes fixtures of it."""

import secrets
from asyncio import AbstractEventLoop
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from devcloud.clock import Clock
from devcloud.credentials import AccessKey, Credentials
from devcloud.faults import Fault, Faults
from devcloud.oss.oss_emulator import OssEmulator
from devcloud.oss.processing.workers import Limits
from devcloud.oss.storages.port import Storage
from devcloud.serving import LOOPBACK, served_in_thread

if TYPE_CHECKING:
    import oss2


@dataclass(frozen=True)
class EmulatorSettings:
    """The settings of an emulator. Without ``keys`` it has one random access key; clients sign with the first key."""

    region: str = "cn-hangzhou"
    account_id: str = "1234567890123456"
    bucket_name: str = field(default_factory=lambda: f"test-{secrets.token_hex(4)}")
    keys: tuple[AccessKey, ...] = field(
        default_factory=lambda: (AccessKey(f"LTAI{secrets.token_hex(10)}", secrets.token_urlsafe(24)),)
    )
    limits: Limits = field(default_factory=Limits)


@dataclass
class EmulatedOss:
    """A running emulator, its address and its keys. ``events`` are the records of Function Compute's OSS trigger."""

    endpoint: str
    settings: EmulatorSettings
    credentials: Credentials
    clock: Clock
    faults: Faults
    emulator: OssEmulator
    loop: AbstractEventLoop
    events: list[dict[str, Any]]

    @property
    def port(self) -> int:
        """The port on 127.0.0.1."""
        return int(self.endpoint.rpartition(":")[2])

    @property
    def region(self) -> str:
        """The region, like "cn-hangzhou"."""
        return self.settings.region

    @property
    def bucket_name(self) -> str:
        """The name of the bucket that exists from the start."""
        return self.settings.bucket_name

    @property
    def access_key_id(self) -> str:
        """The id of the first access key."""
        return self.settings.keys[0].access_key_id

    @property
    def access_key_secret(self) -> str:
        """The secret of the first access key."""
        return self.settings.keys[0].access_key_secret

    def url(self, path: str) -> str:
        """Return the URL of ``BUCKET/KEY``."""
        return f"{self.endpoint}/{path}"

    @cached_property
    def bucket(self) -> "oss2.Bucket":
        """The bucket through oss2, signed V4."""
        return self.client()

    def client(self, name: str = "", *, version: str = "v4", key: AccessKey | None = None) -> "oss2.Bucket":
        """Return a bucket through oss2, by default ``bucket_name``; it need not exist.

        ``version`` is the version of the signatures: "v1", "v2" or "v4".
        """
        import oss2  # only here: tests through other clients do not need it

        auth, name = self._auth(version, key), name or self.bucket_name
        return oss2.Bucket(auth, self.endpoint, name, region=self.region, session=self._session)

    def anonymous_client(self, name: str = "") -> "oss2.Bucket":
        """Return a bucket through oss2, without signatures."""
        import oss2  # only here: tests through other clients do not need it

        return oss2.Bucket(oss2.AnonymousAuth(), self.endpoint, name or self.bucket_name, session=self._session)

    def service_client(self, *, version: str = "v4") -> "oss2.Service":
        """Return oss2's client for operations on no bucket."""
        import oss2  # only here: tests through other clients do not need it

        return oss2.Service(self._auth(version, None), self.endpoint, region=self.region, session=self._session)

    def create_bucket(self, name: str, acl: str = "private") -> None:
        """Create another bucket."""
        self.emulator.create_bucket(name, acl)

    def fail(self, effect: dict[str, Any], *, times: int = 1, **match: str) -> None:
        """Arm a fault for the next ``times`` requests that match, like ``operation="PutObject"``; see devcloud.oss."""
        self.faults.arm(Fault("oss", match, effect, times))

    def advance(self, seconds: float) -> None:
        """Turn the emulator's clock forward, in the thread whose tasks wait for it."""
        self.loop.call_soon_threadsafe(self.clock.advance, seconds)

    def close_clients(self) -> None:
        """Close the connections of the clients; a client opens new ones when it is used again."""
        if "_session" in vars(self):
            self._session.session.close()

    @cached_property
    def _session(self) -> "oss2.Session":
        import oss2

        return oss2.Session()  # one for all clients, because a client of oss2 cannot be closed

    def _auth(self, version: str, key: AccessKey | None) -> Any:
        import oss2

        key = key or self.settings.keys[0]
        if key.security_token:
            return oss2.StsAuth(key.access_key_id, key.access_key_secret, key.security_token, auth_version=version)
        return oss2.make_auth(key.access_key_id, key.access_key_secret, version)


@contextmanager
def emulated_oss(data: Path | Storage, settings: EmulatorSettings | None = None) -> Iterator[EmulatedOss]:
    """Serve an emulator with one bucket on a free port of 127.0.0.1 while the block runs."""
    settings = settings or EmulatorSettings()
    credentials, clock, faults = Credentials(*settings.keys), Clock(), Faults()
    events: list[dict[str, Any]] = []
    emulator = OssEmulator(
        data,
        credentials=credentials,
        clock=clock,
        faults=faults,
        region=settings.region,
        account_id=settings.account_id,
        on_event=events.append,
        limits=settings.limits,
    )
    try:
        emulator.create_bucket(settings.bucket_name)
        with served_in_thread(emulator.app) as (port, loop):
            endpoint = f"http://{LOOPBACK}:{port}"
            running = EmulatedOss(endpoint, settings, credentials, clock, faults, emulator, loop, events)
            try:
                yield running
            finally:
                running.close_clients()
    finally:
        emulator.close()
