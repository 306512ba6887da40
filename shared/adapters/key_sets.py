"""The keys that verify tokens: a JSON Web Key Set, configured or fetched from its issuer, or a shared secret.

Each key has exactly one algorithm. A token cannot choose its algorithm: a token with another one is refused.
"""

import base64
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from shared.domain.errors import InvalidTokenError, KeysUnavailableError

log = logging.getLogger(__name__)
MAX_AGE_S = 600.0
REST_S = 30.0
REST_WITHOUT_KEYS_S = 5.0  # without keys every request fails, so the next fetch is sooner
_MIN_RSA_BITS = 2048  # RFC 7518, section 3.3


class TokenKeys(Protocol):
    """Finds the key for a token."""

    def key_for(self, header: Mapping[str, Any]) -> jwt.PyJWK:
        """Return the key for a token of this header.

        Raises InvalidTokenError: no key fits; KeysUnavailableError: the keys cannot be fetched.
        """


class SharedSecret:
    """An HS256 secret. The secret has no key id."""

    def __init__(self, secret: str) -> None:
        key = base64.urlsafe_b64encode(secret.encode()).decode()
        self._key = jwt.PyJWK({"kty": "oct", "k": key}, algorithm="HS256")

    def key_for(self, header: Mapping[str, Any]) -> jwt.PyJWK:
        """Return the secret; the header is not used."""
        return self._key


class KeySet:
    """The usable keys of a JSON Web Key Set: RS256 of 2048 bits or more and ES256, public and for signatures.

    Raises KeysUnavailableError: ``document`` has no usable key.
    """

    def __init__(self, document: object) -> None:
        listed = document.get("keys") if isinstance(document, dict) else None
        made = [_read_key(entry) for entry in listed] if isinstance(listed, list) else []
        self._keys = [key for key in made if key is not None]
        if not self._keys:
            raise KeysUnavailableError(
                "the key set has no usable key: RSA of 2048 bits or more, or EC on P-256, public, for signatures"
            )

    def knows(self, key_id: str) -> bool:
        """Whether the set has a key with this id."""
        return any(key.key_id == key_id for key in self._keys)

    def key_for(self, header: Mapping[str, Any]) -> jwt.PyJWK:
        """Return the key that the header names, or else the only key that fits."""
        named = [key for key in self._keys if "kid" not in header or key.key_id == header["kid"]]
        if not named:
            raise InvalidTokenError('invalid token: its "kid" is not the id of a known key')
        fitting = [key for key in named if key.algorithm_name == header.get("alg")]
        if not fitting:
            raise InvalidTokenError("invalid token: its algorithm is not accepted for this key")
        if len(fitting) > 1 and "kid" not in header:
            raise InvalidTokenError('invalid token: it has no "kid", and several keys fit')
        return fitting[0]


def _read_key(entry: object) -> jwt.PyJWK | None:
    """Return the key, or None if it is not usable: for another purpose, too weak, or unreadable."""
    if not isinstance(entry, dict) or entry.get("use", "sig") != "sig":
        return None
    operations = entry.get("key_ops", ["verify"])
    if not isinstance(operations, list) or "verify" not in operations:
        return None
    try:
        key = jwt.PyJWK(entry)
    except (jwt.PyJWTError, ValueError, TypeError, AttributeError):  # malformed members raise any of these
        return None
    match key.key:
        case RSAPublicKey(key_size=bits):
            usable = key.algorithm_name == "RS256" and bits >= _MIN_RSA_BITS
        case EllipticCurvePublicKey(curve=curve):
            usable = key.algorithm_name == "ES256" and curve.name == "secp256r1"
        case _:
            usable = False
    return key if usable else None


class RemoteKeySet:
    """A key set that is fetched when it is needed and cached for ten minutes.

    A token with an unknown key id causes a new fetch, but at most one every half minute, so that invented ids do not
    cause a flood of requests. When a fetch fails, the cached keys stay in use. ``fetch`` returns the document or raises
    KeysUnavailableError; ``monotonic`` returns the time in seconds.
    """

    def __init__(self, fetch: Callable[[], object], *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._fetch = fetch
        self._monotonic = monotonic
        self._keys: KeySet | None = None
        self._fresh_until = self._rest_until = float("-inf")

    def key_for(self, header: Mapping[str, Any]) -> jwt.PyJWK:
        """Return the key that the header names, or else the only key that fits."""
        unknown = self._keys is not None and "kid" in header and not self._keys.knows(header["kid"])
        if unknown or self._monotonic() >= self._fresh_until:
            self._refresh()
        if self._keys is None:
            raise KeysUnavailableError("tokens cannot be verified now, because the issuer's keys cannot be fetched")
        return self._keys.key_for(header)

    def _refresh(self) -> None:
        if self._monotonic() < self._rest_until:
            return
        try:
            self._keys = KeySet(self._fetch())
            self._fresh_until = self._monotonic() + MAX_AGE_S
        except KeysUnavailableError:
            log.warning("the keys for tokens cannot be fetched", exc_info=True)
        self._rest_until = self._monotonic() + (REST_S if self._keys else REST_WITHOUT_KEYS_S)
