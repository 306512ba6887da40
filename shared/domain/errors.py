"""Every error that the system raises on purpose.

::

    DreamFactoryError
    ├── ConfigurationError            an environment variable is missing or wrong
    ├── CallerError                   the caller can correct the request
    │   ├── BadRequestError           400: the request cannot be read
    │   ├── UnauthenticatedError      401: the token is missing
    │   │   └── InvalidTokenError     401: the token is not valid
    │   ├── ForbiddenError            403: the token does not allow the request
    │   ├── NotFoundError             404: it does not exist, or belongs to another user
    │   ├── ConflictError             409: the current state does not allow the request
    │   ├── BodyTooLargeError         413
    │   ├── UnsupportedTypeError      415
    │   ├── ValidationError           422: the request can be read, but breaks a rule
    │   └── QuotaExceededError        429: the user has reached a quota
    ├── ProviderError                 the AI provider
    │   ├── ProviderRefusedError      the provider refuses the request; repeating it does not help
    │   ├── ProviderFailedError       the provider accepted the task, and the task failed
    │   ├── ProviderUnavailableError  the provider did not accept the task; repeating the request is safe
    │   ├── SubmissionUnknownError    the provider may have accepted the task; repeating the request may cost twice
    │   └── ResultLostError           the task succeeded, but its result is gone
    ├── MediaError                    a file from the provider, or an image input
    │   ├── DownloadRefusedError      the address may not be contacted
    │   ├── DownloadInterruptedError  the download broke off, or its host was not found; repeating it is free
    │   ├── MediaTooLargeError        too many bytes, too many pixels or too long
    │   └── WrongMediaError           not an image or video in a format that is stored
    ├── StorageError                  OSS and the temp disk
    │   ├── StorageRefusedError       OSS refused the request (rights, bucket, arguments)
    │   ├── StorageUnavailableError   OSS did not answer, or answered with 5xx
    │   ├── ObjectExistsError         the key exists already; the object is not replaced
    │   ├── ChecksumMismatchError     the bytes in OSS differ from the bytes that were received
    │   └── TempDiskFullError         the temp disk is full
    ├── WebError                      a host on the web that a user or a provider named
    │   ├── AddressRefusedError       the address may not be contacted
    │   └── HostUnavailableError      the host cannot be resolved, or did not answer
    ├── DatabaseUnavailableError      the database did not answer
    ├── ProbeUnavailableError         the process that reads media did not start
    ├── KeysUnavailableError          the keys for tokens cannot be fetched
    ├── LeaseLostError                another attempt has taken over this job
    ├── DeadlineExceededError         the job's time is over
    └── DispatchError                 Function Compute did not accept the invocation

``code`` is for programs and never changes. The message is for people and contains no local path, no object key and no
credential. ``retryable`` says whether the same operation may succeed later.
"""

from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shared.domain.usage import Usage


class DreamFactoryError(Exception):
    """The root of the tree."""

    code = "internal_error"
    retryable = False

    def __init__(self, message: str, *, code: str | None = None, retryable: bool | None = None) -> None:
        super().__init__(message)
        if code is not None:
            self.code = code
        if retryable is not None:
            self.retryable = retryable


class ConfigurationError(DreamFactoryError):
    """An environment variable is missing or wrong; the message names it."""

    code = "configuration_error"


class CallerError(DreamFactoryError):
    """The caller can correct the request. ``status`` is the HTTP status of the answer."""

    status = 400
    code = "bad_request"


class BadRequestError(CallerError):
    """The request cannot be read: the body, the path, a header or a cursor is not valid."""


class UnauthenticatedError(CallerError):
    """The token is missing."""

    status = 401
    code = "unauthenticated"


class InvalidTokenError(UnauthenticatedError):
    """The token is not valid; the message says why. The code is that of RFC 6750."""

    code = "invalid_token"


class ForbiddenError(CallerError):
    """The token is valid, but it does not allow this request."""

    status = 403
    code = "forbidden"


class NotFoundError(CallerError):
    """The resource does not exist, or it is another user's. Both cases have the same answer."""

    status = 404
    code = "not_found"


class ConflictError(CallerError):
    """The present state of the resource does not allow this request."""

    status = 409
    code = "conflict"


class BodyTooLargeError(CallerError):
    """The body of the request is too large."""

    status = 413
    code = "body_too_large"


