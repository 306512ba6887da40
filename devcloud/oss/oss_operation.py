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
    """One operation: asked for by a method on a service, bucket or object with sub-resources (and a header).

    ``access`` is what an ACL must grant to callers who are not the owner; ``takes`` are the query parameters that may
    come along beside those of every operation.
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
        """Tell whether ``request``, of this method and level, asks for this operation or a more general one."""
        return all(name in request.query for name in self.needs) and (not self.header or self.header in request.headers)
