"""Web addresses that others give us, as far as they can be checked without a name server."""

import ipaddress
from contextlib import suppress
from urllib.parse import urlsplit

import httpx
import idna
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from shared.domain.errors import AddressRefusedError
from shared.domain.web_addresses import WebPolicy, check_ip, read_web_address

CAREFUL = WebPolicy()
OPEN = WebPolicy(allow_http=True, allow_networks=(ipaddress.ip_network("127.0.0.0/8"),))
NOT_PUBLIC = "not on the public internet"


@pytest.mark.parametrize(
    ("url", "host", "port"),
    [
        ("https://example.com", "example.com", None),
        ("https://EXAMPLE.com./x?y=http://127.0.0.1/#z", "example.com", None),
        ("https://example.com:443/x", "example.com", 443),
        ("https://example.com:8443?x", "example.com", 8443),
        ("https://example.com:65535/", "example.com", 65535),
        ("https://bücher.example/x", "xn--bcher-kva.example", None),
        ("https://例え.jp/x", "xn--r8jz45g.jp", None),
        ("https://BÜCHER.Example./x", "xn--bcher-kva.example", None),
        ("https://xn--fa-hia.de/x", "xn--fa-hia.de", None),
        ("https://fass.de/x", "fass.de", None),
        ("https://[2606:4700:0:0:0:0:0:ABCD]/x", "2606:4700::abcd", None),
        ("hTTpS://example.com", "example.com", None),
        ("https://_dmarc.a-b.example.com/" + "x" * 2000, "_dmarc.a-b.example.com", None),
        ("https://local.example.com/x", "local.example.com", None),
        ("https://93.184.216.34/x", "93.184.216.34", None),
        ("https://[2606:4700::1111]:8443/x", "2606:4700::1111", 8443),
        ("HTTPS://example.com/湖.png", "example.com", None),
    ],
)
def test_allowed_addresses_are_read(url: str, host: str, port: int | None) -> None:
    read = read_web_address(url, CAREFUL)
    assert (read.host, read.port, read.port_to_contact) == (host, port, port or 443)


