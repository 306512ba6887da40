"""Blobs as files: each file has a new random name and never changes after its database row was committed.

A blob is visible only after the database row with its name is committed. So a crash leaves at worst a file without a
row; :meth:`BlobFiles.sweep` deletes such files at the next start. Readers pin blobs, and a pinned blob is deleted
when its last reader closes.
"""

import hashlib
import os
import secrets
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from devcloud.oss import crc64
from devcloud.oss.storages.port import Content, Segment

CHUNK = 256 * 1024


class BlobFiles:
    """A folder of blobs, spread over 256 sub-folders."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._pins: Counter[str] = Counter()
        self._doomed: set[str] = set()
        for shard in range(256):
            (root / f"{shard:02x}").mkdir(parents=True, exist_ok=True)

    def path(self, name: str) -> Path:
        """Return the path of the blob ``name``."""
        return self._root / name[:2] / name

    def create(self) -> "FileBlobWriter":
        """Begin a new blob."""
        return FileBlobWriter(self, secrets.token_hex(16))

    def open(self, segments: Iterable[Segment], start: int, size: int) -> "FileBlobReader":
        """Open ``size`` bytes from ``start`` on of the joined blobs."""
        spans = []
        for name, length in segments:
            first, last = max(start, 0), min(start + size, length)
            if first < last:
                spans.append((name, first, last - first))
            start -= length
        self._pins.update(name for name, _, _ in spans)
        return FileBlobReader(self, spans)

    def link(self, segments: Iterable[Segment]) -> tuple[Segment, ...]:
        """Return the same bytes under new names, without copying them."""
        links = []
        for name, size in segments:
            link = secrets.token_hex(16)
            os.link(self.path(name), self.path(link))
            links.append(Segment(link, size))
        return tuple(links)

    def delete(self, segments: Iterable[Segment]) -> None:
        """Delete the blobs, pinned blobs after their last reader has closed."""
        for name, _ in segments:
            if self._pins[name]:
                self._doomed.add(name)
            else:
                self.path(name).unlink(missing_ok=True)

    def unpin(self, name: str) -> None:
        """End one reader's use of a blob."""
        self._pins[name] -= 1
        if self._pins[name] == 0:
            del self._pins[name]
            if name in self._doomed:
                self._doomed.remove(name)
                self.path(name).unlink(missing_ok=True)

    def sweep(self, live: Collection[str]) -> None:
        """Delete the files that a crash left behind: every file whose name is not in ``live``."""
        for shard in self._root.iterdir():
            for path in shard.iterdir():
                if path.name not in live:
                    path.unlink()


class FileBlobWriter:
    """See :class:`devcloud.oss.storages.port.BlobWriter`."""

    def __init__(self, files: BlobFiles, name: str) -> None:
        self._path = files.path(name)
        self._name = name
        self._file = self._path.open("xb", buffering=0)
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._crc64 = 0
        self.size = 0

    def write(self, chunk: bytes) -> None:
        """Append ``chunk``."""
        rest = memoryview(chunk)
        while rest:
            rest = rest[self._file.write(rest) :]
        self._md5.update(chunk)
        self._crc64 = crc64.update(self._crc64, chunk)
        self.size += len(chunk)

    def md5(self) -> bytes:
        """Return the MD5 digest of the written bytes."""
        return self._md5.digest()

    def finish(self) -> Content:
        """Close the file and return the content."""
        self._file.close()
        return Content(self.size, self._crc64, (Segment(self._name, self.size),))

    def discard(self) -> None:
        """Close and delete the file."""
        self._file.close()
        self._path.unlink(missing_ok=True)


class FileBlobReader:
    """See :class:`devcloud.oss.storages.port.BlobReader`."""

    def __init__(self, files: BlobFiles, spans: list[tuple[str, int, int]]) -> None:
        self._files = files
        self._spans = spans
        self._pinned = [name for name, _, _ in spans]
        self.size = sum(size for _, _, size in spans)

    def __iter__(self) -> Iterator[bytes]:
        for name, start, size in self._spans:
            with self._files.path(name).open("rb", buffering=0) as file:
                file.seek(start)
                while size:
                    chunk = file.read(min(CHUNK, size))
                    if not chunk:
                        raise EOFError(f"blob {name} lacks {size} bytes")
                    size -= len(chunk)
                    yield chunk

    def close(self) -> None:
        """Unpin the blobs."""
        while self._pinned:
            self._files.unpin(self._pinned.pop())
