"""Versions of objects: stored, listed, read and removed one by one."""

import oss2
import pytest
from oss2.exceptions import OssError
from oss2.models import BatchDeleteObjectVersion, BatchDeleteObjectVersionList, BucketVersioningConfig

from devcloud.oss.testing import EmulatedOss

pytest_plugins = ["devcloud.oss.pytest_plugin"]


@pytest.fixture(scope="module")
def oss(shared_oss_emulator: EmulatedOss) -> EmulatedOss:
    return shared_oss_emulator


@pytest.fixture
def bucket(oss: EmulatedOss, request: pytest.FixtureRequest) -> oss2.Bucket:
    name = request.node.name.replace("_", "-")[:63].rstrip("-")
    oss.create_bucket(name)
    bucket = oss.client(name)
    turn(bucket, "Enabled")
    return bucket


def turn(bucket: oss2.Bucket, status: str) -> None:
    bucket.put_bucket_versioning(BucketVersioningConfig(status))
    assert bucket.get_bucket_versioning().status == status


def read(bucket: oss2.Bucket, key: str, version_id: str | None = None) -> bytes:
    return bytes(bucket.get_object(key, params={"versionId": version_id} if version_id else None).read())


def versions(bucket: oss2.Bucket, **options: object) -> list[tuple[str, str, bool]]:
    listed = bucket.list_object_versions(**options)
    return [(version.key, version.versionid, version.is_latest) for version in listed.versions]


def test_each_write_is_a_version(bucket: oss2.Bucket) -> None:
    first = bucket.put_object("k", b"1").versionid
    second = bucket.put_object("k", b"2").versionid
    assert (read(bucket, "k"), read(bucket, "k", first), read(bucket, "k", second)) == (b"2", b"1", b"2")
    assert versions(bucket) == [("k", second, True), ("k", first, False)]
    bucket.delete_object("k", params={"versionId": second})
    assert read(bucket, "k") == b"1"
    assert versions(bucket) == [("k", first, True)]


def test_a_delete_marker_hides_the_object_until_it_is_removed(bucket: oss2.Bucket) -> None:
    version = bucket.put_object("k", b"1").versionid
    deleted = bucket.delete_object("k")
    assert deleted.delete_marker
    with pytest.raises(oss2.exceptions.NoSuchKey) as error:
        read(bucket, "k")
    assert error.value.headers["x-oss-delete-marker"] == "true"
    with pytest.raises(OssError) as refused:
        read(bucket, "k", deleted.versionid)
    assert refused.value.status == 405
    assert [obj.key for obj in oss2.ObjectIterator(bucket)] == []
    marker = bucket.list_object_versions().delete_marker[0]
    assert (marker.versionid, marker.is_latest) == (deleted.versionid, True)
    assert bucket.delete_object("k", params={"versionId": deleted.versionid}).delete_marker
    assert read(bucket, "k") == b"1"
    assert versions(bucket) == [("k", version, True)]


def test_a_suspended_bucket_overwrites_only_the_null_version(bucket: oss2.Bucket) -> None:
    kept = bucket.put_object("k", b"1").versionid
    turn(bucket, "Suspended")
    assert bucket.put_object("k", b"2").versionid == "null"
    assert bucket.put_object("k", b"3").versionid == "null"
    assert versions(bucket) == [("k", "null", True), ("k", kept, False)]
    assert bucket.delete_object("k").versionid == "null"
    assert versions(bucket) == [("k", kept, False)]
    turn(bucket, "Enabled")
    bucket.put_object("k", b"4")
    assert [key for key, _, _ in versions(bucket)] == ["k", "k"]
    assert read(bucket, "k", kept) == b"1"


def test_earlier_objects_are_null_versions(oss: EmulatedOss) -> None:
    oss.create_bucket("before-versions")
    bucket = oss.client("before-versions")
    assert bucket.put_object("k", b"0").versionid is None
    turn(bucket, "Enabled")
    bucket.put_object("k", b"1")
    assert read(bucket, "k", "null") == b"0"


