"""Buckets and their settings."""

import json
from functools import partial

import oss2
import pytest
from oss2.exceptions import OssError
from oss2.models import (
    BucketCors,
    BucketLifecycle,
    BucketReferer,
    BucketWebsite,
    CorsRule,
    LifecycleExpiration,
    LifecycleRule,
)
from oss_support import ACCOUNT, REGION

from devcloud.oss.testing import EmulatedOss

pytest_plugins = ["devcloud.oss.pytest_plugin"]


@pytest.fixture(scope="module")
def oss(shared_oss_emulator: EmulatedOss) -> EmulatedOss:
    return shared_oss_emulator


@pytest.fixture(params=["v1", "v4"])
def bucket(oss: EmulatedOss, request: pytest.FixtureRequest) -> oss2.Bucket:
    return oss.client(f"settings-{request.param}", version=request.param)


def test_a_bucket_is_created_described_and_deleted(bucket: oss2.Bucket) -> None:
    bucket.create_bucket("public-read", oss2.models.BucketCreateConfig("IA"))
    bucket.create_bucket()  # the owner may repeat it
    info = bucket.get_bucket_info()
    assert (info.name, info.acl.grant, info.storage_class, info.owner.id) == (
        bucket.bucket_name,
        "public-read",
        "IA",
        ACCOUNT,
    )
    assert bucket.get_bucket_location().location == f"oss-{REGION}"
    bucket.put_bucket_acl("private")
    assert bucket.get_bucket_acl().acl == "private"
    bucket.put_object("a", b"12345")
    assert bucket.head_object("a").headers["x-oss-storage-class"] == "IA"
    upload_id = bucket.init_multipart_upload("b").upload_id
    stat = bucket.get_bucket_stat()
    assert (stat.object_count, stat.storage_size_in_bytes, stat.multi_part_upload_count) == (1, 5, 1)
    assert (stat.infrequent_access_storage, stat.infrequent_access_object_count, stat.standard_storage) == (5, 1, 0)
    for tidy in (partial(bucket.delete_object, "a"), partial(bucket.abort_multipart_upload, "b", upload_id)):
        with pytest.raises(oss2.exceptions.BucketNotEmpty):
            bucket.delete_bucket()
        tidy()
    bucket.delete_bucket()
    for act in (bucket.get_bucket_info, bucket.list_objects, bucket.delete_bucket, lambda: bucket.put_object("a", b"")):
        with pytest.raises(oss2.exceptions.NoSuchBucket):
            act()


@pytest.mark.parametrize("name", ["ab", "-abc", "abc-", "a" * 64])
def test_invalid_bucket_names_are_refused(oss: EmulatedOss, name: str) -> None:
    bucket = oss.client("valid")
    bucket.bucket_name = name  # past the SDK's own check
    with pytest.raises(OssError) as error:
        bucket.create_bucket()
    assert (error.value.status, error.value.code) == (400, "InvalidBucketName")


def test_documents_come_back_as_put(bucket: oss2.Bucket) -> None:
    bucket.create_bucket()
    for read, missing in (
        (bucket.get_bucket_cors, "NoSuchCORSConfiguration"),
        (bucket.get_bucket_lifecycle, "NoSuchLifecycle"),
        (bucket.get_bucket_website, "NoSuchWebsiteConfiguration"),
        (bucket.get_bucket_policy, "NoSuchBucketPolicy"),
    ):
        with pytest.raises(OssError) as error:
            read()
        assert (error.value.status, error.value.code) == (404, missing)
    bucket.put_bucket_cors(BucketCors([CorsRule(["*"], ["GET"], ["*"], [], 60)]))
    assert bucket.get_bucket_cors().rules[0].allowed_methods == ["GET"]
    rule = LifecycleRule("tmp", "tmp/", expiration=LifecycleExpiration(days=7))
    bucket.put_bucket_lifecycle(BucketLifecycle([rule]))
    assert bucket.get_bucket_lifecycle().rules[0].expiration.days == 7
    bucket.put_bucket_website(BucketWebsite("index.html", "error.html"))
    assert bucket.get_bucket_website().index_file == "index.html"
    statement = {"Effect": "Allow", "Action": ["oss:GetObject"], "Resource": ["acs:oss:*:*:*"]}
    policy = json.dumps({"Version": "1", "Statement": [statement]})
    bucket.put_bucket_policy(policy)
    assert bucket.get_bucket_policy().policy == policy
    assert bucket.get_bucket_referer().allow_empty_referer
    bucket.put_bucket_referer(BucketReferer(False, ["http://a"]))
    assert not bucket.get_bucket_referer().allow_empty_referer
    bucket.delete_bucket_cors()
    with pytest.raises(oss2.exceptions.NoSuchCors):
        bucket.get_bucket_cors()
    bucket.delete_bucket()


def test_create_bucket_of_the_local_cloud_is_repeatable(oss: EmulatedOss) -> None:
    oss.create_bucket("local")
    oss.client("local").put_object("a", b"x")
    oss.create_bucket("local", "public-read")
    assert oss.anonymous_client("local").get_object("a").read() == b"x"
