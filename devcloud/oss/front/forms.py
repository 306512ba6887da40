"""PostObject: uploads by HTML forms, signed by a policy.

See https://www.alibabacloud.com/help/en/oss/developer-reference/postobject. The form becomes a request like that of
PutObject before it is authenticated: its fields are the headers, its file is the body, which is never held in memory.
"""

import binascii
import json
import re
from base64 import b64decode
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from starlette.types import Message

from devcloud.oss.errors import OssError, access_denied, invalid_argument
from devcloud.oss.front.callback import answer, parse_callback
from devcloud.oss.front.objects import check_key
from devcloud.oss.front.service import MAX_PUT_BYTES, Service
from devcloud.oss.request import OssRequest, Reply, xml_reply
from devcloud.oss.storage import ObjectRecord

MAX_FIELDS_BYTES = 1024 * 1024
_PASSED_ON = ("host", "origin", "referer", "user-agent", "x-forwarded-for")


async def read_form(request: OssRequest) -> OssRequest:
    """Return ``request`` with the form's key, fields and file. Raises the error of a form that OSS does not take."""
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
    return replace(request, key=key, headers=headers, form=fields, receive=_receive(reader.file()))


async def post_object(service: Service, request: OssRequest) -> Reply:
    """PostObject, of what ``read_form`` made of the request."""
    form = request.form or {}
    smallest, largest = 0, MAX_PUT_BYTES
    if "policy" in form:
        smallest, largest = _check_policy(form, request, service.clock.now())
    attributes = service.attributes(request)
    variables = {name: value for name, value in form.items() if name.startswith("x:")}
    callback = parse_callback(form["callback"], variables) if form.get("callback") else None
    service.refuse_overwrite(request)
    limited = replace(request, receive=_receive(_limited(request.body(), smallest, largest)))
    content, digest = await service.receive(limited)
    etag = digest.hex().upper()
    record = ObjectRecord(request.bucket, request.key, content, etag, "Normal", service.clock.now(), attributes)
    headers = service.store(request, record, "PostObject")
    return await answer(callback, request, record, _reply(form, request, etag, headers))


def _reply(form: dict[str, str], request: OssRequest, etag: str, headers: dict[str, str]) -> Reply:
    redirect = form.get("success_action_redirect", "")
    parts = urlsplit(redirect)
    if parts.scheme in ("http", "https") and parts.netloc:
        facts = [("bucket", request.bucket), ("key", request.key), ("etag", f'"{etag}"')]
        query = urlencode([*parse_qsl(parts.query, keep_blank_values=True), *facts])
        return Reply(303, headers | {"location": parts._replace(query=query).geturl()})
    status = form.get("success_action_status", "")
    location = f"http://{request.host}/{quote(request.key)}"
    if status == "201":
        reply = xml_reply(
            "PostResponse",
            ("Bucket", request.bucket),
            ("Location", location),
            ("Key", request.key),
            ("ETag", f'"{etag}"'),
        )
        return Reply(201, headers | reply.headers | {"location": location}, reply.body)
    return Reply(200 if status == "200" else 204, headers)


# Policy


def _check_policy(form: dict[str, str], request: OssRequest, now: float) -> tuple[int, int]:
    """Return the least and the largest size that the policy allows. Raises ``AccessDenied`` or the like."""
    try:
        policy = json.loads(b64decode(form["policy"], validate=True))
        expiration = datetime.fromisoformat(policy["expiration"])
        conditions = [_condition(condition) for condition in policy["conditions"]]
    except (AttributeError, binascii.Error, KeyError, TypeError, ValueError) as error:
        raise OssError(400, "InvalidPolicyDocument", "The content of the form does not meet the conditions") from error
    if (expiration if expiration.tzinfo else expiration.replace(tzinfo=UTC)).timestamp() < now:
        raise access_denied("Invalid according to Policy: Policy expired.")
    smallest, largest = 0, MAX_PUT_BYTES
    for operator, name, value in conditions:
        if operator == "content-length-range":
            smallest, largest = max(smallest, int(name)), min(largest, int(value))
            continue
        given = request.bucket if name == "bucket" else request.key if name == "key" else form.get(name, "")
        if not _holds(operator, given, value):
            condition = json.dumps([operator, f"${name}", value])
            raise access_denied(f"Invalid according to Policy: Policy Condition failed: {condition}")
    return smallest, largest


def _condition(condition: Any) -> tuple[str, str, Any]:
    """Return operator, field and value. Raises ``ValueError`` or the like for what is no condition."""
    if isinstance(condition, dict):
        ((name, value),) = condition.items()
        return "eq", name.lower(), str(value)
    operator, name, value = condition
    operator = operator.lower()
    if operator == "content-length-range":
        return operator, str(int(name)), str(int(value))
    if operator not in ("eq", "starts-with", "in", "not-in") or not name.startswith("$"):
        raise ValueError(operator)
    if operator in ("in", "not-in") and not isinstance(value, list):
        raise ValueError(operator)
    return operator, name[1:].lower(), value


def _holds(operator: str, given: str, value: Any) -> bool:
    match operator:
        case "eq":
            return given == str(value)
        case "starts-with":
            return given.startswith(str(value))
        case "in":
            return given in value
        case _:
            return given not in value


# Reading


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
            # Variables of a callback keep their case, as nothing else needs it.
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
            if self._taken + len(self._buffer) > MAX_FIELDS_BYTES + 256 * 1024:  # a chunk may hold some of the file
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


async def _limited(chunks: AsyncIterator[bytes], smallest: int, largest: int) -> AsyncIterator[bytes]:
    size = 0
    async for chunk in chunks:
        size += len(chunk)
        if size > largest:
            raise OssError(400, "EntityTooLarge", "Your proposed upload exceeds the maximum allowed size.")
        yield chunk
    if size < smallest:
        raise OssError(400, "EntityTooSmall", "Your proposed upload is smaller than the minimum allowed size.")


def _receive(chunks: AsyncIterator[bytes]) -> Any:
    """Return an ASGI ``receive`` that gives ``chunks``."""

    async def receive() -> Message:
        chunk = await anext(chunks, None)
        return {"type": "http.request", "body": chunk or b"", "more_body": chunk is not None}

    return receive
