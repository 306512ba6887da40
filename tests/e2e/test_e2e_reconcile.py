"""The reconcile repairs differences between the bucket and the tables, and destroys nothing."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.e2e.row_support import (
    LONG_AGO,
    PICTURE,
    add_intent,
    add_job,
    add_output,
    count,
    intents,
    is_there,
    key_of,
    picture,
    row_appears,
    row_of,
    settle,
)
from tests.local_cloud import LocalCloud, eventually


def reconcile(cloud: LocalCloud, *, dry_run: bool = False) -> dict[str, Any]:
    """Run the reconcile and return its counts that are not 0."""
    payload = json.dumps({"task": "reconcile", "dryRun": dry_run})
    counts = json.loads(cloud.invoke("clean-up", {"payload": payload}))
    assert counts["complete"] is True and counts["dry_run"] is dry_run
    return {name: number for name, number in counts.items() if number and type(number) is int and name != "looked_at"}


def test_the_event_of_a_late_upload_writes_the_row_of_its_intent(cloud: LocalCloud) -> None:
    job_id = add_job(cloud)
    key = add_intent(cloud, job_id)
    cloud.oss2_bucket().put_object(key, PICTURE)
    row = row_appears(cloud, key)
    assert (row["size"], row["job_id"], intents(cloud, job_id)) == (len(PICTURE), job_id, 0)
    assert row["created_at"] == LONG_AGO.strftime("%Y-%m-%d %H:%M:%S")  # the intent's row, not a new one


def test_the_hourly_timer_repairs_lost_rows(fresh_cloud: LocalCloud) -> None:
    cloud, bucket = fresh_cloud, fresh_cloud.oss2_bucket()
    job_id = add_job(cloud)
    cloud.arm("events", {"key": "users/*"}, {"lose": True})
    bucket.put_object(key_of(job_id), PICTURE)
    upload = bucket.init_multipart_upload(key_of(job_id, 1)).upload_id
    bucket.upload_part(key_of(job_id, 1), upload, 1, b"half")
    assert reconcile(cloud) == {}
    cloud.advance(3600)
    assert row_appears(cloud, key_of(job_id))["meta"]["width"] == 64
    assert len(bucket.list_multipart_uploads().upload_list) == 1
    cloud.advance(23 * 3600)
    eventually(lambda: bucket.list_multipart_uploads().upload_list == [])
    assert reconcile(cloud) == {}


def test_intents_are_settled_as_the_dry_run_counted(fresh_cloud: LocalCloud) -> None:
    cloud, bucket = fresh_cloud, fresh_cloud.oss2_bucket()
    dead, late, replaced, empty = (add_job(cloud, status) for status in ("failed", "succeeded", "cancelled", "failed"))
    bodies = {dead: PICTURE, late: PICTURE, replaced: picture(32, 32)}
    cloud.arm("events", {"key": "users/*"}, {"lose": True}, times=len(bodies))
    for job_id, body in bodies.items():
        bucket.put_object(add_intent(cloud, job_id), body)
    add_intent(cloud, empty)
    planned = {"objects_deleted": 1, "intents_completed": 1, "intents_removed": 3, "intents_of_other_bytes": 1}
    event = {"payload": json.dumps({"task": "reconcile", "dryRun": True})}
    shown = json.loads(cloud.command("invoke", "clean-up", "--event", json.dumps(event)).stdout)
    assert shown.items() >= {**planned, "dry_run": True, "complete": True, "rows_removed": 0}.items()
    assert [intents(cloud, job_id) for job_id in (*bodies, empty)] == [1] * 4
    assert all(is_there(cloud, key_of(job_id)) for job_id in bodies)
    assert reconcile(cloud) == planned
    assert [intents(cloud, job_id) for job_id in (*bodies, empty)] == [0] * 4
    assert [is_there(cloud, key_of(job_id)) for job_id in bodies] == [False, True, True]
    assert row_of(cloud, key_of(late)) is not None
    assert reconcile(cloud) == {}


def test_a_run_removes_at_most_ten_rows_without_objects(fresh_cloud: LocalCloud) -> None:
    cloud = fresh_cloud
    keys = [add_output(cloud, add_job(cloud)) for _ in range(12)]
    young = add_output(cloud, add_job(cloud), created_at=datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S"))
    withheld = {"rows_removed": 10, "deletions_withheld": 2}
    assert reconcile(cloud, dry_run=True) == withheld
    assert len([key for key in keys if row_of(cloud, key)]) == 12
    assert reconcile(cloud) == withheld
    assert "suspiciously many deletions" in (cloud.data_dir / "logs" / "clean-up.log").read_text()
    assert reconcile(cloud) == {"rows_removed": 2}
    assert reconcile(cloud) == {}
    assert [key for key in [*keys, young] if row_of(cloud, key)] == [young]


@pytest.mark.parametrize(
    "effect",
    [{"status": 503, "code": "ServiceUnavailable"}, {"drop": True}, {"truncateBytes": 250}],
    ids=["503", "dropped", "cut"],
)
def test_a_failed_list_changes_nothing(cloud: LocalCloud, effect: dict[str, object]) -> None:
    key = add_output(cloud, add_job(cloud))
    cloud.arm("oss", {"operation": "ListObjectsV2"}, effect, times=1000)
    assert reconcile(cloud)["skipped"] >= 1
    assert row_of(cloud, key) is not None
    cloud.disarm()
    while "deletions_withheld" in reconcile(cloud):
        pass  # rows and objects of other tests also count towards the limit of ten
    assert row_of(cloud, key) is None


def test_reads_of_the_bucket_trigger_no_indexing(cloud: LocalCloud) -> None:
    job_id = add_job(cloud)
    before = count(cloud)
    cloud.oss2_bucket().put_object(key_of(job_id), PICTURE)
    settle(cloud, 1, before)
    assert reconcile(cloud).get("rows_removed") is None
    cloud.oss2_bucket().put_object(key_of(job_id, 1), PICTURE)
    # Events are delivered in order: an event of the reads of the first indexing would come before this one.
    settle(cloud, 2, before)
    assert count(cloud) == before + 2