class UnsupportedTypeError(CallerError):
    """The body of the request is not JSON in UTF-8."""

    status = 415
    code = "unsupported_media_type"


class ValidationError(CallerError):
    """The request can be read, but a field is not valid. ``errors`` names each field and its rule."""

    status = 422
    code = "validation_failed"

    def __init__(self, message: str, *, errors: list[dict[str, str]] | None = None, code: str | None = None) -> None:
        super().__init__(message, code=code)
        self.errors = errors or []


class QuotaExceededError(CallerError):
    """The user has used up a quota.

    ``retry_after_s`` says when to try again, ``usage`` how much the user had used at the time ``at``.
    """

    status = 429
    code = "quota_exceeded"
    retryable = True

    def __init__(self, message: str, *, retry_after_s: int, usage: "Usage", at: datetime) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
        self.usage = usage
        self.at = at


class ProviderError(DreamFactoryError):
    """The AI provider."""

    code = "provider_error"


class ProviderRefusedError(ProviderError):
    """The provider refuses the request; repeating it does not help."""

    code = "provider_refused"


class ProviderFailedError(ProviderError):
    """The provider accepted the task, and the task failed."""

    code = "provider_failed"


class ProviderUnavailableError(ProviderError):
    """The provider did not accept the task, or did not report its state; repeating the request is safe."""

    code = "provider_unavailable"
    retryable = True


class SubmissionUnknownError(ProviderError):
    """The provider may have accepted the task, so the task is not submitted again."""

    code = "submission_unknown"


class ResultLostError(ProviderError):
    """The provider's result is gone (its URL or its task has expired)."""

    code = "result_lost"


class MediaError(DreamFactoryError):
    """A file from a provider, or an image input, cannot be used."""

    code = "media_error"


class DownloadRefusedError(MediaError):
    """The address of a result, or of an image that a provider is to fetch, may not be contacted."""

    code = "download_refused"


class DownloadInterruptedError(MediaError):
    """The download broke off, or its host was not found."""

    code = "download_interrupted"
    retryable = True


class MediaTooLargeError(MediaError):
    """The file has too many bytes or pixels, or is too long."""

    code = "media_too_large"


class WrongMediaError(MediaError):
    """The bytes are not an image or video in a format that is stored; the message names their kind."""

    code = "wrong_media_type"


class StorageError(DreamFactoryError):
    """OSS and the temp disk."""

    code = "storage_error"
    retryable = True


class StorageRefusedError(StorageError):
    """OSS refused the request. It is retryable, because an operator can correct rights before the result expires."""

    code = "storage_refused"


class StorageUnavailableError(StorageError):
    """OSS did not answer, or answered with a 5xx."""

    code = "storage_unavailable"


class ObjectExistsError(StorageError):
    """The key exists already; the object is not replaced."""

    code = "object_exists"


class ChecksumMismatchError(StorageError):
    """The bytes in OSS differ from the bytes that were received."""

    code = "checksum_mismatch"


class TempDiskFullError(StorageError):
    """The temp disk is full."""

    code = "temp_disk_full"


class WebError(DreamFactoryError):
    """A host on the web that a user or a provider named."""

    code = "web_error"


class AddressRefusedError(WebError):
    """The address may not be contacted. The message is the end of a sentence about the address."""

    code = "address_refused"


class HostUnavailableError(WebError):
    """The host cannot be resolved, or did not answer. The message is the end of a sentence about the host."""

    code = "host_unavailable"
    retryable = True


class DatabaseUnavailableError(DreamFactoryError):
    """The database did not answer."""

    code = "database_unavailable"
    retryable = True


class ProbeUnavailableError(DreamFactoryError):
    """The process that reads media did not start; nothing is known about the file."""

    code = "probe_unavailable"
    retryable = True


class KeysUnavailableError(DreamFactoryError):
    """The issuer's keys cannot be fetched and are not cached, so tokens cannot be verified now."""

    code = "keys_unavailable"
    retryable = True


class LeaseLostError(DreamFactoryError):
    """Another attempt has taken over this job; the old attempt must stop writing."""

    code = "lease_lost"


class DeadlineExceededError(DreamFactoryError):
    """The job did not finish in time; a new job may."""

    code = "deadline_exceeded"
    retryable = True


class DispatchError(DreamFactoryError):
    """Function Compute did not accept the invocation; the job waits and is dispatched again."""

    code = "dispatch_failed"
    retryable = True
