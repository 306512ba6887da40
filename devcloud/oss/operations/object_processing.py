"""``x-oss-process``: answer with a processed object, or store the result as another object.

See https://www.alibabacloud.com/help/en/oss/user-guide/img-implementation-modes.
"""

import asyncio
import binascii
import json
import re
import tempfile
from base64 import urlsafe_b64decode
from dataclasses import replace
from pathlib import Path

from devcloud.oss import processing
from devcloud.oss.http.object_keys import check_key
from devcloud.oss.http.oss_reply import Reply
from devcloud.oss.http.oss_request import OssRequest
from devcloud.oss.operations.objects import get_object, put_object
from devcloud.oss.operations.styles import style_content
from devcloud.oss.oss_errors import OssError, invalid_argument, not_implemented
from devcloud.oss.oss_service import OssService

MAX_IMAGE_BYTES = 20 * 1024**2

# The headers of the object that its processed form keeps.
_KEPT = ("cache-control", "content-disposition", "etag", "expires", "last-modified", "x-oss-version-id")
_NOT_PASSED_ON = ("range", "accept-encoding")


async def get_processed(service: OssService, request: OssRequest) -> Reply:
    """GetObject with ``x-oss-process``."""
    return await _processed(service, request, request.query["x-oss-process"])


async def process_object(service: OssService, request: OssRequest) -> Reply:
    """PostProcessObject: store the result of ``x-oss-process=image/…|sys/saveas,o_KEY,b_BUCKET`` in the body."""
    asked = request.query["x-oss-process"]
    if asked:  # for example csv/select
        raise not_implemented(f"x-oss-process={asked}")
    text = (await request.document()).decode(errors="replace")
    match = re.fullmatch(r"x-oss-process=(.+)\|sys/saveas,o_([^,]+)(?:,b_([^,]+))?", text)
    if match is None:
        raise invalid_argument("The process is invalid: it must end with sys/saveas.", "x-oss-process", text)
    key, bucket = _decoded(match[2]), _decoded(match[3] or "")
    check_key(key)
    made = await _processed(service, request, match[1])
    body = made.body if isinstance(made.body, bytes) else b""

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": body}

    headers = {"content-length": str(len(body)), "content-type": made.headers["content-type"]}
    target = replace(request, method="PUT", bucket=bucket or request.bucket, key=key, query={})
    service.storage.bucket(target.bucket)
    request.admit(target)
    target = replace(target, headers=headers, receive=receive)
    await put_object(service, target)
    answer = {"bucket": bucket, "fileSize": len(body), "object": key, "status": "OK"}
    return Reply(headers={"content-type": "application/json"}, body=json.dumps(answer).encode())


def _decoded(text: str) -> str:
    try:
        return urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise processing.bad_request("Input is not base64 decoding.") from error


async def _processed(service: OssService, request: OssRequest, text: str) -> Reply:
    if text.startswith("style/"):
        text = style_content(service, request.bucket, text.removeprefix("style/"))
    wanted = processing.parse(text)
    headers = {name: value for name, value in request.headers.items() if name not in _NOT_PASSED_ON}
    reply = await get_object(service, replace(request, headers=headers))
    try:
        with tempfile.TemporaryDirectory(prefix="devcloud-process-") as folder:
            source, target = Path(folder, "source"), Path(folder, "target")
            size = await _spool(reply, source)
            if wanted.kind == "image" and size > MAX_IMAGE_BYTES:
                raise OssError(400, "ImageTooLarge", f"The image is larger than {MAX_IMAGE_BYTES} bytes.")
            content_type = await service.workers.process(text, source, target)
            body = target.read_bytes()
    finally:
        if not isinstance(reply.body, bytes):
            reply.body.close()
    kept = {name: value for name, value in reply.headers.items() if name in _KEPT}
    overridden = request.query.get("response-content-type", content_type)
    return Reply(headers=kept | {"content-type": overridden}, body=body)


async def _spool(reply: Reply, target: Path) -> int:
    """Write the body to the file ``target`` and return its size."""
    with target.open("wb") as file:
        for chunk in [reply.body] if isinstance(reply.body, bytes) else reply.body:
            file.write(chunk)
            await asyncio.sleep(0)  # lets other requests in while a large video is copied
        return file.tell()
