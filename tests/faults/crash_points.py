"""Crash points: every step of a process that the outside can notice, found as it happens and never listed.

A point is reached before and after each of these:

- ``sql``: a statement or commit of SQLite (a server's database is spoken to through ``net``);
- ``net``: bytes handed to a connection (before), and the answer being there though nothing of it is read (after);
- ``file``: a change below the temp folder: a file opened for writing, written or closed, a name made, moved or removed.

At the point whose turn it is a fault strikes: the process is killed, frozen until it is resumed, or its connection
breaks. This module runs in the function's own process, so it needs nothing but the standard library.
"""

import builtins
import contextlib
import errno
import io
import os
import re
import select
import signal
import socket
import sqlite3
import sys
from collections.abc import Callable, Mapping
from pathlib import PurePath
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

_ANSWER_TIMEOUT_S = 120
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_NAMES_CHANGED = ("link", "mkdir", "remove", "rename", "replace", "rmdir", "symlink", "truncate", "unlink")
_ANNOUNCED_AS = {"unlink": "remove", "replace": "rename"}
_HTTP = re.compile(rb"([A-Z]+) (\S+) HTTP/1\.1\r\n")
_QUERY = 3  # MySQL's command COM_QUERY


class CrashPoints:
    """Counts the points and lets ``fault`` strike at the one whose turn it is.

    ``fault`` is ``{"kind": "kill" | "freeze" | "drop", "at": n}``, counted from 1, or None; ``report`` gets a dict for
    each point; ``freeze`` returns when the process may continue.
    """

    def __init__(
        self, report: Callable[[dict[str, Any]], None], freeze: Callable[[], None], fault: Mapping[str, Any] | None
    ) -> None:
        self._report = report
        self._freeze = freeze
        self._fault = fault or {"kind": "none", "at": 0}
        self._count = 0

    def reach(self, label: str, connection: socket.socket | None = None, *, locking: bool = False) -> None:
        """Pass a point, or do not. ``connection`` is what may break here.

        A process that is ``locking`` rows is not frozen: the others would wait for it, and nothing could be raced.
        """
        self._count += 1
        self._report({"point": label})
        if self._count != self._fault["at"]:
            return
        match self._fault["kind"]:
            case "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            case "freeze" if not locking:
                self._freeze()
            case "drop" if connection is not None:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
                raise ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))


def watch(points: CrashPoints, *, folder: str, peers: Mapping[str, str]) -> None:
    """Hook into this process for the rest of its life. ``peers`` names the ports that it will talk to."""
    _Connections(points, peers).watch()
    _watch_sqlite(points)
    _Files(points, folder).watch()


# -- net


class _Connections:
    """What is said over TCP: a request's bytes, and the moment at which its answer is there."""

    def __init__(self, points: CrashPoints, peers: Mapping[str, str]) -> None:
        self._points = points
        self._peers = peers
        self._unanswered: WeakKeyDictionary[socket.socket, str] = WeakKeyDictionary()
        self._locking: WeakSet[socket.socket] = WeakSet()

    def watch(self) -> None:
        kind: Any = socket.socket
        for names, hooked in ((("send", "sendall"), self._sending), (("recv", "recv_into"), self._receiving)):
            for name in names:
                setattr(kind, name, hooked(getattr(kind, name)))

    def _sending(self, method: Any) -> Any:
        def send(connection: socket.socket, data: Any, *args: Any) -> Any:
            if connection.family in (socket.AF_INET, socket.AF_INET6):
                self._before(connection, bytes(memoryview(data)[:512]))
            return method(connection, data, *args)

        return send

    def _receiving(self, method: Any) -> Any:
        def receive(connection: socket.socket, *args: Any) -> Any:
            if connection in self._unanswered:
                self._after(connection)
            return method(connection, *args)

        return receive

    def _before(self, connection: socket.socket, start: bytes) -> None:
        peer = self._peers.get(str(connection.getpeername()[1]), "unknown")
        what = _request(peer, start) or self._unanswered.get(connection, peer)
        self._points.reach(f"net before {what}", connection, locking=connection in self._locking)
        self._unanswered[connection] = what
        if what.startswith("BEGIN"):
            self._locking.add(connection)

    def _after(self, connection: socket.socket) -> None:
        what = self._unanswered.pop(connection)
        select.select([connection], [], [], _ANSWER_TIMEOUT_S)
        if what.startswith(("COMMIT", "ROLLBACK")):
            self._locking.discard(connection)
        self._points.reach(f"net after {what}", connection, locking=connection in self._locking)


