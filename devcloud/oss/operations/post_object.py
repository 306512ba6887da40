"""PostObject: uploads by HTML forms, signed by a policy.

See https://www.alibabacloud.com/help/en/oss/developer-reference/postobject.
"""

from collections.abc import AsyncIterator
from dataclasses import replace
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from devcloud.oss.access.post_policy import check_post_policy
from devcloud.oss.http.conditions import refuse_overwrite
from devcloud.oss.http.oss_reply import Reply, xml_reply
from devcloud.oss.http.oss_request import MAX_PUT_BYTES, OssRequest
from devcloud.oss.http.post_form import receive_of
from devcloud.oss.operations.object_writes import attributes_of, receive_body, store_object
from devcloud.oss.operations.upload_callback import answer, parse_callback
from devcloud.oss.oss_errors import OssError
from devcloud.oss.oss_service import OssService
from devcloud.oss.storages.port import ObjectRecord


async def post_object(service: OssService, request: OssRequest) -> Reply:
    """PostObject; ``request`` is the result of ``read_form``."""
    form = request.form or {}
    smallest, largest = 0, MAX_PUT_BYTES
    if "policy" in form:
        smallest, largest = check_post_policy(form, request, service.clock.now())
    attributes = attributes_of(service, request)
    variables = {name: value for name, value in form.items() if name.startswith("x:")}
    callback = parse_callback(form["callback"], variables) if form.get("callback") else None
    refuse_overwrite(service.storage, request)
    limited = replace(request, receive=receive_of(_limited(request.body(), smallest, largest)))
    content, digest = await receive_body(service, limited)
    etag = digest.hex().upper()
    record = ObjectRecord(request.bucket, request.key, content, etag, "Normal", service.clock.now(), attributes)
    headers = store_object(service, request, record, "PostObject")
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


async def _limited(chunks: AsyncIterator[bytes], smallest: int, largest: int) -> AsyncIterator[bytes]:
    size = 0
    async for chunk in chunks:
        size += len(chunk)
        if size > largest:
            raise OssError(400, "EntityTooLarge", "Your proposed upload exceeds the maximum allowed size.")
        yield chunk
    if size < smallest:
        raise OssError(400, "EntityTooSmall", "Your proposed upload is smaller than the minimum allowed size.")
