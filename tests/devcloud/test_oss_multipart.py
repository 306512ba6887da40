"""Multipart uploads, and the SDK's resumable upload and download on top of them."""

from collections.abc import Callable
from pathlib import Path

import oss2
import pytest
import requests
from fastcrc import crc64
from hypothesis import given
from hypothesis import strategies as st
from oss2.exceptions import NoSuchUpload, OssError
from oss2.models import PartInfo
from oss_support import BUCKET, md5

from devcloud.oss.crc64 import combine
from devcloud.oss.testing import EmulatedOss

pytest_plugins = ["devcloud.oss.pytest_plugin"]

PART = 100 * 1024


@pytest.fixture(scope="module")
def oss(shared_oss_emulator: EmulatedOss) -> EmulatedOss:
    return shared_oss_emulator


@pytest.fixture(params=["v1", "v4"])
def bucket(oss: EmulatedOss, request: pytest.FixtureRequest) -> oss2.Bucket:
    return oss.client(version=request.param)


def upload(
    bucket: oss2.Bucket, key: str, *bodies: bytes, headers: dict[str, str] | None = None
) -> tuple[str, list[PartInfo]]:
    upload_id = bucket.init_multipart_upload(key, headers=headers).upload_id
    results = [bucket.upload_part(key, upload_id, number, body) for number, body in enumerate(bodies, 1)]
    return upload_id, [PartInfo(number, result.etag) for number, result in enumerate(results, 1)]


def code(error: pytest.ExceptionInfo[OssError]) -> tuple[int, str]:
    return error.value.status, error.value.code


def test_parts_become_the_object(bucket: oss2.Bucket) -> None:
    bucket.delete_object("大 文件.mp4")
    bodies = [b"a" * PART, b"b" * PART, b"c"]
    upload_id, parts = upload(
        bucket, "大 文件.mp4", *bodies, headers={"x-oss-meta-job": "1", "Content-Type": "video/mp4"}
    )
    listed = bucket.list_parts("大 文件.mp4", upload_id).parts
    assert [(part.part_number, part.size, part.etag) for part in listed] == [
        (number, len(body), md5(body).hex().upper()) for number, body in enumerate(bodies, 1)
    ]
    assert not bucket.object_exists("大 文件.mp4")
    result = bucket.complete_multipart_upload("大 文件.mp4", upload_id, parts)
    digests = b"".join(md5(body) for body in bodies)
    assert result.etag == f"{md5(digests).hex().upper()}-3"
    whole = bucket.get_object("大 文件.mp4")
    assert whole.read() == b"".join(bodies)
    assert whole.server_crc == crc64.xz(b"".join(bodies)) == result.crc
    assert (whole.headers["x-oss-meta-job"], whole.content_type) == ("1", "video/mp4")
    assert whole.headers["x-oss-object-type"] == "Multipart"
    across = bucket.get_object("大 文件.mp4", byte_range=(PART - 2, 2 * PART))
    assert across.read() == b"aa" + bodies[1] + b"c"
    with pytest.raises(NoSuchUpload):
        bucket.list_parts("大 文件.mp4", upload_id)


def test_a_reader_reads_the_parts_of_a_deleted_object(bucket: oss2.Bucket) -> None:
    bodies = [bytes([number]) * 8_000_000 for number in range(2)]
    upload_id, parts = upload(bucket, "outlived", *bodies)
    bucket.complete_multipart_upload("outlived", upload_id, parts)
    reader = bucket.get_object("outlived")
    start = reader.read(1)
    bucket.delete_object("outlived")
    assert start + reader.read() == b"".join(bodies)


def test_parts_can_be_replaced_and_omitted(bucket: oss2.Bucket) -> None:
    upload_id, parts = upload(bucket, "replaced", b"a" * PART, b"b" * PART, b"c")
    parts[0] = PartInfo(1, bucket.upload_part("replaced", upload_id, 1, b"A" * PART).etag)
    bucket.complete_multipart_upload("replaced", upload_id, [parts[0], parts[2]])
    assert bucket.get_object("replaced").read() == b"A" * PART + b"c"


def test_complete_all_needs_no_list_of_parts(bucket: oss2.Bucket) -> None:
    upload_id, _ = upload(bucket, "all", b"a" * PART, b"b")
    bucket.complete_multipart_upload("all", upload_id, None, headers={"x-oss-complete-all": "yes"})
    assert bucket.get_object("all").read() == b"a" * PART + b"b"


