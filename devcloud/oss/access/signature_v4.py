"""Signature version 4: HMAC-SHA256 with a key that is derived for one day and one region.

https://www.alibabacloud.com/help/en/oss/developer-reference/recommend-to-use-signature-version-4
"""

import hashlib
import hmac
import re
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache, partial

from devcloud.oss.access.claim import (
    Claim,
    additional_headers,
    canonical_headers,
    canonical_resource,
    encode,
    encoded_query,
)
from devcloud.oss.access.signature_age import check_skew, is_iso_date, read_http_date, read_iso_date
from devcloud.oss.http.oss_request import OssRequest
from devcloud.oss.oss_errors import invalid_argument

MISMATCH_EC = "0002-00000201"


@dataclass(frozen=True)
class Scope:
    """What a signature is valid for: an access key, a day (``20260131``) and a region."""

    access_key_id: str
    date: str
    region: str

    @classmethod
    def of_header(cls, credential: str, region: str) -> "Scope":
        """Read the ``Credential`` of an Authorization header. Raises ``InvalidArgument``."""
        scope = cls._parse(credential, "0002-00000213")
        if scope.region != region:
            message = "Invalid signing region in Authorization header."
            raise invalid_argument(message, "x-oss-credential", credential, "0002-00000226")
        return scope

    @classmethod
    def of_parameter(cls, credential: str, region: str) -> "Scope":
        """Read the parameter or form field ``x-oss-credential``. Raises ``InvalidArgument``."""
        scope = cls._parse(credential, "0002-00000224")
        if scope.region != region:
            message = "The signing region in credential is invalid."
            raise invalid_argument(message, "x-oss-credential", credential, "0002-00000228")
        return scope

    @classmethod
    def _parse(cls, credential: str, malformed_ec: str) -> "Scope":
        # The access key id may contain slashes, the other parts may not.
        match = re.fullmatch(r"(.+)/(\d{8})/([^/]*)/oss/aliyun_v4_request", credential)
        if match is None:
            message = "The credential in the request is invalid."
            raise invalid_argument(message, "x-oss-credential", credential, malformed_ec)
        return cls(*match.groups())


def read_header(request: OssRequest, credentials: str, region: str) -> Claim:
    """Read ``Authorization: OSS4-HMAC-SHA256 Credential=…,AdditionalHeaders=…,Signature=…``.

    Raises ``InvalidArgument`` and ``RequestTimeTooSkewed``.
    """
    fields = dict(pair.strip().split("=", 1) for pair in credentials.split(",") if "=" in pair)
    date = request.headers.get("x-oss-date", "") or request.headers.get("date", "")
    signed_at = read_iso_date(date) if is_iso_date(date) else read_http_date(date)
    check_skew(signed_at)
    scope = Scope.of_header(fields.get("Credential", ""), region)
    additional = additional_headers(fields.get("AdditionalHeaders", ""))
    return claim(request, scope, fields.get("Signature", ""), signed_at, additional)


def claim(request: OssRequest, scope: Scope, signature: str, signed_at: datetime, additional: list[str]) -> Claim:
    """Return the claim of a request."""
    canonical_request = "\n".join(
        [
            request.method,
            encode(canonical_resource(request), safe="/"),
            encoded_query(request),
            canonical_headers(request, {"content-type", "content-md5", *additional}),
            ";".join(additional),
            request.headers.get("x-oss-content-sha256", "UNSIGNED-PAYLOAD"),
        ]
    )
    string_to_sign = "\n".join(
        [
            "OSS4-HMAC-SHA256",
            signed_at.strftime("%Y%m%dT%H%M%SZ"),
            f"{scope.date}/{scope.region}/oss/aliyun_v4_request",
            hashlib.sha256(canonical_request.encode()).hexdigest(),
        ]
    )
    return claim_of_text(scope, signature, string_to_sign.encode())


def claim_of_text(scope: Scope, signature: str, string_to_sign: bytes) -> Claim:
    """Return the claim of any text."""
    return Claim(scope.access_key_id, signature, string_to_sign, partial(_sign, scope), MISMATCH_EC)


def _sign(scope: Scope, secret: str, text: bytes) -> str:
    return hmac.digest(_signing_key(secret, scope.date, scope.region), text, "sha256").hex()


@lru_cache(maxsize=64)
def _signing_key(secret: str, date: str, region: str) -> bytes:
    key = f"aliyun_v4{secret}".encode()
    for step in (date, region, "oss", "aliyun_v4_request"):
        key = hmac.digest(key, step.encode(), "sha256")
    return key
