"""The small documents of a bucket: one or two values each.

Some of them have no effect here: the capacity of a bucket, its TLS versions, transfer acceleration, access tracking and
replication are only stored and returned.
See https://www.alibabacloud.com/help/en/oss/developer-reference/bucket-operations.
"""

import re
from collections.abc import Callable
from xml.etree import ElementTree as ET

from devcloud.oss.documents.xml_document import Document, boolean, integer, one_of, read_root, required, write_root
from devcloud.oss.http import xml
from devcloud.oss.oss_errors import OssError, malformed_xml

DEFAULT_RESOURCE_GROUP = "rg-acfmdevcloud0001"


def resource_group_of(body: bytes | None) -> str:
    """Return the resource group of a bucket with that document."""
    return xml.text_of(xml.parse(body), "ResourceGroupId") or "" if body else DEFAULT_RESOURCE_GROUP


def is_enabled(body: bytes | None, path: str) -> bool:
    """Tell whether the document exists and contains "true" or "Enabled" at ``path``."""
    return body is not None and xml.text_of(xml.parse(body), path) in ("true", "Enabled")


def _checked(tag: str, check: Callable[[ET.Element], object]) -> Callable[[bytes], bytes]:
    def read(body: bytes) -> bytes:
        root = read_root(body, tag)
        check(root)
        return write_root(root)

    return read


def _check_capacity(root: ET.Element) -> None:
    required(root, "StorageCapacity")
    integer(root, "StorageCapacity", least=-1)


def _check_resource_group(root: ET.Element) -> None:
    group = xml.text_of(root, "ResourceGroupId") or ""
    if not re.fullmatch(r"rg-[0-9a-z]{10,30}", group):
        message = "The resource group does not exist or can not be used."
        raise OssError(400, "ResourceGroupIdPreCheckError", message, details={"ResourceGroupId": group})


def _check_tls(root: ET.Element) -> None:
    tls = root.find("TLS")
    if tls is None:
        raise malformed_xml()
    versions: set[str] = set()
    for node in tls.findall("TLSVersion"):
        text = one_of(node, ".", ("TLSv1.0", "TLSv1.1", "TLSv1.2", "TLSv1.3"))
        if text in versions:
            tls.remove(node)
        versions.add(text)
    required(tls, "Enable")
    if boolean(tls, "Enable", default=False) and not versions:
        raise malformed_xml()


def _check_logging(root: ET.Element) -> None:
    enabled = root.find("LoggingEnabled")
    if enabled is None:
        return
    required(enabled, "TargetBucket")
    if len(xml.text_of(enabled, "TargetPrefix") or "") > 32:
        raise malformed_xml()


def target_of_logging(body: bytes) -> str | None:
    """Return the target bucket of a valid logging document."""
    return xml.text_of(xml.parse(body), "LoggingEnabled/TargetBucket")


def _flag(path: str) -> Callable[[ET.Element], object]:
    return lambda root: one_of(root, path, ("true", "false"))


SETTINGS = (
    Document(
        "accessmonitor",
        _checked("AccessMonitorConfiguration", lambda root: one_of(root, "Status", ("Enabled", "Disabled"))),
        "AccessMonitor",
        default=xml.render("AccessMonitorConfiguration", ("Status", "Disabled")),
        deletable=False,
    ),
    Document(
        "bucketArchiveDirectRead",
        _checked("ArchiveDirectReadConfiguration", _flag("Enabled")),
        "ArchiveDirectRead",
        default=xml.render("ArchiveDirectReadConfiguration", ("Enabled", False)),
        deletable=False,
    ),
    Document(
        "httpsConfig",
        _checked("HttpsConfiguration", _check_tls),
        "HttpsConfig",
        default=xml.render("HttpsConfiguration", ("TLS", [("Enable", False)])),
        deletable=False,
    ),
    Document(
        "logging",
        _checked("BucketLoggingStatus", _check_logging),
        "Logging",
        default=xml.render("BucketLoggingStatus"),
    ),
    Document(
        "publicAccessBlock",
        _checked("PublicAccessBlockConfiguration", _flag("BlockPublicAccess")),
        "PublicAccessBlock",
        default=xml.render("PublicAccessBlockConfiguration", ("BlockPublicAccess", False)),
    ),
    Document(
        "qos",
        _checked("BucketUserQos", _check_capacity),
        "StorageCapacity",
        default=xml.render("BucketUserQos", ("StorageCapacity", -1)),
        deletable=False,
    ),
    Document(
        "replication",
        _checked("ReplicationConfiguration", lambda root: required(root, "Rule/Destination/Bucket")),
        "Replication",
        missing="NoSuchReplicationConfiguration",
    ),
    Document(
        "requestPayment",
        _checked("RequestPaymentConfiguration", lambda root: one_of(root, "Payer", ("BucketOwner", "Requester"))),
        "RequestPayment",
        default=xml.render("RequestPaymentConfiguration", ("Payer", "BucketOwner")),
        deletable=False,
    ),
    Document(
        "resourceGroup",
        _checked("BucketResourceGroupConfiguration", _check_resource_group),
        "ResourceGroup",
        default=xml.render("BucketResourceGroupConfiguration", ("ResourceGroupId", DEFAULT_RESOURCE_GROUP)),
        deletable=False,
    ),
    Document(
        "transferAcceleration",
        _checked("TransferAccelerationConfiguration", _flag("Enabled")),
        "TransferAcceleration",
        missing="NoSuchTransferAccelerationConfiguration",
        deletable=False,
    ),
)
