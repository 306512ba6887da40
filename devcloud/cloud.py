"""The local cloud: its data folder, its settings, and its three servers in one process."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
from starlette.applications import Starlette
from starlette.types import ASGIApp

from devcloud.ai import AiEmulator
from devcloud.clock import Clock
from devcloud.credentials import AccessKey, Credentials
from devcloud.data_folder import Secrets, data_folder, remove_data
from devcloud.faults import Faults
from devcloud.fc.fc_emulator import FunctionComputeEmulator
from devcloud.fc.http_calls import refuse_host
from devcloud.fc.manifest import Manifest, load_manifest
from devcloud.fc.pool import sweep_instances
from devcloud.hosts import local_hosts_only
from devcloud.oss import OssEmulator
from devcloud.running import CloudError, RunningCloud, announced, find_running, sweep_notes
from devcloud.serving import LOOPBACK, listening, servers

__all__ = ["CloudError", "RunningCloud", "find_running", "load_local_manifest", "run"]

_BUCKET = "dream-factory-media"
_OSS_REGION = "oss-cn-hangzhou"
_ISSUER = "http://127.0.0.1/devcloud"
_AUDIENCE = "dream-factory"
_SERVICE_SCOPE = "act-for-user"
# The settings that a developer may want to try out. No other variable of the caller's environment is used, so that
# no setting points to a real cloud by accident.
_PASSED_THROUGH = ("LOG_LEVEL", "CORS_ORIGINS", "POLL_INTERVAL_S", "PATIENCE_S", "OSS_URL_TTL_S", "WEBHOOK_SECRET")
_PASSED_PREFIXES = ("AUTH_", "JOB_", "QUOTA_", "MAX_")


def run(project_dir: Path, *, port: int, data_dir: Path | None, database_url: str | None, fresh: bool) -> None:
    """Run a local cloud until SIGINT or SIGTERM. Raises ``CloudError``."""
    for killed in sweep_notes(project_dir):
        if killed.temporary:
            remove_data(Path(killed.data_dir), before_removal=sweep_instances)
    folders = data_folder(data_dir, fresh=fresh, before_removal=sweep_instances)
    with folders as folder, _sockets(port) as sockets:
        # Before the event loop handles SIGTERM, the signal raises KeyboardInterrupt, so that the folder is cleaned up.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        asyncio.run(_serve(project_dir, folder, data_dir is None, database_url, sockets))


@dataclass(frozen=True)
class _Addresses:
    """The addresses of the three servers: HTTP triggers; OSS; AI providers, Function Compute's API and control."""

    api: str
    oss: str
    services: str


async def _serve(
    project_dir: Path, data_dir: Path, temporary: bool, database_url: str | None, sockets: Sequence[socket.socket]
) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    keys = Secrets.kept_in(data_dir)
    addresses = _Addresses(*(f"http://{LOOPBACK}:{item.getsockname()[1]}" for item in sockets))
    database_url = database_url or f"sqlite:///{data_dir / 'dream-factory.db'}"
    environment = _environment(os.environ, keys, database_url, addresses)
    manifest = load_manifest(project_dir / "s.yaml", environment)
    await asyncio.to_thread(_migrate, project_dir, database_url)
    note = _note(data_dir, temporary, addresses, environment, keys)
    with _emulators(project_dir, data_dir, manifest, keys) as (functions, apps):
        async with servers(apps, sockets, stop):
            functions.start()
            with announced(note, project_dir, data_dir):
                _print_addresses(note, addresses, studio=functions.has_studio)
                await stop.wait()
            await functions.stop()


@contextlib.contextmanager
def _emulators(
    project_dir: Path, data_dir: Path, manifest: Manifest, keys: Secrets
) -> Iterator[tuple[FunctionComputeEmulator, list[ASGIApp]]]:
    """Make the emulators and what the three servers serve, in the order of ``_Addresses``."""
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
    try:
        yield (
            functions,
            [
                local_hosts_only(Starlette(routes=functions.http_routes), refuse_host),
                oss.app,
                local_hosts_only(Starlette(routes=[*functions.api_routes, *ai.routes]), refuse_host),
            ],
        )
    finally:
        functions.close()
        ai.close()
        oss.close()


