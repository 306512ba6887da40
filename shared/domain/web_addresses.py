"""Web addresses from users and providers, and which of them may be contacted.

``read_web_address`` decides everything that is possible without a name server. ``check_ip`` checks the addresses of a
name after the name is resolved. Only hosts that are clearly on the public internet are allowed.
"""

import ipaddress
import re
import unicodedata
from dataclasses import dataclass

from shared.domain.errors import AddressRefusedError

_MAX_LENGTH = 8192
# Some readers treat backslashes and white space as separators, others as a part of a name. Halves of surrogate pairs
# cannot be sent.
_AMBIGUOUS = re.compile(r"[\x00-\x20\x7f\\\s\ud800-\udfff]")
_URL = re.compile(r"(https?)://([^/?#]*)([^#]*)(?:#.*)?", re.ASCII | re.IGNORECASE | re.DOTALL)
# The pattern must match the whole authority: some readers take text before or after the brackets for the host.
_AUTHORITY = re.compile(r"(\[[^\[\]]*\]|[^\[\]:]*)(?::(.*))?")
_PORT = re.compile(r"0|[1-9][0-9]{0,4}")
_HOST = re.compile(r"(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)+")
_NUMBER = re.compile(r"0x[0-9a-f]*|[0-9]+")
# RFC 6761, RFC 6762, RFC 8375, and names that are common in home and office networks.
_LOCAL_NAMES = (
    *(".localhost", ".localdomain", ".local", ".internal", ".intranet", ".private", ".corp", ".home", ".lan"),
    ".home.arpa",
)
_IN_NAMES = {"Ll", "Lm", "Lo", "Mn", "Mc", "Nd"}
_IGNORED_BY_SOME = "\u115f\u1160\u17b4\u17b5"  # fillers of Hangul, inherent vowels of Khmer: UTS 46 removes them
_DEFAULT_PORTS = {"https": 443, "http": 80}
_FIRST_FREE_PORT, _LAST_PORT = 1024, 65535  # lower ports belong to mail, name and file servers
# In addition to the networks that Python calls not global: RFC 6598 (Alibaba Cloud's metadata service is in it),
# RFC 6890, RFC 7526.
_NOT_PUBLIC_V4 = [ipaddress.IPv4Network(text) for text in ("100.64.0.0/10", "192.0.0.0/24", "192.88.99.0/24")]
# The rest of IPv6 is local, or contains an IPv4 address that a translator would contact. 6to4, inside this
# network, is one of these translators.
_PUBLIC_V6 = ipaddress.IPv6Network("2000::/3")
_NOT_PUBLIC_V6 = [ipaddress.IPv6Network(text) for text in ("2001::/32", "2002::/16", "3fff::/20")]

_NOT_A_HOST = "does not have a valid host"

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True)
class WebPolicy:
    """What may be contacted in addition to https on the public internet; by default nothing."""

    allow_http: bool = False
    allow_networks: tuple[IpNetwork, ...] = ()


@dataclass(frozen=True)
class WebAddress:
    """An address that may be contacted, judged by its text alone.

    ``host`` is in lower case and ASCII, without brackets and without a dot at the end. ``port`` is None if the text
    states no port. ``ip`` is None if the host is a name. ``target`` is the path with the query.
    """

    scheme: str
    host: str
    port: int | None
    ip: IpAddress | None
    target: str

    @property
    def port_to_contact(self) -> int:
        """The stated port, or the default port of the scheme."""
        return self.port or _DEFAULT_PORTS[self.scheme]

    @property
    def host_header(self) -> str:
        """The value of the header Host."""
        return self._at(self.host)

    def url_at(self, ip: str) -> str:
        """Return the URL with ``ip`` in place of the host and without a fragment."""
        return f"{self.scheme}://{self._at(ip)}{self.target}"

    def _at(self, host: str) -> str:
        bracketed = f"[{host}]" if ":" in host else host
        return bracketed if self.port is None else f"{bracketed}:{self.port}"


def read_web_address(url: str, policy: WebPolicy) -> WebAddress:
    """Read a URL without resolving its host. Raises AddressRefusedError, which names the rule that the URL breaks."""
    if len(url) > _MAX_LENGTH:
        raise AddressRefusedError(f"must have at most {_MAX_LENGTH} characters")
    if _AMBIGUOUS.search(url):
        raise AddressRefusedError(
            "must not contain spaces, control characters, backslashes or halves of surrogate pairs"
        )
    scheme, authority, target = _split(url, policy)
    if "@" in authority:
        raise AddressRefusedError("must not contain a user name or a password")
    match = _AUTHORITY.fullmatch(authority)
    if match is None:
        raise AddressRefusedError(_NOT_A_HOST)
    host, port = match[1], _read_port(match[2], _DEFAULT_PORTS[scheme])
    if not host:
        raise AddressRefusedError("must contain a host after the scheme")
    name, ip = _read_ipv6(host[1:-1], policy) if host.startswith("[") else _read_ipv4_or_name(host, policy)
    return WebAddress(scheme, name, port, ip, target)


