"""The temp folder of a function instance: ephemeral, the instance's own, and small (512 MB or 10 GB)."""

import errno
import logging
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

from shared.domain.errors import TempDiskFullError
from shared.domain.keys import check_job_id
from shared.ports import TempFile

log = logging.getLogger(__name__)
_NUMBER = re.compile(r"(-[0-9]+)?")
_DISK_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class TempFolder:
    """Files directly in one folder, which the first write creates.

    ``disk_bytes`` is the size of its disk; by default the disk itself reports its size.
    """

    def __init__(self, folder: str, disk_bytes: int | None = None) -> None:
        self._folder = Path(folder)
        self._disk_bytes = disk_bytes

    def write(self, name: str, chunks: Iterable[bytes]) -> TempFile:
        """Write a file chunk by chunk and compute its CRC-64/XZ; after a failure the file does not exist."""
        from fastcrc import crc64  # the packages of functions that only sweep do not contain it

        path = self._folder / name
        size = checksum = 0
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with path.open("wb") as file:
                for chunk in chunks:
                    file.write(chunk)
                    checksum = crc64.xz(chunk, checksum)
                    size += len(chunk)
        except OSError as error:
            self._remove(path)
            if error.errno in _DISK_FULL:
                raise TempDiskFullError(f"the temp disk is full after {size} bytes") from error
            raise
        except BaseException:
            self._remove(path)
            raise
        return TempFile(path, size, checksum)

    def remove_of_job(self, job_id: str) -> int:
        """Remove ``{jobId}.*`` and ``{jobId}-{n}.*``."""
        check_job_id(job_id)
        return sum(self._remove(path) for path in self._files() if _is_of_job(path, job_id))

    def remove_older(self, age: timedelta, now: datetime) -> int:
        """Remove the files whose last write was longer than ``age`` before ``now``."""
        limit = (now - age).timestamp()
        return sum(self._remove(path) for path in self._files() if _modified(path) < limit)

    def remove_beyond(self, share: float) -> int:
        """Remove the files with the oldest last write until the rest takes at most ``share`` of the disk."""
        found = [(path, status) for path in self._files() if (status := _status(path))]
        if not found:
            return 0
        excess = sum(status.st_size for _, status in found) - share * self._disk_size()
        removed = 0
        for path, status in sorted(found, key=lambda each: each[1].st_mtime):
            if excess <= 0:
                break
            if self._remove(path):
                removed += 1
                excess -= status.st_size
        return removed

    def _disk_size(self) -> int:
        return self._disk_bytes or shutil.disk_usage(self._folder).total

    def _files(self) -> Iterator[Path]:
        try:
            found = list(self._folder.iterdir())
        except FileNotFoundError:
            return
        except OSError:
            log.warning("the temp folder cannot be read", exc_info=True)
            return
        yield from (path for path in found if path.is_file() or path.is_symlink())

    def _remove(self, path: Path) -> bool:
        try:
            path.unlink()
        except FileNotFoundError:
            return False
        except OSError:
            log.warning("a temp file cannot be removed", exc_info=True)
            return False
        return True


def _is_of_job(path: Path, job_id: str) -> bool:
    rest = path.name.removeprefix(job_id)
    number = rest.partition(".")[0]
    return rest != path.name and _NUMBER.fullmatch(number) is not None


def _modified(path: Path) -> float:
    status = _status(path)
    return float("inf") if status is None else status.st_mtime


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.lstat()
    except FileNotFoundError:
        return None
