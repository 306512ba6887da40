"""Retention policies (WORM) of buckets."""

import oss2
from oss_support import DAY_S, refusal
from test_oss_lifecycle import days, keys, put_rule

from devcloud.oss.testing import EmulatedOss

pytest_plugins = ["devcloud.oss.pytest_plugin"]


def test_retention_policies_protect_objects(oss: EmulatedOss, bucket: oss2.Bucket) -> None:
    assert refusal(bucket.get_bucket_worm) == (404, "NoSuchWORMConfiguration")
    worm_id = bucket.init_bucket_worm(2).worm_id
    assert refusal(lambda: bucket.extend_bucket_worm(worm_id, 3)) == (400, "InvalidWORMConfiguration")
    assert refusal(lambda: bucket.put_object("a.txt", b"b")) == (409, "FileImmutable")
    bucket.abort_bucket_worm()
    bucket.put_object("a.txt", b"b")
    bucket.complete_bucket_worm(bucket.init_bucket_worm(2).worm_id)
    assert refusal(bucket.abort_bucket_worm) == (409, "WORMConfigurationLocked")
    for act in (
        lambda: bucket.put_object("a.txt", b"c"),
        lambda: bucket.delete_object("a.txt"),
        lambda: bucket.batch_delete_objects(["a.txt"]),
        lambda: bucket.copy_object(bucket.bucket_name, "a.txt", "a.txt"),
    ):
        assert refusal(act) == (409, "FileImmutable")
    bucket.put_object("b.txt", b"b")
    put_rule(bucket, expiration=days(1))
    oss.advance(DAY_S)
    assert keys(bucket) == ["a.txt", "b.txt"]
    oss.advance(DAY_S)
    assert keys(bucket) == []


def test_an_unlocked_policy_is_void_after_a_day(oss: EmulatedOss, bucket: oss2.Bucket) -> None:
    bucket.init_bucket_worm(5)
    assert refusal(lambda: bucket.delete_object("a.txt")) == (409, "FileImmutable")
    oss.advance(DAY_S)
    assert refusal(bucket.get_bucket_worm) == (404, "NoSuchWORMConfiguration")
    bucket.delete_object("a.txt")
