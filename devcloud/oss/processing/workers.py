"""Decoding in processes that can be killed, so that a hostile file does not block the emulator or use up its memory."""

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devcloud.oss.oss_errors import OssError
from devcloud.oss.processing import bad_request

_ROOT = Path(__file__).parents[3]
_COMMAND = (sys.executable, "-m", "devcloud.oss.processing.worker")


@dataclass(frozen=True)
class Limits:
    """The limits for processing one file."""

    cpu_s: int = 8
    wall_s: float = 10
    memory_bytes: int = 2 * 1024**3


class Workers:
    """At most one process for each CPU. A process stays for the next file, because starting one takes 0.3 s."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._places = asyncio.Semaphore(os.cpu_count() or 1)
        self._idle: list[_Worker] = []
        self._all: set[_Worker] = set()

    async def process(self, process: str, source: Path, target: Path) -> str:
        """Do ``process`` to the file ``source``, write the result to ``target`` and return its content type.

        Raises the ``OssError`` of the processing, and ``BadRequest`` if the file exceeds the limits.
        """
        async with self._places:
            return await asyncio.to_thread(self._process, process, source, target)

    def close(self) -> None:
        """End the processes, also those that are working."""
        for worker in list(self._all):
            self._end(worker)

    def _process(self, process: str, source: Path, target: Path) -> str:
        worker = self._take()
        answer = worker.ask({"process": process, "source": str(source), "target": str(target)}, self._limits)
        if answer is None:
            failed = worker.failed
            self._end(worker)
            if failed:
                raise RuntimeError("the worker failed; stderr has its traceback")
            raise bad_request("The object cannot be processed, or takes too much time or memory.")
        self._idle.append(worker)
        if "status" in answer:
            raise OssError(**answer)
        return str(answer["content_type"])

    def _take(self) -> "_Worker":
        while self._idle:
            worker = self._idle.pop()
            if worker.alive:
                return worker
            self._end(worker)
        worker = _Worker()
        self._all.add(worker)
        return worker

    def _end(self, worker: "_Worker") -> None:
        self._all.discard(worker)
        worker.end()


class _Worker:
    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(_ROOT), *sys.path])}
        with ours, theirs:
            self._talk = ours.makefile("rw")
            # In a separate session: Ctrl-C is meant for the emulator, which then ends its workers.
            self._process = subprocess.Popen(
                _COMMAND, stdin=theirs.fileno(), stdout=theirs.fileno(), env=environment, start_new_session=True
            )

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    @property
    def failed(self) -> bool:
        """Whether the process ended without a signal. A signal means that the file exceeded its limits."""
        return self._process.wait() > 0

    def ask(self, job: dict[str, str], limits: Limits) -> dict[str, Any] | None:
        """Return the answer to ``job``, ``None`` if the process ended."""
        timer = threading.Timer(limits.wall_s, self._process.kill)
        timer.start()
        try:
            line = json.dumps({**job, "cpu_s": limits.cpu_s, "memory_bytes": limits.memory_bytes})
            print(line, file=self._talk, flush=True)
            answer = self._talk.readline()
            if answer:
                return dict(json.loads(answer))
        except ConnectionError:
            pass  # the process ended before it had read the job
        finally:
            timer.cancel()
        return None

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        with contextlib.suppress(ConnectionError):
            self._talk.close()
