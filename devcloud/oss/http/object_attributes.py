"""The headers of a write: metadata, storage class, ACL, tags and encryption of the object."""

import re
from collections.abc import Mapping
from urllib.parse import parse_qsl

from devcloud.oss.http.oss_request import OssRequest
from devcloud.oss.http.response_headers import METADATA, STORED_HEADERS
from devcloud.oss.oss_errors import OssError, invalid_argument
from devcloud.oss.storages.port import Attributes

OBJECT_ACLS = ("default", "private", "public-read", "public-read-write")
STORAGE_CLASSES = ("Standard", "IA", "Archive", "ColdArchive", "DeepColdArchive")
DEFAULT_TYPE = "application/octet-stream"
_SSE = "x-oss-server-side-encryption"
_SSE_KEY = "x-oss-server-side-encryption-key-id"
_SSE_DATA = "x-oss-server-side-data-encryption"
# Stands for the default key that KMS creates for an account.
_OSS_MANAGED_KEY = "0f4e1d3c-7a52-4b5e-9c1a-6d2f8e0b7a31"
MAX_METADATA_BYTES = 8 * 1024
MAX_TAGS = 10
# Letters of every script are allowed: https://www.alibabacloud.com/help/en/oss/user-guide/object-tagging-8
_TAG_KEY = re.compile(r"[\w +\-=.:/]{1,128}")
_TAG_VALUE = re.compile(r"[\w +\-=.:/]{0,256}")


def read_attributes(request: OssRequest, default_class: str, default_encryption: Mapping[str, str]) -> Attributes:
    """Read the headers of a write; the defaults are the bucket's storage class and encryption headers.

    Raises ``InvalidArgument``, ``InvalidTag``, ``MetadataTooLarge`` and ``InvalidEncryptionAlgorithmError``.
    """
    headers = {name: request.headers[name] for name in STORED_HEADERS if name in request.headers}
    headers["content-type"] = request.headers.get("content-type") or DEFAULT_TYPE
    metadata = {
        name.removeprefix(METADATA): value for name, value in request.headers.items() if name.startswith(METADATA)
    }
    if sum(len(name) + len(value.encode()) for name, value in metadata.items()) > MAX_METADATA_BYTES:
        message = "Your metadata headers exceed the maximum allowed metadata size."
        raise OssError(400, "MetadataTooLarge", message)
    storage_class = request.headers.get("x-oss-storage-class", default_class)
    if storage_class not in STORAGE_CLASSES:
        raise invalid_argument("Invalid storage class.", "x-oss-storage-class", storage_class)
    tags = check_tags(parse_qsl(request.headers.get("x-oss-tagging", ""), keep_blank_values=True))
    encryption = read_encryption(request.headers if _SSE in request.headers else default_encryption)
    return Attributes(headers, metadata, read_object_acl(request), storage_class, tags, encryption)


def read_encryption(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the answer's headers about the encryption that ``headers`` request. Raises ``InvalidArgument``.

    The emulator only answers the headers; the bytes on disk are not encrypted.
    """
    algorithm = headers.get(_SSE)
    if algorithm is None:
        return {}
    if algorithm not in ("AES256", "KMS", "SM4"):
        message = "The encryption request you specified is not valid. Supported value: AES256/KMS/SM4."
        raise OssError(400, "InvalidEncryptionAlgorithmError", message)
    if algorithm != "KMS":
        if headers.get(_SSE_KEY):
            raise invalid_argument("The key id is only valid for KMS.", _SSE_KEY, headers[_SSE_KEY])
        return {_SSE: algorithm}
    encryption = {_SSE: algorithm, _SSE_KEY: headers.get(_SSE_KEY) or _OSS_MANAGED_KEY}
    if data := headers.get(_SSE_DATA):
        if data != "SM4":
            raise invalid_argument("The data encryption must be SM4.", _SSE_DATA, data)
        encryption[_SSE_DATA] = data
    return encryption


def read_object_acl(request: OssRequest) -> str:
    """Return ``x-oss-object-acl``, "default" if it is absent."""
    acl = request.headers.get("x-oss-object-acl", "default")
    if acl not in OBJECT_ACLS:
        raise invalid_argument("no such object access control exists", "x-oss-object-acl", acl)
    return acl


def check_tags(pairs: list[tuple[str, str]]) -> dict[str, str]:
    """Return valid tags as a dict. Raises ``InvalidTag``."""
    tags = dict(pairs)
    valid = all(_TAG_KEY.fullmatch(name) and _TAG_VALUE.fullmatch(value) for name, value in pairs)
    if len(pairs) > MAX_TAGS or len(tags) < len(pairs) or not valid:
        raise OssError(400, "InvalidTag", "The tag you specified is invalid.")
    return tags
