"""Objects: puts and gets with their headers, conditions, ranges and errors."""

import base64
import http.client
import socket
from collections.abc import Callable
from typing import Literal
from urllib.parse import quote

import oss2
import pytest
from fastcrc import crc64
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from oss2.exceptions import NotModified, OssError, PreconditionFailed
from oss_support import BUCKET, KEY, REGION, md5

from devcloud.oss.testing import EmulatedOss

pytest_plugins = ["devcloud.oss.pytest_plugin"]

MIB = 1024 * 1024
KEYS = ["a.png", "作品/图 1.png", "at@sign", "a+b c", "50%25 %2F", "a//b", "ü?#&=;:'\"", "x" * 1023]


@pytest.fixture(scope="module")
def oss(shared_oss_emulator: EmulatedOss) -> EmulatedOss:
    return shared_oss_emulator


@pytest.fixture(params=["v1", "v2", "v4"])
def bucket(oss: EmulatedOss, request: pytest.FixtureRequest) -> oss2.Bucket:
    return oss.client(version=request.param)


def refusal(error: pytest.ExceptionInfo[OssError]) -> tuple[int, str]:
    return error.value.status, error.value.code


@pytest.mark.parametrize("key", KEYS)
def test_an_object_is_stored_read_described_and_deleted(bucket: oss2.Bucket, key: str) -> None:
    put = bucket.put_object(key, b"hello")
    assert put.etag == md5(b"hello").hex().upper()
    assert put.crc == crc64.xz(b"hello")
    assert bucket.get_object(key).read() == b"hello"
    head = bucket.head_object(key)
    assert (head.content_length, head.etag, head.object_type) == (5, put.etag, "Normal")
    meta = bucket.get_object_meta(key)
    assert (meta.content_length, meta.etag, meta.headers["x-oss-hash-crc64ecma"]) == (5, put.etag, str(put.crc))
    bucket.delete_object(key)
    assert not bucket.object_exists(key)
    bucket.delete_object(key)


@pytest.mark.parametrize("key", KEYS)
def test_signed_urls_reach_the_same_object(bucket: oss2.Bucket, oss: EmulatedOss, key: str) -> None:
    bucket.put_object_with_url(bucket.sign_url("PUT", key, 60, slash_safe=True), b"by url")
    assert bucket.get_object_with_url(bucket.sign_url("GET", key, 60)).read() == b"by url"
    assert oss.client().get_object(key).read() == b"by url"


def test_headers_and_metadata_come_back(bucket: oss2.Bucket) -> None:
    headers = {
        "Content-Type": "image/webp",
        "Cache-Control": "max-age=60",
        "Content-Disposition": "attachment; filename*=UTF-8''%E5%9B%BE.webp",
        "Content-Encoding": "identity",
        "Expires": "Fri, 28 Feb 2031 05:38:42 GMT",
        "x-oss-meta-job-id": "42",
        "x-oss-storage-class": "IA",
    }
    bucket.put_object("meta", b"x", headers=headers)
    for answer in (bucket.head_object("meta"), bucket.get_object("meta")):
        assert {name: answer.headers[name] for name in headers} == headers


def test_responses_can_override_headers_in_a_signed_url(bucket: oss2.Bucket) -> None:
    bucket.put_object("override", b"x")
    params = {"response-content-disposition": 'attachment; filename="图.png"', "response-content-type": "text/x"}
    answer = bucket.get_object("override", params=params)
    assert answer.headers["content-type"] == "text/x"
    assert answer.headers["content-disposition"].encode("latin-1").decode() == 'attachment; filename="图.png"'
    url = bucket.sign_url("GET", "override", 60, params=params)
    assert bucket.get_object_with_url(url).headers["content-type"] == "text/x"


def test_the_default_content_type_is_octet_stream(oss: EmulatedOss) -> None:
    url = oss.client().sign_url("PUT", "untyped.png", 60)
    connection = http.client.HTTPConnection("127.0.0.1", oss.port)
    connection.request("PUT", url.removeprefix(oss.endpoint), b"x")  # oss2 would guess a type itself
    assert connection.getresponse().status == 200
    connection.close()
    assert oss.client().head_object("untyped.png").content_type == "application/octet-stream"


