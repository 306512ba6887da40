"""Who asks, as a token says it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class UserCaller:
    """A user; ``user_id`` can be a folder of an object key."""

    user_id: str


@dataclass(frozen=True)
class ServiceCaller:
    """A back end that acts for users. ``subject`` is its own identity, which owns nothing."""

    subject: str


Caller = UserCaller | ServiceCaller
