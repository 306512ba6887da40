"""The access keys that the emulators know: long-lived ones and STS tokens."""

import secrets
import time
from dataclasses import dataclass


@dataclass(frozen=True)
class AccessKey:
    """One access key. ``security_token`` and ``expires_at`` (Unix seconds) belong to STS credentials.

    ``account_id`` is the account of the key; "" is the account that owns all buckets.
    """

    access_key_id: str
    access_key_secret: str
    security_token: str | None = None
    expires_at: float | None = None
    account_id: str = ""


class Credentials:
    """The known access keys by id."""

    def __init__(self, *keys: AccessKey) -> None:
        self._keys = {key.access_key_id: key for key in keys}

    def get(self, access_key_id: str) -> AccessKey | None:
        """Return the key with that id, also an expired key, or ``None``."""
        return self._keys.get(access_key_id)

    def assume_role(self, lifetime_s: float = 36 * 3600) -> AccessKey:
        """Issue STS credentials as Function Compute does for a function's role (36 hours by default)."""
        key = AccessKey(
            access_key_id=f"STS.{secrets.token_hex(12)}",
            access_key_secret=secrets.token_urlsafe(30),
            security_token=secrets.token_urlsafe(90),
            expires_at=time.time() + lifetime_s,
        )
        self._keys[key.access_key_id] = key
        return key