def test_conditional_headers_decide_whether_an_object_is_read(bucket: oss2.Bucket) -> None:
    etag = bucket.put_object("conditional", b"x").etag
    modified = bucket.head_object("conditional").headers["last-modified"]
    early = "Fri, 28 Feb 2020 05:38:42 GMT"
    for holds in (
        {"If-Match": etag},
        {"If-None-Match": "other"},
        {"If-Modified-Since": early},
        {"If-Unmodified-Since": modified},
    ):
        assert bucket.get_object("conditional", headers=holds).read() == b"x"
    for fresh in ({"If-None-Match": f'"{etag}"'}, {"If-Modified-Since": modified}):
        with pytest.raises(NotModified):
            bucket.get_object("conditional", headers=fresh)
    for fails in ({"If-Match": "other"}, {"If-Unmodified-Since": early}):
        with pytest.raises(PreconditionFailed):
            bucket.head_object("conditional", headers=fails)


def test_content_md5_is_checked(bucket: oss2.Bucket) -> None:
    good = base64.b64encode(md5(b"hello")).decode()
    bucket.put_object("md5", b"hello", headers={"Content-MD5": good})
    with pytest.raises(OssError) as error:
        bucket.put_object("md5", b"hallo", headers={"Content-MD5": good})
    assert refusal(error) == (400, "InvalidDigest")
    assert bucket.get_object("md5").read() == b"hello"


def test_forbid_overwrite_applies_to_every_kind_of_write(bucket: oss2.Bucket) -> None:
    bucket.delete_object("once")
    forbid = {"x-oss-forbid-overwrite": "true"}
    bucket.put_object("once", b"first", headers=forbid)
    writes: list[Callable[[], object]] = [
        lambda: bucket.put_object("once", b"second", headers=forbid),
        lambda: bucket.copy_object(BUCKET, "once", "once", headers=forbid),
        lambda: bucket.put_symlink("target", "once", headers=forbid),
        lambda: bucket.init_multipart_upload("once", headers=forbid),
    ]
    for write in writes:
        with pytest.raises(OssError) as error:
            write()
        assert refusal(error) == (409, "FileAlreadyExists")
    assert bucket.get_object("once").read() == b"first"


def test_a_copy_keeps_or_replaces_the_metadata(bucket: oss2.Bucket) -> None:
    headers = {"x-oss-meta-a": "1", "Content-Type": "image/png", "x-oss-tagging": "k=v"}
    source = bucket.put_object("源 1", b"bytes", headers=headers)
    assert bucket.copy_object(BUCKET, "源 1", "copy").etag == source.etag
    bucket.delete_object("源 1")
    copy = bucket.get_object("copy")
    assert (copy.read(), copy.headers["x-oss-meta-a"], copy.content_type) == (b"bytes", "1", "image/png")
    assert bucket.get_object_tagging("copy").tag_set.tagging_rule == {"k": "v"}
    bucket.copy_object(BUCKET, "copy", "copy", headers={"x-oss-meta-b": "2", "x-oss-metadata-directive": "REPLACE"})
    replaced = bucket.get_object("copy")
    assert replaced.read() == b"bytes"
    assert "x-oss-meta-a" not in replaced.headers
    assert replaced.headers["x-oss-meta-b"] == "2"
    with pytest.raises(PreconditionFailed):
        bucket.copy_object(BUCKET, "copy", "other", headers={"x-oss-copy-source-if-match": "other"})
    with pytest.raises(oss2.exceptions.NoSuchKey):
        bucket.copy_object(BUCKET, "nothing", "other")


