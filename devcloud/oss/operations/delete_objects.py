"""DeleteObject and DeleteMultipleObjects.

See https://www.alibabacloud.com/help/en/oss/developer-reference/deleteobject.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from urllib.parse import quote

from devcloud.oss.http import xml
from devcloud.oss.http.object_keys import check_key
from devcloud.oss.http.oss_reply import Reply, xml_reply
from devcloud.oss.http.oss_request import OssRequest
from devcloud.oss.operations.object_writes import check_md5, refuse_protected
from devcloud.oss.oss_errors import malformed_xml
from devcloud.oss.oss_service import OssService, check_version_id, version_of
from devcloud.oss.storages.port import DELETE_MARKER, NULL_VERSION

MAX_DELETED_AT_ONCE = 1000


async def delete_object(service: OssService, request: OssRequest) -> Reply:
    """DeleteObject; an object that does not exist is not an error."""
    version_id = version_of(request)
    deletion = _delete(service, request, [(request.key, version_id)], "DeleteObject")[0]
    headers = {}
    if deletion.version_id:
        headers["x-oss-version-id"] = deletion.version_id
    if deletion.marker_id:
        headers |= {"x-oss-delete-marker": "true", "x-oss-version-id": deletion.marker_id}
    return Reply(204, headers)


async def delete_objects(service: OssService, request: OssRequest) -> Reply:
    """DeleteMultipleObjects."""
    body = await request.document()
    check_md5(request, hashlib.md5(body, usedforsecurity=False).digest())
    root = xml.parse(body)
    wanted = [(xml.text_of(node, "Key") or "", xml.text_of(node, "VersionId")) for node in root.iterfind("Object")]
    if root.tag != "Delete" or not 1 <= len(wanted) <= MAX_DELETED_AT_ONCE:
        raise malformed_xml()
    for key, version_id in wanted:
        check_key(key)
        query = {} if version_id is None else {"versionId": check_version_id(version_id)}
        request.admit(replace(request, method="DELETE", key=key, query=query))
    deletions = _delete(service, request, wanted, "DeleteObjects")
    nodes: list[xml.Node] = []
    url_encoded = request.query.get("encoding-type") == "url"
    if url_encoded:
        nodes.append(("EncodingType", "url"))
    if xml.text_of(root, "Quiet") not in ("true", "True"):
        nodes += [("Deleted", _deletion_nodes(deletion, url_encoded=url_encoded)) for deletion in deletions]
    return xml_reply("DeleteResult", *nodes)


@dataclass(frozen=True)
class _Deletion:
    """The result of one deletion: the requested version, and the delete marker that was made or removed."""

    key: str
    version_id: str | None
    marker_id: str = ""


def _delete(
    service: OssService, request: OssRequest, wanted: Sequence[tuple[str, str | None]], event: str
) -> list[_Deletion]:
    """Remove the named versions.

    Without a version id remove the object, or hide it by a delete marker if the bucket has versioning.
    """
    bucket = request.bucket
    versioned = bool(service.storage.bucket(bucket).versioning)
    exact = [(key, version_id or NULL_VERSION) for key, version_id in wanted if version_id or not versioned]
    for version in exact:
        refuse_protected(service, service.storage.version(bucket, *version))
    removed = service.storage.delete_versions(bucket, exact)
    for record in removed:
        if record.type != DELETE_MARKER:
            service.emit(f"ObjectRemoved:{event}", request, record, -record.content.size)
    markers = {(record.key, record.version_id) for record in removed if record.type == DELETE_MARKER}
    deletions = []
    for key, version_id in wanted:
        if version_id or not versioned:
            marker_id = version_id if (key, version_id) in markers else None
        else:
            marker_id = _put_marker(service, request, key, event)
        deletions.append(_Deletion(key, version_id, marker_id or ""))
    return deletions


def _put_marker(service: OssService, request: OssRequest, key: str, event: str) -> str:
    bucket = request.bucket
    hidden = service.storage.object(bucket, key)
    marker = service.new_delete_marker(bucket, key)
    service.storage.put_object(marker)
    if hidden is not None:
        lost = hidden.content.size if hidden.version_id == marker.version_id else 0
        service.emit(f"ObjectRemoved:{event}", request, hidden, -lost)
    return marker.version_id


def _deletion_nodes(deletion: _Deletion, *, url_encoded: bool) -> list[xml.Node]:
    nodes: list[xml.Node] = [("Key", quote(deletion.key, safe="") if url_encoded else deletion.key)]
    if deletion.version_id:
        nodes.append(("VersionId", deletion.version_id))
    if deletion.marker_id:
        nodes += [("DeleteMarker", True), ("DeleteMarkerVersionId", deletion.marker_id)]
    return nodes
