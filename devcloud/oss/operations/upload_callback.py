"""Upload callbacks: OSS reports an upload to an application and returns the application's answer to the uploader.

Only applications on this machine are called, and the calls are not signed with the real service's key pair.
See https://www.alibabacloud.com/help/en/oss/developer-reference/callback.
"""

import asyncio
import binascii
import http.client
import ipaddress
import json
import re
import socket
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from devcloud.oss.http.oss_reply import Reply
from devcloud.oss.http.oss_request import OssRequest
from devcloud.oss.oss_errors import OssError, invalid_argument
from devcloud.oss.storages.port import ObjectRecord

MAX_ANSWER_BYTES = 1024 * 1024
MAX_URLS = 5
TIMEOUT_S = 5
_FORM = "application/x-www-form-urlencoded"
_VARIABLE = re.compile(r"\$\{([\w:.\-]+)\}")


@dataclass(frozen=True)
class Callback:
    """The URLs of the application, and the body to send; ``variables`` are those of the caller, named ``x:…``."""

    urls: tuple[str, ...]
    host: str
    body: str
    content_type: str
    variables: Mapping[str, str]


def read_callback(request: OssRequest) -> Callback | None:
    """Read the callback of the headers or the URL, ``None`` without a callback. Raises ``InvalidArgument``."""
    asked = request.headers.get("x-oss-callback") or request.query.get("callback")
    if not asked:
        return None
    variables = request.headers.get("x-oss-callback-var") or request.query.get("callback-var") or ""
    return parse_callback(asked, _read_json("callback-var", variables) if variables else {})


def parse_callback(asked: str, variables: Mapping[str, str]) -> Callback:
    """Read the callback of a Base64 text. Raises ``InvalidArgument``."""
    fields = _read_json("callback", asked)
    urls = tuple(url.strip() for url in fields.get("callbackUrl", "").split(";") if url.strip())
    if not 1 <= len(urls) <= MAX_URLS or not fields.get("callbackBody"):
        raise invalid_argument("The callback configuration is not json format.", "callback", asked)
    content_type = fields.get("callbackBodyType") or _FORM
    if content_type not in (_FORM, "application/json"):
        raise invalid_argument("The callback body type is invalid.", "callbackBodyType", content_type)
    return Callback(urls, fields.get("callbackHost", ""), fields["callbackBody"], content_type, variables)


async def answer(callback: Callback | None, request: OssRequest, record: ObjectRecord, reply: Reply) -> Reply:
    """Return the application's answer, or ``reply`` without a callback. Raises ``CallbackFailed`` (203)."""
    if callback is None:
        return reply
    body = _fill_in(callback, request, record).encode()
    failure = ""
    for url in callback.urls:
        try:
            status, content_type, text = await asyncio.to_thread(_post, url, callback, body)
        except (OSError, http.client.HTTPException, ValueError) as error:
            failure = f"Error status : -1. {url} can not reach server: {error}"
            continue
        if status == http.client.OK:
            kept = {name: value for name, value in reply.headers.items() if name not in ("content-type", "location")}
            return Reply(200, kept | {"content-type": content_type}, text)
        failure = f"Error status : {status}."
    raise OssError(203, "CallbackFailed", failure, ec="0007-00000203", headers=reply.headers)


def _read_json(name: str, text: str) -> dict[str, str]:
    try:
        fields = json.loads(b64decode(text, validate=True))
    except (binascii.Error, ValueError) as error:
        raise invalid_argument("The callback configuration is not json format.", name, text) from error
    if not isinstance(fields, dict):
        raise invalid_argument("The callback configuration is not json format.", name, text)
    return {key: value if isinstance(value, str) else json.dumps(value) for key, value in fields.items()}


def _fill_in(callback: Callback, request: OssRequest, record: ObjectRecord) -> str:
    values: dict[str, str | int] = {
        **callback.variables,
        "bucket": record.bucket,
        "object": record.key,
        "etag": record.etag,
        "size": record.content.size,
        "mimeType": record.attributes.headers.get("content-type", ""),
        "crc64": str(record.content.crc64),
        "clientIp": request.client_ip,
        "reqId": request.id,
    }

    def written(match: re.Match[str]) -> str:
        value = values.get(match[1], "")
        if callback.content_type == _FORM:
            return quote(str(value), safe="")
        return json.dumps(value, ensure_ascii=False)

    return _VARIABLE.sub(written, callback.body)


def _post(url: str, callback: Callback, body: bytes) -> tuple[int, str, bytes]:
    parts = urlsplit(url)
    if parts.scheme != "http" or not parts.hostname:
        raise ValueError("the URL does not begin with http://")
    port = parts.port or 80
    # Connect to the address that was checked: the name may resolve to another address the next time.
    connection = http.client.HTTPConnection(_local_address(parts.hostname, port), port, timeout=TIMEOUT_S)
    try:
        headers = {
            "Host": callback.host or parts.netloc.rpartition("@")[2],
            "Content-Type": callback.content_type,
            "User-Agent": "ehttp-client/0.0.1",
        }
        connection.request("POST", f"{parts.path or '/'}{f'?{parts.query}' if parts.query else ''}", body, headers)
        response = connection.getresponse()
        text = response.read(MAX_ANSWER_BYTES + 1)
        if len(text) > MAX_ANSWER_BYTES:
            raise ValueError("the answer is too large")
        return response.status, response.getheader("Content-Type", "application/json"), text
    finally:
        connection.close()


def _local_address(host: str, port: int) -> str:
    """Return a loopback address of ``host``. Raises ``ValueError`` if the host is not on this machine."""
    addresses = [str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    if not all(ipaddress.ip_address(address).is_loopback for address in addresses):
        raise ValueError("the host is not on this machine")
    return addresses[0]