def check_ip(text: str, policy: WebPolicy) -> IpAddress:
    """Return the IP address in ``text``, which may have a zone. Raises AddressRefusedError: it is not public."""
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
        raise AddressRefusedError("must have a port after the colon, or no colon")
    port = int(text) if _PORT.fullmatch(text) else 0
    if port != usual and not _FIRST_FREE_PORT <= port <= _LAST_PORT:
        raise AddressRefusedError(f"must have port {usual}, or a port from {_FIRST_FREE_PORT} to {_LAST_PORT}")
    return port


def _read_ipv6(text: str, policy: WebPolicy) -> tuple[str, IpAddress]:
    """Return the address in its shortest form, and the address to contact."""
    try:
        host = str(ipaddress.IPv6Address(text.partition("%")[0]))
    except ValueError:
        host = ""
    ip = check_ip(host, policy) if host else None
    if ip is None or "%" in text:
        raise AddressRefusedError("must have a valid IPv6 address, without a zone, between the brackets")
    return host, ip


def _read_ipv4_or_name(host: str, policy: WebPolicy) -> tuple[str, IpAddress | None]:
    """Return the host in ASCII, and its address if the host is an IPv4 address."""
    name = _to_ascii(host)
    *_, last = name.split(".")
    # No top-level domain is a number, so a host that ends in a number is an address (WHATWG URL, "ends in a number").
    ip = _read_ipv4(name, policy) if _NUMBER.fullmatch(last) else None
    if ip is None:
        _check_name(name)
    _check_script(host, name)
    return name, ip


def _check_name(name: str) -> None:
    if f".{name}".endswith(_LOCAL_NAMES) or "." not in name:
        raise AddressRefusedError("is not on the public internet")
    if not _HOST.fullmatch(name):
        raise AddressRefusedError(_NOT_A_HOST)


def _to_ascii(host: str) -> str:
    """Return the ASCII form of a name, which may be written in any script."""
    try:
        return host.encode("idna").decode().lower().removesuffix(".")
    except UnicodeError:
        raise AddressRefusedError(_NOT_A_HOST) from None


def _check_script(host: str, name: str) -> None:
    """Refuse a host that IDNA 2008 or UTS 46 convert to a different name than ``name``.

    Python's codec follows IDNA 2003. All three agree on letters, marks and digits of Unicode 3.2 in lower case. So
    ``ß``, joiners, wide letters, symbols and newer scripts are refused; a name with them can be written as ``xn--…``.
    """
    if host.isascii():
        return
    try:
        written = name.encode().decode("idna")
    except UnicodeError:
        written = ""
    if written != host.lower().removesuffix(".") or not all(map(_is_unambiguous, written)):
        raise AddressRefusedError(
            "has a host that different programs convert to different names; write the host as xn--…"
        )


def _is_unambiguous(character: str) -> bool:
    return character in "-." or (
        unicodedata.ucd_3_2_0.category(character) in _IN_NAMES and character not in _IGNORED_BY_SOME
    )


def _read_ipv4(host: str, policy: WebPolicy) -> IpAddress:
    """Read the notations of ``inet_aton``: one to four decimal, octal or hexadecimal numbers.

    The last number fills the remaining bytes.
    """
    try:
        *first, last = (_read_number(part) for part in host.split("."))
        if len(first) > 3 or any(number > 255 for number in first) or last >= 256 ** (4 - len(first)):
            raise ValueError
    except ValueError:
        raise AddressRefusedError(_NOT_A_HOST) from None
    value = sum(number << (24 - 8 * place) for place, number in enumerate(first)) + last
    address = check_ip(str(ipaddress.IPv4Address(value)), policy)
    if str(address) != host:
        # Programs differ in the other notations: some read 0177 as 177.
        raise AddressRefusedError("must write an IPv4 address as four decimal numbers, like 93.184.216.34")
    return address


def _read_number(text: str) -> int:
    if not _NUMBER.fullmatch(text):
        raise ValueError(text)
    if text.startswith("0x"):
        return int(text[2:] or "0", 16)
    return int(text, 8) if text.startswith("0") else int(text)