def _note(
    data_dir: Path, temporary: bool, addresses: _Addresses, environment: Mapping[str, str], keys: Secrets
) -> RunningCloud:
    taken = ("DATABASE_URL", "DASHSCOPE_BASE_URL", "DASHSCOPE_API_KEY", "OPENAI_BASE_URL", "OPENAI_API_KEY")
    return RunningCloud(
        pid=os.getpid(),
        created_at=psutil.Process().create_time(),
        data_dir=str(data_dir),
        temporary=temporary,
        variables={
            "API_URL": addresses.api,
            "OSS_ENDPOINT": addresses.oss,
            "OSS_BUCKET": _BUCKET,
            "OSS_REGION": _OSS_REGION,
            "OSS_ACCESS_KEY": keys.access_key_id,
            "OSS_SECRET": keys.access_key_secret,
            **{name: environment[name] for name in (*taken, "WEBHOOK_SECRET")},
            "FC_ENDPOINT": addresses.services,
            "CONTROL_URL": f"{addresses.services}/control",
        },
        auth_secret=environment["AUTH_HS256_SECRET"],
        auth_issuer=environment["AUTH_ISSUER"],
        auth_audience=environment["AUTH_AUDIENCE"],
        auth_service_scope=environment["AUTH_SERVICE_SCOPE"],
    )


def _print_addresses(note: RunningCloud, addresses: _Addresses, *, studio: bool) -> None:
    variables = note.variables
    print(f"OSS bucket            {addresses.oss}/{_BUCKET}/")
    print(f"Function Compute API  {addresses.services}/2023-03-30/")
    print(f"DashScope             {variables['DASHSCOPE_BASE_URL']}")
    print(f"OpenAI                {variables['OPENAI_BASE_URL']}")
    print(f"control requests      {variables['CONTROL_URL']}")
    if studio:
        print(f"studio page           {addresses.api}/studio/")
    print(f"data folder           {note.data_dir}")
    print(f"ready {addresses.api}", flush=True)


def _environment(outside: Mapping[str, str], keys: Secrets, database_url: str, addresses: _Addresses) -> dict[str, str]:
    """Return the variables that an operator exports before ``s deploy``."""
    taken = {name: value for name, value in outside.items() if name in _PASSED_THROUGH}
    added = {name: value for name, value in outside.items() if name.startswith(_PASSED_PREFIXES)}
    return {
        **added,
        "OSS_BUCKET": _BUCKET,
        "OSS_REGION": _OSS_REGION,
        "OSS_ENDPOINT": addresses.oss,
        "OSS_BASE_URL": "",
        "OSS_URL_TTL_S": "",
        "DATABASE_URL": database_url,
        "DASHSCOPE_BASE_URL": f"{addresses.services}/api/v1",
        "DASHSCOPE_API_KEY": keys.provider_api_key,
        "OPENAI_BASE_URL": f"{addresses.services}/v1",
        "OPENAI_API_KEY": keys.provider_api_key,
        "DISPATCH_ENDPOINT": addresses.services,
        "WEBHOOK_SECRET": keys.webhook_secret,
        "AUTH_HS256_SECRET": keys.auth_hs256_secret,
        "AUTH_ISSUER": _ISSUER,
        "AUTH_AUDIENCE": _AUDIENCE,
        "AUTH_SERVICE_SCOPE": _SERVICE_SCOPE,
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


@contextlib.contextmanager
def _sockets(port: int) -> Iterator[list[socket.socket]]:
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(listening(port + offset if port else 0)) for offset in range(3)]


def load_local_manifest(project_dir: Path) -> Manifest:
    """Read the project's ``s.yaml`` only for its names, with placeholders for keys and addresses."""
    keys = Secrets("", "", "", "", "")
    return load_manifest(project_dir / "s.yaml", _environment({}, keys, "", _Addresses("", "", "")))