def test_appends_continue_at_the_end_of_the_object(bucket: oss2.Bucket) -> None:
    bucket.delete_object("log")
    first = bucket.append_object("log", 0, b"hello ", headers={"x-oss-meta-a": "1"})
    assert first.next_position == 6
    second = bucket.append_object("log", 6, b"world")
    whole = bucket.get_object("log")
    assert whole.read() == b"hello world"
    assert whole.headers["x-oss-meta-a"] == "1"
    assert second.crc == crc64.xz(b"hello world") == whole.server_crc
    assert bucket.head_object("log").headers["x-oss-next-append-position"] == "11"
    with pytest.raises(oss2.exceptions.PositionNotEqualToLength) as error:
        bucket.append_object("log", 3, b"!")
    assert error.value.next_position == 11
    bucket.put_object("normal", b"")
    with pytest.raises(oss2.exceptions.ObjectNotAppendable):
        bucket.append_object("normal", 0, b"!")


def test_a_symlink_is_read_as_its_target(bucket: oss2.Bucket) -> None:
    bucket.put_object("目标", b"target")
    bucket.put_symlink("目标", "link", headers={"x-oss-meta-of": "link"})
    assert bucket.get_symlink("link").target_key == "目标"
    linked = bucket.get_object("link")
    assert (linked.read(), linked.headers["x-oss-meta-of"]) == (b"target", "link")
    bucket.delete_object("目标")
    with pytest.raises(OssError) as error:
        bucket.get_object("link")
    assert refusal(error) == (404, "SymlinkTargetNotExist")


def test_an_object_has_an_acl_and_tags(bucket: oss2.Bucket) -> None:
    bucket.put_object("tagged", b"x")
    assert bucket.get_object_acl("tagged").acl == "default"
    bucket.put_object_acl("tagged", "public-read")
    assert bucket.get_object_acl("tagged").acl == "public-read"
    rule = oss2.models.TaggingRule()
    rule.add("job", "图/1 +a=b")
    bucket.put_object_tagging("tagged", oss2.models.Tagging(rule))
    assert bucket.get_object_tagging("tagged").tag_set.tagging_rule == {"job": "图/1 +a=b"}
    assert bucket.head_object("tagged").headers["x-oss-tagging-count"] == "1"
    bucket.delete_object_tagging("tagged")
    assert bucket.get_object_tagging("tagged").tag_set.tagging_rule == {}
    assert bucket.get_object("tagged").read() == b"x"


def test_invalid_tags_are_refused(bucket: oss2.Bucket) -> None:
    many = "&".join(f"k{number}=v" for number in range(11))
    for tags in (many, "k=a%26b", "=v", "k" * 129 + "=v", "k=" + "v" * 257, "k=1&k=2"):
        with pytest.raises(OssError) as error:
            bucket.put_object("untagged", b"x", headers={"x-oss-tagging": tags})
        assert refusal(error) == (400, "InvalidTag")


def test_the_body_of_a_get_does_not_swallow_the_next_request(bucket: oss2.Bucket) -> None:
    bucket.put_object("bodiless", b"x")
    assert bucket.get_object("bodiless", headers={"Content-Length": "9"}).read() == b"x"
    assert bucket.get_object("bodiless").read() == b"x"


def test_a_batch_deletes_keys_with_any_characters(bucket: oss2.Bucket) -> None:
    keys = ["bulk/1", "bulk/二 &<>", "bulk/\x01"]
    for key in keys:
        bucket.put_object(key, b"x")
    assert bucket.batch_delete_objects([*keys, "bulk/none"]).deleted_keys == [*keys, "bulk/none"]
    assert not any(bucket.object_exists(key) for key in keys)


@pytest.mark.parametrize("key", ["/rooted", "\\back", "x" * 1024])
def test_invalid_object_names_are_refused(oss: EmulatedOss, key: str) -> None:
    request = oss2.http.Request("PUT", oss.url(f"{BUCKET}/{quote(key, safe='')}"), product="oss", region=REGION)
    oss2.AuthV4(KEY.access_key_id, KEY.access_key_secret)._sign_request(request, BUCKET, key)  # past the SDK's check
    answer = oss2.Session().do_request(request, 10)
    assert (answer.status, b"<Code>InvalidObjectName</Code>" in answer.read()) == (400, True)


