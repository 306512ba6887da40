"""The errors that OSS answers: one exception, and one constructor for each error.

Codes and messages: https://www.alibabacloud.com/help/en/oss/support/http-status-codes-1. ``ec`` is the finer
code of the troubleshooting pages (``https://www.alibabacloud.com/help/en/oss/user-guide/<ec>``), where known.
"""

from collections.abc import Mapping


class OssError(Exception):
    """An error: HTTP status, ``Code``, ``Message`` and further elements of the XML body."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        ec: str = "",
        details: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.ec = ec
        self.details = dict(details or {})
        self.headers = dict(headers or {})


def access_denied(message: str, ec: str = "0003-00000001") -> OssError:
    """Make the 403 of a caller without permission."""
    return OssError(403, "AccessDenied", message, ec=ec)


def invalid_argument(message: str, name: str, value: str, ec: str = "") -> OssError:
    """Make the error of an invalid parameter or header, with its name and value."""
    return OssError(400, "InvalidArgument", message, ec=ec, details={"ArgumentName": name, "ArgumentValue": value})


def no_such_bucket(bucket: str) -> OssError:
    """Make the 404 of a bucket."""
    details = {"BucketName": bucket}
    return OssError(404, "NoSuchBucket", "The specified bucket does not exist.", ec="0015-00000101", details=details)


def no_such_key(key: str) -> OssError:
    """Make the 404 of an object."""
    return OssError(404, "NoSuchKey", "The specified key does not exist.", ec="0026-00000001", details={"Key": key})


def no_such_version(key: str, version_id: str) -> OssError:
    """Make the 404 of one version of an object."""
    details = {"Key": key, "VersionId": version_id}
    return OssError(404, "NoSuchVersion", "The specified version does not exist.", ec="0026-00000019", details=details)


def no_such_upload(upload_id: str) -> OssError:
    """Make the 404 of a multipart upload."""
    message = (
        "The specified upload does not exist."
        " The upload ID may be invalid, or the upload may have been aborted or completed."
    )
    return OssError(404, "NoSuchUpload", message, ec="0042-00000002", details={"UploadId": upload_id})


def file_already_exists() -> OssError:
    """Make the 409 of a write with ``x-oss-forbid-overwrite``."""
    message = "The object you specified already exists and can not be overwritten."
    return OssError(409, "FileAlreadyExists", message, ec="0026-00000018")


def malformed_xml() -> OssError:
    """Make the error of a body that is not the expected XML document."""
    message = "The XML you provided was not well-formed or did not validate against our published schema."
    return OssError(400, "MalformedXML", message)


def not_implemented(what: str) -> OssError:
    """Make the 501 of a feature that the emulator does not have, so that no caller mistakes it for success."""
    return OssError(501, "NotImplemented", f"The emulator does not implement {what}.")
