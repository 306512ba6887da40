"""Every error that the system raises on purpose.

::

    DreamFactoryError
    ├── ConfigurationError            an environment variable is missing or wrong
    ├── CallerError                   the caller can mend it
    │   ├── BadRequestError           400: unreadable
    │   ├── UnauthenticatedError      401: no token
    │   │   └── InvalidTokenError     401: one that does not hold
    │   ├── ForbiddenError            403: a token without the right
    │   ├── NotFoundError             404: not there, or another user's
    │   ├── ConflictError             409: the state forbids it
    │   ├── BodyTooLargeError         413
    │   ├── UnsupportedTypeError      415
    │   ├── ValidationError           422: readable, and against the rules
    │   └── QuotaExceededError        429: the user has used up a quota
    ├── ProviderError                 the AI provider
    │   ├── ProviderRefusedError      it will not do this, however often it is asked
    │   ├── ProviderFailedError       it accepted the task and failed
    │   ├── ProviderUnavailableError  it did not accept the task; asking again is safe
    │   ├── SubmissionUnknownError    whether it accepted the task is not known; asking again may pay twice
    │   └── ResultLostError           the task succeeded once; its result is gone
    ├── MediaError                    what the provider delivered
    │   ├── DownloadRefusedError      its address, or an image input's, is one that we do not contact
    │   ├── DownloadInterruptedError  it broke off, or its host cannot be found; asking again is free
    │   ├── MediaTooLargeError        more bytes, more pixels or more time than allowed
    │   └── WrongMediaError           no image or video of a kind that we store
    ├── StorageError                  OSS and the temp disk
    │   ├── StorageRefusedError       OSS said no (rights, bucket, arguments)
    │   ├── StorageUnavailableError   OSS did not answer, or answered 5xx
    │   ├── ObjectExistsError         there is an object of that key, and it is not replaced
    │   ├── ChecksumMismatchError     what OSS holds is not what arrived here
    │   └── TempDiskFullError         no room in the temp folder
    ├── WebError                      a host of the web that somebody else named
    │   ├── AddressRefusedError       its address is one that we do not contact
    │   └── HostUnavailableError      it cannot be resolved, or did not answer
    ├── DatabaseUnavailableError      the database did not answer
    ├── ProbeUnavailableError         the process that reads media did not start
    ├── KeysUnavailableError          the keys for tokens cannot be fetched
    ├── LeaseLostError                another attempt has taken this job over
    ├── DeadlineExceededError         the job's time is over
    └── DispatchError                 Function Compute did not accept the invocation

``code`` is for programs and never changes; the message is for people and holds no local path, no object key
and no credential. ``retryable`` says whether the same thing may succeed later.
"""

from datetime import datetime

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
    """The caller can mend it. ``status`` is the HTTP status that says so."""

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

    def __init__(self, message: str, *, retry_after_s: int, usage: Usage, at: datetime) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
        self.usage = usage
        self.at = at


class ProviderError(DreamFactoryError):
    """The AI provider."""

    code = "provider_error"


class ProviderRefusedError(ProviderError):
    """The provider will not do this, however often it is asked."""

    code = "provider_refused"


class ProviderFailedError(ProviderError):
    """The provider accepted the task and failed."""

    code = "provider_failed"


class ProviderUnavailableError(ProviderError):
    """The provider did not accept the task, or did not tell its state; asking again is safe."""

    code = "provider_unavailable"
    retryable = True


class SubmissionUnknownError(ProviderError):
    """Whether the provider accepted the task is not known, so it is not submitted again."""

    code = "submission_unknown"


class ResultLostError(ProviderError):
    """The provider's result is gone (its URL or its task has expired)."""

    code = "result_lost"


class MediaError(DreamFactoryError):
    """What the provider delivered cannot be taken."""

    code = "media_error"


class DownloadRefusedError(MediaError):
    """The address of a result, or of an image that a provider is to fetch, is one that we do not contact."""

    code = "download_refused"


class DownloadInterruptedError(MediaError):
    """The download broke off, or its host could not be found."""

    code = "download_interrupted"
    retryable = True


class MediaTooLargeError(MediaError):
    """More bytes, more pixels or more time than allowed."""

    code = "media_too_large"


class WrongMediaError(MediaError):
    """The bytes are no image or video of a kind that is stored; the message names what they are."""

    code = "wrong_media_type"


class StorageError(DreamFactoryError):
    """OSS and the temp disk."""

    code = "storage_error"
    retryable = True


class StorageRefusedError(StorageError):
    """OSS said no. It is retryable because an operator can mend rights while the result still lives."""

    code = "storage_refused"


class StorageUnavailableError(StorageError):
    """OSS did not answer, or answered with a 5xx."""

    code = "storage_unavailable"


class ObjectExistsError(StorageError):
    """There is an object of that key already, and it is not replaced."""

    code = "object_exists"


class ChecksumMismatchError(StorageError):
    """What OSS holds is not what arrived here."""

    code = "checksum_mismatch"


class TempDiskFullError(StorageError):
    """There is no room in the temp folder."""

    code = "temp_disk_full"


class WebError(DreamFactoryError):
    """A host of the web that somebody else named."""

    code = "web_error"


class AddressRefusedError(WebError):
    """The address is one that we do not contact. The message is the rule, for a sentence about the address."""

    code = "address_refused"


class HostUnavailableError(WebError):
    """The host cannot be resolved, or did not answer. The message is for a sentence about the host."""

    code = "host_unavailable"
    retryable = True


class DatabaseUnavailableError(DreamFactoryError):
    """The database did not answer."""

    code = "database_unavailable"
    retryable = True


class ProbeUnavailableError(DreamFactoryError):
    """The process that reads media did not start; nothing is known of the file."""

    code = "probe_unavailable"
    retryable = True


class KeysUnavailableError(DreamFactoryError):
    """The issuer's keys cannot be fetched, and none are at hand, so no token can be verified just now."""

    code = "keys_unavailable"
    retryable = True


class LeaseLostError(DreamFactoryError):
    """Another attempt has taken this job over; the stale one must not write any more."""

    code = "lease_lost"


class DeadlineExceededError(DreamFactoryError):
    """The job did not finish in its time; a new one may."""

    code = "deadline_exceeded"
    retryable = True


class DispatchError(DreamFactoryError):
    """Function Compute did not accept the invocation; the job waits and is dispatched again."""

    code = "dispatch_failed"
    retryable = True
