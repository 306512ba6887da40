"""Signature version 2: like version 1, with HMAC-SHA256, additional signed headers and all parameters.

https://www.alibabacloud.com/help/en/oss/developer-reference/include-signatures-in-the-authorization-header
"""

import hmac
from base64 import b64encode

from devcloud.oss.access.claim import (
    Claim,
    additional_headers,
    canonical_headers,
    canonical_resource,
    encode,
    encoded_query,
    with_question_mark,
)
from devcloud.oss.access.signature_age import check_skew, read_http_date
from devcloud.oss.http.oss_request import OssRequest


def read_header(request: OssRequest, credentials: str) -> Claim:
    """Read ``Authorization: OSS2 AccessKeyId:…,AdditionalHeaders:…,Signature:…``. Raises ``RequestTimeTooSkewed``."""
    fields = dict(pair.split(":", 1) for pair in credentials.split(",") if ":" in pair)
    date = request.headers.get("date", "") or request.headers.get("x-oss-date", "")
    check_skew(read_http_date(date))
    additional = additional_headers(fields.get("AdditionalHeaders", ""))
    return claim(request, fields.get("AccessKeyId", ""), fields.get("Signature", ""), date, additional)


def claim(request: OssRequest, access_key_id: str, signature: str, date: str, additional: list[str]) -> Claim:
    """Return the claim of a request; ``date`` is the date of a header or the expiry time of a URL."""
    lines = [
        request.method,
        request.headers.get("content-md5", ""),
        request.headers.get("content-type", ""),
        date,
        canonical_headers(request, additional) + ";".join(additional),
        encode(canonical_resource(request)) + with_question_mark(encoded_query(request)),
    ]
    return Claim(access_key_id, signature, "\n".join(lines).encode(), _sign, "0002-00000040")


def _sign(secret: str, text: bytes) -> str:
    return b64encode(hmac.digest(secret.encode(), text, "sha256")).decode()
