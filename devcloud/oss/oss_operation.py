"""One operation of OSS's API."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

from devcloud.oss.http.oss_reply import Reply
from devcloud.oss.http.oss_request import OssRequest
from devcloud.oss.oss_service import OssService

Access = Literal["anybody", "read", "write", "owner"]


@dataclass(frozen=True)
class Operation:
    """One operation, with its method, its level (service, bucket or object), its sub-resources and maybe a header.

    ``access`` is the permission that an ACL must grant to callers who are not the owner. ``takes`` are its optional
    query parameters, in addition to those of every operation.
    """

    name: str
    method: str
    level: Literal["service", "bucket", "object"]
    handler: Callable[[OssService, OssRequest], Awaitable[Reply]]
    access: Access = "owner"
    needs: tuple[str, ...] = ()
    header: str = ""
    takes: tuple[str, ...] = ()

    def fits(self, request: OssRequest) -> bool:
        """Tell whether ``request``, of this method and level, has this operation's sub-resources and header."""
        return all(name in request.query for name in self.needs) and (not self.header or self.header in request.headers)
