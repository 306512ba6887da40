"""JWT verification by PyJWT. What is refused beyond what PyJWT refuses follows RFC 8725."""

import logging
import re
import time
from collections.abc import Callable
from typing import Any

import jwt

from shared.adapters.key_sets import KeySet, RemoteKeySet, SharedSecret, TokenKeys
from shared.domain.callers import Caller, ServiceCaller, UserCaller
from shared.domain.errors import (
    ConfigurationError,
    InvalidTokenError,
    KeysUnavailableError,
    UnauthenticatedError,
    ValidationError,
)
from shared.domain.keys import check_user_id
from shared.settings import AuthSettings

log = logging.getLogger(__name__)
_LEEWAY_S = 30
_MAX_TOKEN_CHARACTERS = 8 * 1024  # Function Compute takes no longer headers, and no other way in may, either
_LAST_TIME = 253_402_300_799  # the end of the year 9999, Unix time
_TIMES = ("exp", "nbf", "iat")
_COMPACT = re.compile(r"[\w-]+\.[\w-]+\.[\w-]+", re.ASCII)
# Extensions that must be understood, and keys that a token brings along or says where to fetch: RFC 7515, section 4.1.
_REFUSED_HEADERS = {"crit", "jku", "jwk", "x5u", "x5c"}


class TokenVerifier:
    """Verifies bearer tokens with the one kind of key that is configured; the token has no say in it.

    ``fetch_keys`` returns the document at AUTH_JWKS_URL or raises KeysUnavailableError; ``monotonic`` is the time in
    seconds. Raises ConfigurationError: there is no usable key in AUTH_JWKS.
    """

    def __init__(
        self,
        config: AuthSettings,
        *,
        fetch_keys: Callable[[str], object],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._config = config
        self._keys = _token_keys(config, fetch_keys, monotonic)
        if config.audience is None and config.hs256_secret is None:
            # RFC 8725, section 3.9: the keys sign for every application of their issuer.
            log.warning("AUTH_AUDIENCE is not set: tokens for any application of the issuer are accepted")

    def caller_of(self, authorization: str | None) -> Caller:
        """Return who sends an ``Authorization`` header.

        Raises UnauthenticatedError: there is no token; InvalidTokenError: it does not hold, or what it names cannot be
        a user id; KeysUnavailableError.
        """
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise UnauthenticatedError("send a token: Authorization: Bearer …")
        claims = self._verify(token.strip())
        if self._config.service_scope in _scopes(claims):
            return ServiceCaller(_text_claim(claims, "sub"))
        if self._config.user_claim == "email":
            _check_email_is_verified(claims)
        return UserCaller(_user_id(_text_claim(claims, self._config.user_claim)))

    def _verify(self, token: str) -> dict[str, Any]:
        config = self._config
        try:
            key = self._keys.key_for(_read_header(token))
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=[key.algorithm_name],
                audience=config.audience,
                issuer=config.issuer,
                leeway=_LEEWAY_S,
                options={"require": ["exp"], "verify_aud": config.audience is not None},
            )
        except jwt.PyJWTError as error:
            raise _refusal(_reason(error)) from error
        _check_times(claims)
        return claims


def _token_keys(config: AuthSettings, fetch_keys: Callable[[str], object], monotonic: Callable[[], float]) -> TokenKeys:
    if config.hs256_secret:
        return SharedSecret(config.hs256_secret.get_secret_value())
    if url := config.jwks_url:
        return RemoteKeySet(lambda: fetch_keys(url), monotonic=monotonic)
    try:
        return KeySet(config.jwks)
    except KeysUnavailableError as error:
        raise ConfigurationError(
            "AUTH_JWKS holds no key that can be used: RSA of 2048 bits or more, or EC on P-256, public, for signatures"
        ) from error


def _read_header(token: str) -> dict[str, Any]:
    if len(token) > _MAX_TOKEN_CHARACTERS:
        raise _refusal(f"it has more than {_MAX_TOKEN_CHARACTERS} characters")
    if not _COMPACT.fullmatch(token):
        raise _refusal("it cannot be read")
    header = jwt.get_unverified_header(token)
    if refused := _REFUSED_HEADERS & header.keys():
        raise _refusal(f"its header has {', '.join(sorted(refused))}")
    return header


def _check_times(claims: dict[str, Any]) -> None:
    """Refuse what PyJWT takes for a time though it is no number of seconds: text, booleans, the far future."""
    for name in _TIMES:
        value = claims.get(name, 0)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _LAST_TIME:
            raise _refusal(f"the claim {name!r} is no time")


def _scopes(claims: dict[str, Any]) -> list[object]:
    """Return the claim ``scope``: text with spaces (RFC 8693, section 4.2), or the list that some issuers make."""
    match claims.get("scope"):
        case str() as text:
            return [*text.split(" ")]
        case list() as names:
            return names
        case _:
            return []


def _check_email_is_verified(claims: dict[str, Any]) -> None:
    """Refuse an address that its user may have made up: OpenID Connect Core, section 5.1.

    Some issuers write the boolean as text.
    """
    verified = claims.get("email_verified")
    if verified is not True and verified != "true":
        raise _refusal("the claim 'email_verified' is not true, so the claim 'email' names nobody")


def _text_claim(claims: dict[str, Any], name: str) -> str:
    value = claims.get(name)
    if value is None:
        raise _refusal(f"the claim {name!r} is missing")
    if not isinstance(value, str):
        raise _refusal(f"the claim {name!r} is no text")
    return value


def _user_id(value: str) -> str:
    try:
        return check_user_id(value)
    except ValidationError as error:
        raise InvalidTokenError(f"the token cannot be used: {error}") from error


def _refusal(reason: str) -> InvalidTokenError:
    return InvalidTokenError(f"the token does not hold: {reason}")


def _reason(error: jwt.PyJWTError) -> str:
    match error:
        case jwt.ExpiredSignatureError():
            return "it has expired"
        case jwt.ImmatureSignatureError():
            return "it is not valid yet"
        case jwt.InvalidAudienceError():
            return "it is for another audience"
        case jwt.InvalidIssuerError():
            return "it is from another issuer"
        case jwt.InvalidAlgorithmError():
            return "its algorithm is not accepted"
        case jwt.MissingRequiredClaimError():
            return f"the claim {error.claim!r} is missing"
        case jwt.InvalidSignatureError():
            return "its signature is wrong"
        case _:
            return "it cannot be read"
