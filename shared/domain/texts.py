"""Text from outside, cut and cleaned so that it can be stored and shown."""

import re

MAX_MESSAGE_BYTES = 1000
_CUT = "…"
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def bounded(text: str, max_bytes: int = MAX_MESSAGE_BYTES) -> str:
    """Return ``text`` in at most ``max_bytes`` bytes of UTF-8 (at least 3), cut between two characters, with a "…".

    A control character becomes a space. Half of a surrogate pair becomes a question mark, because UTF-8 cannot encode
    it. So the text in JSON has at most twice as many bytes.
    """
    # A character has at least one byte, so the rest of the text cannot matter.
    encoded = _CONTROLS.sub(" ", text[: max_bytes + 1]).encode("utf-8", "replace")
    if len(encoded) <= max_bytes:
        return encoded.decode()
    return encoded[: max_bytes - len(_CUT.encode())].decode("utf-8", "ignore") + _CUT
