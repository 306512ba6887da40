"""The process of one function instance: loads the handler and serves one request after the other.

The local cloud starts this script with one argument, a JSON description with the number of an inherited socket.
The script uses only the standard library and no module of the local cloud, so that a function sees only the modules
that it also sees on the platform.

A frame is two big-endian lengths, a JSON header and a body.
"""

import contextlib
import ctypes
import importlib
import json
import logging
import os
import queue
import signal
import socket
import struct
import sys
import threading
import time
import traceback
from types import SimpleNamespace
from typing import Any, NamedTuple


class _Request(NamedTuple):
    kind: str
    request_id: str
    handler: str
    event: bytes


class _Channel:
    """The socket to the local cloud. A separate thread reads, to notice the end of the connection at once."""

    def __init__(self, fileno: int) -> None:
        self._socket = socket.socket(fileno=fileno)
        self.requests: queue.SimpleQueue[_Request] = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        stream = self._socket.makefile("rb")
        while len(lengths := stream.read(8)) == 8:
            header_length, body_length = struct.unpack(">II", lengths)
            header = json.loads(stream.read(header_length))
            body = stream.read(body_length)
            self.requests.put(_Request(header["kind"], header["requestId"], header["handler"], body))
        # The local cloud is gone. A handler may be busy, so the process exits without cleaning up.
        os._exit(0)

    def send(self, header: dict[str, Any], body: bytes) -> None:
        encoded = json.dumps(header).encode()
        self._socket.sendall(struct.pack(">II", len(encoded), len(body)) + encoded + body)


class _Formatter(logging.Formatter):
    def __init__(self, context: SimpleNamespace) -> None:
        super().__init__()
        self._context = context

    def format(self, record: logging.LogRecord) -> str:
        moment = f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(record.created))}.{int(record.msecs):03d}Z"
        text = f"{moment} {self._context.request_id} [{record.levelname}] {record.getMessage()}"
        return f"{text}\n{self.formatException(record.exc_info)}" if record.exc_info else text


class _ImportModuleError(Exception):
    pass


def _die_with_parent() -> None:
    if sys.platform == "linux":
        set_parent_death_signal = 1
        ctypes.CDLL(None, use_errno=True).prctl(set_parent_death_signal, signal.SIGKILL)


def _context(description: dict[str, Any]) -> SimpleNamespace:
    """Make the context of ``python3.12``, which has no ``credentials`` and no ``service``, unlike older runtimes."""
    return SimpleNamespace(
        request_id="",
        function=SimpleNamespace(**description["function"]),
        logger=logging.getLogger(),
        log_project="",
        log_store="",
        region=description["region"],
        account_id=description["accountId"],
    )


def _load(handler: str) -> Any:
    module_name, _, function_name = handler.rpartition(".")
    try:
        return getattr(importlib.import_module(module_name.replace("/", ".")), function_name)
    except (ImportError, AttributeError, SyntaxError) as error:
        raise _ImportModuleError(f"Unable to import {handler!r}: {error}") from error


def _encode(result: object) -> bytes:
    if isinstance(result, bytes):
        return result
    return result.encode() if isinstance(result, str) else json.dumps(result).encode()


def _describe(error: Exception) -> bytes:
    frames = [
        [f'File "{frame.filename}"', f"line {frame.lineno}", f"in {frame.name}", frame.line or ""]
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename != __file__
    ]
    name = type(error).__name__.lstrip("_")
    return json.dumps({"errorMessage": str(error), "errorType": name, "stackTrace": frames}).encode()


def _call(request: _Request, context: SimpleNamespace) -> tuple[bool, bytes]:
    try:
        function = _load(request.handler)
        return True, _encode(function(request.event, context) if request.kind == "invoke" else function(context))
    except Exception as error:
        traceback.print_exception(error)
        return False, _describe(error)


def _peak_memory_kb() -> int:
    # Not getrusage: on Linux its peak includes the memory of the parent at the fork.
    with contextlib.suppress(OSError), open("/proc/self/status") as status:  # noqa: PTH123  # pathlib is not loaded yet
        for line in status:
            if line.startswith("VmHWM:"):
                return int(line.split()[1])
    return 0


def _main() -> None:
    _die_with_parent()
    description = json.loads(sys.argv[1])
    # The first entry is the folder of this script, which a function must not see.
    sys.path[0] = description["codeDir"]
    sys.argv[1:] = []
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # both are files here
    context = _context(description)
    console = logging.StreamHandler(sys.stdout)
    console.setFormatter(_Formatter(context))
    logging.basicConfig(level=logging.INFO, handlers=[console])
    channel = _Channel(description["channel"])
    while True:
        request = channel.requests.get()
        context.request_id = request.request_id
        succeeded, body = _call(request, context)
        sys.stdout.flush()
        sys.stderr.flush()
        channel.send({"succeeded": succeeded, "maxMemoryKb": _peak_memory_kb()}, body)


if __name__ == "__main__":
    _main()