def test_missing_features_are_not_implemented(bucket: oss2.Bucket) -> None:
    bucket.put_object("image.png", b"x")
    with pytest.raises(OssError) as error:
        bucket.get_object("image.png", params={"metaQuery": ""})
    assert refusal(error) == (501, "NotImplemented")


def test_a_missing_object_is_a_404(bucket: oss2.Bucket) -> None:
    with pytest.raises(oss2.exceptions.NoSuchKey) as error:
        bucket.head_object("none")
    assert len(error.value.request_id) == 24
    with pytest.raises(oss2.exceptions.NoSuchKey) as error:
        bucket.get_object("none")
    assert error.value.details["EC"] == "0026-00000001"


def test_an_upload_without_a_length_is_stored(bucket: oss2.Bucket) -> None:
    put = bucket.put_object("chunked", (bytes([n]) * 70_000 for n in range(3)))
    whole = b"".join(bytes([n]) * 70_000 for n in range(3))
    assert put.crc == crc64.xz(whole)
    assert bucket.get_object("chunked").read() == whole


def test_truncated_uploads_are_not_stored(oss: EmulatedOss) -> None:
    url = oss.client().sign_url("PUT", "truncated", 60).removeprefix(oss.endpoint)
    with socket.create_connection(("127.0.0.1", oss.port)) as client:
        head = f"PUT {url} HTTP/1.1\r\nHost: 127.0.0.1:{oss.port}\r\nContent-Length: 100000\r\n\r\n"
        client.sendall(head.encode() + bytes(50_000))
        client.shutdown(socket.SHUT_WR)
        assert client.recv(100) == b""
    assert not oss.client().object_exists("truncated")
    assert not oss.events or oss.events[-1]["oss"]["object"]["key"] != "truncated"


def test_a_read_that_has_begun_is_not_changed_by_a_write(oss: EmulatedOss) -> None:
    bucket = oss.client()
    old, new = b"o" * 8 * MIB, b"n" * 8 * MIB
    bucket.put_object("contested", old)
    reader = bucket.get_object("contested")
    start = reader.read(10)
    bucket.put_object("contested", new)
    again = bucket.get_object("contested")
    bucket.delete_object("contested")
    assert start + reader.read() == old
    assert again.read() == new


def expected_range(size: int, header: str, *, standard: bool) -> tuple[int, int] | Literal[416] | None:
    """Return what OSS documents: first byte and end of the answer, 416, or ``None`` for the whole object."""
    first, last = header.removeprefix("bytes=").split("-")
    if not first and not last:
        return None
    if not first:
        start, end = size - int(last), size
    elif last and int(last) < int(first):
        return None
    else:
        start, end = int(first), int(last) + 1 if last else size
    if 0 <= start < end <= size:
        return start, end
    if not standard:
        return None
    start, end = max(start, 0), min(end, size)
    return (start, end) if start < end else 416


ends = st.one_of(st.just(""), st.integers(0, 14).map(str))


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(size=st.sampled_from([0, 1, 10]), first=ends, last=ends, standard=st.booleans())
def test_a_range_is_read_as_the_documentation_says(
    oss: EmulatedOss, size: int, first: str, last: str, standard: bool
) -> None:
    bucket, data = oss.client(), bytes(range(size))
    bucket.put_object("ranged", data)
    header = f"bytes={first}-{last}"
    headers = {"Range": header} | ({"x-oss-range-behavior": "standard"} if standard else {})
    expected = expected_range(size, header, standard=standard)
    if expected == 416:
        with pytest.raises(OssError) as error:
            bucket.get_object("ranged", headers=headers)
        assert refusal(error) == (416, "InvalidRange")
        return
    answer = bucket.get_object("ranged", headers=headers)
    if expected is None:
        assert (answer.status, answer.read()) == (200, data)
    else:
        start, end = expected
        assert (answer.status, answer.read()) == (206, data[start:end])
        assert answer.headers["content-range"] == f"bytes {start}-{end - 1}/{size}"
