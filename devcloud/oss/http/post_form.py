"""The body of a PostObject: an HTML form (multipart/form-data) with one file.

The form becomes a request like that of PutObject before it is authenticated: its fields are the headers, its file is
the body, which is never kept in memory as a whole.
"""

import re
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

from starlette.types import Message

from devcloud.oss.http.object_keys import check_key
from devcloud.oss.http.oss_request import OssRequest
from devcloud.oss.oss_errors import OssError, invalid_argument

MAX_FIELDS_BYTES = 1024 * 1024
_PASSED_ON = ("host", "origin", "referer", "user-agent", "x-forwarded-for")


async def read_form(request: OssRequest) -> OssRequest:
    """Return ``request`` with the form's key, fields and file. Raises the ``OssError`` of an invalid form."""
    media_type = request.headers.get("content-type", "")
    match = re.fullmatch(r'multipart/form-data\s*;.*?boundary="?([^";]{1,200})"?.*', media_type, re.IGNORECASE)
    if match is None:
        message = "Bucket POST must be of the enclosure-type multipart/form-data."
        raise OssError(412, "PreconditionFailed", message)
    reader = _FormReader(request.body(), match[1].encode())
    fields, filename, file_type = await reader.read_fields()
    key = fields.get("key", "").replace("${filename}", filename)
    if not key:
        message = (
            "Bucket POST must contain a field named 'key'. If it is specified, please check the order of the fields."
        )
        raise invalid_argument(message, "key", "")
    check_key(key)
    headers = {name: request.headers[name] for name in _PASSED_ON if name in request.headers}
    headers |= {"content-type": file_type, **fields, "transfer-encoding": "chunked"}
    headers.pop("authorization", None)
    return replace(request, key=key, headers=headers, form=fields, receive=receive_of(reader.file()))


def receive_of(chunks: AsyncIterator[bytes]) -> Any:
    """Return an ASGI ``receive`` that gives ``chunks``."""

    async def receive() -> Message:
        chunk = await anext(chunks, None)
        return {"type": "http.request", "body": chunk or b"", "more_body": chunk is not None}

    return receive


class _FormReader:
    """Reads the fields of a form, which are small, and then its file chunk by chunk."""

    def __init__(self, chunks: AsyncIterator[bytes], boundary: bytes) -> None:
        self._chunks = chunks
        self._delimiter = b"\r\n--" + boundary
        self._buffer = bytearray(b"\r\n")  # so that the first delimiter looks like the others
        self._taken = 0

    async def read_fields(self) -> tuple[dict[str, str], str, str]:
        """Return the fields before the file by lower-case name, the file's name and its type."""
        fields: dict[str, str] = {}
        await self._until(self._delimiter)
        while True:
            head = (await self._until(b"\r\n\r\n")).decode(errors="replace")
            if head.startswith("--"):
                raise _no_file()
            name = _parameter(head, "name")
            if name.lower() == "file":
                filename = re.split(r"[/\\]", _parameter(head, "filename"))[-1]
                media_type = re.search(r"^content-type:[ \t]*(\S.*?)\s*$", head, re.IGNORECASE | re.MULTILINE)
                return fields, filename, media_type[1] if media_type else "application/octet-stream"
            # The names of callback variables are case-sensitive, other names are not.
            fields[name if name.startswith("x:") else name.lower()] = (await self._until(self._delimiter)).decode(
                errors="replace"
            )

    async def file(self) -> AsyncIterator[bytes]:
        """Yield the file, then read what is left of the body."""
        keep = len(self._delimiter) - 1
        while (end := self._buffer.find(self._delimiter)) < 0:
            if len(self._buffer) > keep:
                yield bytes(self._buffer[:-keep])
                del self._buffer[:-keep]
            await self._more()
        if end:
            yield bytes(self._buffer[:end])
        async for _ in self._chunks:
            pass

    async def _until(self, marker: bytes) -> bytes:
        while (end := self._buffer.find(marker)) < 0:
            if marker != self._delimiter and self._buffer.startswith(b"--"):
                raise _no_file()  # the last delimiter
            await self._more()
            if (
                self._taken + len(self._buffer) > MAX_FIELDS_BYTES + 256 * 1024
            ):  # a chunk may contain a part of the file
                raise OssError(400, "FieldItemTooLong", "The form's fields are too long.")
        found = bytes(self._buffer[:end])
        del self._buffer[: end + len(marker)]
        self._taken += end
        return found

    async def _more(self) -> None:
        chunk = await anext(self._chunks, None)
        if chunk is None:
            message = "The body of your POST request is not well-formed multipart/form-data."
            raise OssError(400, "MalformedPOSTRequest", message)
        self._buffer += chunk


def _no_file() -> OssError:
    return OssError(400, "IncorrectNumberOfFilesInPOSTRequest", "POST requires exactly one file upload per request.")


def _parameter(head: str, name: str) -> str:
    """Return a parameter of the Content-Disposition in a part's head, "" if it is not there."""
    disposition = re.search(r"^content-disposition:(.*)$", head, re.IGNORECASE | re.MULTILINE)
    match = re.search(rf'[;\s]{name}=(?:"([^"]*)"|([^;\s]+))', disposition[1]) if disposition else None
    return (match[1] or match[2] or "") if match else ""