def test_a_refused_completion_keeps_the_upload(bucket: oss2.Bucket) -> None:
    bucket.put_object("refused", b"before")
    upload_id, parts = upload(bucket, "refused", b"small", b"b" * PART)
    attempts = [
        ([parts[0], PartInfo(2, parts[0].etag)], (400, "InvalidPart")),
        ([parts[0], PartInfo(3, parts[1].etag)], (400, "InvalidPart")),
        (parts, (400, "EntityTooSmall")),
    ]
    for wrong, refusal in attempts:
        with pytest.raises(OssError) as error:
            bucket.complete_multipart_upload("refused", upload_id, wrong)
        assert code(error) == refusal
    with pytest.raises(OssError) as error:
        forbid = {"x-oss-forbid-overwrite": "true"}
        bucket.complete_multipart_upload("refused", upload_id, parts[1:], headers=forbid)
    assert code(error) == (409, "FileAlreadyExists")
    assert bucket.get_object("refused").read() == b"before"
    bucket.complete_multipart_upload("refused", upload_id, parts[1:])
    assert bucket.get_object("refused").read() == b"b" * PART


def test_parts_out_of_order_are_refused(oss: EmulatedOss) -> None:
    bucket = oss.client()
    upload_id, parts = upload(bucket, "ordered", b"a" * PART, b"b" * PART)
    nodes = "".join(
        f"<Part><PartNumber>{part.part_number}</PartNumber><ETag>{part.etag}</ETag></Part>" for part in reversed(parts)
    )
    url = bucket.sign_url("POST", "ordered", 60, params={"uploadId": upload_id})  # the SDK would sort them
    answer = requests.post(url, data=f"<CompleteMultipartUpload>{nodes}</CompleteMultipartUpload>", timeout=10)
    assert (answer.status_code, answer.headers["x-oss-request-id"] in answer.text) == (400, True)
    assert "<Code>InvalidPartOrder</Code>" in answer.text


def test_an_aborted_upload_does_not_exist(bucket: oss2.Bucket) -> None:
    upload_id, parts = upload(bucket, "aborted", b"a")
    bucket.abort_multipart_upload("aborted", upload_id)
    acts: tuple[Callable[[], object], ...] = (
        lambda: bucket.upload_part("aborted", upload_id, 1, b"a"),
        lambda: bucket.complete_multipart_upload("aborted", upload_id, parts),
        lambda: bucket.abort_multipart_upload("aborted", upload_id),
    )
    for act in acts:
        with pytest.raises(NoSuchUpload):
            act()


@pytest.mark.parametrize("number", [0, 10_001])
def test_invalid_part_numbers_are_refused(oss: EmulatedOss, number: int) -> None:
    bucket = oss.client()
    upload_id, _ = upload(bucket, "numbered")
    with pytest.raises(OssError) as error:
        bucket.upload_part("numbered", upload_id, number, b"a")
    assert code(error) == (400, "InvalidArgument")


def test_parts_can_be_copied_from_an_object(bucket: oss2.Bucket) -> None:
    source = bytes(range(256)) * 1024
    bucket.put_object("源", source)
    upload_id = bucket.init_multipart_upload("copied").upload_id
    first = bucket.upload_part_copy(BUCKET, "源", (0, PART - 1), "copied", upload_id, 1)
    second = bucket.upload_part_copy(BUCKET, "源", (PART, None), "copied", upload_id, 2)
    bucket.complete_multipart_upload("copied", upload_id, [PartInfo(1, first.etag), PartInfo(2, second.etag)])
    bucket.delete_object("源")
    assert bucket.get_object("copied").read() == source


def test_parts_are_listed_page_by_page(oss: EmulatedOss) -> None:
    bucket = oss.client()
    upload_id, _ = upload(bucket, "paged", *(b"x" for _ in range(5)))
    numbers, marker = [], ""
    for _ in range(6):
        page = bucket.list_parts("paged", upload_id, marker, 2)
        numbers += [part.part_number for part in page.parts]
        if not page.is_truncated:
            break
        marker = page.next_marker
    assert numbers == [1, 2, 3, 4, 5]


def test_a_resumable_upload_and_download_keep_the_content(bucket: oss2.Bucket, tmp_path: Path) -> None:
    source, copy = tmp_path / "source", tmp_path / "copy"
    source.write_bytes(bytes(range(256)) * 4096)
    store = oss2.ResumableStore(root=str(tmp_path))
    oss2.resumable_upload(bucket, "resumable", str(source), store, multipart_threshold=0, part_size=PART, num_threads=3)
    downloads = oss2.ResumableDownloadStore(root=str(tmp_path))
    oss2.resumable_download(
        bucket, "resumable", str(copy), multiget_threshold=0, part_size=PART, num_threads=3, store=downloads
    )
    assert copy.read_bytes() == source.read_bytes()


@given(first=st.binary(max_size=300), second=st.binary(max_size=300))
def test_combined_checksums_equal_the_checksum_of_the_whole(first: bytes, second: bytes) -> None:
    assert combine(crc64.xz(first), crc64.xz(second), len(second)) == crc64.xz(first + second)
