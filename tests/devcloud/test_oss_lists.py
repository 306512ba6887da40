"""Lists of objects, uploads and buckets, page by page."""

import oss2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from oss2.exceptions import OssError

from devcloud.oss.testing import EmulatedOss

pytest_plugins = ["devcloud.oss.pytest_plugin"]


@pytest.fixture(scope="module")
def oss(shared_oss_emulator: EmulatedOss) -> EmulatedOss:
    return shared_oss_emulator


KEYS = sorted(
    [
        "a",
        "a/",
        "a/1",
        "a/2",
        "a/b/1",
        "a/b/2",
        "a0",
        "b/1",
        "c",
        "c/x\x01",
        "c d+e",
        "图/一",
        "图/二",
        "图片",
        "\U0010ffff/1",
        "z//1",
    ]
)


@pytest.fixture(scope="module")
def full(oss: EmulatedOss) -> str:
    name = "listed"
    bucket = oss.client(name)
    bucket.create_bucket()
    for key in KEYS:
        bucket.put_object(key, key.encode())
    return name


def expected(prefix: str, delimiter: str) -> tuple[list[str], list[str]]:
    """Return the keys and common prefixes of all pages."""
    keys, prefixes = [], []
    for key in KEYS:
        if not key.startswith(prefix):
            continue
        head, found, _ = key[len(prefix) :].partition(delimiter) if delimiter else (key, "", "")
        if not found:
            keys.append(key)
        elif prefix + head + found not in prefixes:
            prefixes.append(prefix + head + found)
    return keys, prefixes


prefixes = st.sampled_from(["", "a", "a/", "a/b", "c", "图", "图/", "none", "\U0010ffff"])
delimiters = st.sampled_from(["", "/", "/b", "a"])
relaxed = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@relaxed
@given(prefix=prefixes, delimiter=delimiters, size=st.integers(1, 20), version=st.sampled_from(["v1", "v4"]))
def test_pages_contain_every_entry_once(
    oss: EmulatedOss, full: str, prefix: str, delimiter: str, size: int, version: str
) -> None:
    bucket = oss.client(full, version=version)
    keys, groups, marker, pages = [], [], "", 0
    while pages <= len(KEYS):
        page = bucket.list_objects(prefix, delimiter, marker, size)
        keys += [entry.key for entry in page.object_list]
        groups += page.prefix_list
        pages += 1
        assert len(page.object_list) + len(page.prefix_list) <= size
        if not page.is_truncated:
            break
        assert len(page.object_list) + len(page.prefix_list) == size
        marker = page.next_marker
    assert (keys, groups) == expected(prefix, delimiter)
    assert pages == max(1, -(-len(keys + groups) // size))


@relaxed
@given(prefix=prefixes, delimiter=delimiters, size=st.integers(1, 20), start=st.sampled_from(["", *KEYS, "aa", "d"]))
def test_pages_of_v2_contain_every_entry_after_the_start(
    oss: EmulatedOss, full: str, prefix: str, delimiter: str, size: int, start: str
) -> None:
    bucket = oss.client(full)
    keys, groups, token = [], [], ""
    for _ in range(len(KEYS) + 1):
        page = bucket.list_objects_v2(prefix, delimiter, token, start, max_keys=size)
        keys += [entry.key for entry in page.object_list]
        groups += page.prefix_list
        if not page.is_truncated:
            break
        token = page.next_continuation_token
    all_keys, all_groups = expected(prefix, delimiter)
    assert keys == [key for key in all_keys if key > start]
    assert set(groups) <= set(all_groups)
    assert len(groups) == len(set(groups))
    # A start inside a common prefix keeps it as long as something in it comes after the start.
    later = [key for key in KEYS if key > start]
    started = [group for group in all_groups if group != start and any(key.startswith(group) for key in later)]
    assert groups == started


def test_entries_have_type_size_and_etag(oss: EmulatedOss, full: str) -> None:
    bucket = oss.client(full)
    entry = bucket.list_objects("a/1").object_list[0]
    head = bucket.head_object("a/1")
    assert (entry.size, entry.etag, entry.type, entry.storage_class) == (3, head.etag, "Normal", "Standard")
    assert entry.last_modified == head.last_modified
    assert entry.owner.id == "1234567890123456"
    assert bucket.list_objects_v2("a/1").object_list[0].owner is None
    assert bucket.list_objects_v2("a/1", fetch_owner=True).object_list[0].owner.id == "1234567890123456"


@pytest.mark.parametrize("size", ["0", "1001", "-1", "x"])
def test_invalid_page_sizes_are_refused(oss: EmulatedOss, full: str, size: str) -> None:
    with pytest.raises(OssError) as error:
        oss.client(full).list_objects(max_keys=size)
    assert (error.value.status, error.value.code) == (400, "InvalidArgument")


@relaxed
@given(delimiter=st.sampled_from(["", "/"]), size=st.integers(1, 8))
def test_uploads_are_listed_page_by_page(oss: EmulatedOss, delimiter: str, size: int) -> None:
    bucket = oss.client("uploads")
    if not oss.service_client().list_buckets(prefix="uploads").buckets:
        bucket.create_bucket()
        for key in ("a", "a", "b/1", "b/2", "图"):
            bucket.init_multipart_upload(key)
    found, groups, key_marker, id_marker = [], [], "", ""
    for _ in range(6):
        page = bucket.list_multipart_uploads("", delimiter, key_marker, id_marker, size)
        found += [(upload.key, upload.upload_id) for upload in page.upload_list]
        groups += page.prefix_list
        if not page.is_truncated:
            break
        key_marker, id_marker = page.next_key_marker, page.next_upload_id_marker
    assert [key for key, _ in found] == (["a", "a", "图"] if delimiter else ["a", "a", "b/1", "b/2", "图"])
    assert groups == (["b/"] if delimiter else [])
    assert len({upload_id for _, upload_id in found}) == len(found)


def test_buckets_are_listed_by_prefix_and_page(oss: EmulatedOss) -> None:
    service = oss.service_client()
    for name in ("many-1", "many-2", "many-3"):
        oss.client(name).create_bucket()
    page = service.list_buckets(prefix="many-", max_keys=2)
    assert [bucket.name for bucket in page.buckets] == ["many-1", "many-2"]
    rest = service.list_buckets(prefix="many-", marker=page.next_marker)
    assert [bucket.name for bucket in rest.buckets] == ["many-3"]
    assert [bucket.name for bucket in oss2.BucketIterator(service, prefix="many-")] == ["many-1", "many-2", "many-3"]
