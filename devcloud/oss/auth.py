"""Who asks: signatures V1, V2 and V4, in the Authorization header and in the URL.

V1 https://www.alibabacloud.com/help/en/oss/developer-reference/include-signatures-in-the-authorization-header
V4 https://www.alibabacloud.com/help/en/oss/developer-reference/recommend-to-use-signature-version-4
"""

import hashlib
import hmac
import re
import time
from base64 import b64encode
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache, partial
from urllib.parse import quote

from devcloud.credentials import AccessKey, Credentials
from devcloud.oss.errors import OssError, access_denied, invalid_argument
from devcloud.oss.request import OssRequest

MAX_SKEW_S = 15 * 60
MAX_V4_URL_LIFETIME_S = 7 * 24 * 3600
_HEADER_REGION = ("Invalid signing region in Authorization header.", "0002-00000226")
_URL_REGION = ("The signing region in credential is invalid.", "0002-00000228")
_ISO_DATE = re.compile(r"\d{8}T\d{6}Z", re.ASCII)

# The query parameters that a V1 signature covers.
_V1_SIGNED = (
    "accessPoint accessPointPolicy acl append asyncFetch bucketArchiveDirectRead bucketInfo callback callback-var cname"
    " comp continuation-token cors delete encryption endTime group httpsConfig img inventory inventoryId lifecycle link"
    " live location logging metaQuery objectInfo objectMeta partNumber policy policyStatus position publicAccessBlock"
    " qos qosInfo qosRequester redundancyTransition referer regionList replication replicationLocation"
    " replicationProgress requestPayment requesterQosInfo resourceGroup resourcePool resourcePoolBuckets"
    " resourcePoolInfo response-cache-control response-content-disposition response-content-encoding"
    " response-content-language response-content-type response-expires restore security-token sequential startTime stat"
    " status style styleName symlink tagging transferAcceleration uploadId uploads versionId versioning versions vod"
    " website worm wormExtend wormId x-oss-ac-forward-allow x-oss-ac-source-ip x-oss-ac-subnet-mask x-oss-ac-vpc-id"
    " x-oss-access-point-name x-oss-async-process x-oss-process x-oss-redundancy-transition-taskid x-oss-request-payer"
    " x-oss-target-redundancy-type x-oss-traffic-limit x-oss-write-get-object-response"
)
V1_SIGNED_PARAMETERS = frozenset(_V1_SIGNED.split())


@dataclass(frozen=True)
class Claim:
    """Who a request says it comes from, and how to check that."""

    access_key_id: str
    signature: str
    string_to_sign: bytes
    sign: Callable[[str, bytes], str]
    mismatch_ec: str


def authenticate(request: OssRequest, credentials: Credentials, *, region: str, now: float) -> AccessKey | None:
    """Return the key that signed ``request``, ``None`` if it is not signed at all.

    ``now`` (Unix seconds) is the time that URLs expire by; headers are held against the real time, by which
    clients sign. Raises the ``OssError`` of whatever is wrong with the signature.
    """
    claim = _read_claim(request, region, now)
    if claim is None:
        return None
    key = credentials.get(claim.access_key_id)
    if key is None:
        message = "The OSS Access Key Id you provided does not exist in our records."
        details = {"OSSAccessKeyId": claim.access_key_id}
        raise OssError(403, "InvalidAccessKeyId", message, ec="0002-00000902", details=details)
    _check_token(request, key)
    expected = claim.sign(key.access_key_secret, claim.string_to_sign)
    if not hmac.compare_digest(expected.encode(), claim.signature.encode()):
        raise _mismatch(claim)
    return key


def _read_claim(request: OssRequest, region: str, now: float) -> Claim | None:
    if request.form is not None:
        return _form(request.form, region)
    authorization = request.headers.get("authorization", "")
    scheme, _, rest = authorization.partition(" ")
    if scheme == "OSS":
        return _v1_header(request, rest)
    if scheme == "OSS2":
        return _v2_header(request, rest)
    if scheme == "OSS4-HMAC-SHA256":
        return _v4_header(request, rest, region)
    if authorization:
        raise invalid_argument("Authorization header is invalid.", "Authorization", authorization)
    version = request.query.get("x-oss-signature-version")
    if version == "OSS2":
        return _v2_url(request, now)
    if version == "OSS4-HMAC-SHA256":
        return _v4_url(request, region, now)
    if "OSSAccessKeyId" in request.query or "Signature" in request.query:
        return _v1_url(request, now)
    return None


def _check_token(request: OssRequest, key: AccessKey) -> None:
    given = (
        request.headers.get("x-oss-security-token")
        or request.query.get("security-token")
        or request.query.get("x-oss-security-token")
    )
    if key.security_token is None and given is None:
        return
    if given is None:
        message = "The OSS Access Key Id you provided does not exist in our records."
        raise OssError(403, "InvalidAccessKeyId", message, ec="0002-00000003")
    if key.security_token is None or not hmac.compare_digest(given.encode(), key.security_token.encode()):
        message = "The security token you provided is invalid."
        raise OssError(403, "InvalidSecurityToken", message, ec="0002-00000006")
    # Tokens are issued for a span of real time.
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


