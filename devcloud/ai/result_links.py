"""The links to finished media, signed as Object Storage Service signs a URL (V1), and their downloads."""

import base64
import hashlib
import hmac
from datetime import UTC, datetime
from html import escape
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import FileResponse, RedirectResponse, Response
from starlette.routing import Route

from devcloud.ai.provider_endpoint import endpoint, keys_match
from devcloud.ai.provider_error import ProviderError
from devcloud.ai.provider_faults import Effect, ProviderFaults
from devcloud.ai.task_runner import DAY_S, TaskRunner, result_name
from devcloud.ai.task_store import Task, TaskStore
from devcloud.broken_responses import TruncatedResponse
from devcloud.clock import Clock

_ACCESS_KEY_ID = "LTAIFakeProvider"
_CONTENT_TYPES = {".png": "image/png", ".jpeg": "image/jpeg", ".webp": "image/webp", ".mp4": "video/mp4"}
_SUBSTITUTES = {
    "html": ("text/html", "<!doctype html><title>Error</title><script>alert(1)</script><h1>Bad gateway</h1>"),
    "svg": ("image/svg+xml", '<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'),
    "text": ("text/plain", "upstream connect error or disconnect before headers"),
    "empty": (None, ""),
}
_CODES = {403: "AccessDenied", 404: "NoSuchKey", 429: "TooManyRequests", 503: "ServiceUnavailable"}


class Results:
    """Makes the links to results and serves the downloads. A link is valid for 24 hours after the end of its task."""

    def __init__(self, store: TaskStore, runner: TaskRunner, clock: Clock, faults: ProviderFaults, secret: str) -> None:
        self._store = store
        self._runner = runner
        self._clock = clock
        self._faults = faults
        self._secret = secret.encode()
        # Starlette answers HEAD wherever it answers GET.
        self.routes = [Route("/results/{date}/{name}", endpoint(self._download, _as_oss_error))]

    def url(self, base_url: str, task: Task, position: int) -> str:
        """Return the link to one result, below ``base_url`` ("http://127.0.0.1:9002/")."""
        path = f"/results/{_day(task.ends_at)}/{result_name(task, position)}"
        expires = str(int(task.ends_at + DAY_S))
        signature = quote(self._sign(path, expires), safe="")
        return f"{base_url.rstrip('/')}{path}?Expires={expires}&OSSAccessKeyId={_ACCESS_KEY_ID}&Signature={signature}"

    def _sign(self, path: str, expires: str) -> str:
        text = f"GET\n\n\n{expires}\n{path}"
        return base64.b64encode(hmac.digest(self._secret, text.encode(), hashlib.sha1)).decode()

    async def _download(self, request: Request, request_id: str) -> Response:
        query = request.query_params
        expires, key_id, signature = (query.get(name, "") for name in ("Expires", "OSSAccessKeyId", "Signature"))
        path = request.url.path
        if not signature:
            raise ProviderError(403, "AccessDenied", "You have no right to access this object because of bucket acl.")
        if key_id != _ACCESS_KEY_ID or not keys_match(signature, self._sign(path, expires)):
            raise ProviderError(
                403,
                "SignatureDoesNotMatch",
                "The request signature we calculated does not match the signature you provided."
                " Check your key and signing method.",
            )
        if self._clock.now() >= int(expires):
            raise _expired()
        task, position = self._find(request.path_params["name"])
        facts: dict[str, object] = {
            "api": "oss",
            "model": task.order.model,
            "type": task.order.type,
            "prompt": task.order.prompt,
        }
        return await self._faults.run("result", facts, lambda effect: self._serve(task, position, effect))

    def _find(self, name: str) -> tuple[Task, int]:
        # The signature is valid, so this emulator has issued the name.
        task_id, _, rest = name.rpartition("-")
        task = self._store.get(task_id)
        if task is None:
            raise ProviderError(404, "NoSuchKey", "The specified key does not exist.")
        return task, int(rest.partition(".")[0]) - 1

    async def _serve(self, task: Task, position: int, effect: Effect) -> Response:
        if effect.get("expired"):
            raise _expired()
        if "redirect" in effect:
            return RedirectResponse(effect["redirect"], status_code=302)
        media = await self._runner.media(task, position)
        true_type = _CONTENT_TYPES[task.order.suffix]
        substitute_type, substitute = _SUBSTITUTES.get(effect.get("body", ""), (None, None))
        headers = {
            "Content-Type": effect.get("contentType") or substitute_type or true_type,
            "ETag": f'"{media.md5}"',
            "x-oss-object-type": "Normal",
        }
        if "truncateBytes" in effect:
            whole = media.path.read_bytes() if substitute is None else substitute.encode()
            return TruncatedResponse(whole, effect["truncateBytes"], headers)
        if substitute is not None:
            return Response(substitute, headers=headers)
        return FileResponse(media.path, headers=headers)


def _expired() -> ProviderError:
    return ProviderError(403, "AccessDenied", "Request has expired.")


def _as_oss_error(error: ProviderError, request_id: str) -> Response:
    code = error.code or _CODES.get(error.status, "InternalError")
    body = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<Error>\n  <Code>{escape(code)}</Code>\n  <Message>{escape(error.message)}</Message>\n"
        f"  <RequestId>{request_id}</RequestId>\n  <HostId>dashscope-result-fake.oss-cn-beijing.aliyuncs.com</HostId>\n"
        "</Error>\n"
    )
    return Response(body, error.status, {"x-oss-request-id": request_id}, media_type="application/xml")


def _day(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y%m%d")
