"""The default encryption of a bucket. The emulator only answers the headers; the bytes on disk are not encrypted.

See https://www.alibabacloud.com/help/en/oss/developer-reference/putbucketencryption.
"""

from collections.abc import Mapping
from xml.etree import ElementTree as ET

from devcloud.oss.documents.xml_document import Document, nodes_of, read_root, write_root
from devcloud.oss.http import xml
from devcloud.oss.oss_errors import OssError, invalid_argument, malformed_xml

ALGORITHMS = ("AES256", "KMS", "SM4")
_HEADERS = {
    "SSEAlgorithm": "x-oss-server-side-encryption",
    "KMSMasterKeyID": "x-oss-server-side-encryption-key-id",
    "KMSDataEncryption": "x-oss-server-side-data-encryption",
}


def encryption_of_headers(headers: Mapping[str, str]) -> bytes | None:
    """Return the document for the encryption headers of PutBucket, ``None`` without these headers."""
    rule: list[xml.Node] = [(tag, headers[name]) for tag, name in _HEADERS.items() if name in headers]
    if not rule:
        return None
    return _check(xml.render("ServerSideEncryptionRule", ("ApplyServerSideEncryptionByDefault", rule)))


def encryption_nodes(body: bytes | None) -> list[xml.Node]:
    """Return the elements of GetBucketInfo for a bucket with that document."""
    if body is None:
        return [("SSEAlgorithm", "None")]
    rule = read_root(body, "ServerSideEncryptionRule").find("ApplyServerSideEncryptionByDefault")
    return nodes_of(rule) if rule is not None else []


def headers_of_encryption(body: bytes) -> dict[str, str]:
    """Return the headers that request the same encryption as a valid document."""
    root = read_root(body, "ServerSideEncryptionRule")
    texts = {name: xml.text_of(root, f"ApplyServerSideEncryptionByDefault/{tag}") for tag, name in _HEADERS.items()}
    return {name: text for name, text in texts.items() if text}


def _check(body: bytes) -> bytes:
    root = read_root(body, "ServerSideEncryptionRule")
    rule = root.find("ApplyServerSideEncryptionByDefault")
    if rule is None:
        raise malformed_xml()
    algorithm = xml.text_of(rule, "SSEAlgorithm")
    if algorithm not in ALGORITHMS:
        message = "The Encryption request you specified is not valid. Supported value: AES256/KMS/SM4."
        details = {"ArgumentName": "SSEAlgorithm", "ArgumentValue": algorithm or ""}
        raise OssError(400, "InvalidEncryptionAlgorithmError", message, details=details)
    for tag, text in (("KMSMasterKeyID", None), ("KMSDataEncryption", "SM4")):
        _check_kms(rule, tag, algorithm, text)
    return write_root(root)


def _check_kms(rule: ET.Element, tag: str, algorithm: str, only: str | None) -> None:
    """Remove ``tag`` if it is empty; refuse a key without KMS, and a data encryption other than ``only``."""
    node, text = rule.find(tag), xml.text_of(rule, tag)
    if node is None:
        return
    if not text or (only and algorithm != "KMS"):
        rule.remove(node)
    elif algorithm != "KMS" or text != (only or text):
        raise invalid_argument(f"{tag} is not applicable if the algorithm is {algorithm}.", tag, text)


ENCRYPTION = Document("encryption", _check, "Encryption", missing="NoSuchServerSideEncryptionRule")
