"""The log of one instance: its output, copied into the function's log with the platform's paths."""

import contextlib
import sysconfig
from collections.abc import Mapping
from pathlib import Path

_TAIL_BYTES = 4096


class InstanceLog:
    """Copies the file ``output``, which the process writes, to the end of ``log_file``.

    ``places`` are the folders of this machine under the names that they have on the platform.
    """

    def __init__(self, output: Path, log_file: Path, places: Mapping[Path, str]) -> None:
        self.output = output
        self._log_file = log_file
        self._places = {
            **places,
            Path(sysconfig.get_path("purelib")): "/var/fc/lang/python3/site-packages",
            Path(sysconfig.get_path("stdlib")): "/var/fc/lang/python3",
        }
        self._tail = bytearray()
        self._copied_bytes = 0

    @property
    def tail(self) -> bytes:
        """The last 4 KiB of the log of the present request."""
        return bytes(self._tail[-_TAIL_BYTES:])

    def start(self, line: str) -> None:
        """Begin the log of a request with ``line``."""
        self._tail.clear()
        self._write(f"{line}\n".encode())

    def end(self, line: str) -> None:
        """Copy the rest of the output and end the log of a request with ``line``."""
        self._copy(self._read())
        self._write(f"{line}\n".encode())

    def pump(self) -> None:
        """Copy the complete lines that the process has written since the last call."""
        text = self._read()
        self._copy(text[: text.rfind(b"\n") + 1])  # half a line may contain half a path

    def as_on_platform(self, text: bytes) -> bytes:
        """Replace the paths of this machine by those of the platform."""
        for local, there in self._places.items():
            text = text.replace(bytes(local), there.encode())
        return text

    def _read(self) -> bytes:
        with contextlib.suppress(FileNotFoundError), self.output.open("rb") as output:
            output.seek(self._copied_bytes)
            return output.read()
        return b""

    def _copy(self, text: bytes) -> None:
        self._copied_bytes += len(text)
        self._write(self.as_on_platform(text))

    def _write(self, text: bytes) -> None:
        if not text:
            return
        self._tail += text
        del self._tail[: -2 * _TAIL_BYTES]
        with self._log_file.open("ab") as log:
            log.write(text)
