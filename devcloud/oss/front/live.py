"""Live channels: their documents and playlists. Streams themselves (RTMP) are not taken in.

See https://www.alibabacloud.com/help/en/oss/developer-reference/livechannel-related-operations.
"""

from devcloud.oss.front.listing import read_count
from devcloud.oss.front.service import Service
from devcloud.oss.request import OssRequest, Reply, xml_reply


async def list_live_channels(service: Service, request: OssRequest) -> Reply:
    """ListLiveChannel."""
    return xml_reply(
        "ListLiveChannelResult",
        ("Prefix", request.query.get("prefix", "")),
        ("Marker", request.query.get("marker", "")),
        ("MaxKeys", read_count(request, "max-keys", 100)),
        ("IsTruncated", False),
        ("NextMarker", ""),
    )