# Version 1


def _v1_header(request: OssRequest, credentials: str) -> Claim:
    access_key_id, colon, signature = credentials.partition(":")
    if not colon:
        value = request.headers["authorization"]
        raise invalid_argument("Authorization header is invalid.", "Authorization", value)
    date = request.headers.get("x-oss-date") or request.headers.get("date", "")
    _check_skew(_http_date(date))
    return _v1_claim(request, access_key_id, signature, date)


def _v1_url(request: OssRequest, now: float) -> Claim:
    expires = request.query.get("Expires", "")
    _check_expiry(_seconds("Expires", expires), now)
    access_key_id, signature = request.query.get("OSSAccessKeyId", ""), request.query.get("Signature", "")
    return _v1_claim(request, access_key_id, signature, expires)


def _v1_claim(request: OssRequest, access_key_id: str, signature: str, date: str) -> Claim:
    signed = {name: value for name, value in request.query.items() if name in V1_SIGNED_PARAMETERS}
    lines = [
        request.method,
        request.headers.get("content-md5", ""),
        request.headers.get("content-type", ""),
        date,
        _header_lines(request, ()) + _resource(request) + _question(_pairs(signed)),
    ]
    return Claim(access_key_id, signature, "\n".join(lines).encode(), _sign_v1, "0002-00000040")


def _sign_v1(secret: str, text: bytes) -> str:
    return b64encode(hmac.digest(secret.encode(), text, "sha1")).decode()


# Version 2


def _v2_header(request: OssRequest, credentials: str) -> Claim:
    fields = dict(pair.split(":", 1) for pair in credentials.split(",") if ":" in pair)
    date = request.headers.get("date", "") or request.headers.get("x-oss-date", "")
    _check_skew(_http_date(date))
    additional = _names(fields.get("AdditionalHeaders", ""))
    return _v2_claim(request, fields.get("AccessKeyId", ""), fields.get("Signature", ""), date, additional)


def _v2_url(request: OssRequest, now: float) -> Claim:
    query = request.query
    expires = query.get("x-oss-expires", "")
    _check_expiry(_seconds("x-oss-expires", expires), now)
    additional = _names(query.get("x-oss-additional-headers", ""))
    access_key_id, signature = query.get("x-oss-access-key-id", ""), query.get("x-oss-signature", "")
    return _v2_claim(request, access_key_id, signature, expires, additional)


def _v2_claim(request: OssRequest, access_key_id: str, signature: str, date: str, additional: list[str]) -> Claim:
    lines = [
        request.method,
        request.headers.get("content-md5", ""),
        request.headers.get("content-type", ""),
        date,
        _header_lines(request, additional) + ";".join(additional),
        _encode(_resource(request)) + _question(_encoded_query(request)),
    ]
    return Claim(access_key_id, signature, "\n".join(lines).encode(), _sign_v2, "0002-00000040")


def _sign_v2(secret: str, text: bytes) -> str:
    return b64encode(hmac.digest(secret.encode(), text, "sha256")).decode()


# Version 4


def _v4_header(request: OssRequest, credentials: str, region: str) -> Claim:
    fields = dict(pair.strip().split("=", 1) for pair in credentials.split(",") if "=" in pair)
    date = request.headers.get("x-oss-date", "") or request.headers.get("date", "")
    signed_at = _iso_date(date) if _ISO_DATE.fullmatch(date) else _http_date(date)
    _check_skew(signed_at)
    scope = _Scope.parse(fields.get("Credential", ""), region, "0002-00000213", _HEADER_REGION)
    additional = _names(fields.get("AdditionalHeaders", ""))
    return _v4_claim(request, scope, fields.get("Signature", ""), signed_at, additional)


def _v4_url(request: OssRequest, region: str, now: float) -> Claim:
    query = request.query
    signed_at = _iso_date(query.get("x-oss-date", ""))
    lifetime_s = _seconds("x-oss-expires", query.get("x-oss-expires", ""))
    if lifetime_s > MAX_V4_URL_LIFETIME_S:
        message = "x-oss-expires should be less than 604800."
        raise invalid_argument(message, "x-oss-expires", query["x-oss-expires"])
    _check_expiry(signed_at.timestamp() + lifetime_s, now)
    scope = _Scope.parse(query.get("x-oss-credential", ""), region, "0002-00000224", _URL_REGION)
    additional = _names(query.get("x-oss-additional-headers", ""))
    return _v4_claim(request, scope, query.get("x-oss-signature", ""), signed_at, additional)


