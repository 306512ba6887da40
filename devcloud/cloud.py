"""The local cloud: its data folder, its settings, and its three servers in one process."""

import asyncio
import contextlib
import fcntl
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil
import uvicorn
from starlette.applications import Starlette
from starlette.types import ASGIApp

from devcloud.ai import AiEmulator
from devcloud.clock import Clock
from devcloud.credentials import AccessKey, Credentials
from devcloud.faults import Faults
from devcloud.fc.emulator import FunctionComputeEmulator
from devcloud.fc.manifest import Manifest, load_manifest
from devcloud.fc.pool import sweep_instances
from devcloud.oss import OssEmulator

_MARKER = ".devcloud"
_LOOPBACK = "127.0.0.1"
_BUCKET = "dream-factory-media"
_OSS_REGION = "oss-cn-hangzhou"
_ISSUER = "http://127.0.0.1/devcloud"
_AUDIENCE = "dream-factory"
# What a developer may want to try out. Everything else of the caller's environment stays out, so that nothing
# points to a real cloud by accident.
_PASSED_THROUGH = ("LOG_LEVEL", "CORS_ORIGINS", "POLL_INTERVAL_S", "PATIENCE_S", "OSS_URL_TTL_S")
_PASSED_PREFIXES = ("AUTH_", "JOB_", "QUOTA_", "MAX_")


class CloudError(Exception):
    """The local cloud cannot do what was asked; the message is for the person who asked."""


@dataclass(frozen=True)
class Secrets:
    """The keys of one data folder, made at its first use."""

    access_key_id: str
    access_key_secret: str
    provider_api_key: str
    auth_hs256_secret: str

    @classmethod
    def kept_in(cls, data_dir: Path) -> "Secrets":
        """Read the keys of a data folder, making them if there are none."""
        path = data_dir / "secrets.json"
        if not path.exists():
            made = cls(
                access_key_id=f"LTAI{secrets.token_hex(10)}",
                access_key_secret=secrets.token_urlsafe(24),
                provider_api_key=f"sk-{secrets.token_hex(16)}",
                auth_hs256_secret=secrets.token_urlsafe(48),
            )
            _write_private(path, asdict(made))
        return cls(**json.loads(path.read_text()))


@dataclass(frozen=True)
class RunningCloud:
    """What others need to talk to a running local cloud. ``variables`` is what ``env`` prints."""

    pid: int
    created_at: float
    data_dir: str
    temporary: bool
    variables: Mapping[str, str]
    auth_secret: str
    auth_issuer: str
    auth_audience: str

    @property
    def alive(self) -> bool:
        """Whether its process still runs; ids of processes are reused, so their age is compared too."""
        try:
            return abs(psutil.Process(self.pid).create_time() - self.created_at) < 1
        except psutil.NoSuchProcess:
            return False


def find_running(project_dir: Path, data_dir: Path | None) -> RunningCloud:
    """Return the local cloud on that data folder, or else the one started last. Raises ``CloudError``."""
    alive = [cloud for _, cloud in _noted(project_dir) if cloud.alive]
    if data_dir is not None:
        noted = _read_note(data_dir / "running.json")
        alive = [noted] if noted is not None and noted.alive else []
    if not alive:
        where = f" on {data_dir}" if data_dir else ""
        raise CloudError(f"no local cloud is running{where}; start one with: python -m devcloud up")
    return max(alive, key=lambda cloud: cloud.created_at)


def run(project_dir: Path, *, port: int, data_dir: Path | None, database_url: str | None, fresh: bool) -> None:
    """Run a local cloud until it is told to stop. Raises ``CloudError``."""
    _sweep_dead(project_dir)
    with _data_folder(data_dir, fresh) as folder, _sockets(port) as sockets:
        # Until the loop takes over, a polite end is an ordinary one: the folder above is cleaned up.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        asyncio.run(_serve(project_dir, folder, data_dir is None, database_url, sockets))


