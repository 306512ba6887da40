"""Writing a body while it arrives: for a large body, a thread digests and stores bytes while more bytes arrive.

Digests release Python's global lock, so the thread and the event loop run at the same time. For bodies that arrive in
one piece, a thread costs more than it saves.
"""

import asyncio
from concurrent.futures import Future, ThreadPoolExecutor, wait
from os import cpu_count

from devcloud.oss.storages.port import BlobWriter

_IN_PLACE_BYTES = 128 * 1024
_MOST_PIECES = 4  # pieces of 256 KiB, as the event loop reads them: the most that one body keeps in memory
_threads = ThreadPoolExecutor(cpu_count(), "oss-intake")


class Intake:
    """Writes to ``blob``, by one thread at a time and in order. :meth:`finish` or :meth:`stop` ends it."""

    def __init__(self, blob: BlobWriter) -> None:
        self._blob = blob
        self._pieces: list[bytes] = []
        self._writing: Future[None] | None = None

    async def write(self, piece: bytes) -> None:
        """Write ``piece``, now or after the pieces that are being written."""
        if self._writing is None and len(piece) < _IN_PLACE_BYTES:
            self._blob.write(piece)
            return
        self._pieces.append(piece)
        if self._writing is None or self._writing.done() or len(self._pieces) >= _MOST_PIECES:
            await self._hand_over()

    async def finish(self) -> None:
        """Return once everything is written."""
        if self._pieces:
            await self._hand_over()
        if self._writing is not None:
            await asyncio.wrap_future(self._writing)

    def stop(self) -> None:
        """Return once no thread writes; pieces that are still waiting are dropped."""
        if self._writing is not None:
            self._writing.cancel()
            wait([self._writing])

    async def _hand_over(self) -> None:
        if self._writing is not None:
            await asyncio.wrap_future(self._writing)
        self._writing = _threads.submit(self._write, self._pieces)
        self._pieces = []

    def _write(self, pieces: list[bytes]) -> None:
        for piece in pieces:
            self._blob.write(piece)