@dataclass(frozen=True)
class _Scope:
    access_key_id: str
    date: str
    region: str

    @classmethod
    def parse(cls, credential: str, region: str, malformed_ec: str, mismatch: tuple[str, str]) -> "_Scope":
        # An access key id may hold slashes, the rest may not.
        match = re.fullmatch(r"(.+)/(\d{8})/([^/]*)/oss/aliyun_v4_request", credential)
        if match is None:
            message = "The credential in the request is invalid."
            raise invalid_argument(message, "x-oss-credential", credential, malformed_ec)
        scope = cls(*match.groups())
        if scope.region != region:
            message, ec = mismatch
            raise invalid_argument(message, "x-oss-credential", credential, ec)
        return scope


def _v4_claim(request: OssRequest, scope: _Scope, signature: str, signed_at: datetime, additional: list[str]) -> Claim:
    canonical_request = "\n".join(
        [
            request.method,
            _encode(_resource(request), safe="/"),
            _encoded_query(request),
            _header_lines(request, {"content-type", "content-md5", *additional}),
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

    return Claim(scope.access_key_id, signature, string_to_sign.encode(), partial(_sign_v4, scope), "0002-00000201")


def _sign_v4(scope: _Scope, secret: str, text: bytes) -> str:
    return hmac.digest(_signing_key(secret, scope.date, scope.region), text, "sha256").hex()


@lru_cache(maxsize=64)
def _signing_key(secret: str, date: str, region: str) -> bytes:
    key = f"aliyun_v4{secret}".encode()
    for step in (date, region, "oss", "aliyun_v4_request"):
        key = hmac.digest(key, step.encode(), "sha256")
    return key


# Forms: what is signed is the policy, as it is in the form.


def _form(form: dict[str, str], region: str) -> Claim | None:
    policy = form.get("policy", "").encode()
    if form.get("x-oss-signature-version") == "OSS4-HMAC-SHA256":
        scope = _Scope.parse(form.get("x-oss-credential", ""), region, "0002-00000224", _URL_REGION)
        return Claim(
            scope.access_key_id, form.get("x-oss-signature", ""), policy, partial(_sign_v4, scope), "0002-00000201"
        )
    if "ossaccesskeyid" not in form and "signature" not in form:
        return None
    access_key_id, signature = form.get("ossaccesskeyid", ""), form.get("signature", "")
    if not policy:
        raise invalid_argument("Bucket POST must contain a field named 'policy'.", "policy", "")
    return Claim(access_key_id, signature, policy, _sign_v1, "0002-00000040")


# Canonical forms


def _resource(request: OssRequest) -> str:
    return f"/{request.bucket}/{request.key}" if request.bucket else "/"


def _encode(text: str, safe: str = "") -> str:
    return quote(text, safe=safe + "-_.~")


def _pairs(query: dict[str, str]) -> str:
    return "&".join(f"{name}={value}" if value else name for name, value in sorted(query.items()))


def _encoded_query(request: OssRequest) -> str:
    unsigned = ("x-oss-signature",)
    return _pairs({_encode(name): _encode(value) for name, value in request.query.items() if name not in unsigned})


def _question(pairs: str) -> str:
    return f"?{pairs}" if pairs else ""


def _header_lines(request: OssRequest, additional: Iterable[str]) -> str:
    signed = sorted(name for name in request.headers if name.startswith("x-oss-") or name in additional)
    return "".join(f"{name}:{request.headers[name]}\n" for name in signed)


def _names(text: str) -> list[str]:
    return sorted(name.lower() for name in text.split(";") if name)


# Times


def _http_date(text: str) -> datetime:
    try:
        date = parsedate_to_datetime(text)
    except (TypeError, ValueError) as error:
        raise _invalid_date() from error
    return date if date.tzinfo else date.replace(tzinfo=UTC)


def _iso_date(text: str) -> datetime:
    if not _ISO_DATE.fullmatch(text):
        raise _invalid_date()
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise _invalid_date() from error


def _invalid_date() -> OssError:
    return access_denied("OSS authentication requires a valid Date.", "0002-00000502")


def _seconds(name: str, text: str) -> int:
    if not re.fullmatch(r"\d{1,12}", text):
        raise access_denied(f"Invalid signing expires: {name} must be a number of seconds.", "0002-00000070")
    return int(text)


def _check_skew(signed_at: datetime) -> None:
    if abs(signed_at.timestamp() - time.time()) > MAX_SKEW_S:
        message = "The difference between the request time and the current time is too large."
        details = {"MaxAllowedSkewMilliseconds": str(MAX_SKEW_S * 1000)}
        raise OssError(403, "RequestTimeTooSkewed", message, ec="0002-00000504", details=details)


def _check_expiry(expires_at: float, now: float) -> None:
    if expires_at < now:
        raise access_denied("Request has expired.", "0002-00000069")
