"""Timers on the clock, and OSS events with their faults."""

import json
from collections.abc import Iterator

import oss2
import pytest
from fc_support import LocalCloud, eventually, local_cloud, write_project

YEAR_S = 366 * 86400


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    with local_cloud(write_project(tmp_path_factory.mktemp("triggers"))) as running:
        yield running


@pytest.fixture
def bucket(cloud: LocalCloud) -> oss2.Bucket:
    auth = oss2.Auth(cloud.variables["OSS_ACCESS_KEY"], cloud.variables["OSS_SECRET"])
    return oss2.Bucket(auth, cloud.variables["OSS_ENDPOINT"], cloud.variables["OSS_BUCKET"])


def deliveries(cloud: LocalCloud, key: str) -> list[str]:
    return [line.split()[0] for line in cloud.lines("seen") if line.endswith(f" {key}")]


def test_a_moved_clock_fires_a_timer_once(cloud: LocalCloud) -> None:
    assert not cloud.lines("ticks")
    cloud.control.post("/clock", json={"advanceSeconds": 3 * YEAR_S}).raise_for_status()
    event = json.loads(eventually(lambda: cloud.lines("ticks"))[0])
    assert event["triggerTime"].endswith("-12-31T18:30:00Z")
    assert (event["triggerName"], event["payload"]) == ("yearly", '{"task": "x"}')
    eventually(lambda: [item["status"] for item in cloud.invocations("tick")] == ["succeeded"])
    assert cloud.invocations("tick")[0]["kind"] == "timer"


def test_matching_events_are_delivered(cloud: LocalCloud, bucket: oss2.Bucket) -> None:
    bucket.put_object("other/a.png", b"1")
    bucket.put_object("users/a.txt", b"1")
    bucket.put_object("users/a.png", b"1")
    bucket.delete_object("users/a.png")
    eventually(lambda: len(deliveries(cloud, "users/a.png")) == 2)
    assert {"ObjectCreated:PutObject", "ObjectRemoved:DeleteObject"} == set(deliveries(cloud, "users/a.png"))
    assert not deliveries(cloud, "other/a.png") + deliveries(cloud, "users/a.txt")


def test_events_can_be_lost_and_delivered_several_times(cloud: LocalCloud, bucket: oss2.Bucket) -> None:
    cloud.arm("events", {"lose": True}, key="users/lost.png")
    cloud.arm("events", {"copies": 3}, key="users/thrice.*", event="ObjectCreated:*")
    bucket.put_object("users/lost.png", b"1")
    bucket.put_object("users/thrice.png", b"1")
    eventually(lambda: len(deliveries(cloud, "users/thrice.png")) == 3)
    assert not deliveries(cloud, "users/lost.png")


def test_a_delayed_event_arrives_when_the_clock_moves(cloud: LocalCloud, bucket: oss2.Bucket) -> None:
    cloud.arm("events", {"delayS": 3600}, key="users/late.png")
    bucket.put_object("users/late.png", b"1")
    bucket.put_object("users/soon.png", b"1")
    eventually(lambda: deliveries(cloud, "users/soon.png"))
    assert not deliveries(cloud, "users/late.png")
    cloud.control.post("/clock", json={"advanceSeconds": 3600}).raise_for_status()
    eventually(lambda: deliveries(cloud, "users/late.png"))


def test_a_held_event_arrives_after_the_next_event(cloud: LocalCloud, bucket: oss2.Bucket) -> None:
    cloud.arm("events", {"hold": True}, key="users/first.png")
    bucket.put_object("users/first.png", b"1")
    bucket.put_object("users/second.png", b"1")
    eventually(lambda: deliveries(cloud, "users/first.png"))
    order = [line.split()[1] for line in cloud.lines("seen")]
    assert order.index("users/second.png") < order.index("users/first.png")
