"""JWT verification by PyJWT."""

import json
from typing import Any

import jwt

from shared.domain.errors import ConfigurationError, DatabaseUnavailableError, UnauthenticatedError
from shared.domain.keys import check_user_id
from shared.settings import AuthSettings

_ASYMMETRIC = ["RS256", "ES256"]
_LEEWAY_S = 30


class TokenVerifier:
    """Verifies bearer tokens with the one kind of key that is configured; the token has no say in it.

    Raises ConfigurationError: there is no usable key in AUTH_JWKS.
    """

    def __init__(self, config: AuthSettings) -> None:
        self._config = config
        self._remote = jwt.PyJWKClient(config.jwks_url, timeout=5) if config.jwks_url else None
        try:
            self._local = jwt.PyJWKSet.from_dict(config.jwks) if config.jwks else None
        except jwt.PyJWTError as error:
            raise ConfigurationError("AUTH_JWKS holds no key that can be used") from error

    def user_of(self, authorization: str | None) -> str:
        """Return the user id of an ``Authorization`` header.

        Raises UnauthenticatedError: it is missing or does not hold; ValidationError: the user id cannot be a folder.
        """
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise UnauthenticatedError("send a token: Authorization: Bearer …")
        claims = self._verify(token.strip())
        user = claims.get(self._config.user_claim)
        if not isinstance(user, str):
            raise UnauthenticatedError(f"the token has no claim {self._config.user_claim!r} with a user id")
        return check_user_id(user)

    def _verify(self, token: str) -> dict[str, Any]:
        config = self._config
        try:
            key, algorithms = self._key(token)
            return jwt.decode(
                token,
                key,
                algorithms=algorithms,
                audience=config.audience,
                issuer=config.issuer,
                leeway=_LEEWAY_S,
                options={"require": ["exp", config.user_claim], "verify_aud": config.audience is not None},
            )
        except (jwt.PyJWKClientConnectionError, jwt.PyJWKSetError, json.JSONDecodeError) as error:
            raise DatabaseUnavailableError("the keys for tokens cannot be fetched", code="keys_unavailable") from error
        except jwt.PyJWTError as error:
            raise UnauthenticatedError(f"the token does not hold: {_reason(error)}") from error

    def _key(self, token: str) -> tuple[jwt.PyJWK | str, list[str]]:
        """Return the key and the algorithms that are accepted. A PyJWK is used with its own algorithm alone."""
        if self._config.hs256_secret:
            return self._config.hs256_secret.get_secret_value(), ["HS256"]
        if self._remote:
            return self._remote.get_signing_key_from_jwt(token), _ASYMMETRIC
        assert self._local is not None  # noqa: S101 - the settings hold exactly one kind of key
        kid = jwt.get_unverified_header(token).get("kid")
        keys = [key for key in self._local.keys if kid is None or key.key_id == kid]
        if not keys:
            raise jwt.InvalidKeyError("no key of that id")
        return keys[0], _ASYMMETRIC


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
