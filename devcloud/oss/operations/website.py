"""Buckets as websites: index documents, redirects and error documents.

See https://www.alibabacloud.com/help/en/oss/user-guide/hosting-static-websites. Unlike the real service, which
serves websites only under custom domain names, the emulator serves them under all its names.
"""

from dataclasses import replace
from urllib.parse import quote, urlencode

from devcloud.credentials import AccessKey
from devcloud.oss.documents.website_rules import Redirect, Website, read_website
from devcloud.oss.http.oss_reply import Reply
from devcloud.oss.http.oss_request import OssRequest
from devcloud.oss.operations import objects
from devcloud.oss.oss_errors import OssError
from devcloud.oss.oss_operation import Operation
from devcloud.oss.oss_service import OssService

_READS = ("GetObject", "HeadObject")
_CONDITIONS = ("if-match", "if-none-match", "if-modified-since", "if-unmodified-since", "range")


def at_root(service: OssService, request: OssRequest) -> OssRequest:
    """Return the request for the index document if an anonymous caller requests the root of a website."""
    plain = request.method in ("GET", "HEAD") and request.bucket and not request.key and not request.query
    site = _site(service, request) if plain and "authorization" not in request.headers else None
    return replace(request, key=site.index) if site and site.index else request


async def answer(service: OssService, operation: Operation, request: OssRequest, key: AccessKey | None) -> Reply:
    """Execute ``operation``; if its object does not exist, answer as the bucket's website."""
    site = _site(service, request) if operation.name in _READS and "versionId" not in request.query else None
    if site is None:
        return await operation.handler(service, request)
    visit = _Visit(service, request, site, key)
    redirect = site.redirect(request.key, _query(request), request.headers, 200)
    if redirect is not None:
        return await visit.follow(redirect)
    try:
        return await operation.handler(service, request)
    except OssError as error:
        if error.code != "NoSuchKey":
            raise
        reply = await visit.instead()
        if reply is None:
            raise
        return reply


class _Visit:
    """A request for a page that does not exist."""

    def __init__(self, service: OssService, request: OssRequest, site: Website, key: AccessKey | None) -> None:
        self._service = service
        self._request = request
        self._site = site
        self._key = key

    async def instead(self) -> Reply | None:
        """Return the index document, a redirect or the error document; ``None`` if none of them fits."""
        reply = await self._index()
        if reply is None:
            redirect = self._site.redirect(self._request.key, _query(self._request), self._request.headers, 404)
            if redirect is not None:
                return await self.follow(redirect)
        # A caller with a signature is a program, which gets errors as XML.
        if reply is None and self._key is None:
            reply = await self._try(self._site.error)
            if reply is not None:
                reply.status = self._site.error_status
        return reply

    async def follow(self, redirect: Redirect) -> Reply:
        """Answer with the target of a redirect. Raises ``NoSuchKey``."""
        if redirect.location:
            return Reply(redirect.status, {"location": quote(redirect.location, safe=":/?&=%#+,;@$!*'()~")})
        return await self._read(redirect.key)

    async def _index(self) -> Reply | None:
        key, site = self._request.key, self._site
        if key.endswith("/"):
            return await self._try(site.index and site.index_of(key))
        if site.folders in ("root", "missing"):
            return None
        folder = f"{key}/"
        if self._service.storage.object(self._request.bucket, site.index_of(folder)) is None:
            return None
        if site.folders == "index":
            return await self._try(site.index_of(folder))
        at_host = self._request.host.startswith(f"{self._request.bucket}.")
        path = folder if at_host else f"{self._request.bucket}/{folder}"
        return Reply(302, {"location": f"/{quote(path)}"})

    async def _try(self, key: str) -> Reply | None:
        if not key or self._service.storage.object(self._request.bucket, key) is None:
            return None
        return await self._read(key)

    async def _read(self, key: str) -> Reply:
        headers = {name: value for name, value in self._request.headers.items() if name not in _CONDITIONS}
        request = replace(self._request, key=key, query={}, headers=headers)
        request.admit(request)
        read = objects.head_object if request.method == "HEAD" else objects.get_object
        return await read(self._service, request)


def _site(service: OssService, request: OssRequest) -> Website | None:
    body = service.storage.document(request.bucket, "website")
    return None if body is None else read_website(body)


def _query(request: OssRequest) -> str:
    return urlencode(request.query)