async def _serve(
    project_dir: Path, data_dir: Path, temporary: bool, database_url: str | None, sockets: Sequence[socket.socket]
) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    keys = Secrets.kept_in(data_dir)
    api_url, oss_url, services_url = (f"http://{_LOOPBACK}:{item.getsockname()[1]}" for item in sockets)
    database_url = database_url or f"sqlite:///{data_dir / 'dream-factory.db'}"
    environment = _environment(os.environ, keys, database_url, oss_url, services_url)
    manifest = load_manifest(project_dir / "s.yaml", environment)
    await asyncio.to_thread(_migrate, project_dir, database_url)

    clock, faults = Clock(), Faults()
    credentials = Credentials(AccessKey(keys.access_key_id, keys.access_key_secret))
    ai = AiEmulator(data_dir / "ai", clock=clock, faults=faults, api_key=keys.provider_api_key)
    functions = FunctionComputeEmulator(
        project_dir, data_dir, manifest, credentials=credentials, clock=clock, faults=faults, charges=ai.charges
    )
    oss = OssEmulator(
        data_dir / "oss",
        credentials=credentials,
        clock=clock,
        faults=faults,
        region=_OSS_REGION.removeprefix("oss-"),
        account_id=manifest.account_id,
        on_event=functions.publish,
    )
    oss.create_bucket(_BUCKET, acl="public-read")
    apps: list[ASGIApp] = [
        Starlette(routes=functions.http_routes),
        oss.app,
        Starlette(routes=[*functions.api_routes, *ai.routes]),
    ]
    note = RunningCloud(
        pid=os.getpid(),
        created_at=psutil.Process().create_time(),
        data_dir=str(data_dir),
        temporary=temporary,
        variables={
            "API_URL": api_url,
            "OSS_ENDPOINT": oss_url,
            "OSS_BUCKET": _BUCKET,
            "OSS_REGION": _OSS_REGION,
            "OSS_ACCESS_KEY": keys.access_key_id,
            "OSS_SECRET": keys.access_key_secret,
            "DATABASE_URL": database_url,
            "DASHSCOPE_BASE_URL": environment["DASHSCOPE_BASE_URL"],
            "DASHSCOPE_API_KEY": keys.provider_api_key,
            "OPENAI_BASE_URL": environment["OPENAI_BASE_URL"],
            "OPENAI_API_KEY": keys.provider_api_key,
            "FC_ENDPOINT": services_url,
            "CONTROL_URL": f"{services_url}/control",
        },
        auth_secret=environment["AUTH_HS256_SECRET"],
        auth_issuer=environment["AUTH_ISSUER"],
        auth_audience=environment["AUTH_AUDIENCE"],
    )
    try:
        async with _servers(apps, sockets, stop):
            functions.start()
            with _published(note, project_dir, data_dir):
                print(f"OSS       {oss_url}/{_BUCKET}/")
                print(f"FC API    {services_url}/2023-03-30/")
                print(f"providers {environment['DASHSCOPE_BASE_URL']}  {environment['OPENAI_BASE_URL']}")
                print(f"control   {services_url}/control")
                print(f"studio    {api_url}/studio/")
                print(f"data      {data_dir}")
                print(f"ready {api_url}", flush=True)
                await stop.wait()
            await functions.stop()
    finally:
        functions.close()
        ai.close()
        oss.close()


def _environment(
    outside: Mapping[str, str], keys: Secrets, database_url: str, oss_url: str, services_url: str
) -> dict[str, str]:
    """Make what an operator would export before ``s deploy``."""
    taken = {name: value for name, value in outside.items() if name in _PASSED_THROUGH}
    added = {name: value for name, value in outside.items() if name.startswith(_PASSED_PREFIXES)}
    return {
        **added,
        "OSS_BUCKET": _BUCKET,
        "OSS_REGION": _OSS_REGION,
        "OSS_ENDPOINT": oss_url,
        "OSS_BASE_URL": "",
        "OSS_URL_TTL_S": "",
        "DATABASE_URL": database_url,
        "DASHSCOPE_BASE_URL": f"{services_url}/api/v1",
        "DASHSCOPE_API_KEY": keys.provider_api_key,
        "OPENAI_BASE_URL": f"{services_url}/v1",
        "OPENAI_API_KEY": keys.provider_api_key,
        "DISPATCH_ENDPOINT": services_url,
        "AUTH_HS256_SECRET": keys.auth_hs256_secret,
        "AUTH_ISSUER": _ISSUER,
        "AUTH_AUDIENCE": _AUDIENCE,
        "DOWNLOAD_ALLOW_HTTP": "true",
        "DOWNLOAD_ALLOW_NETWORKS": "127.0.0.0/8",
        "POLL_INTERVAL_S": "0.5",
        **taken,
    }


