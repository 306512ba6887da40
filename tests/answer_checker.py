"""The texts that no answer may contain: paths, keys, secrets, stack traces, SQL."""

import json
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).resolve().parents[1]
# Function Compute sets these headers itself and refuses them from a function.
FORBIDDEN_HEADERS = {"connection", "content-length", "date", "keep-alive", "server", "upgrade"}
_WORDS = (
    "ossPath",
    "oss_path",
    "Traceback",
    "stackTrace",
    'File "',
    "site-packages",
)
_PLACES = ("/tmp/", "/root/", "/home/", "/code/", "/var/", "/usr/", "/dev/", "\\tmp\\")  # noqa: S108 - looked for, not used
# Parts of an object's URL that no other text may contain.
_ONLY_IN_URLS = {
    r"users/[^/\s\"]+/jobs/": "an object key",
    r"\b(?:LTAI|STS\.)[0-9A-Za-z]{8,}": "an access key id",
    r"(?i)security[-_]?token": "a security token",
    r"(?i)x-oss-(?:credential|signature)": "a signature",
}
_NOWHERE = {
    r"\bSELECT\b.+\bFROM\b|\bINSERT INTO\b|\bDELETE FROM\b|\bUPDATE \w+ SET\b|\bWHERE \w+ ?=": "a piece of SQL",
    r"<(?:class|function|module|bound method) |\bat 0x[0-9a-f]{6,}|\b(?:Pydantic\w+|\w+Exception|\w+Error)\(": "Python",
    r"\b(?:pydantic|pymysql|peewee|sqlite3|httpx|oss2|urllib3)(?:[._]\w+)*\.\w*(?:Error|Exception)": "a library",
    r"-internal\.(?:oss|fc|aliyuncs)|\.rds\.aliyuncs\.com|\b100\.100\.100\.200\b": "an inner host",
    r"-----BEGIN |\bsk-[0-9A-Za-z]{8,}|\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.": "a key or a token",
}


class AnswerChecker:
    """Fails on an answer with internal texts: local paths, object keys outside URLs, secrets, stack traces."""

    def __init__(self, folders: list[Path], secrets: Mapping[str, str], *, signed_urls: bool = False) -> None:
        named = {str(folder.resolve()) for folder in [*folders, ROOT, Path(tempfile.gettempdir()), Path.home()]}
        self._words = {word: word for word in [*_WORDS, *_PLACES, *(name for name in named if len(name) > 1)]}
        if not signed_urls:  # a signed URL contains the token of a temporary key
            self._words["security-token"] = "a security token"
        self._words |= {value: name for name, value in secrets.items()}

    def check(self, response: httpx.Response) -> None:
        """Check the headers and the body of an answer; an httpx response hook."""
        response.read()
        self.check_text(f"{response.request.method} {response.request.url.path}", response.text)
        for name, value in response.headers.multi_items():
            self.check_text(f"header {name}", f"{name}: {value}")

    def check_result(self, result: bytes) -> dict[str, Any]:
        """Check the result that an HTTP function returned to the platform, and return it."""
        returned = json.loads(result)
        assert returned.keys() <= {"statusCode", "headers", "isBase64Encoded", "body"}, returned.keys()
        assert isinstance(returned["statusCode"], int) and isinstance(returned["body"], str)
        for name, value in returned["headers"].items():
            assert isinstance(value, str), f"header {name} is {value!r}"
            refused = name.lower() in FORBIDDEN_HEADERS or name.lower().startswith("x-fc-")
            assert not refused, f"the function sets the header {name}, which the platform refuses"
            self.check_text(f"header {name}", f"{name}: {value}")
        self.check_text("the body that the function returned", returned["body"])
        return dict(returned)

    def check_text(self, where: str, text: str) -> None:
        """Fail if ``text``, unchanged or with JSON's escapes decoded, contains an internal text."""
        plain = re.sub(r"\\u([0-9a-fA-F]{4})", lambda match: chr(int(match[1], 16)), text).replace("\\/", "/")
        for word, name in self._words.items():
            if word in text or word in plain:
                raise AssertionError(f"{where} contains {name}: …{_around(plain, word)}…")
        _refuse(where, plain, _NOWHERE)
        _refuse(where, _without_urls(text), _ONLY_IN_URLS)


def _refuse(where: str, text: str, patterns: Mapping[str, str]) -> None:
    for pattern, name in patterns.items():
        if match := re.search(pattern, text):
            raise AssertionError(f"{where} contains {name}: …{_around(text, match[0])}…")


def _without_urls(text: str) -> str:
    """Remove values that are whole URLs, like ``ossUrl``. A text that is not JSON stays unchanged."""
    try:
        return json.dumps(_pruned(json.loads(text)), ensure_ascii=False)
    except ValueError:
        return text


def _pruned(value: object) -> object:
    if isinstance(value, dict):
        return {name: _pruned(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_pruned(each) for each in value]
    return "" if isinstance(value, str) and re.fullmatch(r"https?://\S+", value) else value


def _around(text: str, word: str) -> str:
    at = max(text.find(word), 0)
    return text[max(at - 60, 0) : at + len(word) + 60]
