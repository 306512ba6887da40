"""The same operations through every official client: oss2, alibabacloud-oss-v2 and ali-oss (Node)."""

import json
import os
import subprocess
from collections.abc import Callable
from datetime import timedelta
from functools import cache
from pathlib import Path

import alibabacloud_oss_v2 as v2
import oss2
import pytest
import requests
from alibabacloud_oss_v2.exceptions import OperationError, ServiceError
from oss2.exceptions import NoSuchKey, PositionNotEqualToLength
from oss2.models import PartInfo, Tagging, TaggingRule
from oss_support import BUCKET, KEY, REGION, running_oss

from devcloud.oss.testing import EmulatedOss
from tests.node_packages import install

pytest_plugins = ["devcloud.oss.pytest_plugin"]

NODE = Path(__file__).with_name("node")
PART = 100 * 1024
OPERATIONS = (
    *("put_get", "head", "range", "meta", "list_v1", "list_v2", "delete", "batch_delete", "copy", "append"),
    *("multipart", "resumable", "signed_url", "acl", "tagging", "symlink", "control_characters"),
)
# U+FFFE and U+FFFF are forbidden in XML as well; the others resemble the escapes that the parser uses for them.
ODD_KEYS = (
    *(f"a{chr(code)}b" for code in range(0x20)),
    "\r",
    "a\r\nb",
    "a\x7fb",
    "a\ufffeb",
    "a\uffffb",
    "\U000f8001",
    "&#1;",
)
ODD_KEYS += ("\U0010fffe", "\U0010fffe\ue000")


def fetch(method: str, url: str, body: bytes | None = None) -> bytes:
    # Without a Content-Type, which would have to be signed.
    answer = requests.request(method, url, data=body, timeout=30)
    answer.raise_for_status()
    return answer.content


