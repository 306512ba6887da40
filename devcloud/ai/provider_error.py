"""The error that an emulated provider answers with, before it takes one provider's shape."""

from dataclasses import dataclass


@dataclass
class ProviderError(Exception):
    """A refusal: HTTP ``status``, the provider's ``code``, a ``message``, and OpenAI's ``param`` where it has one.

    Without a code, the API that renders the error puts its own usual one for that status.
    """

    status: int
    code: str | None
    message: str
    param: str | None = None
