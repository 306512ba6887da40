"""A function's instances from one mould: a process that has imported the handler and forks the instances.

Started as a script with one argument, a JSON description. Each message on the inherited control socket is an invocation
and brings two pipes: on one the instance reports, one JSON object a line; on the other the test tells it to thaw. The
parent never runs the handler. A cold invocation gets a separate instance, which has just started: no connection is
open, nothing is remembered, and its crash points are counted. The other invocations share one instance, which stays
warm as it does on the platform.
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
from collections.abc import Callable, Iterable, Iterator
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
            os._exit(1)  # the test has ended

    report({"pid": os.getpid()})
    known = set(sys.modules)
    points = CrashPoints(report, freeze, request["fault"])
    if request["cold"]:
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
        if request["cold"]:
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
    gc.disable()  # a collection in a child copies the pages that it shares with its parent
    warm: socket.socket | None = None
    for request, pipes in _requests(control):
        for name in request["modules"]:
            with contextlib.suppress(ImportError):
                importlib.import_module(name)
        if request["cold"]:
            _fork([control.fileno()], _invoke, handler, request, description, *pipes)
        else:
            while warm is None or not _hand_over(request, pipes, warm):
                warm = _warm_instance([control.fileno(), *pipes], handler, description)
        _close(pipes)


def _requests(control: socket.socket) -> Iterator[tuple[dict[str, Any], list[int]]]:
    while True:
        message, pipes, _, _ = socket.recv_fds(control, 1 << 20, 2)
        if not message:
            return
        yield json.loads(message), pipes


def _fork(not_inherited: Iterable[int], run: Callable[..., None], *arguments: Any) -> None:
    if os.fork() == 0:
        _die_with_parent()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        _close(not_inherited)
        run(*arguments)
        os._exit(0)


def _close(pipes: Iterable[int]) -> None:
    for pipe in pipes:
        os.close(pipe)


def _warm_instance(not_inherited: Iterable[int], handler: Any, description: dict[str, Any]) -> socket.socket:
    """Fork an instance that serves one invocation after the other; return the socket that leads to it."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        _fork([*not_inherited, ours.fileno()], _serve, theirs, handler, description)
    return ours


def _serve(control: socket.socket, handler: Any, description: dict[str, Any]) -> None:
    gc.enable()
    for request, pipes in _requests(control):
        _invoke(handler, request, description, *pipes)
        _close(pipes)


def _hand_over(request: dict[str, Any], pipes: list[int], instance: socket.socket) -> bool:
    """Hand an invocation to the warm instance; return whether the instance lives."""
    try:
        socket.send_fds(instance, [json.dumps(request).encode()], pipes)
    except BrokenPipeError:
        return False
    return True


def _certificates() -> str:
    certifi: Any = importlib.import_module("certifi")
    return str(certifi.where())


if __name__ == "__main__":
    _main()
