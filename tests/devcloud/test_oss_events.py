"""Events: one record per API call and object, after the change, in the shape of FC's OSS trigger."""

from datetime import UTC, datetime

import oss2
import pytest
from oss2.exceptions import OssError
from oss2.models import PartInfo
from oss_support import ACCOUNT, BUCKET, REGION

from devcloud.oss.testing import EmulatedOss

pytest_plugins = ["devcloud.oss.pytest_plugin"]


def told(oss: EmulatedOss) -> list[tuple[str, str, int, int]]:
    """Return name, key, size and change of size of the events since the last call."""
    events, oss.events[:] = list(oss.events), []
    facts = [(event["eventName"], event["oss"]["object"]) for event in events]
    return [(name, entry["key"], entry["size"], entry["deltaSize"]) for name, entry in facts]


def test_an_event_has_the_documented_form(oss: EmulatedOss) -> None:
    headers = {"x-oss-meta-job": "7", "Content-Type": "image/png"}
    result = oss.client().put_object("生成/a b.png", b"hello", headers=headers)
    (event,) = oss.events
    at = datetime.strptime(event.pop("eventTime"), "%Y-%m-%dT%H:%M:%S.000Z").replace(tzinfo=UTC)
    assert abs(at.timestamp() - oss.clock.now()) < 60
    assert event == {
        "eventName": "ObjectCreated:PutObject",
        "eventSource": "acs:oss",
        "eventVersion": "1.0",
        "oss": {
            "bucket": {"arn": f"acs:oss:{REGION}:{ACCOUNT}:{BUCKET}", "name": BUCKET, "ownerIdentity": ACCOUNT},
            "object": {
                "deltaSize": 5,
                "eTag": result.etag,
                "key": "生成/a b.png",
                "objectMeta": {"mimeType": "image/png", "userMeta": {"x-oss-meta-job": "7"}},
                "size": 5,
            },
            "ossSchemaVersion": "1.0",
            "ruleId": event["oss"]["ruleId"],
        },
        "region": REGION,
        "requestParameters": {"sourceIPAddress": "127.0.0.1"},
        "responseElements": {"requestId": result.request_id},
        "userIdentity": {"principalId": ACCOUNT},
    }


def test_every_change_is_one_event(oss: EmulatedOss) -> None:
    bucket = oss.client()
    bucket.put_object("a", b"12345")
    bucket.put_object("a", b"123")
    bucket.append_object("log", 0, b"12")
    bucket.append_object("log", 2, b"3")
    bucket.copy_object(BUCKET, "a", "b")
    upload_id = bucket.init_multipart_upload("m").upload_id
    part = bucket.upload_part("m", upload_id, 1, b"1234")
    bucket.complete_multipart_upload("m", upload_id, [PartInfo(1, part.etag)])
    bucket.put_object_acl("a", "private")
    bucket.get_object("a").read()
    bucket.delete_object("a")
    bucket.delete_object("a")
    bucket.batch_delete_objects(["b", "m", "none"])
    assert told(oss) == [
        ("ObjectCreated:PutObject", "a", 5, 5),
        ("ObjectCreated:PutObject", "a", 3, -2),
        ("ObjectCreated:AppendObject", "log", 2, 2),
        ("ObjectCreated:AppendObject", "log", 3, 1),
        ("ObjectCreated:CopyObject", "b", 3, 3),
        ("ObjectCreated:CompleteMultipartUpload", "m", 4, 4),
        ("ObjectRemoved:DeleteObject", "a", 3, -3),
        ("ObjectRemoved:DeleteObjects", "b", 3, -3),
        ("ObjectRemoved:DeleteObjects", "m", 4, -4),
    ]


def test_refused_writes_cause_no_events(oss: EmulatedOss) -> None:
    bucket = oss.client()
    bucket.put_object("a", b"x")
    told(oss)
    with pytest.raises(OssError):
        bucket.put_object("a", b"y", headers={"x-oss-forbid-overwrite": "true"})
    with pytest.raises(OssError):
        bucket.put_object("b", b"y", headers={"Content-MD5": "AAAAAAAAAAAAAAAAAAAAAA=="})
    with pytest.raises(OssError):
        oss2.Bucket(oss2.Auth("LTAItest", "wrong"), oss.endpoint, BUCKET).put_object("c", b"z")
    assert told(oss) == []
