"""Fetch a JSON Web Key Set from its issuer."""

import json
import time
from typing import Any

import httpx

from shared.domain.errors import KeysUnavailableError

TIMEOUT_S = 5.0
MAX_BYTES = 256 * 1024


def fetch_key_set(url: str, client: httpx.Client) -> Any:
    """Return the JSON at ``url``, unchecked. Redirects are not followed.

    Raises KeysUnavailableError: the answer takes longer than ``TIMEOUT_S``, exceeds ``MAX_BYTES`` or is not valid JSON.
    """
    headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
    try:
        with client.stream("GET", url, headers=headers, timeout=TIMEOUT_S, follow_redirects=False) as response:
            response.raise_for_status()
            return json.loads(_read(response))
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, RecursionError) as error:
        raise KeysUnavailableError(
            "the issuer's key set cannot be fetched: AUTH_JWKS_URL must answer HTTP 200 with a JSON Web Key Set"
        ) from error


def _read(response: httpx.Response) -> bytes:
    body = bytearray()
    ends_at = time.monotonic() + TIMEOUT_S  # httpx's own timeout starts again with every chunk
    for chunk in response.iter_raw():
        body += chunk
        if len(body) > MAX_BYTES:
            raise KeysUnavailableError(f"the issuer's key set has more than {MAX_BYTES} bytes")
        if time.monotonic() > ends_at:
            raise KeysUnavailableError(f"fetching the issuer's key set took longer than {TIMEOUT_S:g} s")
    return bytes(body)
