"""Hotlink protection by the Referer header."""

import oss2
import requests
from oss2 import models
from oss_support import ask, code

from devcloud.oss.testing import EmulatedOss

pytest_plugins = ["devcloud.oss.pytest_plugin"]


def test_a_referer_document_comes_back(empty_bucket: oss2.Bucket) -> None:
    assert empty_bucket.get_bucket_referer().allow_empty_referer
    empty_bucket.put_bucket_referer(
        models.BucketReferer(False, ["http://*.a.example", "中文"], True, ["http://b.example"])
    )
    got = empty_bucket.get_bucket_referer()
    assert (got.allow_empty_referer, got.referers, got.black_referers) == (
        False,
        ["http://*.a.example", "中文"],
        ["http://b.example"],
    )


def test_the_referer_decides_whether_a_browser_may_read(oss: EmulatedOss, bucket: oss2.Bucket) -> None:
    allowed, banned = ["https://*.a.example", "https://b.example"], ["https://bad.a.example"]
    bucket.put_bucket_referer(models.BucketReferer(False, allowed, True, banned))
    for referer, ec in (
        ("", "0003-00000501"),
        ("https://bad.a.example/page", "0003-00000502"),
        ("https://c.example/", "0003-00000503"),
        ("https://evil.example/?https://b.example", "0003-00000503"),
    ):
        refused = ask(oss, "enforced/a.txt", referer=referer)
        assert (refused.status_code, code(refused), refused.headers["x-oss-ec"]) == (403, "AccessDenied", ec)
        signed = requests.get(bucket.sign_url("GET", "a.txt", 60), headers={"referer": referer}, timeout=10)
        assert signed.status_code == 403
    for referer in ("https://www.a.example/page?x=1", "https://b.example/", "https://b.example"):
        assert ask(oss, "enforced/a.txt", referer=referer).text == "a"
    assert bucket.get_object("a.txt").read() == b"a"  # signed in the header: no browser
    bucket.put_bucket_referer(models.BucketReferer(True, allowed))
    assert ask(oss, "enforced/a.txt").text == "a"
    bucket.put_bucket_referer(models.BucketReferer(True, []))
    assert ask(oss, "enforced/a.txt", referer="https://c.example").text == "a"
