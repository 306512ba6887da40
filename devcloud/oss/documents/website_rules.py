"""Static websites: the document, its index and error documents and its redirects.

The redirects External, AliCDN and Internal work; Mirror, which fetches from another server, is only stored.
See https://www.alibabacloud.com/help/en/oss/developer-reference/putbucketwebsite.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal
from xml.etree import ElementTree as ET

from devcloud.oss.documents.xml_document import Document, boolean, integer, one_of, read_root, required, write_root
from devcloud.oss.http import xml
from devcloud.oss.oss_errors import invalid_argument, malformed_xml

MAX_RULES = 20
REDIRECTS = ("Mirror", "External", "Internal", "AliCDN")
REDIRECT_CODES = (301, 302, 307)


@dataclass(frozen=True)
class Redirect:
    """The target of a rule: ``key`` of the same bucket (``status`` 0), else to the URL ``location``."""

    status: int
    key: str = ""
    location: str = ""


@dataclass(frozen=True)
class Website:
    """A valid document. ``folders`` is the answer to a request for a folder without a slash at the end."""

    index: str
    error: str
    error_status: int
    folders: Literal["root", "redirect", "missing", "index"]
    root: ET.Element

    def index_of(self, folder: str) -> str:
        """Return the key of the index document of ``folder``, which is empty or ends with a slash."""
        return self.index if self.folders == "root" else folder + self.index

    def redirect(self, key: str, query: str, headers: Mapping[str, str], status: int) -> Redirect | None:
        """Return the redirect of a request for ``key`` whose answer would have ``status``; ``None`` if no rule fits."""
        rules = sorted(
            self.root.iterfind("RoutingRules/RoutingRule"), key=lambda rule: int(required(rule, "RuleNumber"))
        )
        for rule in rules:
            if _holds(rule, key, headers, status):
                return _redirect(rule, key, query, headers.get("host", ""))
        return None


def read_website(body: bytes) -> Website:
    """Read a valid document."""
    root = read_root(body, "WebsiteConfiguration")
    index = xml.text_of(root, "IndexDocument/Suffix") or ""
    folders: Literal["root", "redirect", "missing", "index"] = "root"
    if boolean(root, "IndexDocument/SupportSubDir", default=False):
        kinds: dict[str, Literal["redirect", "missing", "index"]] = {"0": "redirect", "1": "missing", "2": "index"}
        folders = kinds[xml.text_of(root, "IndexDocument/Type") or "0"]
    error_status = integer(root, "ErrorDocument/HttpStatus", least=200) or 404
    return Website(index, xml.text_of(root, "ErrorDocument/Key") or "", error_status, folders, root)


def _holds(rule: ET.Element, key: str, headers: Mapping[str, str], status: int) -> bool:
    condition = rule.find("Condition")
    if condition is None:
        return True
    code = integer(condition, "HttpErrorCodeReturnedEquals", least=1)
    wanted = {
        (xml.text_of(node, "Key") or "").lower(): xml.text_of(node, "Equals")
        for node in condition.iterfind("IncludeHeader")
    }
    return (
        (code is None or code == status)
        and key.startswith(xml.text_of(condition, "KeyPrefixEquals") or "")
        and key.endswith(xml.text_of(condition, "KeySuffixEquals") or "")
        and all(name in headers and value in (None, headers[name]) for name, value in wanted.items())
    )


def _redirect(rule: ET.Element, key: str, query: str, host: str) -> Redirect | None:
    redirect = rule.find("Redirect")
    if redirect is None or xml.text_of(redirect, "RedirectType") == "Mirror":
        return None
    prefix = xml.text_of(rule, "Condition/KeyPrefixEquals") or ""
    replaced = xml.text_of(redirect, "ReplaceKeyWith")
    if replaced is not None:
        key = replaced.replace("${key}", key)
    elif (replaced := xml.text_of(redirect, "ReplaceKeyPrefixWith")) is not None:
        key = replaced + key.removeprefix(prefix)
    if xml.text_of(redirect, "RedirectType") == "Internal":
        return Redirect(0, key)
    protocol = xml.text_of(redirect, "Protocol") or "http"
    location = f"{protocol}://{xml.text_of(redirect, 'HostName') or host}/{key}"
    if query and boolean(redirect, "PassQueryString", default=False):
        location += f"?{query}"
    return Redirect(integer(redirect, "HttpRedirectCode", least=300) or 302, location=location)


def _check(body: bytes) -> bytes:
    root = read_root(body, "WebsiteConfiguration")
    if all(root.find(tag) is None for tag in ("IndexDocument", "ErrorDocument", "RoutingRules")):
        raise malformed_xml()
    if root.find("IndexDocument") is not None:
        _check_index(root)
    if root.find("ErrorDocument") is not None:
        key = required(root, "ErrorDocument/Key")
        status = integer(root, "ErrorDocument/HttpStatus", least=200)
        if status not in (None, 200, 404):
            raise invalid_argument("The status must be 200 or 404.", "HttpStatus", str(status))
        if key.startswith("/"):
            raise invalid_argument("The error document's key is invalid.", "Key", key)
    rules = root.findall("RoutingRules/RoutingRule")
    if len(rules) > MAX_RULES:
        raise malformed_xml()
    for rule in rules:
        _check_rule(rule)
    return write_root(root)


def _check_index(root: ET.Element) -> None:
    suffix = required(root, "IndexDocument/Suffix")
    if "/" in suffix:
        raise invalid_argument("The suffix of the index document is invalid.", "Suffix", suffix)
    boolean(root, "IndexDocument/SupportSubDir", default=False)
    if root.find("IndexDocument/Type") is not None:
        one_of(root, "IndexDocument/Type", ("0", "1", "2"))


def _check_rule(rule: ET.Element) -> None:
    required(rule, "RuleNumber")
    integer(rule, "RuleNumber", least=1)
    integer(rule, "Condition/HttpErrorCodeReturnedEquals", least=400)
    redirect = rule.find("Redirect")
    if redirect is None:
        raise malformed_xml()
    kind = one_of(redirect, "RedirectType", REDIRECTS)
    for name in ("PassQueryString", "MirrorPassQueryString", "MirrorFollowRedirect", "MirrorCheckMd5"):
        boolean(redirect, name, default=False)
    code = integer(redirect, "HttpRedirectCode", least=300)
    if code not in (None, *REDIRECT_CODES):
        raise invalid_argument("The redirect code must be 301, 302 or 307.", "HttpRedirectCode", str(code))
    if kind == "Mirror":
        _check_mirror(redirect)


def _check_mirror(redirect: ET.Element) -> None:
    url = required(redirect, "MirrorURL")
    if not url.startswith(("http://", "https://")) or not url.endswith("/"):
        raise invalid_argument("The mirror's URL is invalid.", "MirrorURL", url)
    passed = redirect.find("MirrorPassQueryString")
    if passed is not None:
        # The real service stores one value for both elements.
        node = redirect.find("PassQueryString")
        node = ET.SubElement(redirect, "PassQueryString") if node is None else node
        node.text = passed.text


WEBSITE = Document("website", _check, "Website", missing="NoSuchWebsiteConfiguration")
