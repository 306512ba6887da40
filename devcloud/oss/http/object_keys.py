"""The names of objects."""

from devcloud.oss.oss_errors import OssError

MAX_KEY_BYTES = 1023


def check_key(key: str) -> None:
    """Raise ``InvalidObjectName`` unless ``key`` is a valid name of an object."""
    if not 1 <= len(key.encode()) <= MAX_KEY_BYTES or key.startswith(("/", "\\")):
        raise OssError(400, "InvalidObjectName", "The specified object is not valid.")
