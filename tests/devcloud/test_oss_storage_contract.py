"""One suite for both storages, through oss2: files with SQLite, and moto's S3 backend in memory.

Other modules test the promises of the storage on disk alone: data survives the process, ranges and copies do not read
whole objects, and a page of a list costs the same from every marker. The suite also covers the behaviour of moto that
the storage works around: a suspended bucket keeps its versions, bodies are complete while they are overwritten, a form
is a valid content type, and common prefixes count as entries of a page.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import boto3
import oss2
import pytest
from fastcrc import crc64
from moto import mock_aws
from oss2.exceptions import (
    BucketNotEmpty,
    NoSuchBucket,
    NoSuchKey,
    NoSuchUpload,
    PositionNotEqualToLength,
    ServerError,
)
from oss2.models import BatchDeleteObjectVersionList, BucketVersioningConfig, PartInfo, Tagging, TaggingRule
from oss_support import BUCKET, running_oss

from devcloud.oss.testing import EmulatedOss

pytest_plugins = ["devcloud.oss.pytest_plugin"]

PART = 100 * 1024


@pytest.fixture
def moto_oss() -> Iterator[EmulatedOss]:
    from devcloud.oss.storages.moto import MotoStorage

    with mock_aws(), running_oss(MotoStorage()) as oss:
        yield oss


@pytest.fixture(params=["disk", "moto"])
def oss(request: pytest.FixtureRequest) -> EmulatedOss:
    emulator: EmulatedOss = request.getfixturevalue("moto_oss" if request.param == "moto" else "oss_emulator")
    return emulator


@pytest.fixture
def bucket(oss: EmulatedOss) -> oss2.Bucket:
    return oss.client()


def keys(bucket: oss2.Bucket, **options: Any) -> list[str]:
    return [entry.key for entry in oss2.ObjectIterator(bucket, **options)]


def test_buckets_are_created_listed_and_deleted_when_empty(oss: EmulatedOss) -> None:
    other = oss.client("another-one")
    with pytest.raises(NoSuchBucket):
        other.put_object("a", b"1")
    other.create_bucket(oss2.BUCKET_ACL_PUBLIC_READ)
    assert other.get_bucket_acl().acl == oss2.BUCKET_ACL_PUBLIC_READ
    assert [found.name for found in oss.service_client().list_buckets().buckets] == ["another-one", BUCKET]
    other.put_object("a", b"123")
    assert (other.get_bucket_stat().object_count, other.get_bucket_stat().storage_size_in_bytes) == (1, 3)
    with pytest.raises(BucketNotEmpty):
        other.delete_bucket()
    other.delete_object("a")
    other.delete_bucket()
    with pytest.raises(NoSuchBucket):
        other.get_bucket_info()


def test_a_configuration_document_is_read_back_until_it_is_deleted(bucket: oss2.Bucket) -> None:
    bucket.put_bucket_website(oss2.models.BucketWebsite("index.html", "error.html"))
    assert bucket.get_bucket_website().index_file == "index.html"
    bucket.delete_bucket_website()
    with pytest.raises(ServerError, match="NoSuchWebsiteConfiguration"):
        bucket.get_bucket_website()


def test_an_object_is_read_back_with_its_headers(bucket: oss2.Bucket) -> None:
    body = os.urandom(300_000)
    headers = {"Content-Type": "image/png", "x-oss-meta-a": "b", "Cache-Control": "no-cache", "x-oss-tagging": "k=v"}
    put = bucket.put_object("a/b.png", body, headers=headers)
    assert put.crc == crc64.xz(body)
    got = bucket.get_object("a/b.png")
    assert got.read() == body
    assert (got.content_type, got.etag, got.server_crc) == ("image/png", put.etag, put.crc)
    assert (got.headers["x-oss-meta-a"], got.headers["Cache-Control"]) == ("b", "no-cache")
    assert bucket.get_object("a/b.png", byte_range=(100, 199)).read() == body[100:200]
    assert bucket.get_object_tagging("a/b.png").tag_set.tagging_rule == {"k": "v"}
    assert bucket.head_object("a/b.png").content_length == len(body)
    bucket.put_object("a/b.png", b"")
    assert bucket.get_object("a/b.png").read() == b""
    bucket.delete_object("a/b.png")
    with pytest.raises(NoSuchKey):
        bucket.get_object("a/b.png")
    bucket.delete_object("a/b.png")


def test_a_form_as_content_type_is_only_a_type(bucket: oss2.Bucket) -> None:
    bucket.put_object("a", b"b=c", headers={"Content-Type": "application/x-www-form-urlencoded"})
    assert bucket.get_object("a").read() == b"b=c"


def test_attributes_change_alone(bucket: oss2.Bucket) -> None:
    etag = bucket.put_object("a", b"1").etag
    bucket.put_object_acl("a", oss2.OBJECT_ACL_PUBLIC_READ)
    bucket.put_object_tagging("a", Tagging(rule("k", "v")))
    assert bucket.get_object_acl("a").acl == oss2.OBJECT_ACL_PUBLIC_READ
    assert bucket.get_object_tagging("a").tag_set.tagging_rule == {"k": "v"}
    bucket.delete_object_tagging("a")
    assert bucket.get_object_tagging("a").tag_set.tagging_rule == {}
    assert bucket.get_object("a").etag == etag


def rule(key: str, value: str) -> TaggingRule:
    made = TaggingRule()
    made.add(key, value)
    return made


def test_forbid_overwrite_keeps_the_existing_object(bucket: oss2.Bucket) -> None:
    bucket.put_object("a", b"1")
    with pytest.raises(ServerError, match="FileAlreadyExists"):
        bucket.put_object("a", b"2", headers={"x-oss-forbid-overwrite": "true"})
    assert bucket.get_object("a").read() == b"1"


def test_copies_are_independent(bucket: oss2.Bucket) -> None:
    bucket.put_object("a", b"1", headers={"x-oss-meta-a": "b"})
    bucket.copy_object(BUCKET, "a", "b")
    bucket.put_object("a", b"2")
    bucket.delete_object("a")
    copied = bucket.get_object("b")
    assert (copied.read(), copied.headers["x-oss-meta-a"]) == (b"1", "b")
    bucket.copy_object(BUCKET, "b", "b", headers={"x-oss-meta-a": "c"})
    assert bucket.get_object("b").headers["x-oss-meta-a"] == "c"


def test_appends_continue_at_the_end_of_the_object(bucket: oss2.Bucket) -> None:
    position = 0
    for piece in (b"one", b"two", b"three"):
        position = bucket.append_object("log", position, piece).next_position
    with pytest.raises(PositionNotEqualToLength):
        bucket.append_object("log", 1, b"x")
    got = bucket.get_object("log")
    assert (got.read(), got.server_crc) == (b"onetwothree", crc64.xz(b"onetwothree"))
    assert bucket.get_object("log", byte_range=(2, 4)).read() == b"etw"


def test_a_symlink_is_read_as_its_target(bucket: oss2.Bucket) -> None:
    bucket.put_object("a", b"1")
    bucket.put_symlink("a", "link")
    assert bucket.get_symlink("link").target_key == "a"
    assert bucket.get_object("link").read() == b"1"


def test_lists_have_prefixes_delimiters_and_pages(bucket: oss2.Bucket) -> None:
    names = ["a", "a/1", "a/2", "b", "c/1", "c/2/3", "d", "é", "日本", "\U0001f600"]
    for name in reversed(names):
        bucket.put_object(name, b"")
    assert keys(bucket) == names
    assert keys(bucket, max_keys=3) == names
    assert keys(bucket, delimiter="/") == ["a", "a/", "b", "c/", "d", "é", "日本", "\U0001f600"]
    assert keys(bucket, delimiter="/", max_keys=1) == keys(bucket, delimiter="/")
    assert keys(bucket, prefix="c/") == ["c/1", "c/2/3"]
    assert keys(bucket, marker="b") == names[4:]
    assert [entry.key for entry in oss2.ObjectIteratorV2(bucket, max_keys=2)] == names
    page = bucket.list_objects(delimiter="/", max_keys=2)
    assert ([entry.key for entry in page.object_list], page.prefix_list, page.is_truncated) == (["a"], ["a/"], True)
    assert sorted(bucket.batch_delete_objects(names[:5]).deleted_keys) == names[:5]
    assert keys(bucket) == names[5:]


def test_parts_are_listed_and_become_the_object(bucket: oss2.Bucket) -> None:
    pieces = [os.urandom(PART), os.urandom(PART), b"end"]
    upload_id = bucket.init_multipart_upload("m", headers={"x-oss-meta-a": "b"}).upload_id
    bucket.upload_part("m", upload_id, 1, b"replaced")
    parts = [
        PartInfo(number, bucket.upload_part("m", upload_id, number, piece).etag)
        for number, piece in enumerate(pieces, 1)
    ]
    assert [(part.part_number, part.size) for part in oss2.PartIterator(bucket, "m", upload_id)] == [
        (1, PART),
        (2, PART),
        (3, 3),
    ]
    assert [upload.upload_id for upload in oss2.MultipartUploadIterator(bucket)] == [upload_id]
    done = bucket.complete_multipart_upload("m", upload_id, parts)
    whole = b"".join(pieces)
    assert (done.etag[-2:], done.crc) == ("-3", crc64.xz(whole))
    got = bucket.get_object("m")
    assert (got.read(), got.headers["x-oss-meta-a"]) == (whole, "b")
    assert bucket.get_object("m", byte_range=(PART - 5, PART + 4)).read() == whole[PART - 5 : PART + 5]
    assert list(oss2.MultipartUploadIterator(bucket)) == []
    with pytest.raises(NoSuchUpload):
        bucket.list_parts("m", upload_id)


def test_parts_can_be_copied_and_aborted(bucket: oss2.Bucket) -> None:
    body = os.urandom(2 * PART)
    bucket.put_object("a", body)
    upload_id = bucket.init_multipart_upload("m").upload_id
    part = bucket.upload_part_copy(BUCKET, "a", (0, PART - 1), "m", upload_id, 1)
    bucket.delete_object("a")
    bucket.complete_multipart_upload("m", upload_id, [PartInfo(1, part.etag)])
    assert bucket.get_object("m").read() == body[:PART]
    upload_id = bucket.init_multipart_upload("m").upload_id
    bucket.upload_part("m", upload_id, 1, b"1")
    bucket.abort_multipart_upload("m", upload_id)
    assert bucket.get_object("m").read() == body[:PART]
    with pytest.raises(NoSuchUpload):
        bucket.upload_part("m", upload_id, 2, b"2")


def test_a_resumable_upload_and_download_keep_the_content(bucket: oss2.Bucket, tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(os.urandom(5 * PART + 7))
    store = {"store": oss2.ResumableStore(str(tmp_path / "up"))}
    oss2.resumable_upload(bucket, "r", str(source), multipart_threshold=PART, part_size=PART, num_threads=2, **store)
    down = {"store": oss2.ResumableDownloadStore(str(tmp_path / "down"))}
    oss2.resumable_download(bucket, "r", str(target), multiget_threshold=PART, part_size=PART, num_threads=2, **down)
    assert target.read_bytes() == source.read_bytes()


def test_versions_and_delete_markers_are_listed_and_read(bucket: oss2.Bucket) -> None:
    bucket.put_object("a", b"0")
    switch(bucket, "Enabled")
    first = bucket.put_object("a", b"1").versionid
    marker = bucket.delete_object("a").versionid
    with pytest.raises(NoSuchKey):
        bucket.get_object("a")
    switch(bucket, "Suspended")
    bucket.put_object("a", b"2")
    listed = bucket.list_object_versions()
    assert [(entry.versionid, entry.is_latest) for entry in listed.versions] == [("null", True), (first, False)]
    assert [(entry.versionid, entry.is_latest) for entry in listed.delete_marker] == [(marker, False)]
    assert bucket.get_object("a").read() == b"2"
    assert bucket.get_object("a", params={"versionId": first}).read() == b"1"
    page = bucket.list_object_versions(max_keys=1)
    rest = bucket.list_object_versions(
        key_marker=page.next_key_marker, versionid_marker=page.next_versionid_marker, max_keys=9
    )
    assert [entry.versionid for entry in rest.versions + rest.delete_marker] == [first, marker]
    doomed = BatchDeleteObjectVersionList()
    for version in ("null", marker, first):
        doomed.append(oss2.models.BatchDeleteObjectVersion("a", version))
    bucket.delete_object_versions(doomed)
    listed = bucket.list_object_versions()
    assert listed.versions == listed.delete_marker == []


def switch(bucket: oss2.Bucket, status: str) -> None:
    config = BucketVersioningConfig()
    config.status = status
    bucket.put_bucket_versioning(config)


def test_readers_see_one_complete_version(oss: EmulatedOss) -> None:
    bodies = [bytes([number]) * 400_000 for number in range(4)]
    oss.client().put_object("a", bodies[0])
    wrong: list[str] = []

    def overwrite() -> None:
        bucket = oss.client()
        for number in range(40):
            bucket.put_object("a", bodies[number % 4])

    def read() -> None:
        bucket = oss.client()
        for _ in range(40):
            body = bucket.get_object("a").read()
            if body not in bodies:
                wrong.append(f"{len(body)} bytes of {set(body)}")

    with ExitStack() as stack:
        for work in (overwrite, read, read):
            thread = threading.Thread(target=work)
            thread.start()
            stack.callback(thread.join)
    assert wrong == []


# boto3 reads and writes the same objects


def test_boto3_sees_what_oss2_stored(moto_oss: EmulatedOss) -> None:
    bucket, s3 = moto_oss.client(), boto3.client("s3", region_name="us-east-1")
    headers = {"Content-Type": "image/png", "x-oss-meta-a": "b", "x-oss-storage-class": "IA", "x-oss-tagging": "k=v"}
    put = bucket.put_object("a.png", b"1", headers=headers)
    assert [found["Name"] for found in s3.list_buckets()["Buckets"]] == [BUCKET]
    seen = s3.get_object(Bucket=BUCKET, Key="a.png")
    assert seen["Body"].read() == b"1"
    assert (seen["ContentType"], seen["Metadata"], seen["StorageClass"]) == ("image/png", {"a": "b"}, "STANDARD_IA")
    assert seen["ETag"].upper() == f'"{put.etag}"'
    assert s3.get_object_tagging(Bucket=BUCKET, Key="a.png")["TagSet"] == [{"Key": "k", "Value": "v"}]
    upload_id = bucket.init_multipart_upload("m").upload_id
    part = bucket.upload_part("m", upload_id, 1, b"part")
    assert [found["UploadId"] for found in s3.list_multipart_uploads(Bucket=BUCKET)["Uploads"]] == [upload_id]
    bucket.complete_multipart_upload("m", upload_id, [PartInfo(1, part.etag)])
    assert [found["Key"] for found in s3.list_objects_v2(Bucket=BUCKET)["Contents"]] == ["a.png", "m"]
    switch(bucket, "Enabled")
    version = bucket.put_object("a.png", b"2").versionid
    assert s3.get_object(Bucket=BUCKET, Key="a.png", VersionId=version)["Body"].read() == b"2"
    bucket.delete_object("a.png")
    assert [found["Key"] for found in s3.list_objects_v2(Bucket=BUCKET)["Contents"]] == ["m"]
    seen = s3.list_object_versions(Bucket=BUCKET, Prefix="a.png")
    assert (len(seen["Versions"]), len(seen["DeleteMarkers"])) == (2, 1)


def test_oss2_sees_what_boto3_stored(moto_oss: EmulatedOss) -> None:
    bucket, s3 = moto_oss.client(), boto3.client("s3", region_name="us-east-1")
    s3.put_object(Bucket=BUCKET, Key="a", Body=b"1", ContentType="text/plain", Metadata={"a": "b"})
    seen = bucket.get_object("a")
    assert (seen.read(), seen.content_type, seen.headers["x-oss-meta-a"]) == (b"1", "text/plain", "b")
    assert seen.server_crc == crc64.xz(b"1")
    bucket.append_object("log", 0, b"1")
    s3.delete_object(Bucket=BUCKET, Key="log")
    assert keys(bucket) == ["a"]
    s3.create_bucket(Bucket="of-boto3")
    assert [found.name for found in moto_oss.service_client().list_buckets().buckets] == [BUCKET, "of-boto3"]
    assert moto_oss.client("of-boto3").get_bucket_info().name == "of-boto3"
