"""Web addresses that others give us, and which of them may be contacted.

What can be told without asking a name server is told here; the addresses of a name are checked once it is resolved,
by ``check_ip``. Everything that is not plainly a host of the public internet is refused.
"""

import ipaddress
import re
import unicodedata
from dataclasses import dataclass

from shared.domain.errors import AddressRefusedError

_MAX_LENGTH = 8192
# Backslashes and white space are read as a separator by some and as a part of a name by others; halves of surrogate
# pairs cannot be sent.
_AMBIGUOUS = re.compile(r"[\x00-\x20\x7f\\\s\ud800-\udfff]")
_URL = re.compile(r"(https?)://([^/?#]*)([^#]*)(?:#.*)?", re.ASCII | re.IGNORECASE | re.DOTALL)
# All of it or nothing: what stands before or behind brackets is a host to some.
_AUTHORITY = re.compile(r"(\[[^\[\]]*\]|[^\[\]:]*)(?::(.*))?")
_PORT = re.compile(r"0|[1-9][0-9]{0,4}")
_HOST = re.compile(r"(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)+")
_NUMBER = re.compile(r"0x[0-9a-f]*|[0-9]+")
# RFC 6761, RFC 6762, RFC 8375, and the names that networks at home and at work give themselves.
_LOCAL_NAMES = (
    *(".localhost", ".localdomain", ".local", ".internal", ".intranet", ".private", ".corp", ".home", ".lan"),
    ".home.arpa",
)
_IN_NAMES = {"Ll", "Lm", "Lo", "Mn", "Mc", "Nd"}
_IGNORED_BY_SOME = "\u115f\u1160\u17b4\u17b5"  # fillers of Hangul, inherent vowels of Khmer: UTS 46 leaves them out
_DEFAULT_PORTS = {"https": 443, "http": 80}
_FIRST_FREE_PORT, _LAST_PORT = 1024, 65535  # below it are the ports of mail, name and file servers
# Beside what Python calls not global: RFC 6598 (Alibaba Cloud's metadata service is in it), RFC 6890, RFC 7526.
_NOT_PUBLIC_V4 = [ipaddress.IPv4Network(text) for text in ("100.64.0.0/10", "192.0.0.0/24", "192.88.99.0/24")]
# The rest of IPv6 is local, or holds an IPv4 address that a translator would contact, as 6to4's part of this does.
_PUBLIC_V6 = ipaddress.IPv6Network("2000::/3")
_NOT_PUBLIC_V6 = [ipaddress.IPv6Network(text) for text in ("2001::/32", "2002::/16", "3fff::/20")]

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True)
class WebPolicy:
    """What may be contacted beside https on the public internet; nothing by default."""

    allow_http: bool = False
    allow_networks: tuple[IpNetwork, ...] = ()


@dataclass(frozen=True)
class WebAddress:
    """An address that may be contacted as far as its text tells.

    ``host`` is in lower case and ASCII, without brackets and without a dot at its end; ``port`` is the one that the
    text states; ``ip`` is set where the host is not a name; ``target`` is the path with the query.
    """

    scheme: str
    host: str
    port: int | None
    ip: IpAddress | None
    target: str

    @property
    def port_to_contact(self) -> int:
        """The port, be it stated or the scheme's own."""
        return self.port or _DEFAULT_PORTS[self.scheme]

    @property
    def host_header(self) -> str:
        """What the header Host says."""
        return self._at(self.host)

    def url_at(self, ip: str) -> str:
        """Return the URL with ``ip`` in place of the host, and without fragment."""
        return f"{self.scheme}://{self._at(ip)}{self.target}"

    def _at(self, host: str) -> str:
        bracketed = f"[{host}]" if ":" in host else host
        return bracketed if self.port is None else f"{bracketed}:{self.port}"


def read_web_address(url: str, policy: WebPolicy) -> WebAddress:
    """Read a URL, without resolving anything. Raises AddressRefusedError, which says the rule that it breaks."""
    if len(url) > _MAX_LENGTH:
        raise AddressRefusedError(f"must have at most {_MAX_LENGTH} characters")
    if _AMBIGUOUS.search(url):
        raise AddressRefusedError("must not hold spaces, control characters, backslashes or halves of surrogate pairs")
    scheme, authority, target = _split(url, policy)
    if "@" in authority:
        raise AddressRefusedError("must not hold a user name")
    match = _AUTHORITY.fullmatch(authority)
    if match is None:
        raise AddressRefusedError("names no valid host")
    host, port = match[1], _read_port(match[2], _DEFAULT_PORTS[scheme])
    if not host:
        raise AddressRefusedError("names no host")
    name, ip = _read_ipv6(host[1:-1], policy) if host.startswith("[") else _read_ipv4_or_name(host, policy)
    return WebAddress(scheme, name, port, ip, target)


