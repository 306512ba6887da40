"""Rows follow objects that others upload or delete, also when events arrive twice, late or never."""

import struct
import time

import oss2
import pytest

from tests.e2e.job_support import Case, check_succeeded, run
from tests.e2e.row_support import USER, count, new_key, picture, row_appears, row_of, settle
from tests.local_cloud import LocalCloud, eventually

SMALL = Case("small", "/ai/generate-image", {}, (512, 512), "wan2.2-t2i-flash")


@pytest.mark.parametrize("how", ["one", "batch"])
def test_the_row_of_a_deleted_object_is_removed(cloud: LocalCloud, prompt: str, how: str) -> None:
    job = run(cloud, USER, prompt, count=2, size="512x512")
    first, second = (row["oss_path"] for row in cloud.output_rows(job["id"]))
    bucket = cloud.oss2_bucket()
    if how == "one":
        bucket.delete_object(first)
    else:
        bucket.batch_delete_objects([first])
    eventually(lambda: row_of(cloud, first) is None)
    shown = cloud.api(USER).get(f"/jobs/{job['id']}").json()["outputs"]
    assert [output["ossUrl"].rsplit("/", 1)[1] for output in shown] == [second.rsplit("/", 1)[1]]
    assert [row["oss_path"] for row in cloud.output_rows(job["id"])] == [second]


@pytest.mark.parametrize(
    ("user", "name", "format_"),
    [
        (USER, "image-1703123456789.png", "PNG"),
        ("用户 甲+%41", "image-1703123456789.jpg", "JPEG"),
        ("o'brien", "image-1703123456789.webp", "WEBP"),
    ],
)
def test_an_object_uploaded_by_others_gets_its_row(cloud: LocalCloud, user: str, name: str, format_: str) -> None:
    key, content = new_key(user, name=name), picture(640, 360, format_)
    stored = cloud.oss2_bucket().put_object(key, content)
    row = row_appears(cloud, key)
    assert (row["user_id"], row["job_id"], row["type"], row["size"]) == (user, key.split("/")[3], "image", len(content))
    assert (row["meta"]["width"], row["meta"]["height"], row["meta"]["format"]) == (640, 360, format_.lower())
    assert row["meta"]["crc64"] == str(stored.crc)


def test_a_video_uploaded_in_parts_gets_its_row(cloud: LocalCloud, prompt: str) -> None:
    job = run(cloud, USER, prompt, path="/ai/generate-video", duration=2, size="832x480")
    bucket = cloud.oss2_bucket()
    # The size of a video depends on the prompt; with an MP4 box "free" at its end every file has two parts.
    room = 128 * 1024
    content = bucket.get_object(cloud.output_rows(job["id"])[0]["oss_path"]).read()
    content += struct.pack(">I4s", room, b"free").ljust(room, b"\0")
    key = new_key(name="video-1703123456789.mp4")
    upload = bucket.init_multipart_upload(key).upload_id
    parts = [
        oss2.models.PartInfo(number, bucket.upload_part(key, upload, number, part).etag)
        for number, part in enumerate((content[:102_400], content[102_400:]), 1)
    ]
    bucket.complete_multipart_upload(key, upload, parts)
    row = row_appears(cloud, key)
    assert (row["type"], row["size"]) == ("video", len(content))
    assert (row["meta"]["width"], row["meta"]["height"], row["meta"]["duration"]) == (832, 480, 2.0)


def test_a_copied_object_gets_its_row(cloud: LocalCloud) -> None:
    bucket, key, copy = cloud.oss2_bucket(), new_key(), new_key("somebody.else")
    bucket.put_object(key, picture(64, 48))
    bucket.copy_object(bucket.bucket_name, key, copy)
    assert row_appears(cloud, copy)["user_id"] == "somebody.else"


