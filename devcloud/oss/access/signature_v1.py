"""Signature version 1: HMAC-SHA1 over method, headers and resource.

https://www.alibabacloud.com/help/en/oss/developer-reference/include-signatures-in-the-authorization-header
"""

import hmac
from base64 import b64encode

from devcloud.oss.access.claim import Claim, canonical_headers, canonical_query, canonical_resource, with_question_mark
from devcloud.oss.access.signature_age import check_skew, read_http_date
from devcloud.oss.http.oss_request import OssRequest
from devcloud.oss.http.sub_resources import V1_SIGNED_PARAMETERS
from devcloud.oss.oss_errors import invalid_argument

MISMATCH_EC = "0002-00000040"


def read_header(request: OssRequest, credentials: str) -> Claim:
    """Read ``Authorization: OSS KEY_ID:SIGNATURE``. Raises ``InvalidArgument``, ``RequestTimeTooSkewed``."""
    access_key_id, colon, signature = credentials.partition(":")
    if not colon:
        value = request.headers["authorization"]
        raise invalid_argument("Authorization header is invalid.", "Authorization", value)
    date = request.headers.get("x-oss-date") or request.headers.get("date", "")
    check_skew(read_http_date(date))
    return claim(request, access_key_id, signature, date)


def claim(request: OssRequest, access_key_id: str, signature: str, date: str) -> Claim:
    """Return the claim of a request; ``date`` is the date of a header or the expiry time of a URL."""
    signed = {name: value for name, value in request.query.items() if name in V1_SIGNED_PARAMETERS}
    lines = [
        request.method,
        request.headers.get("content-md5", ""),
        request.headers.get("content-type", ""),
        date,
        canonical_headers(request, ()) + canonical_resource(request) + with_question_mark(canonical_query(signed)),
    ]
    return Claim(access_key_id, signature, "\n".join(lines).encode(), sign, MISMATCH_EC)


def sign(secret: str, text: bytes) -> str:
    """Return the signature of ``text``."""
    return b64encode(hmac.digest(secret.encode(), text, "sha1")).decode()
