"""Live channels: their configuration and playlists. The emulator does not accept streams (RTMP).

See https://www.alibabacloud.com/help/en/oss/developer-reference/livechannel-related-operations.
"""

import json
import re
from dataclasses import asdict, dataclass, replace
from xml.etree import ElementTree as ET

from devcloud.oss.http import xml
from devcloud.oss.http.dates import iso_date
from devcloud.oss.http.object_keys import check_key
from devcloud.oss.http.oss_reply import Reply, xml_reply
from devcloud.oss.http.oss_request import OssRequest
from devcloud.oss.operations.listing_pages import read_count
from devcloud.oss.operations.objects import put_document
from devcloud.oss.oss_errors import OssError, invalid_argument, malformed_xml
from devcloud.oss.oss_service import OssService

MAX_SPAN_S = 24 * 3600
_DOCUMENT = "live"
_PLAYLIST = re.compile(r"[^/]{1,123}\.m3u8")
_STATUSES = ("enabled", "disabled")


@dataclass(frozen=True)
class _Channel:
    description: str
    status: str
    fragment_s: int
    fragment_count: int
    playlist: str
    modified_at: float


async def put_live_channel(service: OssService, request: OssRequest) -> Reply:
    """PutLiveChannel."""
    root = xml.parse(await request.document())
    if root.tag != "LiveChannelConfiguration":
        raise malformed_xml()
    if "/" in request.key:
        raise invalid_argument("The live channel name is invalid.", "LiveChannelName", request.key)
    kind = xml.text_of(root, "Target/Type") or ""
    if kind != "HLS":
        raise invalid_argument("The target type must be HLS.", "Type", kind)
    playlist = xml.text_of(root, "Target/PlaylistName") or "playlist.m3u8"
    if not _PLAYLIST.fullmatch(playlist):
        raise invalid_argument("The playlist name is invalid.", "PlaylistName", playlist)
    channel = _Channel(
        xml.text_of(root, "Description") or "",
        _check_status(xml.text_of(root, "Status") or "enabled"),
        _read_number(root, "FragDuration", 5),
        _read_number(root, "FragCount", 3),
        playlist,
        service.clock.now(),
    )
    _write(service, request, _read(service, request) | {request.key: channel})
    return xml_reply("CreateLiveChannelResult", *_urls(request, request.key, channel))


async def put_live_channel_status(service: OssService, request: OssRequest) -> Reply:
    """PutLiveChannelStatus."""
    status = _check_status(request.query["status"])
    changed = replace(_channel(service, request), status=status)
    _write(service, request, _read(service, request) | {request.key: changed})
    return Reply()


async def get_live_channel(service: OssService, request: OssRequest) -> Reply:
    """GetLiveChannelInfo, GetLiveChannelStat and GetLiveChannelHistory, distinguished by ``comp``."""
    channel = _channel(service, request)
    comp = request.query.get("comp")
    if comp == "stat":
        return xml_reply("LiveChannelStat", ("Status", "Disabled" if channel.status == "disabled" else "Idle"))
    if comp == "history":
        return xml_reply("LiveChannelHistory")
    if comp is not None:
        raise invalid_argument("comp must be stat or history.", "comp", comp)
    target: list[xml.Node] = [
        ("Type", "HLS"),
        ("FragDuration", channel.fragment_s),
        ("FragCount", channel.fragment_count),
        ("PlaylistName", channel.playlist),
    ]
    nodes: list[xml.Node] = [("Description", channel.description), ("Status", channel.status), ("Target", target)]
    return xml_reply("LiveChannelConfiguration", *nodes)


async def delete_live_channel(service: OssService, request: OssRequest) -> Reply:
    """DeleteLiveChannel; a channel that does not exist is not an error."""
    channels = _read(service, request)
    channels.pop(request.key, None)
    _write(service, request, channels)
    return Reply(204)


async def list_live_channels(service: OssService, request: OssRequest) -> Reply:
    """ListLiveChannel."""
    prefix, marker = request.query.get("prefix", ""), request.query.get("marker", "")
    limit = read_count(request, "max-keys", 100)
    found = sorted(
        (name, channel)
        for name, channel in _read(service, request).items()
        if name.startswith(prefix) and name > marker
    )
    page, truncated = found[:limit], len(found) > limit
    nodes: list[xml.Node] = [
        ("Prefix", prefix),
        ("Marker", marker),
        ("MaxKeys", limit),
        ("IsTruncated", truncated),
    ]
    if truncated:
        nodes.append(("NextMarker", page[-1][0]))
    for name, channel in page:
        fields: list[xml.Node] = [
            ("Name", name),
            ("Description", channel.description),
            ("Status", channel.status),
            ("LastModified", iso_date(channel.modified_at)),
        ]
        nodes.append(("LiveChannel", [*fields, *_urls(request, name, channel)]))
    return xml_reply("ListLiveChannelResult", *nodes)


