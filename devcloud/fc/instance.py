"""One function instance: an operating-system process with its own temp folder, watched for time and memory."""

import asyncio
import contextlib
import json
import os
import secrets
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from devcloud.credentials import AccessKey
from devcloud.fc.instance_log import InstanceLog
from devcloud.fc.manifest import Function, Hook
from devcloud.fc.temp_disk import mount_disk, remove_folder

_RUNTIME = Path(__file__).with_name("runtime.py")
_WATCH_INTERVAL_S = 0.1
_UNHANDLED = "UnhandledInvocationError"
_MEBIBYTE = 1 << 20


@dataclass(frozen=True)
class Outcome:
    """How an invocation ended: the handler's result, or ``error_type`` and FC's JSON description of the error."""

    payload: bytes
    error_type: str | None = None
    duration_ms: int = 0
    max_memory_mb: int = 0
    log_tail: bytes = b""

    @property
    def error_message(self) -> str | None:
        """The ``errorMessage`` of the description, if this is an error."""
        if self.error_type is None:
            return None
        return str(json.loads(self.payload).get("errorMessage", ""))


@dataclass(frozen=True)
class Site:
    """The folders and the log of an instance, and the values that FC puts into its environment."""

    data_dir: Path
    folder: Path
    code_dir: Path
    log_file: Path
    region: str
    account_id: str
    role: AccessKey
    started_at: float
    disk_bytes: int | None = None