class Oss2:
    """Each operation through oss2."""

    def __init__(self, oss: EmulatedOss, version: str, folder: Path) -> None:
        self.bucket, self.oss, self.folder = oss.client(version=version), oss, folder

    def put_get(self) -> None:
        body = os.urandom(300_000)
        self.bucket.put_object("a/é b.bin", body)
        assert self.bucket.get_object("a/é b.bin").read() == body
        with pytest.raises(NoSuchKey):
            self.bucket.get_object("missing")

    def head(self) -> None:
        self.bucket.put_object("a", b"123", headers={"Content-Type": "image/png"})
        head = self.bucket.head_object("a")
        assert (head.content_length, head.content_type) == (3, "image/png")

    def range(self) -> None:
        self.bucket.put_object("a", b"0123456789")
        got = self.bucket.get_object("a", byte_range=(2, 4))
        assert (got.status, got.read(), got.content_range) == (206, b"234", "bytes 2-4/10")

    def meta(self) -> None:
        self.bucket.put_object("a", b"1", headers={"x-oss-meta-owner": "me"})
        assert self.bucket.head_object("a").headers["x-oss-meta-owner"] == "me"
        assert self.bucket.get_object_meta("a").content_length == 1
        self.bucket.update_object_meta("a", {"x-oss-meta-owner": "you"})
        assert self.bucket.head_object("a").headers["x-oss-meta-owner"] == "you"

    def list_v1(self) -> None:
        self._put("a", "b/1", "b/2", "c", "日本")
        first = self.bucket.list_objects(max_keys=2, delimiter="/")
        assert ([entry.key for entry in first.object_list], first.prefix_list) == (["a"], ["b/"])
        rest = self.bucket.list_objects(marker=first.next_marker, delimiter="/")
        assert [entry.key for entry in rest.object_list] == ["c", "日本"]

    def list_v2(self) -> None:
        self._put("a", "b/1", "b/2", "c")
        first = self.bucket.list_objects_v2(max_keys=3)
        assert [entry.key for entry in first.object_list] == ["a", "b/1", "b/2"]
        rest = self.bucket.list_objects_v2(continuation_token=first.next_continuation_token)
        assert ([entry.key for entry in rest.object_list], rest.is_truncated) == (["c"], False)

    def delete(self) -> None:
        self._put("a")
        self.bucket.delete_object("a")
        self.bucket.delete_object("a")
        assert not self.bucket.object_exists("a")

    def batch_delete(self) -> None:
        self._put("a", "b&c", "d")
        assert sorted(self.bucket.batch_delete_objects(["a", "b&c"]).deleted_keys) == ["a", "b&c"]
        assert [entry.key for entry in oss2.ObjectIterator(self.bucket)] == ["d"]

    def copy(self) -> None:
        self.bucket.put_object("a", b"1", headers={"x-oss-meta-owner": "me"})
        self.bucket.copy_object(BUCKET, "a", "b")
        got = self.bucket.get_object("b")
        assert (got.read(), got.headers["x-oss-meta-owner"]) == (b"1", "me")

    def append(self) -> None:
        position = self.bucket.append_object("log", 0, b"one").next_position
        self.bucket.append_object("log", position, b"two")
        assert self.bucket.get_object("log").read() == b"onetwo"
        with pytest.raises(PositionNotEqualToLength):
            self.bucket.append_object("log", 1, b"x")

    def multipart(self) -> None:
        parts = [os.urandom(PART), b"end"]
        upload_id = self.bucket.init_multipart_upload("m").upload_id
        done = [
            PartInfo(number, self.bucket.upload_part("m", upload_id, number, part).etag)
            for number, part in enumerate(parts, 1)
        ]
        assert len(self.bucket.list_parts("m", upload_id).parts) == 2
        assert len(self.bucket.list_multipart_uploads().upload_list) == 1
        self.bucket.complete_multipart_upload("m", upload_id, done)
        assert self.bucket.get_object("m").read() == b"".join(parts)
        self.bucket.abort_multipart_upload("m", self.bucket.init_multipart_upload("m").upload_id)

    def resumable(self) -> None:
        source, target = self.folder / "source", self.folder / "target"
        source.write_bytes(os.urandom(450_000))

        def stop(done: int, _total: int) -> None:
            if done > 2 * PART:
                raise InterruptedError

        options = {"multipart_threshold": PART, "part_size": PART, "num_threads": 1}
        options["store"] = oss2.ResumableStore(str(self.folder / "up"))
        with pytest.raises(InterruptedError):
            oss2.resumable_upload(self.bucket, "r", str(source), progress_callback=stop, **options)
        oss2.resumable_upload(self.bucket, "r", str(source), **options)
        store = oss2.ResumableDownloadStore(str(self.folder / "down"))
        oss2.resumable_download(self.bucket, "r", str(target), multiget_threshold=PART, part_size=PART, store=store)
        assert target.read_bytes() == source.read_bytes()

    def signed_url(self) -> None:
        fetch("PUT", self.bucket.sign_url("PUT", "s/é", 60), b"1")
        url = self.bucket.sign_url("GET", "s/é", 60)
        assert fetch("GET", url) == b"1"
        with pytest.raises(requests.HTTPError, match="403"):
            fetch("GET", url.replace("/s", "/t"))

    def acl(self) -> None:
        self._put("a")
        self.bucket.put_object_acl("a", oss2.OBJECT_ACL_PUBLIC_READ)
        assert self.bucket.get_object_acl("a").acl == "public-read"
        assert fetch("GET", self.oss.url(f"{BUCKET}/a")) == b"1"

    def tagging(self) -> None:
        self._put("a")
        rule = TaggingRule()
        rule.add("k", "v")
        rule.add("a b", "1+1=2")
        self.bucket.put_object_tagging("a", Tagging(rule))
        assert self.bucket.get_object_tagging("a").tag_set.tagging_rule == {"k": "v", "a b": "1+1=2"}
        self.bucket.delete_object_tagging("a")
        assert self.bucket.get_object_tagging("a").tag_set.tagging_rule == {}

    def symlink(self) -> None:
        self._put("a")
        self.bucket.put_symlink("a", "link")
        assert self.bucket.get_symlink("link").target_key == "a"
        assert self.bucket.get_object("link").read() == b"1"

    def control_characters(self) -> None:
        self._put(*ODD_KEYS)
        assert [entry.key for entry in oss2.ObjectIterator(self.bucket)] == sorted(ODD_KEYS)
        assert [entry.key for entry in oss2.ObjectIteratorV2(self.bucket)] == sorted(ODD_KEYS)
        assert self.bucket.batch_delete_objects([*ODD_KEYS]).deleted_keys == [*ODD_KEYS]
        assert self.bucket.list_objects().object_list == []

    def _put(self, *keys: str) -> None:
        for key in keys:
            self.bucket.put_object(key, b"1")


