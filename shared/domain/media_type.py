"""The two kinds of media. This module imports no other module of the project."""

from enum import StrEnum


class MediaType(StrEnum):
    """What a job makes, and what an output is."""

    IMAGE = "image"
    VIDEO = "video"
