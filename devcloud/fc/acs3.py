"""ACS3-HMAC-SHA256, the signature of Alibaba Cloud's APIs.

https://www.alibabacloud.com/help/en/sdk/product-overview/v3-request-structure-and-signature
"""

import hashlib
import hmac
import secrets
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from urllib.parse import parse_qsl, quote

from devcloud.credentials import AccessKey, Credentials
from devcloud.fc.fc_error import FcError

_ALGORITHM = "ACS3-HMAC-SHA256"
_MAX_SKEW_S = 15 * 60
_ALWAYS_SIGNED = {"host", "x-acs-content-sha256", "x-acs-date"}


def sign(
    method: str, path: str, query: str, headers: Mapping[str, str], body: bytes, *, action: str, key: AccessKey
) -> dict[str, str]:
    """Return ``headers`` (``host`` among them) and the headers that sign the request; all names in lower case."""
    signed = {
        **{name.lower(): value for name, value in headers.items()},
        "x-acs-action": action,
        "x-acs-version": "2023-03-30",
        "x-acs-date": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "x-acs-signature-nonce": secrets.token_hex(16),
        "x-acs-content-sha256": hashlib.sha256(body).hexdigest(),
    }
    if key.security_token:
        signed["x-acs-security-token"] = key.security_token
    names = sorted(signed)
    signature = _signature(method, path, query, signed, names, key.access_key_secret)
    fields = f"Credential={key.access_key_id},SignedHeaders={';'.join(names)},Signature={signature}"
    return {**signed, "authorization": f"{_ALGORITHM} {fields}"}


def verify(
    method: str, path: str, query: str, headers: Mapping[str, str], body: bytes, *, credentials: Credentials
) -> None:
    """Raise ``FcError`` unless the request (path as sent, header names in lower case) is signed by a known key."""
    algorithm, _, rest = headers.get("authorization", "").partition(" ")
    fields = dict(field.strip().split("=", 1) for field in rest.split(",") if "=" in field)
    if algorithm != _ALGORITHM or not {"Credential", "SignedHeaders", "Signature"} <= fields.keys():
        raise FcError(403, "AccessDenied", f"the request is not signed with {_ALGORITHM}")
    key = credentials.get(fields["Credential"])
    if key is None:
        raise FcError(403, "InvalidAccessKeyId", "the access key id does not exist")
    _check_age(headers.get("x-acs-date", ""))
    _check_token(key, headers.get("x-acs-security-token"))
    names = fields["SignedHeaders"].split(";")
    mandatory = _ALWAYS_SIGNED | ({"x-acs-security-token"} if key.security_token else set())
    intact = hmac.compare_digest(headers.get("x-acs-content-sha256", ""), hashlib.sha256(body).hexdigest())
    expected = _signature(method, path, query, headers, names, key.access_key_secret)
    if not (intact and mandatory <= set(names) and hmac.compare_digest(expected, fields["Signature"])):
        raise FcError(403, "SignatureDoesNotMatch", "the signature does not match the request")


def _check_age(date: str) -> None:
    try:
        signed_at = datetime.strptime(date, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp()
    except ValueError:
        raise FcError(400, "InvalidArgument", "x-acs-date must look like 2023-09-05T06:41:11Z") from None
    # The client took this time from its own clock, which is not the emulators' clock.
    if abs(time.time() - signed_at) > _MAX_SKEW_S:
        raise FcError(403, "RequestTimeTooSkewed", "x-acs-date differs from the present time by more than 15 minutes")


def _check_token(key: AccessKey, token: str | None) -> None:
    if not hmac.compare_digest((key.security_token or "").encode(), (token or "").encode()):
        raise FcError(403, "InvalidSecurityToken", "the security token does not belong to the access key id")
    if key.expires_at is not None and key.expires_at <= time.time():
        raise FcError(403, "InvalidSecurityToken.Expired", "the security token has expired")


def _signature(
    method: str, path: str, query: str, headers: Mapping[str, str], names: Iterable[str], secret: str
) -> str:
    parameters = sorted(parse_qsl(query, keep_blank_values=True))
    canonical = "\n".join(
        (
            method,
            path or "/",
            "&".join(f"{quote(name, safe='~')}={quote(value, safe='~')}" for name, value in parameters),
            "".join(f"{name}:{headers.get(name, '').strip()}\n" for name in sorted(names)),
            ";".join(sorted(names)),
            headers.get("x-acs-content-sha256", ""),
        )
    )
    to_sign = f"{_ALGORITHM}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    return hmac.new(secret.encode(), to_sign.encode(), hashlib.sha256).hexdigest()
