"""The two kinds of media. This module imports no other module of the project."""

from enum import StrEnum


class MediaType(StrEnum):
    """The type of a job and of its outputs."""

    IMAGE = "image"
    VIDEO = "video"
