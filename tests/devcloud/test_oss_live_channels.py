"""Live channels."""

import oss2
import pytest
from oss2.models import LiveChannelInfo, LiveChannelInfoTarget
from oss_support import KEY

from devcloud.oss.testing import EmulatedOss

pytest_plugins = ["devcloud.oss.pytest_plugin"]


def test_live_channels_are_created_listed_and_deleted(oss: EmulatedOss) -> None:
    bucket = oss.client(key=KEY)
    info = LiveChannelInfo(target=LiveChannelInfoTarget(playlist_name="list.m3u8"))
    assert bucket.create_live_channel("one", info).play_url.endswith("/one/list.m3u8")
    bucket.create_live_channel("two", info)
    assert [channel.name for channel in oss2.LiveChannelIterator(bucket, max_keys=1)] == ["one", "two"]
    bucket.put_live_channel_status("one", "disabled")
    assert bucket.get_live_channel("one").status == "disabled"
    assert bucket.get_live_channel_stat("two").status == "Idle"
    now = int(oss.clock.now())
    with pytest.raises(oss2.exceptions.InvalidArgument):
        bucket.post_vod_playlist("two", "vod.m3u8", now - 60, now + 60)
    bucket.put_object("two/1.ts", b"x")
    bucket.post_vod_playlist("two", "vod.m3u8", now - 60, now + 60)
    assert b"1.ts" in bucket.get_object("two/vod.m3u8").read()
    bucket.delete_live_channel("two")
    with pytest.raises(oss2.exceptions.NoSuchLiveChannel):
        bucket.get_live_channel("two")
