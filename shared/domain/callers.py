"""The caller of the API, as the token identifies it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class UserCaller:
    """A user. ``user_id`` is valid as a folder of an object key."""

    user_id: str


@dataclass(frozen=True)
class ServiceCaller:
    """A backend that acts for users. ``subject`` is the backend's own identity, which owns no jobs."""

    subject: str


Caller = UserCaller | ServiceCaller