def check_ip(text: str, policy: WebPolicy) -> IpAddress:
    """Return the IP address that ``text`` states, with or without a zone. Raises AddressRefusedError: not public."""
    address: IpAddress = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    if any(address.version == network.version and address in network for network in policy.allow_networks):
        return address
    if isinstance(address, ipaddress.IPv4Address):
        public = not any(address in network for network in _NOT_PUBLIC_V4)
    else:
        public = address in _PUBLIC_V6 and not any(address in network for network in _NOT_PUBLIC_V6)
    if not public or not address.is_global or address.is_multicast:
        raise AddressRefusedError("is not on the public internet")
    return address


def _split(url: str, policy: WebPolicy) -> tuple[str, str, str]:
    """Return scheme, authority, and path with query."""
    match = _URL.fullmatch(url)
    scheme = match[1].lower() if match else ""
    if match is None or (scheme == "http" and not policy.allow_http):
        raise AddressRefusedError("must begin with https://")
    return scheme, match[2], match[3]


def _read_port(text: str | None, usual: int) -> int | None:
    if text is None:
        return None
    if text == "":
        raise AddressRefusedError("names no port after the colon")
    port = int(text) if _PORT.fullmatch(text) else 0
    if port != usual and not _FIRST_FREE_PORT <= port <= _LAST_PORT:
        raise AddressRefusedError(f"must have port {usual}, or one from {_FIRST_FREE_PORT} to {_LAST_PORT}")
    return port


def _read_ipv6(text: str, policy: WebPolicy) -> tuple[str, IpAddress]:
    """Return the address in its shortest form, and the one to contact."""
    try:
        host = str(ipaddress.IPv6Address(text.partition("%")[0]))
    except ValueError:
        host = ""
    ip = check_ip(host, policy) if host else None
    if ip is None or "%" in text:
        raise AddressRefusedError("must hold an IPv6 address without a zone between brackets")
    return host, ip


def _read_ipv4_or_name(host: str, policy: WebPolicy) -> tuple[str, IpAddress | None]:
    """Return the name in ASCII, and the address that it is."""
    name = _to_ascii(host)
    *_, last = name.split(".")
    # No top-level domain is a number, so what ends in one is meant as an address (WHATWG URL, "ends in a number").
    ip = _read_ipv4(name, policy) if _NUMBER.fullmatch(last) else None
    if ip is None:
        _check_name(name)
    _check_script(host, name)
    return name, ip


def _check_name(name: str) -> None:
    if f".{name}".endswith(_LOCAL_NAMES) or "." not in name:
        raise AddressRefusedError("is not on the public internet")
    if not _HOST.fullmatch(name):
        raise AddressRefusedError("names no valid host")


def _to_ascii(host: str) -> str:
    """Return the name as name servers know it. It may be written in another script."""
    try:
        return host.encode("idna").decode().lower().removesuffix(".")
    except UnicodeError:
        raise AddressRefusedError("names no valid host") from None


def _check_script(host: str, name: str) -> None:
    """Refuse a host of which others, by IDNA 2008 or UTS 46, make another name than ``name``.

    Python's codec follows IDNA 2003, and all agree on letters, marks and digits of Unicode 3.2 in lower case. So ``ß``,
    joiners, wide letters, symbols and younger scripts are refused; a name that has them can be written as ``xn--…``.
    """
    if host.isascii():
        return
    try:
        written = name.encode().decode("idna")
    except UnicodeError:
        written = ""
    if written != host.lower().removesuffix(".") or not all(map(_is_unambiguous, written)):
        raise AddressRefusedError("names a host that not everybody reads alike; write it as xn--…")


def _is_unambiguous(character: str) -> bool:
    return character in "-." or (
        unicodedata.ucd_3_2_0.category(character) in _IN_NAMES and character not in _IGNORED_BY_SOME
    )


def _read_ipv4(host: str, policy: WebPolicy) -> IpAddress:
    """Read what ``inet_aton`` reads: one to four decimal, octal or hexadecimal numbers; the last fills what is left."""
    try:
        *first, last = (_read_number(part) for part in host.split("."))
        if len(first) > 3 or any(number > 255 for number in first) or last >= 256 ** (4 - len(first)):
            raise ValueError
    except ValueError:
        raise AddressRefusedError("names no valid host") from None
    value = sum(number << (24 - 8 * place) for place, number in enumerate(first)) + last
    address = check_ip(str(ipaddress.IPv4Address(value)), policy)
    if str(address) != host:
        # Not everybody reads the other notations alike: to some, 0177 is 177.
        raise AddressRefusedError("must state an IP address as four decimal numbers")
    return address


def _read_number(text: str) -> int:
    if not _NUMBER.fullmatch(text):
        raise ValueError(text)
    if text.startswith("0x"):
        return int(text[2:] or "0", 16)
    return int(text, 8) if text.startswith("0") else int(text)
