"""A request as OSS reads it from the ASGI scope."""

import ipaddress
import secrets
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from urllib.parse import unquote, unquote_plus

from starlette.types import Receive, Scope

from devcloud.oss.oss_errors import OssError, access_denied, malformed_xml

MAX_PUT_BYTES = 5 * 1024**3
MAX_DOCUMENT_BYTES = 4 * 1024 * 1024


class ClientGoneError(Exception):
    """The client closed the connection before its body had arrived."""


def _nobody(_request: "OssRequest") -> None:
    raise access_denied("The request was not admitted yet.")


@dataclass(frozen=True)
class OssRequest:
    """One request. Header names are lower-case; ``bucket`` and ``key`` are decoded, and empty where absent.

    ``form`` contains the fields of a PostObject by lower-case name. ``admit`` raises ``AccessDenied`` unless the
    caller may also send another request: operations that read or write other objects, too, call it first.
    """

    id: str
    method: str
    host: str
    bucket: str
    key: str
    query: dict[str, str]
    headers: dict[str, str]
    client_ip: str
    receive: Receive
    form: dict[str, str] | None = None
    admit: "Callable[[OssRequest], None]" = _nobody

    async def body(self) -> AsyncIterator[bytes]:
        """Yield the body as it arrives; call it only once. Raises :class:`ClientGoneError`."""
        more = True
        while more:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise ClientGoneError
            more = message.get("more_body", False)
            if chunk := message.get("body", b""):
                yield chunk

    async def document(self) -> bytes:
        """Return the whole body, an XML document of at most 4 MiB. Raises ``MalformedXML``."""
        body = bytearray()
        async for chunk in self.body():
            body += chunk
            if len(body) > MAX_DOCUMENT_BYTES:
                raise malformed_xml()
        return bytes(body)


def read_request(scope: Scope, receive: Receive) -> OssRequest:
    """Read the head of a request. Raises ``InvalidObjectName`` or ``InvalidArgument`` if it is not UTF-8."""
    headers = {name.decode("latin-1"): _text(value).strip() for name, value in scope["headers"]}
    host = headers.get("host", "")
    # In the path that the server decoded, %2F looks like /, and bytes that are not UTF-8 are lost.
    path = scope["raw_path"].decode("latin-1")
    bucket, key = _locate(host, path)
    return OssRequest(
        id=secrets.token_hex(12).upper(),
        method=scope["method"],
        host=host,
        bucket=_decode(bucket),
        key=_decode(key),
        query=_query(scope["query_string"].decode("latin-1")),
        headers=headers,
        client_ip=scope["client"][0] if scope.get("client") else "127.0.0.1",
        receive=receive,
    )


def _locate(host: str, path: str) -> tuple[str, str]:
    path = path.removeprefix("/")
    bucket = _virtual_bucket(host)
    if bucket:
        return bucket, path
    bucket, _, key = path.partition("/")
    return bucket, key


def _virtual_bucket(host: str) -> str:
    """Return the bucket that a host name begins with, or "" if the bucket is in the path."""
    if host.startswith("["):
        return ""
    name = host.partition(":")[0]
    try:
        ipaddress.ip_address(name)
    except ValueError:
        first, _, rest = name.partition(".")
        return first if rest and not (first.startswith("oss-") and rest == "aliyuncs.com") else ""
    return ""


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def _decode(text: str) -> str:
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError as error:
        raise OssError(400, "InvalidObjectName", "The specified object is not valid.") from error


def _query(text: str) -> dict[str, str]:
    query = {}
    for pair in text.split("&"):
        name, _, value = pair.partition("=")
        if name:
            query[unquote_plus(name)] = unquote_plus(value)
    return query