def test_versions_are_listed_page_by_page(bucket: oss2.Bucket) -> None:
    expected = []
    for key in ("a", "b/1", "b/2", "c"):
        written = [bucket.put_object(key, str(number)).versionid for number in range(3)]
        expected += [(key, version, version == written[-1]) for version in reversed(written)]
    found, key_marker, id_marker = [], "", ""
    while True:
        page = bucket.list_object_versions(max_keys=2, key_marker=key_marker, versionid_marker=id_marker)
        found += [(version.key, version.versionid, version.is_latest) for version in page.versions]
        if not page.is_truncated:
            break
        key_marker, id_marker = page.next_key_marker, page.next_versionid_marker
    assert found == expected
    rolled = bucket.list_object_versions(delimiter="/")
    assert rolled.common_prefix == ["b/"]
    assert [version.key for version in rolled.versions] == ["a"] * 3 + ["c"] * 3


def test_pages_continue_after_all_earlier_versions_were_deleted(bucket: oss2.Bucket) -> None:
    for number in range(5):
        bucket.put_object("k", str(number))
    page = bucket.list_object_versions(max_keys=2)
    for version in page.versions:
        bucket.delete_object("k", params={"versionId": version.versionid})
    markers = {"key_marker": page.next_key_marker, "versionid_marker": page.next_versionid_marker}
    assert len(versions(bucket, **markers)) == 3


def test_each_version_has_its_own_tags_and_acl(bucket: oss2.Bucket) -> None:
    first = bucket.put_object("k", b"1").versionid
    bucket.put_object("k", b"2")
    bucket.put_object_acl("k", "public-read", params={"versionId": first})
    assert bucket.get_object_acl("k", params={"versionId": first}).acl == "public-read"
    assert bucket.get_object_acl("k").acl == "default"
    assert read(bucket, "k") == b"2"


def test_a_version_can_be_copied(bucket: oss2.Bucket) -> None:
    first = bucket.put_object("k", b"1").versionid
    bucket.put_object("k", b"2")
    bucket.copy_object(bucket.bucket_name, "k", "copy", params={"versionId": first})
    assert read(bucket, "copy") == b"1"


def test_many_versions_are_deleted_at_once(bucket: oss2.Bucket) -> None:
    ids = [bucket.put_object("k", str(number)).versionid for number in range(3)]
    marker = bucket.batch_delete_objects(["k"]).delete_versions[0]
    assert marker.delete_marker
    wanted = BatchDeleteObjectVersionList()
    for version_id in (*ids, marker.delete_marker_versionid):
        wanted.append(BatchDeleteObjectVersion("k", version_id))
    assert len(bucket.delete_object_versions(wanted).delete_versions) == 4
    bucket.delete_bucket()


def test_a_bucket_with_versions_cannot_be_deleted(bucket: oss2.Bucket) -> None:
    bucket.delete_object("never-there")
    with pytest.raises(oss2.exceptions.BucketNotEmpty):
        bucket.delete_bucket()


@pytest.mark.parametrize(
    ("version_id", "status"), [("", 400), ("nonsense", 400), ("CAEQ" + "x" * 60, 404), ("null", 404)]
)
def test_missing_versions_are_not_found(oss: EmulatedOss, version_id: str, status: int) -> None:
    bucket = oss.client()
    with pytest.raises(OssError) as error:
        bucket.get_object("none", params={"versionId": version_id})
    assert error.value.status == status


def test_a_part_can_be_copied_from_a_version(bucket: oss2.Bucket) -> None:
    first = bucket.put_object("k", b"1").versionid
    bucket.put_object("k", b"2")
    upload_id = bucket.init_multipart_upload("copied").upload_id
    name = bucket.bucket_name
    part = bucket.upload_part_copy(name, "k", (0, 0), "copied", upload_id, 1, params={"versionId": first})
    bucket.complete_multipart_upload("copied", upload_id, [oss2.models.PartInfo(1, part.etag)])
    assert read(bucket, "copied") == b"1"
