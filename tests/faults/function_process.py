"""A function's instances from one mould: a process that has imported the handler and forks for each invocation.

Started as a script with one argument, a JSON description. Each message on the inherited control socket is an invocation
and brings two pipes: on one its process reports, one JSON object a line, on the other it is told to thaw. The parent
never runs the handler, so that every child is an instance that has just started: no connection open, nothing
remembered.
"""

import contextlib
import ctypes
import functools
import gc
import importlib
import json
import logging
import os
import signal
import socket
import ssl
import sys
import traceback
from types import SimpleNamespace
from typing import Any

from crash_points import CrashPoints, watch  # type: ignore[import-not-found]  # beside this script when it runs


def _die_with_parent() -> None:
    set_parent_death_signal = 1
    ctypes.CDLL(None, use_errno=True).prctl(set_parent_death_signal, signal.SIGKILL)


def _load(handler: str) -> Any:
    module, _, function = handler.rpartition(".")
    return getattr(importlib.import_module(module), function)


def _invoke(handler: Any, request: dict[str, Any], description: dict[str, Any], reports: int, thaw: int) -> None:
    def report(line: dict[str, Any]) -> None:
        os.write(reports, json.dumps(line).encode() + b"\n")

    def freeze() -> None:
        report({"frozen": True})
        if not os.read(thaw, 1):
            os._exit(1)  # nobody is left to go on for

    report({"pid": os.getpid()})
    known = set(sys.modules)
    points = CrashPoints(report, freeze, request["fault"])
    watch(points, folder=os.environ["TEMP_DIR"], peers=description["peers"])
    context = SimpleNamespace(
        request_id=request["requestId"],
        function=SimpleNamespace(**{**description["function"], **request["function"]}),
        logger=logging.getLogger(),
        region=description["region"],
        account_id=description["accountId"],
    )
    try:
        result = handler(request["event"].encode(), context)
    except Exception as error:
        traceback.print_exception(error)
        report({"error": f"{type(error).__name__}: {error}"})
    else:
        points.reach("answer before return")
        report({"result": result})
    report({"modules": sorted(set(sys.modules) - known)})
    sys.stdout.flush()
    sys.stderr.flush()


def _main() -> None:
    _die_with_parent()
    description = json.loads(sys.argv[1])
    # The first entry is this script's own folder, which a function must not see.
    sys.path[0] = description["codeDir"]
    # Nothing here is encrypted, and each context would read all the certificates again: 30 ms of CPU.
    tls: Any = ssl
    tls.create_default_context = functools.cache(ssl.create_default_context)
    ssl.create_default_context(cafile=_certificates())
    handler = _load(description["function"]["handler"])
    control = socket.socket(fileno=description["control"])
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel buries the children
    while True:
        message, pipes, _, _ = socket.recv_fds(control, 1 << 20, 2)
        if not message:
            return
        request = json.loads(message)
        for name in request["modules"]:
            with contextlib.suppress(ImportError):
                importlib.import_module(name)
        gc.freeze()
        if os.fork() == 0:
            _die_with_parent()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            control.close()
            _invoke(handler, request, description, *pipes)
            os._exit(0)
        for pipe in pipes:
            os.close(pipe)


def _certificates() -> str:
    certifi: Any = importlib.import_module("certifi")
    return str(certifi.where())


if __name__ == "__main__":
    _main()
