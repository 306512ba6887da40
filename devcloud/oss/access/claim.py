"""The claim of a signed request, and the canonical forms that the signature versions share."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from urllib.parse import quote

from devcloud.oss.http.oss_request import OssRequest


@dataclass(frozen=True)
class Claim:
    """The access key that a request names, its signature, and how to compute the expected signature.

    ``sign`` takes the secret and ``string_to_sign``. ``mismatch_ec`` is the EC of a wrong signature.
    """

    access_key_id: str
    signature: str
    string_to_sign: bytes
    sign: Callable[[str, bytes], str]
    mismatch_ec: str


def canonical_resource(request: OssRequest) -> str:
    """Return ``/BUCKET/KEY``, or ``/`` for the service."""
    return f"/{request.bucket}/{request.key}" if request.bucket else "/"


def canonical_headers(request: OssRequest, additional: Iterable[str]) -> str:
    """Return one line for each header that is signed: ``x-oss-*`` and the ``additional`` ones."""
    signed = sorted(name for name in request.headers if name.startswith("x-oss-") or name in additional)
    return "".join(f"{name}:{request.headers[name]}\n" for name in signed)


def canonical_query(query: dict[str, str]) -> str:
    """Return sorted ``name=value`` pairs, and names alone where the value is empty."""
    return "&".join(f"{name}={value}" if value else name for name, value in sorted(query.items()))


def encoded_query(request: OssRequest) -> str:
    """Return the canonical query of all parameters except the signature, percent-encoded."""
    signed = ((name, value) for name, value in request.query.items() if name != "x-oss-signature")
    return canonical_query({encode(name): encode(value) for name, value in signed})


def with_question_mark(query: str) -> str:
    """Return ``?query``, or "" for an empty query."""
    return f"?{query}" if query else ""


def encode(text: str, safe: str = "") -> str:
    """Percent-encode everything except RFC 3986's unreserved characters and ``safe``."""
    return quote(text, safe=safe + "-_.~")


def additional_headers(text: str) -> list[str]:
    """Return the sorted lower-case names of ``AdditionalHeaders``, which are separated by semicolons."""
    return sorted(name.lower() for name in text.split(";") if name)
