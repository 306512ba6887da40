"""Refuses requests whose Host header does not name this machine.

The host name of a web page may resolve to 127.0.0.1 (DNS rebinding). The browser then treats the local cloud as the
site of that page and lets the page read the answers. Only the Host header shows the difference.
"""

import ipaddress
import re
from collections.abc import Callable

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

# aliyuncs.com is for clients that use this machine as the proxy of the real service: no other site can have the name.
_SUFFIXES = (".localhost", ".aliyuncs.com")
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:\d*)?")


def local_hosts_only(app: ASGIApp, refuse: Callable[[str], Response]) -> ASGIApp:
    """Return ``app`` behind a check that answers ``refuse(message)`` to requests for other hosts."""

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        hosts = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
        if len(hosts) == 1 and is_local(hosts[0]):
            await app(scope, receive, send)
        else:
            await refuse(_message(hosts))(scope, receive, send)

    return guarded


def is_local(host: str) -> bool:
    """Tell whether a Host header names loopback, ``localhost``, or something below localhost or aliyuncs.com."""
    match = _HOST.fullmatch(host.lower())
    if match is None:
        return False
    name = match[1]
    if name == "localhost" or name.endswith(_SUFFIXES):
        return True
    try:
        return ipaddress.ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return False


def _message(hosts: list[str]) -> str:
    given = f"is {hosts[0]!r}" if len(hosts) == 1 else f"was sent {len(hosts)} times"
    return (
        f"The Host header {given}, but the local cloud answers only under names of this machine: "
        "127.0.0.1, [::1], localhost, *.localhost and *.aliyuncs.com."
    )
