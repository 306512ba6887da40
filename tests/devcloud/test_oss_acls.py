"""Access control lists: the requests that they allow to anonymous callers."""

from collections.abc import Callable
from functools import partial

import oss2
import pytest
from oss2 import models
from oss2.exceptions import OssError
from oss_support import BUCKET, ask

from devcloud.oss.testing import EmulatedOss

pytest_plugins = ["devcloud.oss.pytest_plugin"]


def test_acls_decide_what_anonymous_callers_may_do(oss: EmulatedOss) -> None:
    reads, writes = {}, {}
    for bucket_acl in ("private", "public-read", "public-read-write"):
        owner = oss.client(f"acl-{bucket_acl}")
        owner.create_bucket(bucket_acl)
        for object_acl in ("default", "private", "public-read", "public-read-write"):
            owner.put_object(object_acl, b"x", headers={"x-oss-object-acl": object_acl})
            anyone = oss.anonymous_client(owner.bucket_name)
            reads[bucket_acl, object_acl] = allowed(partial(read, anyone, object_acl))
            writes[bucket_acl, object_acl] = allowed(partial(anyone.put_object, object_acl, b"y"))
    for (bucket_acl, object_acl), readable in reads.items():
        decisive = bucket_acl if object_acl == "default" else object_acl
        assert readable == (decisive != "private"), (bucket_acl, object_acl)
        assert writes[bucket_acl, object_acl] == (decisive == "public-read-write"), (bucket_acl, object_acl)


def test_anonymous_callers_can_list_public_buckets_but_not_change_settings(oss: EmulatedOss) -> None:
    owner = oss.client("public-list")
    owner.create_bucket("public-read")
    owner.put_object("a", b"x")
    anyone = oss.anonymous_client("public-list")
    assert [entry.key for entry in anyone.list_objects().object_list] == ["a"]
    assert not allowed(lambda: anyone.put_bucket_acl("public-read-write"))
    assert not allowed(lambda: anyone.get_object_acl("a"))
    assert not allowed(oss.anonymous_client(BUCKET).list_objects)
    with pytest.raises(OssError) as error:
        anyone.get_object("a", params={"response-content-type": "text/html"})
    assert refused(error)[:2] == (400, "InvalidRequest")


def read(bucket: oss2.Bucket, key: str) -> object:
    return bucket.get_object(key).read()


def allowed(act: Callable[[], object]) -> bool:
    try:
        act()
    except OssError as error:
        assert (error.status, error.code) == (403, "AccessDenied")
        return False
    return True


def refused(error: pytest.ExceptionInfo[OssError]) -> tuple[int, str, str]:
    return error.value.status, error.value.code, error.value.details.get("EC", "")


def test_a_symlink_does_not_open_a_private_target(oss: EmulatedOss, bucket: oss2.Bucket) -> None:
    bucket.put_symlink("a.txt", "link")
    assert ask(oss, "enforced/link").content == b"a"
    bucket.put_object_acl("a.txt", "private")
    assert [ask(oss, "enforced/link", method).status_code for method in ("GET", "HEAD")] == [403, 403]
    assert bucket.get_object("link").read() == b"a"


def test_each_version_has_its_own_acl(oss: EmulatedOss, bucket: oss2.Bucket) -> None:
    bucket.put_bucket_versioning(models.BucketVersioningConfig("Enabled"))
    secret = bucket.put_object("v", b"secret", headers={"x-oss-object-acl": "private"}).versionid
    public = bucket.put_object("v", b"public").versionid
    assert ask(oss, f"enforced/v?versionId={public}").content == b"public"
    assert ask(oss, f"enforced/v?versionId={secret}").status_code == 403