class OssV2:
    """Each operation through alibabacloud-oss-v2."""

    def __init__(self, oss: EmulatedOss, version: str, folder: Path) -> None:
        config = v2.config.load_default()
        config.credentials_provider = v2.credentials.StaticCredentialsProvider(KEY.access_key_id, KEY.access_key_secret)
        config.region, config.endpoint, config.signature_version = REGION, oss.endpoint, version
        self.client, self.oss, self.folder = v2.Client(config), oss, folder

    def put_get(self) -> None:
        body = os.urandom(300_000)
        self._put("a/é b.bin", body=body)
        assert self._get("a/é b.bin") == body
        self._refused("NoSuchKey", lambda: self._get("missing"))

    def head(self) -> None:
        self._put("a", body=b"123", content_type="image/png")
        head = self.client.head_object(v2.HeadObjectRequest(BUCKET, "a"))
        assert (head.content_length, head.content_type) == (3, "image/png")

    def range(self) -> None:
        self._put("a", body=b"0123456789")
        got = self.client.get_object(v2.GetObjectRequest(BUCKET, "a", range_header="bytes=2-4"))
        assert got.body is not None
        assert (got.status_code, got.body.read(), got.content_range) == (206, b"234", "bytes 2-4/10")

    def meta(self) -> None:
        self._put("a", metadata={"owner": "me"})
        assert self.client.head_object(v2.HeadObjectRequest(BUCKET, "a")).metadata == {"owner": "me"}
        assert self.client.get_object_meta(v2.GetObjectMetaRequest(BUCKET, "a")).content_length == 1
        self.client.copy_object(
            v2.CopyObjectRequest(BUCKET, "a", source_key="a", metadata={"owner": "you"}, metadata_directive="REPLACE")
        )
        assert self.client.head_object(v2.HeadObjectRequest(BUCKET, "a")).metadata == {"owner": "you"}

    def list_v1(self) -> None:
        self._put("a", "b/1", "b/2", "c", "日本")
        first = self.client.list_objects(v2.ListObjectsRequest(BUCKET, max_keys=2, delimiter="/"))
        assert [entry.key for entry in first.contents or ()] == ["a"]
        assert [entry.prefix for entry in first.common_prefixes or ()] == ["b/"]
        rest = self.client.list_objects(v2.ListObjectsRequest(BUCKET, marker=first.next_marker, delimiter="/"))
        assert [entry.key for entry in rest.contents or ()] == ["c", "日本"]

    def list_v2(self) -> None:
        self._put("a", "b/1", "b/2", "c")
        pages = self.client.list_objects_v2_paginator(limit=3).iter_page(v2.ListObjectsV2Request(BUCKET))
        assert [[entry.key for entry in page.contents or ()] for page in pages] == [["a", "b/1", "b/2"], ["c"]]

    def delete(self) -> None:
        self._put("a")
        self.client.delete_object(v2.DeleteObjectRequest(BUCKET, "a"))
        self.client.delete_object(v2.DeleteObjectRequest(BUCKET, "a"))
        assert not self.client.is_object_exist(BUCKET, "a")

    def batch_delete(self) -> None:
        self._put("a", "b&c", "d")
        doomed = [v2.DeleteObject(key) for key in ("a", "b&c")]
        answer = self.client.delete_multiple_objects(v2.DeleteMultipleObjectsRequest(BUCKET, objects=doomed))
        assert sorted(str(item.key) for item in answer.deleted_objects or ()) == ["a", "b&c"]
        left = self.client.list_objects_v2(v2.ListObjectsV2Request(BUCKET))
        assert [entry.key for entry in left.contents or ()] == ["d"]

    def copy(self) -> None:
        self._put("a", metadata={"owner": "me"})
        self.client.copy_object(v2.CopyObjectRequest(BUCKET, "b", source_key="a"))
        assert self._get("b") == b"1"
        assert self.client.head_object(v2.HeadObjectRequest(BUCKET, "b")).metadata == {"owner": "me"}

    def append(self) -> None:
        done = self.client.append_object(v2.AppendObjectRequest(BUCKET, "log", 0, body=b"one"))
        self.client.append_object(v2.AppendObjectRequest(BUCKET, "log", done.next_position, body=b"two"))
        assert self._get("log") == b"onetwo"
        wrong = v2.AppendObjectRequest(BUCKET, "log", 1, body=b"x")
        self._refused("PositionNotEqualToLength", lambda: self.client.append_object(wrong))

    def multipart(self) -> None:
        parts = [os.urandom(PART), b"end"]
        upload_id = self.client.initiate_multipart_upload(v2.InitiateMultipartUploadRequest(BUCKET, "m")).upload_id
        done = []
        for number, part in enumerate(parts, 1):
            answer = self.client.upload_part(v2.UploadPartRequest(BUCKET, "m", number, upload_id, body=part))
            done.append(v2.UploadPart(part_number=number, etag=answer.etag))
        assert len(self.client.list_parts(v2.ListPartsRequest(BUCKET, "m", upload_id)).parts or ()) == 2
        assert len(self.client.list_multipart_uploads(v2.ListMultipartUploadsRequest(BUCKET)).uploads or ()) == 1
        whole = v2.CompleteMultipartUpload(parts=done)
        self.client.complete_multipart_upload(
            v2.CompleteMultipartUploadRequest(BUCKET, "m", upload_id, complete_multipart_upload=whole)
        )
        assert self._get("m") == b"".join(parts)
        other = self.client.initiate_multipart_upload(v2.InitiateMultipartUploadRequest(BUCKET, "m")).upload_id
        self.client.abort_multipart_upload(v2.AbortMultipartUploadRequest(BUCKET, "m", other))

    def resumable(self) -> None:
        source, target = self.folder / "source", self.folder / "target"
        source.write_bytes(os.urandom(450_000))
        options = {"part_size": PART, "parallel_num": 2, "enable_checkpoint": True, "checkpoint_dir": str(self.folder)}
        self.client.uploader(**options).upload_file(v2.PutObjectRequest(BUCKET, "r"), str(source))
        self.client.downloader(**options).download_file(v2.GetObjectRequest(BUCKET, "r"), str(target))
        assert target.read_bytes() == source.read_bytes()

    def signed_url(self) -> None:
        minute = timedelta(minutes=1)
        fetch("PUT", str(self.client.presign(v2.PutObjectRequest(BUCKET, "s/é"), expires=minute).url), b"1")
        url = str(self.client.presign(v2.GetObjectRequest(BUCKET, "s/é"), expires=minute).url)
        assert fetch("GET", url) == b"1"
        with pytest.raises(requests.HTTPError, match="403"):
            fetch("GET", url.replace("/s", "/t"))

    def acl(self) -> None:
        self._put("a")
        self.client.put_object_acl(v2.PutObjectAclRequest(BUCKET, "a", acl="public-read"))
        assert self.client.get_object_acl(v2.GetObjectAclRequest(BUCKET, "a")).acl == "public-read"
        assert fetch("GET", self.oss.url(f"{BUCKET}/a")) == b"1"

    def tagging(self) -> None:
        self._put("a")
        tags = v2.Tagging(tag_set=v2.TagSet(tags=[v2.Tag(key="k", value="v"), v2.Tag(key="a b", value="1+1=2")]))
        self.client.put_object_tagging(v2.PutObjectTaggingRequest(BUCKET, "a", tags))
        assert self._tags("a") == {"k": "v", "a b": "1+1=2"}
        self.client.delete_object_tagging(v2.DeleteObjectTaggingRequest(BUCKET, "a"))
        assert self._tags("a") == {}

    def symlink(self) -> None:
        self._put("a")
        self.client.put_symlink(v2.PutSymlinkRequest(BUCKET, "link", target="a"))
        assert self.client.get_symlink(v2.GetSymlinkRequest(BUCKET, "link")).target == "a"
        assert self._get("link") == b"1"

    def control_characters(self) -> None:
        self._put(*ODD_KEYS)
        listed = self.client.list_objects_v2(v2.ListObjectsV2Request(BUCKET)).contents or ()
        assert [entry.key for entry in listed] == sorted(ODD_KEYS)
        doomed = [v2.DeleteObject(key) for key in ODD_KEYS]
        answer = self.client.delete_multiple_objects(v2.DeleteMultipleObjectsRequest(BUCKET, objects=doomed))
        assert [item.key for item in answer.deleted_objects or ()] == [*ODD_KEYS]
        assert self.client.list_objects_v2(v2.ListObjectsV2Request(BUCKET)).key_count == 0

    def _put(self, *keys: str, body: bytes = b"1", **options: object) -> None:
        for key in keys:
            self.client.put_object(v2.PutObjectRequest(BUCKET, key, body=body, **options))

    def _get(self, key: str) -> bytes:
        body = self.client.get_object(v2.GetObjectRequest(BUCKET, key)).body
        assert body is not None
        return bytes(body.read())

    def _tags(self, key: str) -> dict[str | None, str | None]:
        found = self.client.get_object_tagging(v2.GetObjectTaggingRequest(BUCKET, key))
        return {tag.key: tag.value for tag in (found.tag_set.tags if found.tag_set else None) or ()}

    def _refused(self, code: str, call: Callable[[], object]) -> None:
        with pytest.raises(OperationError) as caught:
            call()
        error = caught.value.unwrap()
        assert isinstance(error, ServiceError)
        assert error.code == code


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("version", ["v1", "v4"])
@pytest.mark.parametrize("client", [Oss2, OssV2])
def test_every_operation_works_with_the_python_sdks(
    client: type[Oss2 | OssV2], version: str, operation: str, oss: EmulatedOss, tmp_path: Path
) -> None:
    getattr(client(oss, version, tmp_path), operation)()


@pytest.fixture(scope="session")
def node() -> Path:
    return install(NODE)


@cache
def through_ali_oss(version: str, folder: Path) -> dict[str, str]:
    with running_oss(folder) as oss:
        # ali-oss puts the bucket into the path only for host names.
        arguments = [f"http://localhost:{oss.port}", BUCKET, KEY.access_key_id, KEY.access_key_secret, version]
        done = subprocess.run(
            ["node", "operations.mjs", *arguments], cwd=NODE, capture_output=True, text=True, timeout=100, check=False
        )
    assert done.returncode == 0, done.stderr
    results: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    return results


@pytest.mark.xdist_group("ali-oss")
@pytest.mark.parametrize("operation", [*OPERATIONS, "put_stream", "post_form"])
@pytest.mark.parametrize("version", ["v1", "v4"])
def test_every_operation_works_with_ali_oss(
    version: str, operation: str, node: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    assert through_ali_oss(version, tmp_path_factory.getbasetemp() / f"ali-oss-{version}")[operation] == "ok"
