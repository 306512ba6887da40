"""The wildcards of policies, CORS rules and hotlink protection: ``*`` for any text, ``?`` for one character."""

import re
from functools import lru_cache


def matches(pattern: str, text: str) -> bool:
    """Tell whether ``pattern`` matches all of ``text``. Case matters; other characters match themselves."""
    return _compiled(pattern).fullmatch(text) is not None


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    wild = {"*": ".*", "?": "."}
    return re.compile("".join(wild.get(character) or re.escape(character) for character in pattern), re.DOTALL)
