"""Function instances that can be killed, frozen and cut off at any of their steps."""

import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

from devcloud.fc.manifest import Function

_SCRIPT = Path(__file__).with_name("function_process.py")
_TIMEOUT_S = 300
Kind = Literal["kill", "freeze", "drop"]


@dataclass(frozen=True)
class Fault:
    """What strikes a process at its n-th point (from 1)."""

    kind: Kind
    at: int


@dataclass(eq=False)
class Invocation:
    """One invocation in a separate process, and its reports so far."""

    reports: int
    thaw: int
    pid: int = 0
    points: list[str] = field(default_factory=list)
    result: Any = None
    error: str | None = None
    returned: bool = False
    frozen: bool = False
    modules: list[str] = field(default_factory=list)
    _unread: bytes = b""

    @property
    def killed(self) -> bool:
        """Whether it ended before it had returned or raised anything."""
        return not self.returned and self.error is None

    def wait(self) -> "Invocation":
        """Return once the process has ended or is frozen."""
        until = time.monotonic() + _TIMEOUT_S
        while not self.frozen and self._read(until):
            pass
        return self

    def resume(self) -> "Invocation":
        """Let a frozen process continue, unless it has been killed, and wait for its end."""
        self.frozen = False
        with suppress(BrokenPipeError):
            os.write(self.thaw, b"!")
        return self.wait()

    def kill(self) -> None:
        """End the process, whatever it does."""
        if self.pid:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    def _read(self, until: float) -> bool:
        ready, _, _ = select.select([self.reports], [], [], max(until - time.monotonic(), 0))
        if not ready:
            self.kill()
            raise AssertionError(f"an invocation did not end; its last step: {self.points[-1:]}")
        data = os.read(self.reports, 1 << 16)
        *lines, self._unread = (self._unread + data).split(b"\n")
        for line in map(json.loads, lines):
            self._note(line)
        if not data:
            os.close(self.reports)
            os.close(self.thaw)
        return bool(data)

    def _note(self, line: dict[str, Any]) -> None:
        match line:
            case {"point": label}:
                self.points.append(label)
            case {"result": result}:
                self.result, self.returned = result, True
            case {"error": error}:
                self.error = error
            case _:
                vars(self).update(line)


class Instances:
    """The instances of one function that share a temp disk, forked from a process that has imported the handler."""

    def __init__(
        self,
        function: Function,
        code_dir: Path,
        *,
        temp_dir: Path,
        log: Path,
        environment: Mapping[str, str],
        peers: Mapping[str, str],
    ) -> None:
        self.log = log
        self._log_from = 0
        self._modules: set[str] = set()
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        description = {
            "control": theirs.fileno(),
            "codeDir": str(code_dir),
            "region": environment["FC_REGION"],
            "accountId": environment["FC_ACCOUNT_ID"],
            "function": {"name": function.name, "handler": function.handler, "timeout": function.timeout_s},
            "peers": peers,
        }
        with theirs, log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-W", "ignore", str(_SCRIPT), json.dumps(description)],
                cwd=code_dir,
                env={**environment, "TEMP_DIR": str(temp_dir)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=(theirs.fileno(),),
            )

    def start(
        self, event: str, fault: Fault | None = None, *, cold: bool = True, timeout_s: float | None = None
    ) -> Invocation:
        """Begin an invocation, in a separate process if it is ``cold``; only that process has crash points.

        ``timeout_s`` replaces the time that the invocation's context states.
        """
        assert cold or fault is None
        reports, reporting = os.pipe()
        thawing, thaw = os.pipe()
        request = {
            "event": event,
            "requestId": str(uuid4()),
            "cold": cold,
            "fault": None if fault is None else {"kind": fault.kind, "at": fault.at},
            "function": {} if timeout_s is None else {"timeout": timeout_s},
            "modules": sorted(self._modules),
        }
        try:
            socket.send_fds(self._control, [json.dumps(request).encode()], [reporting, thawing])
        finally:
            os.close(reporting)
            os.close(thawing)
        return Invocation(reports, thaw)

    def learn(self, ended: Invocation) -> None:
        """Have later instances forked with the modules that this invocation had to import."""
        self._modules.update(ended.modules)

    def said(self) -> str:
        """Return what was logged since ``forget_log``."""
        return self.log.read_bytes()[self._log_from :].decode(errors="replace")

    def forget_log(self) -> None:
        """Leave what has been logged so far out of ``said``."""
        self._log_from = self.log.stat().st_size

    def close(self) -> None:
        """End the process; its children die with it."""
        self._control.close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