@dataclass(eq=False)
class Instance:
    """A running instance."""

    function: Function
    site: Site
    id: str = field(default_factory=lambda: f"c-{secrets.token_hex(4)}-{secrets.token_hex(6)}")
    requests: int = 0
    busy: bool = False
    max_memory_mb: int = 0

    _process: asyncio.subprocess.Process = field(init=False, repr=False)
    _reader: asyncio.StreamReader = field(init=False, repr=False)
    _writer: asyncio.StreamWriter = field(init=False, repr=False)
    _log: InstanceLog = field(init=False, repr=False)
    _over_memory: bool = False
    _killed: bool = False

    def __post_init__(self) -> None:
        site = self.site
        places = {
            site.code_dir: "/code",
            site.folder / "tmp": "/tmp",  # noqa: S108  # the platform's name for it
            site.folder: "/var/fc/instance",
            site.data_dir: "/var/fc/data",
            _RUNTIME.parent: "/var/fc/runtime/python3",
        }
        self._log = InstanceLog(site.folder / "output", site.log_file, places)

    @property
    def pid(self) -> int:
        """The id of its process."""
        return self._process.pid

    @property
    def temp_dir(self) -> Path:
        """The folder that the function gets as ``TEMP_DIR``."""
        return self.site.folder / "tmp" / "dream-factory"

    @property
    def alive(self) -> bool:
        """Whether the process still runs."""
        return self._process.returncode is None and not self._killed

    async def start(self) -> None:
        """Start the process; the handler's module is imported at the first request, as on the platform."""
        await asyncio.to_thread(self._make_folder)
        ours, theirs = socket.socketpair()
        description = {
            "channel": theirs.fileno(),
            "codeDir": str(self.site.code_dir),
            "region": self.site.region,
            "accountId": self.site.account_id,
            "function": {
                "name": self.function.name,
                "handler": self.function.handler,
                "memory": self.function.memory_mb,
                "timeout": self.function.timeout_s,
                "version_id": "",
                "qualifier": "LATEST",
            },
        }
        with theirs, self._log.output.open("ab") as output:
            # Output goes to a file, not through a pipe: with an answer, all earlier output is complete.
            # Its own session keeps the terminal's Ctrl-C away, and lets its child processes be killed together.
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-W", "ignore", str(_RUNTIME), json.dumps(description)),
                cwd=self.site.code_dir,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
        self._reader, self._writer = await asyncio.open_connection(sock=ours)

    async def initialize(self, hook: Hook, request_id: str) -> Outcome:
        """Run the initializer; a failure is an ``InitializationError``."""
        outcome = await self._request("initialize", "Initialize", hook.handler, request_id, b"", hook.timeout_s)
        if outcome.error_type is None:
            return outcome
        return Outcome(outcome.payload, "InitializationError", outcome.duration_ms, log_tail=outcome.log_tail)

    async def invoke(self, request_id: str, event: bytes, *, kill_after_s: float | None = None) -> Outcome:
        """Pass one event to the handler and wait for the result.

        With ``kill_after_s`` the instance is killed so many seconds after it got the event, and its answer is lost.
        """
        self.requests += 1
        handler, timeout_s = self.function.handler, self.function.timeout_s
        return await self._request("invoke", "Invoke", handler, request_id, event, timeout_s, kill_after_s)

    async def stop(self, hook_limit_s: float | None = None) -> None:
        """Run the preStop hook of an idle instance, end the process and remove its folder and temp disk."""
        hook = self.function.pre_stop
        if hook is not None and self.alive and not self.busy:
            limit_s = hook.timeout_s if hook_limit_s is None else min(hook.timeout_s, hook_limit_s)
            await self._request("preStop", "PreStop", hook.handler, secrets.token_hex(16), b"", limit_s)
        self.kill()
        await self._process.wait()
        self._writer.close()
        await asyncio.to_thread(remove_folder, self.site.folder)

    def kill(self) -> None:
        """Kill the process and its child processes."""
        if self.alive:
            self._killed = True
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)

    async def _request(
        self,
        kind: str,
        title: str,
        handler: str,
        request_id: str,
        event: bytes,
        timeout_s: float,
        kill_after_s: float | None = None,
    ) -> Outcome:
        self._log.start(f"FC {title} Start RequestId: {request_id}")
        began = time.monotonic()
        watch = asyncio.create_task(self._watch())
        try:
            exchange = self._exchange(kind, handler, request_id, event, kill_after_s)
            succeeded, body = await asyncio.wait_for(exchange, timeout_s)
            error_type = None if succeeded else _UNHANDLED
        except TimeoutError:
            self.kill()
            error_type, body = _UNHANDLED, _error(f"Function time out after {timeout_s:g} seconds", "FunctionTimeout")
        except (asyncio.IncompleteReadError, OSError):
            duration_ms = round((time.monotonic() - began) * 1000)
            self.kill()
            error_type, body = _UNHANDLED, self._death(duration_ms)
        finally:
            watch.cancel()
        self._log.end(f"FC {title} End RequestId: {request_id}")
        return Outcome(
            payload=body if error_type is None else self._log.as_on_platform(body),
            error_type=error_type,
            duration_ms=round((time.monotonic() - began) * 1000),
            max_memory_mb=self.max_memory_mb,
            log_tail=self._log.tail,
        )

    async def _exchange(
        self, kind: str, handler: str, request_id: str, event: bytes, kill_after_s: float | None
    ) -> tuple[bool, bytes]:
        header = json.dumps({"kind": kind, "requestId": request_id, "handler": handler}).encode()
        self._writer.write(struct.pack(">II", len(header), len(event)) + header + event)
        await self._writer.drain()
        if kill_after_s is not None:
            await asyncio.sleep(kill_after_s)
            self.kill()
            raise ProcessLookupError
        header_length, body_length = struct.unpack(">II", await self._reader.readexactly(8))
        answer = json.loads(await self._reader.readexactly(header_length))
        body = await self._reader.readexactly(body_length)
        # The peak may have passed between two checks of the watch.
        if self._exceeds_memory(answer["maxMemoryKb"] // 1024):
            raise ProcessLookupError
        return answer["succeeded"], body

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_WATCH_INTERVAL_S)
            self._log.pump()
            try:
                resident_mb = psutil.Process(self.pid).memory_info().rss // _MEBIBYTE
            except psutil.NoSuchProcess:
                return
            if self._exceeds_memory(resident_mb):
                return

    def _exceeds_memory(self, used_mb: int) -> bool:
        self.max_memory_mb = max(self.max_memory_mb, used_mb)
        if used_mb > self.function.memory_mb:
            self._over_memory = True
            self.kill()
        return self._over_memory

    def _death(self, duration_ms: int) -> bytes:
        if self._over_memory:
            return _error(
                f"Function instance exceeded its memory limit of {self.function.memory_mb} MB and was killed "
                f"(duration: {duration_ms}ms, maxMemoryUsage: {self.max_memory_mb}MB)",
                "FunctionOOMError",
            )
        return _error(
            "Process exited unexpectedly before completing request "
            f"(duration: {duration_ms}ms, maxMemoryUsage: {self.max_memory_mb}MB)"
        )

    def _make_folder(self) -> None:
        temp = self.site.folder / "tmp"
        temp.mkdir(parents=True)
        (self.site.folder / "home").mkdir()
        if self.site.disk_bytes is not None:
            mount_disk(temp, self.site.disk_bytes)
        self.temp_dir.mkdir()

    def _environment(self) -> Mapping[str, str]:
        function, role = self.function, self.site.role
        return {
            **function.environment,
            "FC_FUNC_CODE_PATH": f"{self.site.code_dir}/",
            "FC_ACCOUNT_ID": self.site.account_id,
            "FC_REGION": self.site.region,
            "FC_FUNCTION_NAME": function.name,
            "FC_FUNCTION_HANDLER": function.handler,
            "FC_FUNCTION_MEMORY_SIZE": str(function.memory_mb),
            "FC_FUNCTION_VERSION": "LATEST",
            "FC_INSTANCE_ID": self.id,
            "ALIBABA_CLOUD_ACCESS_KEY_ID": role.access_key_id,
            "ALIBABA_CLOUD_ACCESS_KEY_SECRET": role.access_key_secret,
            "ALIBABA_CLOUD_SECURITY_TOKEN": role.security_token or "",
            "TEMP_DIR": str(self.temp_dir),
            "TMPDIR": str(self.site.folder / "tmp"),
            "HOME": str(self.site.folder / "home"),
            "PATH": os.environ.get("PATH", os.defpath),
            "LANG": "C.UTF-8",
        }


def _error(message: str, error_type: str | None = None) -> bytes:
    return json.dumps({"errorMessage": message} | ({"errorType": error_type} if error_type else {})).encode()