async def post_vod_playlist(service: OssService, request: OssRequest) -> Reply:
    """PostVodPlaylist: store a playlist of the channel's recordings in a period as ``CHANNEL/PLAYLIST``."""
    name, _, playlist = request.key.rpartition("/")
    if not _PLAYLIST.fullmatch(playlist):
        raise invalid_argument("The playlist name is invalid.", "PlaylistName", playlist)
    check_key(request.key)
    body = _vod_playlist(service, request, name)
    await put_document(service, request, body, "application/x-mpegURL")
    return Reply()


async def get_vod_playlist(service: OssService, request: OssRequest) -> Reply:
    """GetVodPlaylist."""
    body = _vod_playlist(service, request, request.key)
    return Reply(headers={"content-type": "application/x-mpegURL"}, body=body)


def count_channels(service: OssService, bucket: str) -> int:
    """Return the number of live channels of a bucket."""
    return len(json.loads(service.storage.document(bucket, _DOCUMENT) or b"{}"))


def _vod_playlist(service: OssService, request: OssRequest, name: str) -> bytes:
    channel = _find(service, request, name)
    start, end = (_read_time(request, parameter) for parameter in ("startTime", "endTime"))
    if not start < end <= start + MAX_SPAN_S:
        raise invalid_argument("The time span is invalid.", "startTime", str(start))
    fragments = [
        record.key.rpartition("/")[2]
        for record in service.storage.scan_objects(request.bucket, f"{name}/", "")
        if record.key.endswith(".ts") and start <= record.modified_at <= end
    ]
    if not fragments:
        message = "No ts file found in specified time span."
        raise OssError(400, "InvalidArgument", message)
    lines = ["#EXTM3U", "#EXT-X-VERSION:3", "#EXT-X-MEDIA-SEQUENCE:0", f"#EXT-X-TARGETDURATION:{channel.fragment_s}"]
    for fragment in fragments:
        lines += [f"#EXTINF:{channel.fragment_s},", fragment]
    return "\n".join([*lines, "#EXT-X-ENDLIST", ""]).encode()


def _read(service: OssService, request: OssRequest) -> dict[str, _Channel]:
    body = service.storage.document(request.bucket, _DOCUMENT) or b"{}"
    return {name: _Channel(**fields) for name, fields in json.loads(body).items()}


def _write(service: OssService, request: OssRequest, channels: dict[str, _Channel]) -> None:
    fields = {name: asdict(channel) for name, channel in channels.items()}
    service.storage.put_document(request.bucket, _DOCUMENT, json.dumps(fields).encode() if fields else None)


def _channel(service: OssService, request: OssRequest) -> _Channel:
    return _find(service, request, request.key)


def _find(service: OssService, request: OssRequest, name: str) -> _Channel:
    channel = _read(service, request).get(name)
    if channel is None:
        raise OssError(404, "NoSuchLiveChannel", "The specified live channel does not exist.")
    return channel


def _urls(request: OssRequest, name: str, channel: _Channel) -> list[xml.Node]:
    host = request.host if request.host.startswith(f"{request.bucket}.") else f"{request.bucket}.{request.host}"
    return [
        ("PublishUrls", [("Url", f"rtmp://{host}/live/{name}")]),
        ("PlayUrls", [("Url", f"http://{host}/{name}/{channel.playlist}")]),
    ]


def _check_status(status: str) -> str:
    if status not in _STATUSES:
        raise invalid_argument("The status of a live channel is enabled or disabled.", "Status", status)
    return status


def _read_number(root: ET.Element, tag: str, default: int) -> int:
    text = xml.text_of(root, f"Target/{tag}") or str(default)
    if not text.isdecimal() or not 1 <= int(text) <= 100:
        raise invalid_argument(f"{tag} must be a number from 1 to 100.", tag, text)
    return int(text)


def _read_time(request: OssRequest, name: str) -> int:
    text = request.query.get(name, "")
    if not text.isdecimal():
        raise invalid_argument(f"{name} must be a time in Unix seconds.", name, text)
    return int(text)
