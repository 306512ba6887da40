"""Inventory configurations: ``?inventory``. They are stored and listed; the emulator does not write inventories.

See https://www.alibabacloud.com/help/en/oss/developer-reference/putbucketinventory.
"""

from xml.etree import ElementTree as ET

from devcloud.oss.documents.xml_document import boolean, nodes_of, one_of, read_root, required, write_root
from devcloud.oss.http import xml
from devcloud.oss.http.oss_reply import Reply, xml_reply
from devcloud.oss.http.oss_request import OssRequest
from devcloud.oss.oss_errors import OssError, invalid_argument
from devcloud.oss.oss_service import OssService

MAX_CONFIGURATIONS = 1000
PAGE = 100
_TAG = "InventoryConfiguration"
_ARN = "acs:oss:::"


async def put_inventory(service: OssService, request: OssRequest) -> Reply:
    """PutBucketInventory."""
    root = read_root(await request.document(), _TAG)
    _check(service, root, request.query.get("inventoryId", ""))
    name = required(root, "Id")
    configurations = _configurations(service, request.bucket)
    if name in configurations:
        raise OssError(409, "InventoryAlreadyExist", "The inventory configuration already exists.")
    if len(configurations) >= MAX_CONFIGURATIONS:
        raise OssError(400, "InventoryExceedLimit", "The bucket has too many inventory configurations.")
    _store(service, request.bucket, configurations | {name: root})
    return Reply()


async def get_inventory(service: OssService, request: OssRequest) -> Reply:
    """GetBucketInventory."""
    configuration = _configurations(service, request.bucket).get(request.query["inventoryId"])
    if configuration is None:
        raise _no_such_inventory(request)
    return xml_reply(_TAG, *nodes_of(configuration))


async def list_inventories(service: OssService, request: OssRequest) -> Reply:
    """ListBucketInventory, in pages of a hundred."""
    after = request.query.get("continuation-token", "")
    found = [(name, node) for name, node in _configurations(service, request.bucket).items() if name > after]
    if not found and not after:
        raise _no_such_inventory(request)
    page = found[:PAGE]
    nodes: list[xml.Node] = [(_TAG, nodes_of(node)) for _, node in page]
    nodes.append(("IsTruncated", len(found) > PAGE))
    if len(found) > PAGE:
        nodes.append(("NextContinuationToken", page[-1][0]))
    return xml_reply("ListInventoryConfigurationsResult", *nodes)


async def delete_inventory(service: OssService, request: OssRequest) -> Reply:
    """DeleteBucketInventory."""
    configurations = _configurations(service, request.bucket)
    if configurations.pop(request.query.get("inventoryId", ""), None) is None:
        raise _no_such_inventory(request)
    _store(service, request.bucket, configurations)
    return Reply(204)


def _no_such_inventory(request: OssRequest) -> OssError:
    details = {"InventoryId": request.query.get("inventoryId", "")}
    return OssError(404, "NoSuchInventory", "The specified inventory does not exist.", details=details)


def _check(service: OssService, root: ET.Element, name: str) -> None:
    if required(root, "Id") != name:
        raise invalid_argument("The inventory's id is not the one of the request.", "Id", name)
    required(root, "IsEnabled")
    boolean(root, "IsEnabled", default=True)
    one_of(root, "IncludedObjectVersions", ("All", "Current"))
    one_of(root, "Schedule/Frequency", ("Daily", "Weekly"))
    target = "Destination/OSSBucketDestination"
    one_of(root, f"{target}/Format", ("CSV",))
    for field in ("AccountId", "RoleArn"):
        required(root, f"{target}/{field}")
    arn = required(root, f"{target}/Bucket")
    if not arn.startswith(_ARN):
        raise invalid_argument("The destination is not a bucket.", "Bucket", arn)
    service.storage.bucket(arn.removeprefix(_ARN))


def _configurations(service: OssService, bucket: str) -> dict[str, ET.Element]:
    body = service.storage.document(bucket, "inventory")
    nodes = [] if body is None else read_root(body, "Inventories").findall(_TAG)
    return {required(node, "Id"): node for node in nodes}


def _store(service: OssService, bucket: str, configurations: dict[str, ET.Element]) -> None:
    root = ET.Element("Inventories")
    root.extend(configurations[name] for name in sorted(configurations))
    service.storage.put_document(bucket, "inventory", write_root(root) if configurations else None)
