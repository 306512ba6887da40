"""The keys that tokens are verified with: a JSON Web Key Set, at hand or at its issuer's, or a shared secret.

Each key is bound to one algorithm, so what a token says of its algorithm can only be refused.
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
REST_WITHOUT_KEYS_S = 5.0  # until there are keys nobody is served, so they are asked for again sooner
_MIN_RSA_BITS = 2048  # RFC 7518, section 3.3


class TokenKeys(Protocol):
    """Where the key of a token is found."""

    def key_for(self, header: Mapping[str, Any]) -> jwt.PyJWK:
        """Return the key for a token of this header.

        Raises InvalidTokenError: there is none; KeysUnavailableError: that cannot be told.
        """


class SharedSecret:
    """An HS256 secret. It has no id."""

    def __init__(self, secret: str) -> None:
        key = base64.urlsafe_b64encode(secret.encode()).decode()
        self._key = jwt.PyJWK({"kty": "oct", "k": key}, algorithm="HS256")

    def key_for(self, header: Mapping[str, Any]) -> jwt.PyJWK:
        """Return the secret, whatever the header says."""
        return self._key


class KeySet:
    """The usable keys of a JSON Web Key Set: RS256 of 2048 bits or more and ES256, public and for signatures.

    Raises KeysUnavailableError: there is none in ``document``.
    """

    def __init__(self, document: object) -> None:
        listed = document.get("keys") if isinstance(document, dict) else None
        made = [_read_key(entry) for entry in listed] if isinstance(listed, list) else []
        self._keys = [key for key in made if key is not None]
        if not self._keys:
            raise KeysUnavailableError("the key set holds no key that can be used")

    def knows(self, key_id: str) -> bool:
        """Say whether there is a key of that id."""
        return any(key.key_id == key_id for key in self._keys)

    def key_for(self, header: Mapping[str, Any]) -> jwt.PyJWK:
        """Return the key that the header names, or else the only one that fits."""
        named = [key for key in self._keys if "kid" not in header or key.key_id == header["kid"]]
        if not named:
            raise InvalidTokenError("the token does not hold: there is no key of its id")
        fitting = [key for key in named if key.algorithm_name == header.get("alg")]
        if not fitting:
            raise InvalidTokenError("the token does not hold: its algorithm is not accepted")
        if len(fitting) > 1 and "kid" not in header:
            raise InvalidTokenError("the token does not hold: it names no key, and several fit")
        return fitting[0]


def _read_key(entry: object) -> jwt.PyJWK | None:
    """Return the key, or None if it cannot be used: it is for something else, too weak, or unreadable."""
    if not isinstance(entry, dict) or entry.get("use", "sig") != "sig":
        return None
    operations = entry.get("key_ops", ["verify"])
    if not isinstance(operations, list) or "verify" not in operations:
        return None
    try:
        key = jwt.PyJWK(entry)
    except (jwt.PyJWTError, ValueError, TypeError, AttributeError):  # whatever malformed members lead to
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
    """A key set that is fetched when it is needed and kept for ten minutes.

    A token with an id that is not known has it fetched anew, but never within half a minute of the last time, so that a
    stream of made-up ids does not become a stream of requests. When it cannot be fetched, the keys at hand go on being
    used. ``fetch`` returns the document or raises KeysUnavailableError; ``monotonic`` is the time in seconds.
    """

    def __init__(self, fetch: Callable[[], object], *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._fetch = fetch
        self._monotonic = monotonic
        self._keys: KeySet | None = None
        self._fresh_until = self._rest_until = float("-inf")

    def key_for(self, header: Mapping[str, Any]) -> jwt.PyJWK:
        """Return the key that the header names, or else the only one that fits."""
        unknown = self._keys is not None and "kid" in header and not self._keys.knows(header["kid"])
        if unknown or self._monotonic() >= self._fresh_until:
            self._refresh()
        if self._keys is None:
            raise KeysUnavailableError("the keys for tokens cannot be fetched")
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
