"""The emulator alone: the command ``python -m devcloud oss``."""

import asyncio
import contextlib
import secrets
import signal
import socket
from dataclasses import dataclass
from pathlib import Path

from starlette.types import ASGIApp

from devcloud.clock import Clock
from devcloud.credentials import AccessKey, Credentials
from devcloud.data_folder import Secrets, data_folder
from devcloud.faults import Faults
from devcloud.oss.oss_emulator import OssEmulator
from devcloud.oss.oss_errors import OssError
from devcloud.oss.standalone_control import control_app
from devcloud.running import CloudError
from devcloud.serving import LOOPBACK, listening, servers


@dataclass(frozen=True)
class Options:
    """The options. Without ``data_dir`` a temporary folder is used; without ``control_port``, no control API."""

    port: int
    data_dir: Path | None
    access_key_id: str | None
    access_key_secret: str | None
    region: str
    buckets: tuple[str, ...]
    control_port: int | None


def run(options: Options) -> None:
    """Run an emulator until SIGINT or SIGTERM. Raises ``CloudError``."""
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(data_folder(options.data_dir, fresh=False))
        ports = [options.port] if options.control_port is None else [options.port, options.control_port]
        sockets = [stack.enter_context(listening(port)) for port in ports]
        # Before the event loop handles SIGTERM, the signal raises KeyboardInterrupt, so that the folder is cleaned up.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        asyncio.run(_serve(options, folder, sockets))


async def _serve(options: Options, folder: Path, sockets: list[socket.socket]) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    urls = [f"http://{LOOPBACK}:{item.getsockname()[1]}" for item in sockets]
    key, clock, faults = _key(options, folder), Clock(), Faults()
    credentials = Credentials(key)
    emulator = OssEmulator(folder / "oss", credentials=credentials, clock=clock, faults=faults, region=options.region)
    try:
        for bucket in options.buckets:
            _create_bucket(emulator, bucket)
        apps: list[ASGIApp] = [emulator.app, control_app(clock, faults)]
        async with servers(apps[: len(sockets)], sockets, stop):
            print(f"endpoint    {urls[0]}")
            print(f"region      {options.region}")
            print(f"access key  {key.access_key_id}")
            print(f"secret      {key.access_key_secret}")
            for bucket in options.buckets:
                print(f"bucket      {bucket}")
            print(f"data        {folder}")
            for url in urls[1:]:
                print(f"control     {url}")
            print(f"ready {urls[0]}", flush=True)
            await stop.wait()
    finally:
        emulator.close()


def _key(options: Options, folder: Path) -> AccessKey:
    """Return the key of the options, else the key that is stored in the data folder."""
    if options.access_key_id:
        return AccessKey(options.access_key_id, options.access_key_secret or secrets.token_urlsafe(24))
    kept = Secrets.kept_in(folder)
    return AccessKey(kept.access_key_id, options.access_key_secret or kept.access_key_secret)


def _create_bucket(emulator: OssEmulator, name: str) -> None:
    try:
        emulator.create_bucket(name)
    except OssError as error:
        raise CloudError(f"cannot create the bucket {name!r}: {error.message}") from error
