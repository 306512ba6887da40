"""Lifecycle rules: which ones are valid, and what the lifecycle timer does."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import oss2
import pytest
from oss2 import models
from oss_support import DAY_S, refusal

from devcloud.oss.testing import EmulatedOss

pytest_plugins = ["devcloud.oss.pytest_plugin"]


def rule(name: str = "r", prefix: str = "logs/", **parts: Any) -> models.LifecycleRule:
    transitions = [models.StorageTransition(days=days, storage_class=to) for days, to in parts.pop("to", ())]
    return models.LifecycleRule(name, prefix, storage_transitions=transitions, **parts)


DAYS = models.LifecycleExpiration(days=10)


def test_a_lifecycle_document_comes_back_complete(empty_bucket: oss2.Bucket) -> None:
    assert refusal(empty_bucket.get_bucket_lifecycle) == (404, "NoSuchLifecycle")
    tagging = models.Tagging()
    tagging.tag_set.tagging_rule = {"kind": "draft"}
    exclusion = models.FilterNot("logs/keep/", models.FilterNotTag("hold", "yes"))
    put = rule(
        to=[(30, "IA"), (60, "Archive")],
        expiration=models.LifecycleExpiration(days=365),
        abort_multipart_upload=models.AbortMultipartUpload(days=7),
        tagging=tagging,
        noncurrent_version_expiration=models.NoncurrentVersionExpiration(30),
        noncurrent_version_sotrage_transitions=[models.NoncurrentVersionStorageTransition(10, "IA")],
        filter=models.LifecycleFilter([exclusion], object_size_greater_than=10, object_size_less_than=1000),
    )
    empty_bucket.put_bucket_lifecycle(models.BucketLifecycle([put]))
    (got,) = empty_bucket.get_bucket_lifecycle().rules
    assert (got.id, got.prefix, got.status, got.expiration.days) == ("r", "logs/", "Enabled", 365)
    assert [(move.days, move.storage_class) for move in got.storage_transitions] == [(30, "IA"), (60, "Archive")]
    assert (got.abort_multipart_upload.days, got.tagging.tag_set.tagging_rule) == (7, {"kind": "draft"})
    assert got.noncurrent_version_expiration.noncurrent_days == 30
    assert (got.filter.object_size_greater_than, got.filter.filter_not[0].prefix) == (10, "logs/keep/")
    empty_bucket.delete_bucket_lifecycle()
    assert refusal(empty_bucket.get_bucket_lifecycle) == (404, "NoSuchLifecycle")


def test_rules_without_an_id_get_an_id(empty_bucket: oss2.Bucket) -> None:
    body = "<Rule><Prefix>{}</Prefix><Status>Enabled</Status><Expiration><Days>1</Days></Expiration></Rule>"
    namespace = 'xmlns="http://doc.oss-cn-hangzhou.aliyuncs.com"'
    rules = body.format("a/") + body.format("b/")
    empty_bucket.put_bucket_lifecycle(f"<LifecycleConfiguration {namespace}>\n {rules}</LifecycleConfiguration>")
    ids = [got.id for got in empty_bucket.get_bucket_lifecycle().rules]
    assert len(set(ids)) == 2
    assert all(ids)


@pytest.mark.parametrize(
    ("rules", "code"),
    [
        ([rule(expiration=DAYS, to=[(10, "IA")])], "InvalidArgument"),
        ([rule(expiration=DAYS, to=[(5, "IA"), (4, "Archive")])], "InvalidArgument"),
        ([rule(expiration=DAYS, to=[(5, "Standard")])], "InvalidArgument"),
        ([rule(expiration=models.LifecycleExpiration(days=0))], "InvalidArgument"),
        ([rule(expiration=models.LifecycleExpiration(date=date(2030, 1, 1)), to=[(5, "IA")])], "InvalidRequest"),
        ([rule(expiration=DAYS), rule("s", "logs/a", expiration=DAYS)], "InvalidArgument"),
        ([rule(expiration=DAYS), rule("r", "other/", expiration=DAYS)], "InvalidArgument"),
        ([rule()], "MalformedXML"),
        ([rule(status="On", expiration=DAYS)], "MalformedXML"),
        ([], "MalformedXML"),
    ],
)
def test_invalid_lifecycle_rules_are_refused(
    shared_oss_emulator: EmulatedOss, rules: list[models.LifecycleRule], code: str
) -> None:
    for entry in rules:
        entry.status = entry.status if entry.status == "On" else "Enabled"
    put = models.BucketLifecycle(rules)
    assert refusal(lambda: shared_oss_emulator.client().put_bucket_lifecycle(put)) == (400, code)


def test_overlapping_rules_need_a_header(shared_oss_emulator: EmulatedOss) -> None:
    rules = models.BucketLifecycle([rule(expiration=DAYS), rule("s", "logs/a", expiration=DAYS)])
    bucket = shared_oss_emulator.client()
    bucket.put_bucket_lifecycle(rules, {"x-oss-allow-same-action-overlap": "true"})
    assert len(bucket.get_bucket_lifecycle().rules) == 2
    bucket.delete_bucket_lifecycle()


def put_rule(bucket: oss2.Bucket, prefix: str = "", **parts: Any) -> None:
    put = models.LifecycleRule("r", prefix, status=models.LifecycleRule.ENABLED, **parts)
    bucket.put_bucket_lifecycle(models.BucketLifecycle([put]))


def keys(bucket: oss2.Bucket) -> list[str]:
    return [entry.key for entry in oss2.ObjectIterator(bucket)]


def days(count: int) -> models.LifecycleExpiration:
    return models.LifecycleExpiration(days=count)


def test_objects_expire_by_age(oss: EmulatedOss, bucket: oss2.Bucket) -> None:
    bucket.put_object("tmp/old", b"x")
    put_rule(bucket, "tmp/", expiration=days(3))
    oss.advance(2 * DAY_S)
    bucket.put_object("tmp/new", b"x")
    assert keys(bucket) == ["a.txt", "tmp/new", "tmp/old"]
    seen = len(oss.events)
    oss.advance(DAY_S)
    assert keys(bucket) == ["a.txt", "tmp/new"]
    oss.advance(2 * DAY_S)
    assert keys(bucket) == ["a.txt"]
    assert oss.events[seen:] == []  # events report API calls only


def test_objects_expire_by_date(oss: EmulatedOss, bucket: oss2.Bucket) -> None:
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).date()
    put_rule(bucket, expiration=models.LifecycleExpiration(created_before_date=date(2020, 1, 1)))
    oss.advance(2 * DAY_S)
    assert keys(bucket) == ["a.txt"]
    put_rule(bucket, expiration=models.LifecycleExpiration(date=tomorrow))
    oss.advance(60)
    assert keys(bucket) == []


def test_rules_select_by_tags_sizes_and_exclusions(oss: EmulatedOss, bucket: oss2.Bucket) -> None:
    for key, size, tags in (
        ("logs/a", 5, "kind=draft"),
        ("logs/b", 5, "kind=final"),
        ("logs/c", 50, "kind=draft"),
        ("logs/keep/d", 5, "kind=draft"),
        ("other/e", 5, "kind=draft"),
    ):
        bucket.put_object(key, b"x" * size, headers={"x-oss-tagging": tags})
    tagging = models.Tagging()
    tagging.tag_set.tagging_rule = {"kind": "draft"}
    chosen = models.LifecycleFilter([models.FilterNot("logs/keep/")], object_size_less_than=20)
    put_rule(bucket, "logs/", expiration=days(1), tagging=tagging, filter=chosen)
    oss.advance(DAY_S)
    assert keys(bucket) == ["a.txt", "logs/b", "logs/c", "logs/keep/d", "other/e"]


def test_disabled_rules_do_nothing(oss: EmulatedOss, bucket: oss2.Bucket) -> None:
    put = models.LifecycleRule("r", "", status=models.LifecycleRule.DISABLED, expiration=days(1))
    bucket.put_bucket_lifecycle(models.BucketLifecycle([put]))
    oss.advance(30 * DAY_S)
    assert keys(bucket) == ["a.txt"]


def test_a_transition_changes_only_the_storage_class(oss: EmulatedOss, bucket: oss2.Bucket) -> None:
    before = bucket.head_object("a.txt")
    moves = [models.StorageTransition(days=age, storage_class=to) for age, to in ((60, "Archive"), (30, "IA"))]
    put_rule(bucket, storage_transitions=moves)
    for passed, storage_class in ((29, "Standard"), (1, "IA"), (30, "Archive")):
        oss.advance(passed * DAY_S)
        now = bucket.head_object("a.txt")
        assert now.headers["x-oss-storage-class"] == storage_class
        assert (now.etag, now.last_modified, now.content_type) == (
            before.etag,
            before.last_modified,
            before.content_type,
        )
    assert bucket.get_bucket_stat().archive_object_count == 1


def test_old_uploads_are_aborted(oss: EmulatedOss, bucket: oss2.Bucket) -> None:
    put_rule(bucket, "up/", abort_multipart_upload=models.AbortMultipartUpload(days=1))
    for key in ("up/a", "other/b"):
        bucket.init_multipart_upload(key)
    oss.advance(DAY_S)
    assert [upload.key for upload in oss2.MultipartUploadIterator(bucket)] == ["other/b"]


def test_versions_and_delete_markers_expire_by_their_rules(oss: EmulatedOss, bucket: oss2.Bucket) -> None:
    def versions() -> tuple[list[str], int]:
        listed = bucket.list_object_versions()
        return [version.storage_class for version in listed.versions], len(listed.delete_marker)

    bucket.put_bucket_versioning(models.BucketVersioningConfig("Enabled"))
    for _ in range(2):
        bucket.put_object("a.txt", b"newer")
    put_rule(
        bucket,
        expiration=days(5),
        noncurrent_version_expiration=models.NoncurrentVersionExpiration(4),
        noncurrent_version_sotrage_transitions=[models.NoncurrentVersionStorageTransition(2, "IA")],
    )
    assert versions() == (["Standard"] * 3, 0)
    oss.advance(2 * DAY_S)
    assert versions() == (["Standard", "IA", "IA"], 0)
    oss.advance(2 * DAY_S)
    assert versions() == (["Standard"], 0)
    oss.advance(DAY_S)
    assert versions() == (["Standard"], 1)
    assert keys(bucket) == []
    oss.advance(4 * DAY_S)
    assert versions() == ([], 1)
    put_rule(bucket, expiration=models.LifecycleExpiration(expired_detete_marker=True))
    oss.advance(60)
    assert versions() == ([], 0)