@pytest.mark.parametrize(
    ("url", "rule"),
    [
        ("", "must begin with https://$"),
        ("http://example.com/", "must begin with https://$"),
        ("javascript:alert(1)", "must begin with https://$"),
        ("x" * 8000 + "://example.com/", "must begin with https://$"),
        ("httpſ://example.com/", "must begin with https://$"),
        ("https:example.com/", "must begin with https://$"),
        ("https:/example.com/", "must begin with https://$"),
        ("https:///example.com/", "must contain a host"),
        ("https://:443/", "must contain a host"),
        ("https://a:b@example.com/", "must not contain a user name"),
        ("https://:@example.com/", "must not contain a user name"),
        ("https://", "must contain a host"),
        ("https://?x", "must contain a host"),
        ("https://.", "does not have a valid host"),
        ("https://a..example.com/", "does not have a valid host"),
        ("https://-a.example.com/", "does not have a valid host"),
        ("https://127.0.0.1%2eexample.com/", "does not have a valid host"),
        ("https://exa%6dple.com/", "does not have a valid host"),
        ("https://1.2.3.4.5/", "does not have a valid host"),
        ("https://256.1.1.1/", "does not have a valid host"),
        ("https://1.1.1.0x/", "must write an IPv4 address as four decimal numbers"),
        ("https://08.8.8.8/", "does not have a valid host"),
        ("https://134744072/", "must write an IPv4 address as four decimal numbers"),
        ("https://010.8.8.8/", "must write an IPv4 address as four decimal numbers"),
        ("https://[2606:4700::1111%25eth0]/", "without a zone"),
        ("https://example.com:0/", "must have port 443"),
        ("https://example.com:22/", "must have port 443"),
        ("https://example.com:80/", "must have port 443"),
        ("https://example.com:65536/", "must have port 443, or a port from 1024 to 65535"),
        ("https://example.com:0443/", "must have port 443"),
        ("https://example.com:08443/", "must have port 443"),
        ("https://example.com:-443/", "must have port 443"),
        ("https://example.com:4_4_3/", "must have port 443"),
        ("https://example.com:٤٤٣/", "must have port 443"),
        ("https://example.com:443:8443/", "must have port 443"),
        ("https://example.com:443%20/", "must have port 443"),
        ("https://example.com:" + "9" * 5000 + "/", "must have port 443"),
        ("https://example.com:/", "must have a port after the colon"),
        ("https://example.com:+443/", "must have port 443"),
        ("https://169.254.169.254[2606:4700::1]/", "does not have a valid host"),
        ("https://example.com[2606:4700::1]/", "does not have a valid host"),
        ("https://[2606:4700::1]169.254.169.254/", "does not have a valid host"),
        ("https://[2606:4700::1].example.com:443/", "does not have a valid host"),
        ("https://[2606:4700::1][::1]/", "does not have a valid host"),
        ("https://[2606:4700::1/", "does not have a valid host"),
        ("https://2606:4700::1]/", "must have port 443"),
        ("https://[]/", "must have a valid IPv6 address"),
        ("https://[2606:4700::1٣]/", "must have a valid IPv6 address"),
        ("https://[2606:4700::00001]/", "must have a valid IPv6 address"),
        ("https://[127.0.0.1]/", "must have a valid IPv6 address"),
        ("https://[93.184.216.34]/", "must have a valid IPv6 address"),
        ("https://[v1.x]/", "must have a valid IPv6 address"),
        ("https://2606:4700::1/", "must have port 443"),
        ("https://exam\nple.com/", "must not contain spaces"),
        (" https://example.com/", "must not contain spaces"),
        ("https://example.com/a b", "must not contain spaces"),
        ("https://example.com/a\u3000b", "must not contain spaces"),
        ("https://example.com\\.evil.com/", "must not contain spaces, control characters, backslashes or"),
        ("https://example.com/\ud83d", "halves of surrogate pairs"),
        ("https://example.com/" + "x" * 9000, "must have at most 8192 characters"),
        ("https://intranet/", NOT_PUBLIC),
        ("https://localhost./", NOT_PUBLIC),
        ("https://a.LOCALHOST/", NOT_PUBLIC),
        ("https://metadata.google.internal/", NOT_PUBLIC),
        ("https://printer.local/", NOT_PUBLIC),
        ("https://nas.home.arpa/", NOT_PUBLIC),
        ("https://ⓛocalhost/", NOT_PUBLIC),
        ("https://faß.de/", "different programs convert to different names"),
        ("https://faẞ.de/", "different programs convert to different names"),
        ("https://νίκος.example/", "different programs convert to different names"),
        ("https://नी\u200dके.example/", "different programs convert to different names"),
        ("https://例え。jp/", "different programs convert to different names"),
        ("https://ｅxample.com/", "different programs convert to different names"),
        ("https://８.８.８.８/", "different programs convert to different names"),
        ("https://8。8。8。8/", "different programs convert to different names"),
        ("https://i❤.example/", "different programs convert to different names"),
        ("https://ab\U000e0100.example/", "different programs convert to different names"),
        ("https://Ꭰ.example/", "different programs convert to different names"),
        ("https://ﾊ.example/", "different programs convert to different names"),
        ("https://" + "a" * 64 + ".example/", "does not have a valid host"),
        ("https://" + "a." * 127 + "example/", "does not have a valid host"),
        ("https://example.com../", "does not have a valid host"),
        ("https://example.com;x/", "does not have a valid host"),
        ("https://example.com&x/", "does not have a valid host"),
        ("https://a%E3%80%82b.example/", "does not have a valid host"),
        ("https://0x7f.1/", NOT_PUBLIC),
        ("https://0X7F.1./", NOT_PUBLIC),
        ("https://a.0x7f/", "does not have a valid host"),
    ],
)
def test_refused_addresses_name_the_broken_rule(url: str, rule: str) -> None:
    with pytest.raises(AddressRefusedError, match=rule) as caught:
        read_web_address(url, CAREFUL)
    assert "example" not in str(caught.value)


def test_http_and_private_networks_need_a_policy() -> None:
    read = read_web_address("http://127.0.0.1:9000/x", OPEN)
    assert (str(read.ip), read.port_to_contact) == ("127.0.0.1", 9000)
    assert read_web_address("http://127.0.0.1/x", OPEN).port_to_contact == 80
    for url in ("http://127.1/x", "http://10.0.0.1/x", "http://localhost/x", "ftp://127.0.0.1/x"):
        with pytest.raises(AddressRefusedError):
            read_web_address(url, OPEN)


def test_the_url_to_contact_has_the_ip_in_place_of_the_name() -> None:
    read = read_web_address("https://bücher.example:8443/a/../b?c=%2F#d", CAREFUL)
    assert read.url_at("93.184.216.34") == "https://93.184.216.34:8443/a/../b?c=%2F"
    assert read.url_at("2606:4700::1111") == "https://[2606:4700::1111]:8443/a/../b?c=%2F"
    assert read.host_header == "xn--bcher-kva.example:8443"
    assert read_web_address("https://[2606:4700::1111]/", CAREFUL).host_header == "[2606:4700::1111]"


def _spellings(value: int) -> list[str]:
    parts = list(value.to_bytes(4, "big"))
    return [
        ".".join(map(str, parts)),
        ".".join(f"0{part:o}" for part in parts),
        ".".join(f"{part:#x}" for part in parts),
        str(value),
        f"{value:#x}",
        f"0{value:o}",
        f"{parts[0]}.{value & 0xFFFFFF}",
        f"{parts[0]}.{parts[1]}.{value & 0xFFFF}",
        ".".join(map(str, parts)) + ".",
        "。".join(map(str, parts)),
        f"[::ffff:{ipaddress.IPv4Address(value)}]",
        f"[::{value >> 16:x}:{value & 0xFFFF:x}]",
        f"[64:ff9b::{ipaddress.IPv4Address(value)}]",
        f"[2002:{value >> 16:x}:{value & 0xFFFF:x}::1]",
    ]


