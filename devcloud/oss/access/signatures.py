"""Signatures: which access key signed a request. Each version has its own module.

A signature is in the Authorization header (``signature_v1``, ``signature_v2``, ``signature_v4``), in the URL
(``presigned_urls``) or in the form of a PostObject (``post_policy``).
"""

import hmac
import time

from devcloud.credentials import AccessKey, Credentials
from devcloud.oss.access import signature_v1, signature_v2, signature_v4
from devcloud.oss.access.claim import Claim
from devcloud.oss.access.post_policy import read_form_signature
from devcloud.oss.access.presigned_urls import read_url
from devcloud.oss.http.oss_request import OssRequest
from devcloud.oss.oss_errors import OssError, invalid_argument

_UNKNOWN_KEY = "The OSS Access Key Id you provided does not exist in our records."


def authenticate(request: OssRequest, credentials: Credentials, *, region: str, now: float) -> AccessKey | None:
    """Return the key that signed ``request``, ``None`` if the request is not signed at all.

    ``now`` (Unix seconds) is the time by which URLs expire; the dates of headers are compared with the real time,
    by which clients sign. Raises an ``OssError`` that names what is wrong with the signature.
    """
    claim = _read_claim(request, region, now)
    if claim is None:
        return None
    key = credentials.get(claim.access_key_id)
    if key is None:
        details = {"OSSAccessKeyId": claim.access_key_id}
        raise OssError(403, "InvalidAccessKeyId", _UNKNOWN_KEY, ec="0002-00000902", details=details)
    _check_token(request, key)
    expected = claim.sign(key.access_key_secret, claim.string_to_sign)
    if not hmac.compare_digest(expected.encode(), claim.signature.encode()):
        raise _mismatch(claim)
    return key


def _read_claim(request: OssRequest, region: str, now: float) -> Claim | None:
    if request.form is not None:
        return read_form_signature(request.form, region)
    authorization = request.headers.get("authorization", "")
    scheme, _, rest = authorization.partition(" ")
    if scheme == "OSS":
        return signature_v1.read_header(request, rest)
    if scheme == "OSS2":
        return signature_v2.read_header(request, rest)
    if scheme == "OSS4-HMAC-SHA256":
        return signature_v4.read_header(request, rest, region)
    if authorization:
        raise invalid_argument("Authorization header is invalid.", "Authorization", authorization)
    return read_url(request, region, now)


def _check_token(request: OssRequest, key: AccessKey) -> None:
    given = (
        request.headers.get("x-oss-security-token")
        or request.query.get("security-token")
        or request.query.get("x-oss-security-token")
    )
    if key.security_token is None and given is None:
        return
    if given is None:
        raise OssError(403, "InvalidAccessKeyId", _UNKNOWN_KEY, ec="0002-00000003")
    if key.security_token is None or not hmac.compare_digest(given.encode(), key.security_token.encode()):
        message = "The security token you provided is invalid."
        raise OssError(403, "InvalidSecurityToken", message, ec="0002-00000006")
    # Tokens are issued for a period of real time.
    if key.expires_at is not None and key.expires_at <= time.time():
        message = "The security token you provided has expired."
        raise OssError(403, "SecurityTokenExpired", message, ec="0002-00000007")


def _mismatch(claim: Claim) -> OssError:
    message = (
        "The request signature we calculated does not match the signature you provided."
        " Check your key and signing method."
    )
    details = {
        "OSSAccessKeyId": claim.access_key_id,
        "SignatureProvided": claim.signature,
        "StringToSign": claim.string_to_sign.decode(),
    }
    return OssError(403, "SignatureDoesNotMatch", message, ec=claim.mismatch_ec, details=details)
