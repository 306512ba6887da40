"""Buckets as websites: the document, index and error documents, redirects."""

from typing import Any

import oss2
import pytest
from oss2 import models
from oss_support import ask, code, refusal

from devcloud.oss.testing import EmulatedOss

pytest_plugins = ["devcloud.oss.pytest_plugin"]


def test_a_website_document_is_stored_and_checked(empty_bucket: oss2.Bucket) -> None:
    condition = models.Condition("old/", 404)
    redirect = models.Redirect(
        models.REDIRECT_TYPE_EXTERNAL, proto="https", host_name="a.example", http_redirect_code=301
    )
    empty_bucket.put_bucket_website(
        models.BucketWebsite("index.html", "error.html", [models.RoutingRule(1, condition, redirect)])
    )
    site = empty_bucket.get_bucket_website()
    assert (site.index_file, site.error_file) == ("index.html", "error.html")
    assert (site.rules[0].condition.key_prefix_equals, site.rules[0].redirect.http_redirect_code) == ("old/", 301)
    assert refusal(lambda: empty_bucket.put_bucket_website(models.BucketWebsite("a/index.html", "e"))) == (
        400,
        "InvalidArgument",
    )
    empty_bucket.delete_bucket_website()
    empty_bucket.delete_bucket_website()
    assert refusal(empty_bucket.get_bucket_website) == (404, "NoSuchWebsiteConfiguration")


def site(bucket: oss2.Bucket, index: str = "", *rules: models.RoutingRule) -> None:
    if index:
        nodes = f"<IndexDocument><Suffix>index.html</Suffix>{index}</IndexDocument>"
        error = "<ErrorDocument><Key>error.html</Key></ErrorDocument>"
        bucket.put_bucket_website(f"<WebsiteConfiguration>{nodes}{error}</WebsiteConfiguration>")
    else:
        bucket.put_bucket_website(models.BucketWebsite("index.html", "error.html", list(rules)))
    for key in ("index.html", "docs/index.html", "error.html"):
        bucket.put_object(key, key.encode())


def test_a_website_shows_index_and_error_documents(oss: EmulatedOss, bucket: oss2.Bucket) -> None:
    site(bucket)
    for path in ("enforced", "enforced/", "enforced/docs/"):
        page = ask(oss, path)
        assert (page.status_code, page.text, page.headers["content-type"]) == (200, "index.html", "text/html")
    missing = ask(oss, "enforced/nope", range="bytes=0-1")
    assert (missing.status_code, missing.text) == (404, "error.html")
    assert "<ListBucketResult>" in ask(oss, "enforced?prefix=a").text  # a request for a list gets a list
    assert [entry.key for entry in bucket.list_objects(prefix="a").object_list] == ["a.txt"]
    with pytest.raises(oss2.exceptions.NoSuchKey):  # callers with a signature get the error
        bucket.get_object("nope")
    bucket.delete_object("error.html")
    assert code(ask(oss, "enforced/nope")) == "NoSuchKey"


def test_websites_do_not_open_private_objects(oss: EmulatedOss, bucket: oss2.Bucket) -> None:
    site(bucket)
    bucket.put_object_acl("index.html", "private")
    bucket.put_object_acl("error.html", "private")
    for path in ("enforced/", "enforced/docs/", "enforced/nope"):
        assert ask(oss, path).status_code == 403, path


@pytest.mark.parametrize(
    ("kind", "status", "shown"),
    [("0", 302, "/enforced/docs/"), ("1", 404, "error.html"), ("2", 200, "docs/index.html")],
)
def test_a_folder_can_have_its_own_index(
    oss: EmulatedOss, bucket: oss2.Bucket, kind: str, status: int, shown: str
) -> None:
    site(bucket, f"<SupportSubDir>true</SupportSubDir><Type>{kind}</Type>")
    assert ask(oss, "enforced/docs/").text == "docs/index.html"
    page = ask(oss, "enforced/docs")
    assert (page.status_code, page.headers.get("location", page.text)) == (status, shown)


def test_redirects_follow_the_first_rule_that_fits(oss: EmulatedOss, bucket: oss2.Bucket) -> None:
    def to(number: int, prefix: str, status: int | None, kind: str, **how: Any) -> models.RoutingRule:
        redirect = models.Redirect(kind, **how)
        return models.RoutingRule(number, models.Condition(prefix, status), redirect)

    external, internal = models.REDIRECT_TYPE_EXTERNAL, models.REDIRECT_TYPE_INTERNAL
    elsewhere = {"proto": "https", "host_name": "b.example", "pass_query_string": True}
    site(
        bucket,
        "",
        to(2, "old/", 404, external, **elsewhere, http_redirect_code=301, replace_key_prefix_with="new/"),
        to(1, "old/special", 404, external, **elsewhere, replace_key_with="s/${key}.html"),
        to(3, "alias/", 404, internal, replace_key_with="a.txt"),
        to(4, "moved/", None, external, **elsewhere),
    )
    bucket.put_object("moved/here", b"x")
    bucket.put_object("old/here", b"x")
    for path, status, location in (
        ("old/x?v=1", 301, "https://b.example/new/x?v=1"),
        ("old/special", 302, "https://b.example/s/old/special.html"),
        ("moved/here", 302, "https://b.example/moved/here"),
    ):
        answer = ask(oss, f"enforced/{path}")
        assert (answer.status_code, answer.headers["location"]) == (status, location)
    assert ask(oss, "enforced/old/here").text == "x"
    assert ask(oss, "enforced/alias/anything").text == "a"
    assert ask(oss, "enforced/other").text == "error.html"