@given(st.ip_addresses(v=4, network="127.0.0.0/8") | st.ip_addresses(v=4, network="10.0.0.0/8"))
def test_every_spelling_of_a_private_address_is_refused(address: ipaddress.IPv4Address) -> None:
    for host in _spellings(int(address)):
        with pytest.raises(AddressRefusedError):
            read_web_address(f"https://{host}/", CAREFUL)


@given(st.text(max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    for url in (text, f"https://{text}", f"https://example.com{text}", f"https://{text}.com/"):
        try:
            read = read_web_address(url, CAREFUL)
        except AddressRefusedError:
            continue
        assert read.scheme == "https" and read.host.isascii() and read.host
        assert "\\" not in url and read.port != 0


_HOST_PARTS = st.sampled_from(
    [
        *(
            "example",
            "com",
            "a",
            "A",
            "xn--fa-hia",
            "xn--",
            "-",
            "_",
            ".",
            "..",
            "。",
            "．",
            "%2e",
            "%41",
            "@",
            ":",
            "[",
            "]",
        ),
        *(
            "127",
            "93",
            "184.216.34",
            "0x7f",
            "0177",
            "8.8.8.8",
            "١",
            "８",
            "::",
            "2606:4700",
            "::ffff:",
            "%25",
            "v1.",
            "#",
            "?",
            "/",
        ),
        *(
            "ß",
            "ς",
            "σ",
            "\u200d",
            "ü",
            "u\u0308",
            "Ü",
            "İ",
            "ſ",
            "K",
            "例",
            "え",
            "ア",
            "ﾊ",
            "א",
            "ا",
            "क",
            "्",
            "한",
            "\u1112",
            "\u1161",
        ),
        *(":443", ":8443", ":08443", ":0", ":+1", "\\", "\t", " ", ";", "&", "!", "*", "\u00ad", "\u115f", "Ꭰ", "ⓛ"),
    ]
)
_HOSTS = st.lists(_HOST_PARTS, max_size=6).map("".join) | st.text(st.characters(categories=["L", "M", "N"]), max_size=6)


@settings(max_examples=300)
@given(_HOSTS, st.sampled_from(["", ".", ".example", ".example:8443"]))
@example("169.254.169.254[2606:4700::1]", "")
@example("faß", ".de")
def test_other_libraries_read_the_same_host_and_port(host: str, rest: str) -> None:
    url = f"https://{host}{rest}/x"
    try:
        read = read_web_address(url, CAREFUL)
    except AddressRefusedError:
        return
    with suppress(httpx.InvalidURL):
        other = httpx.URL(url)
        assert _same_host(other.raw_host.decode()) == read.host and (other.port or 443) == read.port_to_contact
    parts = urlsplit(url)
    with suppress(idna.IDNAError):
        found = parts.hostname or ""
        named = idna.encode(found, uts46=True).decode() if not found.isascii() else found
        assert _same_host(named) == read.host and parts.port == read.port
    # This address is contacted.
    contacted = httpx.URL(read.url_at("93.184.216.34"))
    assert (contacted.host, contacted.port or 443) == ("93.184.216.34", read.port_to_contact)


def _same_host(text: str) -> str:
    """Return a host as ``read_web_address`` has it: without a dot at its end, IPv6 in its shortest form."""
    return str(ipaddress.ip_address(text)) if ":" in text else text.removesuffix(".")


@pytest.mark.parametrize(
    "text",
    [
        *("100.100.100.200", "169.254.169.254", "192.0.0.192", "192.88.99.1", "198.18.0.1", "240.0.0.1", "224.0.0.1"),
        *("0.0.0.0", "::", "::1", "fe80::1%eth0", "fc00::1", "ff02::1", "2001:0:7f00:1::", "2002:7f00:1::"),  # noqa: S104 - refused
        *("64:ff9b::7f00:1", "64:ff9b:1::1", "::ffff:10.0.0.1", "3fff::1", "2001:db8::1", "4000::1"),
    ],
)
def test_ip_addresses_that_are_not_public_are_refused(text: str) -> None:
    with pytest.raises(AddressRefusedError, match=NOT_PUBLIC):
        check_ip(text, CAREFUL)


@pytest.mark.parametrize("text", ["93.184.216.34", "2606:4700::1111", "::ffff:93.184.216.34", "192.0.1.1"])
def test_public_ip_addresses_are_allowed(text: str) -> None:
    check_ip(text, CAREFUL)