def test_a_replaced_object_updates_its_row(cloud: LocalCloud, prompt: str) -> None:
    job = run(cloud, USER, prompt, size="512x512")
    (row,) = cloud.output_rows(job["id"])
    content = picture(300, 200)
    stored = cloud.oss2_bucket().put_object(row["oss_path"], content)
    eventually(lambda: cloud.output_rows(job["id"])[0]["meta"]["crc64"] == str(stored.crc))
    (new,) = cloud.output_rows(job["id"])
    assert (new["id"], new["size"], new["meta"]["width"]) == (row["id"], len(content), 300)


@pytest.mark.parametrize(
    ("key", "content"),
    [
        ("users/a/jobs/b/notes.txt", picture(8, 8)),
        ("users/a/jobs/b/image-17.png", picture(8, 8)),
        ("users/a/jobs/b/c/image-1703123456789.png", picture(8, 8)),
        ("users/a/image-1703123456789.png", picture(8, 8)),
        (new_key("a", "no-media"), b"<html>no picture</html>"),
        (new_key("a", "nothing"), b""),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_other_objects_get_no_row(cloud: LocalCloud, key: str, content: bytes) -> None:
    before = count(cloud)
    cloud.oss2_bucket().put_object(key, content)
    settle(cloud, 1, before)
    assert row_of(cloud, key) is None


def test_an_event_delivered_three_times_changes_nothing(cloud: LocalCloud, prompt: str) -> None:
    cloud.arm("events", {"key": "users/*"}, {"copies": 3}, times=2)
    before = count(cloud)
    job = run(cloud, USER, prompt, count=2, size="512x512")
    settle(cloud, 6, before)
    check_succeeded(cloud, USER, job, Case("", "", {}, (512, 512), "wan2.2-t2i-flash", count=2))
    shown = cloud.api(USER).get(f"/jobs/{job['id']}").json()
    assert shown == job


def test_a_jobs_own_output_needs_no_event(cloud: LocalCloud, prompt: str) -> None:
    cloud.arm("events", {"key": "users/*"}, {"lose": True})
    check_succeeded(cloud, USER, run(cloud, USER, prompt, size="512x512"), SMALL)


def test_the_next_event_of_an_object_repairs_a_lost_one(cloud: LocalCloud) -> None:
    bucket, key = cloud.oss2_bucket(), new_key()
    cloud.arm("events", {"key": key}, {"lose": True})
    bucket.put_object(key, picture(64, 48))
    bucket.put_object(key, picture(64, 48))
    first = row_appears(cloud, key)
    # The same event again, sent by the test.
    cloud.invoke(
        "index-outputs", {"events": [{"eventName": "ObjectCreated:PutObject", "oss": {"object": {"key": key}}}]}
    )
    assert row_of(cloud, key) == first


def test_events_in_the_wrong_order_end_with_the_correct_row(cloud: LocalCloud) -> None:
    bucket, key, before = cloud.oss2_bucket(), new_key(), count(cloud)
    cloud.arm("events", {"key": key}, {"hold": True})
    bucket.put_object(key, picture(64, 48))
    bucket.delete_object(key)
    settle(cloud, 2, before)
    assert row_of(cloud, key) is None


def test_an_event_during_a_running_job_writes_no_row(cloud: LocalCloud, prompt: str) -> None:
    api, before = cloud.api(USER), count(cloud)
    job = api.post(
        "/ai/generate-image", json={"prompt": f"[slow] {prompt}"}, headers={"Prefer": "respond-async"}
    ).json()
    key = f"users/{USER}/jobs/{job['id']}/image-{int(time.time() * 1000)}.png"
    cloud.oss2_bucket().put_object(key, picture(64, 48))
    settle(cloud, 1, before)
    assert row_of(cloud, key) is None
    assert cloud.finish(api, job["id"])["status"] == "succeeded"


def test_an_event_is_repeated_after_a_failure_of_oss(cloud: LocalCloud) -> None:
    key = new_key()
    cloud.arm("oss", {"operation": "HeadObject", "key": key}, {"status": 503, "code": "ServiceUnavailable"}, times=2)
    cloud.oss2_bucket().put_object(key, picture(64, 48))

    def appears() -> bool:
        cloud.advance(2)
        return row_of(cloud, key) is not None

    eventually(appears, interval_s=0.2)
