"""The local cloud: its data folder, its settings, and its three servers in one process."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import psutil
from starlette.applications import Starlette
from starlette.types import ASGIApp

from devcloud.ai import AiEmulator
from devcloud.clock import Clock
from devcloud.credentials import AccessKey, Credentials
from devcloud.data import Secrets, data_folder, remove_data
from devcloud.faults import Faults
from devcloud.fc.emulator import FunctionComputeEmulator
from devcloud.fc.http import refuse_host
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
# What a developer may want to try out. Everything else of the caller's environment stays out, so that nothing
# points to a real cloud by accident.
_PASSED_THROUGH = ("LOG_LEVEL", "CORS_ORIGINS", "POLL_INTERVAL_S", "PATIENCE_S", "OSS_URL_TTL_S", "WEBHOOK_SECRET")
_PASSED_PREFIXES = ("AUTH_", "JOB_", "QUOTA_", "MAX_")


def run(project_dir: Path, *, port: int, data_dir: Path | None, database_url: str | None, fresh: bool) -> None:
    """Run a local cloud until it is told to stop. Raises ``CloudError``."""
    for killed in sweep_notes(project_dir):
        if killed.temporary:
            remove_data(Path(killed.data_dir), before_removal=sweep_instances)
    held = data_folder(data_dir, fresh=fresh, before_removal=sweep_instances)
    with held as folder, _sockets(port) as sockets:
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
    api_url, oss_url, services_url = (f"http://{LOOPBACK}:{item.getsockname()[1]}" for item in sockets)
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
        local_hosts_only(Starlette(routes=functions.http_routes), refuse_host),
        oss.app,
        local_hosts_only(Starlette(routes=[*functions.api_routes, *ai.routes]), refuse_host),
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
            "WEBHOOK_SECRET": environment["WEBHOOK_SECRET"],
            "FC_ENDPOINT": services_url,
            "CONTROL_URL": f"{services_url}/control",
        },
        auth_secret=environment["AUTH_HS256_SECRET"],
        auth_issuer=environment["AUTH_ISSUER"],
        auth_audience=environment["AUTH_AUDIENCE"],
        auth_service_scope=environment["AUTH_SERVICE_SCOPE"],
    )
    try:
        async with servers(apps, sockets, stop):
            functions.start()
            with announced(note, project_dir, data_dir):
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
    """Read the project's ``s.yaml`` for its names alone, with stand-ins for keys and addresses."""
    keys = Secrets("", "", "", "", "")
    return load_manifest(project_dir / "s.yaml", _environment({}, keys, "", "", ""))
