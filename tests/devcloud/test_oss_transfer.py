"""How bodies travel: compression and the traffic limit."""

import gzip
import threading

import oss2
import pytest
import requests

from devcloud.oss.testing import EmulatedOss

pytest_plugins = ["devcloud.oss.pytest_plugin"]


def test_text_is_compressed_on_request(oss: EmulatedOss) -> None:
    bucket, text = oss.client(), b"hello " * 100_000
    bucket.put_object("a.txt", text, headers={"Content-Type": "text/plain"})
    answer = requests.get(bucket.sign_url("GET", "a.txt", 60), stream=True, timeout=10)
    assert (answer.headers["content-encoding"], "content-length" in answer.headers) == ("gzip", False)
    assert gzip.decompress(answer.raw.read()) == text
    assert "content-encoding" not in bucket.get_object("a.txt").headers
    ranged = bucket.get_object("a.txt", byte_range=(0, 4), headers={"Accept-Encoding": "gzip"})
    assert (ranged.read(), "content-encoding" in ranged.headers) == (b"hello", False)


def test_speed_is_limited_by_the_emulators_clock(oss: EmulatedOss) -> None:
    bucket, done = oss.client(), threading.Event()
    headers = {"x-oss-traffic-limit": "819200"}

    def upload() -> None:
        bucket.put_object("slow", b"x" * 1024 * 1024, headers=headers)
        done.set()

    thread = threading.Thread(target=upload)
    thread.start()
    assert not done.wait(0.2)
    while not done.wait(0.01):
        oss.advance(1)
    thread.join()
    for limit in ("819199", "838860801", "fast"):
        with pytest.raises(oss2.exceptions.InvalidArgument):
            bucket.put_object("slow", b"x", headers={"x-oss-traffic-limit": limit})
