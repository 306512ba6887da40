"""The error that an emulated provider answers with, before it takes one provider's shape."""

from dataclasses import dataclass


@dataclass
class ProviderError(Exception):
    """A refusal: HTTP ``status``, the provider's ``code``, a ``message``, and optionally OpenAI's ``param``.

    Without ``code``, each API uses its own default code for the status.
    """

    status: int
    code: str | None
    message: str
    param: str | None = None
