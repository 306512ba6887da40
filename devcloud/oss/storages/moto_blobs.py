"""The bytes of :class:`MotoStorage`: bytes that are not stored yet, and the values of moto's keys."""

import hashlib
import secrets
from collections.abc import Iterator

from moto.s3.models import FakeKey

from devcloud.oss import crc64
from devcloud.oss.storages.blobs import CHUNK
from devcloud.oss.storages.port import Content, Segment


class MotoBlobs:
    """Blobs by name: bytes before they are stored, afterwards the key whose value they are."""

    def __init__(self) -> None:
        self._blobs: dict[str, bytes | FakeKey] = {}

    def read(self, content: Content) -> bytes:
        """Return the bytes of ``content``."""
        blobs = (self._blobs[name] for name, _ in content.segments)
        return b"".join(blob if isinstance(blob, bytes) else blob.value for blob in blobs)

    def keep(self, data: bytes, checksum: int) -> Content:
        """Return ``data`` as a content that is not stored yet; ``checksum`` is its CRC-64."""
        name = secrets.token_hex(16)
        self._blobs[name] = data
        return Content(len(data), checksum, (Segment(name, len(data)),))

    def hold(self, key: FakeKey, content: Content) -> Content:
        """Return ``content`` as the one blob that is the value of ``key``."""
        name = secrets.token_hex(16)
        key.oss_blob = name  # type: ignore[attr-defined]  # our own attribute
        self._blobs[name] = key
        return Content(content.size, content.crc64, (Segment(name, content.size),))

    def release(self, content: Content) -> None:
        """Forget the blobs of a content that was never stored."""
        for name, _ in content.segments:
            if isinstance(self._blobs.get(name), bytes):
                del self._blobs[name]

    def forget(self, key: FakeKey) -> None:
        """Forget the blob that is the value of ``key``."""
        self._blobs.pop(getattr(key, "oss_blob", ""), None)


class MotoBlobWriter:
    """See :class:`devcloud.oss.storages.port.BlobWriter`."""

    def __init__(self, blobs: MotoBlobs) -> None:
        self._blobs = blobs
        self._data = bytearray()

    @property
    def size(self) -> int:
        """The number of bytes written so far."""
        return len(self._data)

    def write(self, chunk: bytes) -> None:
        """Append ``chunk``."""
        self._data += chunk

    def md5(self) -> bytes:
        """Return the MD5 digest of the written bytes."""
        return hashlib.md5(self._data, usedforsecurity=False).digest()

    def finish(self) -> Content:
        """Return the content."""
        data = bytes(self._data)
        return self._blobs.keep(data, crc64.update(0, data))

    def discard(self) -> None:
        """Forget everything."""
        self._data.clear()


class MotoBlobReader:
    """See :class:`devcloud.oss.storages.port.BlobReader`."""

    def __init__(self, data: memoryview) -> None:
        self._data = data
        self.size = len(data)

    def __iter__(self) -> Iterator[bytes]:
        for start in range(0, self.size, CHUNK):
            yield bytes(self._data[start : start + CHUNK])

    def close(self) -> None:
        """Do nothing: the bytes are the reader's own."""
