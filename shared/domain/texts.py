"""Text that comes from outside, made fit to be kept and shown."""

import re

MAX_MESSAGE_BYTES = 1000
_CUT = "…"
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def bounded(text: str, max_bytes: int = MAX_MESSAGE_BYTES) -> str:
    """Return ``text`` in at most ``max_bytes`` bytes of UTF-8 (at least 3), cut between two characters, with a "…".

    A control character becomes a space, and half of a surrogate pair, which UTF-8 does not know, a question mark. So
    JSON needs at most twice the bytes.
    """
    # A character has at least one byte; what comes after need not be looked at.
    encoded = _CONTROLS.sub(" ", text[: max_bytes + 1]).encode("utf-8", "replace")
    if len(encoded) <= max_bytes:
        return encoded.decode()
    return encoded[: max_bytes - len(_CUT.encode())].decode("utf-8", "ignore") + _CUT
