"""JWT verification by PyJWT, with the additional checks of RFC 8725."""

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
_MAX_TOKEN_CHARACTERS = 8 * 1024  # the limit of Function Compute for headers; tokens from elsewhere have the same limit
_LAST_TIME = 253_402_300_799  # the end of the year 9999, Unix time
_UNREADABLE = "it cannot be read as a JSON Web Token"
_TIMES = ("exp", "nbf", "iat")
_COMPACT = re.compile(r"[\w-]+\.[\w-]+\.[\w-]+", re.ASCII)
# Critical extensions, and keys that the token contains or links to: RFC 7515, section 4.1.
_REFUSED_HEADERS = {"crit", "jku", "jwk", "x5u", "x5c"}


class TokenVerifier:
    """Verifies bearer tokens with the configured kind of key; a token cannot choose the kind.

    ``fetch_keys`` returns the document at AUTH_JWKS_URL or raises KeysUnavailableError; ``monotonic`` returns the time
    in seconds. Raises ConfigurationError: AUTH_JWKS has no usable key.
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
            # RFC 8725, section 3.9: the issuer's keys sign tokens for all of its applications.
            log.warning("AUTH_AUDIENCE is not set: tokens for any application of the issuer are accepted")

    def caller_of(self, authorization: str | None) -> Caller:
        """Return the caller who sends this ``Authorization`` header.

        Raises UnauthenticatedError: the token is missing; InvalidTokenError: the token or its user id is not valid;
        KeysUnavailableError.
        """
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise UnauthenticatedError("the token is missing; send the header Authorization: Bearer …")
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
        raise ConfigurationError(f"AUTH_JWKS is not usable: {error}") from error


def _read_header(token: str) -> dict[str, Any]:
    if len(token) > _MAX_TOKEN_CHARACTERS:
        raise _refusal(f"it must have at most {_MAX_TOKEN_CHARACTERS} characters, got {len(token)}")
    if not _COMPACT.fullmatch(token):
        raise _refusal(_UNREADABLE)
    header = jwt.get_unverified_header(token)
    if refused := _REFUSED_HEADERS & header.keys():
        raise _refusal(f"its header must not have {', '.join(sorted(refused))}")
    return header


def _check_times(claims: dict[str, Any]) -> None:
    """Refuse times that PyJWT accepts but that are not numbers of seconds: strings, booleans, the far future."""
    for name in _TIMES:
        value = claims.get(name, 0)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _LAST_TIME:
            raise _refusal(f'"{name}" is not a valid timestamp')


def _scopes(claims: dict[str, Any]) -> list[object]:
    """Return the scopes in the claim ``scope``: text with spaces (RFC 8693, section 4.2), or a list (some issuers)."""
    match claims.get("scope"):
        case str() as text:
            return [*text.split(" ")]
        case list() as names:
            return names
        case _:
            return []


def _check_email_is_verified(claims: dict[str, Any]) -> None:
    """Refuse an e-mail address that the issuer has not verified: OpenID Connect Core, section 5.1.

    Some issuers write the boolean as text.
    """
    verified = claims.get("email_verified")
    if verified is not True and verified != "true":
        raise _refusal('"email_verified" must be true, because "email" is the user id')


def _text_claim(claims: dict[str, Any], name: str) -> str:
    value = claims.get(name)
    if value is None:
        raise _refusal(f'"{name}" is missing')
    if not isinstance(value, str):
        raise _refusal(f'"{name}" is not a string')
    return value


def _user_id(value: str) -> str:
    try:
        return check_user_id(value)
    except ValidationError as error:
        raise InvalidTokenError(f"invalid token: {error}") from error


def _refusal(reason: str) -> InvalidTokenError:
    return InvalidTokenError(f"invalid token: {reason}")


def _reason(error: jwt.PyJWTError) -> str:
    match error:
        case jwt.ExpiredSignatureError():
            return "it has expired"
        case jwt.ImmatureSignatureError():
            return "it is not valid yet"
        case jwt.InvalidAudienceError():
            return '"aud" is another audience'
        case jwt.InvalidIssuerError():
            return '"iss" is another issuer'
        case jwt.InvalidAlgorithmError():
            return "its algorithm is not accepted"
        case jwt.MissingRequiredClaimError():
            return f'"{error.claim}" is missing'
        case jwt.InvalidSignatureError():
            return "its signature is not valid"
        case _:
            return _UNREADABLE