def _request(peer: str, start: bytes) -> str | None:
    """Name the request that begins with these bytes; None if they only continue one."""
    if found := _HTTP.match(start):
        return f"{found[1].decode()} {peer}"
    if peer == "database":
        return summary(start[5:].decode(errors="replace")) if start[4:5] == bytes([_QUERY]) else "login"
    return None


def summary(sql: str) -> str:
    """Return a statement's verb and table."""
    words = re.findall(r"\w+", sql)
    table = re.search(r"(?:UPDATE|INTO|FROM|TABLE)\W+(\w+)", sql)
    return " ".join([*words[:1], *([table[1]] if table else [])])


# -- sql


def _watch_sqlite(points: CrashPoints) -> None:
    class Cursor(sqlite3.Cursor):
        def execute(self, sql: str, *args: Any) -> Any:
            points.reach(f"sql before {summary(sql)}", locking=self.connection.in_transaction)
            result = super().execute(sql, *args)
            points.reach(f"sql after {summary(sql)}", locking=self.connection.in_transaction)
            return result

    class Connection(sqlite3.Connection):
        def cursor(self, factory: Any = Cursor) -> Any:
            return super().cursor(factory)

        def commit(self) -> None:
            changed = self.in_transaction
            if changed:
                points.reach("sql before COMMIT", locking=True)
            super().commit()
            if changed:
                points.reach("sql after COMMIT")

    connect: Any = sqlite3.connect

    def connect_watched(*args: Any, **kwargs: Any) -> Any:
        return connect(*args, **{"factory": Connection, **kwargs})

    sqlite3.connect = connect_watched


# -- file


class _Files:
    """What changes below a folder."""

    def __init__(self, points: CrashPoints, folder: str) -> None:
        self._points = points
        self._root = PurePath(folder)
        self._open: Any = io.open

    def watch(self) -> None:
        for name in _NAMES_CHANGED:
            setattr(os, name, self._renaming(getattr(os, name)))
        io.open = builtins.open = self._open_watched
        # The interpreter itself announces whatever is opened or renamed, by whichever way.
        sys.addaudithook(self._announced)

    def _announced(self, event: str, args: tuple[Any, ...]) -> None:
        if event == "open":
            if isinstance(args[2], int) and args[2] & _WRITING and self._holds(args[0]):
                self._points.reach("file before open")
        elif event.startswith("os.") and event[3:] in _NAMES_CHANGED and self._holds(args[0]):
            self._points.reach(f"file before {event[3:]}")

    def _renaming(self, function: Any) -> Any:
        name = _ANNOUNCED_AS.get(function.__name__, function.__name__)

        def change(path: Any, *args: Any, **kwargs: Any) -> Any:
            result = function(path, *args, **kwargs)
            if self._holds(path):
                self._points.reach(f"file after {name}")
            return result

        return change

    def _open_watched(self, file: Any, mode: str = "r", buffering: int = -1, *args: Any, **kwargs: Any) -> Any:
        if not set(mode) & set("wax+") or not self._holds(file):
            return self._open(file, mode, buffering, *args, **kwargs)
        raw: Any = _File(self._points, file, mode.replace("b", "").replace("t", ""))
        if buffering == 0:
            return raw
        buffered: Any = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
        return buffered if "b" in mode else io.TextIOWrapper(buffered, *args, **kwargs)

    def _holds(self, path: Any) -> bool:
        if not isinstance(path, str | bytes | os.PathLike):
            return False
        there = PurePath(os.fsdecode(path))
        return there == self._root or self._root in there.parents


class _File(io.FileIO):
    """A file that is written to, below all buffers."""

    def __init__(self, points: CrashPoints, path: Any, mode: str) -> None:
        self._points = points
        super().__init__(path, mode)
        points.reach("file after open")

    def write(self, data: Any) -> int:
        self._points.reach("file before write")
        written = super().write(data)
        self._points.reach("file after write")
        return written

    def close(self) -> None:
        was_open = not self.closed
        super().close()
        if was_open:
            self._points.reach("file after close")
