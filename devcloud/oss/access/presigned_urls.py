"""Presigned URLs: signatures V1, V2 and V4 in the query, and their expiry.

https://www.alibabacloud.com/help/en/oss/developer-reference/ddd-signatures-to-urls
"""

from devcloud.oss.access import signature_v1, signature_v2, signature_v4
from devcloud.oss.access.claim import Claim, additional_headers
from devcloud.oss.access.signature_age import check_expiry, read_iso_date, read_seconds
from devcloud.oss.http.oss_request import OssRequest
from devcloud.oss.oss_errors import invalid_argument

MAX_V4_URL_LIFETIME_S = 7 * 24 * 3600


def read_url(request: OssRequest, region: str, now: float) -> Claim | None:
    """Return the claim of a presigned URL, ``None`` if the URL is not signed.

    ``now`` is in Unix seconds. Raises ``AccessDenied`` for an expired URL, and ``InvalidArgument``.
    """
    version = request.query.get("x-oss-signature-version")
    if version == "OSS2":
        return _read_v2(request, now)
    if version == "OSS4-HMAC-SHA256":
        return _read_v4(request, region, now)
    if "OSSAccessKeyId" in request.query or "Signature" in request.query:
        return _read_v1(request, now)
    return None


def _read_v1(request: OssRequest, now: float) -> Claim:
    expires = request.query.get("Expires", "")
    check_expiry(read_seconds("Expires", expires), now)
    access_key_id, signature = request.query.get("OSSAccessKeyId", ""), request.query.get("Signature", "")
    return signature_v1.claim(request, access_key_id, signature, expires)


def _read_v2(request: OssRequest, now: float) -> Claim:
    query = request.query
    expires = query.get("x-oss-expires", "")
    check_expiry(read_seconds("x-oss-expires", expires), now)
    additional = additional_headers(query.get("x-oss-additional-headers", ""))
    access_key_id, signature = query.get("x-oss-access-key-id", ""), query.get("x-oss-signature", "")
    return signature_v2.claim(request, access_key_id, signature, expires, additional)


def _read_v4(request: OssRequest, region: str, now: float) -> Claim:
    query = request.query
    signed_at = read_iso_date(query.get("x-oss-date", ""))
    lifetime_s = read_seconds("x-oss-expires", query.get("x-oss-expires", ""))
    if lifetime_s > MAX_V4_URL_LIFETIME_S:
        message = "x-oss-expires should be less than 604800."
        raise invalid_argument(message, "x-oss-expires", query["x-oss-expires"])
    check_expiry(signed_at.timestamp() + lifetime_s, now)
    scope = signature_v4.Scope.of_parameter(query.get("x-oss-credential", ""), region)
    additional = additional_headers(query.get("x-oss-additional-headers", ""))
    return signature_v4.claim(request, scope, query.get("x-oss-signature", ""), signed_at, additional)
