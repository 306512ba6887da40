"""The port ``ObjectStore``, in memory."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import quote

from fastcrc import crc64

from shared.domain.errors import ObjectExistsError, StorageRefusedError, StorageUnavailableError
from shared.ports import ListedObject, MultipartUpload, StoredObject
from tests.fakes.clock import FakeClock
from tests.fakes.examples import NOW


@dataclass(frozen=True)
class HeldObject:
    """An object of the in-memory bucket."""

    data: bytes
    content_type: str = "application/octet-stream"
    meta: tuple[tuple[str, str], ...] = ()
    modified_at: datetime = NOW


class InMemoryObjectStore:
    """The bucket. Each put raises the next of ``failures`` first; ``spoil`` changes the stored bytes.

    A list breaks off after ``list_breaks_after`` objects. ``uploads`` maps unfinished uploads to their start.
    """

    def __init__(self, base_url: str = "https://media.example.com", clock: FakeClock | None = None) -> None:
        self.away = False
        self.clock = clock or FakeClock()
        self.list_breaks_after: int | None = None
        self.uploads: dict[MultipartUpload, datetime] = {}
        self.ranges: list[tuple[int, int]] = []
        self.objects: dict[str, HeldObject] = {}
        self.puts: list[str] = []
        self.failures: list[Exception | None] = []
        self.spoil: Callable[[bytes], bytes] = bytes
        self._base_url = base_url

    def put(
        self, key: str, path: Path, *, content_type: str, meta: dict[str, str], on_block: Callable[[], None]
    ) -> StoredObject:
        self._answer()
        on_block()
        self.puts.append(key)
        if self.failures and (failure := self.failures.pop(0)):
            raise failure
        if key in self.objects:
            raise ObjectExistsError("there is an object of that key")
        data = self.spoil(path.read_bytes())
        held = HeldObject(data, content_type, tuple(sorted(meta.items())), self.clock.now())
        self.objects[key] = held
        return StoredObject(len(held.data), crc64.xz(held.data))

    def head(self, key: str) -> StoredObject | None:
        self._answer()
        held = self.objects.get(key)
        return None if held is None else StoredObject(len(held.data), crc64.xz(held.data))

    def read_range(self, key: str, start: int, size_bytes: int) -> bytes:
        self._answer()
        self.ranges.append((start, size_bytes))
        data = self.objects[key].data
        if start >= len(data):
            raise StorageRefusedError("OSS refused: 416 (InvalidRange)")
        return data[start : start + size_bytes]

    def list(self, prefix: str) -> Iterator[ListedObject]:
        found = sorted((key, held) for key, held in self.objects.items() if key.startswith(prefix))
        for number, (key, held) in enumerate(found):
            self._answer()
            if number == self.list_breaks_after:
                break
            yield ListedObject(key, len(held.data), self.clock.now() - held.modified_at)
        self._answer()
        if self.list_breaks_after is not None:
            raise StorageUnavailableError("the connection to OSS broke off")

    def delete(self, key: str) -> None:
        self._answer()
        self.objects.pop(key, None)

    def multipart_uploads(self, prefix: str, older_than: timedelta) -> Iterator[MultipartUpload]:
        self._answer()
        for upload, initiated_at in sorted(self.uploads.items(), key=lambda item: item[0].key):
            if upload.key.startswith(prefix) and self.clock.now() - initiated_at > older_than:
                yield upload

    def abort_upload(self, upload: MultipartUpload) -> None:
        self._answer()
        self.uploads.pop(upload, None)

    def url(self, key: str) -> str:
        return f"{self._base_url}/{quote(key)}"

    def _answer(self) -> None:
        if self.away:
            raise StorageUnavailableError("OSS did not answer")