def _migrate(project_dir: Path, database_url: str) -> None:
    config = project_dir / "migrations" / "alembic.ini"
    if not config.is_file():
        return
    finished = subprocess.run(
        [sys.executable, "-m", "alembic", "-c", str(config), "upgrade", "head"],
        cwd=project_dir,
        env={**os.environ, "DATABASE_URL": database_url},
        capture_output=True,
        text=True,
        check=False,
    )
    if finished.returncode != 0:
        raise CloudError(f"the database migrations failed:\n{finished.stderr.strip()}")


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        # Three servers share one loop, and the loop's own handlers stop them all.
        yield


@contextlib.asynccontextmanager
async def _servers(apps: Sequence[ASGIApp], sockets: Sequence[socket.socket], stop: asyncio.Event) -> Any:
    servers = [
        _Server(
            uvicorn.Config(
                app,
                http="httptools",
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                timeout_keep_alive=75,
                timeout_graceful_shutdown=1,
            )
        )
        for app in apps
    ]
    running = [asyncio.create_task(server.serve([item])) for server, item in zip(servers, sockets, strict=True)]
    try:
        while not all(server.started for server in servers) and not stop.is_set():
            await asyncio.sleep(0.01)
        yield
    finally:
        for server in servers:
            server.should_exit = True
        await asyncio.gather(*running)


@contextlib.contextmanager
def _sockets(port: int) -> Iterator[list[socket.socket]]:
    with contextlib.ExitStack() as stack:
        sockets = []
        for offset in range(3):
            listening = stack.enter_context(socket.socket())
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            wanted = port + offset if port else 0
            try:
                listening.bind((_LOOPBACK, wanted))
                listening.listen(1024)
            except (OSError, OverflowError) as error:
                raise CloudError(f"port {wanted} cannot be used: {error}; choose others with --port") from error
            sockets.append(listening)
        yield sockets


@contextlib.contextmanager
def _data_folder(data_dir: Path | None, fresh: bool) -> Iterator[Path]:
    if data_dir is None:
        folder = Path(tempfile.mkdtemp(prefix="devcloud-"))
        try:
            with _locked(folder):
                yield folder
        finally:
            _remove(folder)
        return
    folder = data_dir.absolute()
    if folder.is_dir() and any(folder.iterdir()) and not (folder / _MARKER).is_file():
        raise CloudError(f"{folder} holds other files and is no data folder of a local cloud; choose another")
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    with _locked(folder):
        if fresh:
            sweep_instances(folder)
            for item in folder.iterdir():
                if item.name != _MARKER:
                    shutil.rmtree(item) if item.is_dir() and not item.is_symlink() else item.unlink()
        yield folder


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with (folder / _MARKER).open("a") as marker:
        try:
            fcntl.flock(marker, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CloudError(f"another local cloud runs on {folder}") from None
        yield


@contextlib.contextmanager
def _published(note: RunningCloud, project_dir: Path, data_dir: Path) -> Iterator[None]:
    folder = _notes_folder(project_dir)
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{note.pid}.json", data_dir / "running.json"]
    try:
        for path in paths:
            _write_private(path, asdict(note))
        yield
    finally:
        for path in paths:
            path.unlink(missing_ok=True)


def _notes_folder(project_dir: Path) -> Path:
    return project_dir / ".devcloud" / "running"


def _noted(project_dir: Path) -> list[tuple[Path, RunningCloud]]:
    folder = _notes_folder(project_dir)
    paths = sorted(folder.glob("*.json")) if folder.is_dir() else []
    return [(path, note) for path in paths if (note := _read_note(path)) is not None]


def _read_note(path: Path) -> RunningCloud | None:
    try:
        return RunningCloud(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return None


def _sweep_dead(project_dir: Path) -> None:
    """Remove what killed local clouds of this project left: their notes, and data that was to be temporary."""
    for path, note in _noted(project_dir):
        if not note.alive:
            if note.temporary and (Path(note.data_dir) / _MARKER).is_file():
                _remove(Path(note.data_dir))
            path.unlink(missing_ok=True)


def _remove(folder: Path) -> None:
    sweep_instances(folder)
    shutil.rmtree(folder, ignore_errors=True)


def _write_private(path: Path, value: Any) -> None:
    # Written beside and moved, so that nobody reads half of it.
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump(value, file, indent=2)
    temporary.replace(path)


def load_local_manifest(project_dir: Path) -> Manifest:
    """Read the project's ``s.yaml`` for its names alone, with stand-ins for keys and addresses."""
    keys = Secrets("", "", "", "")
    return load_manifest(project_dir / "s.yaml", _environment({}, keys, "", "", ""))
