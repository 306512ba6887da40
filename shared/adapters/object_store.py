"""OSS through the official SDK."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.etree.ElementTree import ParseError

import oss2
import requests.adapters
from oss2.credentials import Credentials, CredentialsProvider

from shared import settings
from shared.adapters.output_urls import lifetime_s
from shared.domain.errors import ObjectExistsError, StorageRefusedError, StorageUnavailableError
from shared.ports import ListedObject, MultipartUpload, StoredObject

_PUBLIC_CACHING = "public, max-age=31536000, immutable"
_UPLOAD_BLOCK_BYTES = 256 * 1024
_CONNECT_TIMEOUT_S = 10
_PAGE = 1000  # the most that OSS lists at once
_STRICT_RANGE = {
    "x-oss-range-behavior": "standard"
}  # without it, OSS answers a range beyond the end with the whole object


class _RoleCredentials(CredentialsProvider):  # type: ignore[misc]  # oss2 carries no types
    """The current credentials: those of a role change during the life of an instance."""

    def get_credentials(self) -> Credentials:
        now = settings.oss_credentials()
        token = now.security_token.get_secret_value() if now.security_token else None
        return Credentials(now.access_key_id, now.access_key_secret.get_secret_value(), token)


class _LargeBlocks(requests.adapters.HTTPAdapter):
    """Gives the socket 256 KiB at a time, which needs a third of the CPU of http.client's 8 KiB."""

    def init_poolmanager(self, *args: object, **kwargs: object) -> None:
        super().init_poolmanager(*args, blocksize=_UPLOAD_BLOCK_BYTES, **kwargs)  # type: ignore[arg-type]  # requests' own hook has no types


class OssObjectStore:
    """One bucket."""

    def __init__(self, config: settings.OssSettings) -> None:
        self._config = config
        self._bucket = oss2.Bucket(
            oss2.ProviderAuthV4(_RoleCredentials()),
            config.endpoint,
            config.bucket,
            region=config.region,
            session=oss2.Session(adapter=_LargeBlocks()),
            connect_timeout=_CONNECT_TIMEOUT_S,
            # The SDK's own CRC costs 70 % of an upload's CPU. The caller compares OSS's CRC with its own.
            enable_crc=False,
        )

    def put(
        self, key: str, path: Path, *, content_type: str, meta: dict[str, str], on_block: Callable[[], None]
    ) -> StoredObject:
        """Upload a file as a stream, unless the key exists already.

        Source: https://www.alibabacloud.com/help/en/oss/developer-reference/putobject (x-oss-forbid-overwrite)
        """
        headers = {
            "Content-Type": content_type,
            "Cache-Control": _caching(self._config),
            "Content-Disposition": "inline",
            "x-oss-forbid-overwrite": "true",
            # Header values must be ASCII, but a user id may be any text.
            **{f"x-oss-meta-{name}": quote(value, safe="@") for name, value in meta.items()},
        }
        size = path.stat().st_size
        with _translated(), path.open("rb") as file:
            result = self._bucket.put_object(key, file, headers=headers, progress_callback=lambda *_: on_block())
        return StoredObject(size, result.crc)

    def head(self, key: str) -> StoredObject | None:
        """Return the object's size and CRC, or None if the object does not exist."""
        try:
            with _translated():
                result = self._bucket.head_object(key)
        except StorageRefusedError as error:
            # A missing bucket is a configuration error, not a missing object.
            missing = error.__cause__
            if isinstance(missing, oss2.exceptions.NotFound) and not isinstance(missing, oss2.exceptions.NoSuchBucket):
                return None
            raise
        return StoredObject(int(result.content_length), result.server_crc)

    def read_range(self, key: str, start: int, size_bytes: int) -> bytes:
        """Return up to ``size_bytes`` bytes from ``start``, which must be inside the object."""
        with _translated():
            result = self._bucket.get_object(key, byte_range=(start, start + size_bytes - 1), headers=_STRICT_RANGE)
            data: bytes = result.read()
        return data

    def list(self, prefix: str) -> Iterator[ListedObject]:
        """Yield the objects below ``prefix``, sorted by key, from pages of a thousand."""
        token = ""
        while True:
            with _translated():
                page = self._bucket.list_objects_v2(prefix, continuation_token=token, max_keys=_PAGE)
            now = _time_of(page)
            for found in page.object_list:
                yield ListedObject(found.key, found.size, timedelta(seconds=now - found.last_modified))
            if not page.is_truncated:
                return
            token = page.next_continuation_token

    def delete(self, key: str) -> None:
        """Delete the object. Deleting an object that does not exist succeeds."""
        with _translated():
            self._bucket.delete_object(key)

    def multipart_uploads(self, prefix: str, older_than: timedelta) -> Iterator[MultipartUpload]:
        """Yield the unfinished uploads below ``prefix`` that are older than ``older_than`` by OSS's own clock."""
        key = upload_id = ""
        while True:
            with _translated():
                page = self._bucket.list_multipart_uploads(
                    prefix, key_marker=key, upload_id_marker=upload_id, max_uploads=_PAGE
                )
            limit = _time_of(page) - older_than.total_seconds()
            for upload in page.upload_list:
                if upload.initiation_date < limit:
                    yield MultipartUpload(upload.key, upload.upload_id)
            if not page.is_truncated:
                return
            key, upload_id = page.next_key_marker, page.next_upload_id_marker

    def abort_upload(self, upload: MultipartUpload) -> None:
        """Abort the upload, which frees its parts. Aborting an upload that has ended in the meantime succeeds."""
        try:
            with _translated():
                self._bucket.abort_multipart_upload(upload.key, upload.upload_id)
        except StorageRefusedError as error:
            if not isinstance(error.__cause__, oss2.exceptions.NoSuchUpload):
                raise

    def url(self, key: str) -> str:
        """Return the object's public URL."""
        return f"{self._config.base_url}/{quote(key)}"


def _caching(config: settings.OssSettings) -> str:
    """Return the ``Cache-Control`` of an object. Its thumbnail, which OSS makes from the object, has the same.

    An object with a signed URL is cached by the reader's browser only, for as long as the URL is valid: a shared cache
    would serve it after the URL has expired and the object was deleted.
    """
    ttl_s = lifetime_s(config, settings.oss_credentials())
    return f"private, max-age={ttl_s}, immutable" if ttl_s else _PUBLIC_CACHING


def _time_of(page: Any) -> int:
    """Return OSS's own time, in Unix seconds: with our own clock, ages would be off by its error."""
    return int(oss2.utils.http_to_unixtime(page.headers["Date"]))


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except oss2.exceptions.RequestError as error:
        raise StorageUnavailableError("OSS did not answer") from error
    except oss2.exceptions.ServerError as error:
        code = error.code or "no code"
        if code == "FileAlreadyExists":
            raise ObjectExistsError("an object with this key exists already in OSS") from error
        if error.status >= 500 or error.status == 429:
            raise StorageUnavailableError(f"OSS answered HTTP {error.status} ({code})") from error
        raise StorageRefusedError(f"OSS refused the request: HTTP {error.status} ({code})") from error
    except oss2.exceptions.ClientError as error:
        raise StorageRefusedError("the OSS client refused the request") from error
    except requests.RequestException as error:
        raise StorageUnavailableError("the connection to OSS broke off") from error
    except (ParseError, RuntimeError) as error:  # not XML, or XML without the elements that oss2 needs
        raise StorageUnavailableError("OSS's answer cannot be read") from error
