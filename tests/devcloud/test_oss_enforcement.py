"""What the documents of a bucket do: CORS, hotlink protection, policies, websites and lifecycle rules."""

import json
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from io import BytesIO
from typing import Any

import oss2
import pytest
import requests
from oss2 import models
from oss2.exceptions import OssError
from oss_support import ACCOUNT, RunningOss, running_oss
from PIL import Image

DAY_S = 86_400


@pytest.fixture
def oss(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningOss]:
    with running_oss(tmp_path_factory.mktemp("oss")) as running:
        yield running


@pytest.fixture
def bucket(oss: RunningOss) -> oss2.Bucket:
    bucket = oss.bucket("enforced")
    bucket.create_bucket("public-read")
    bucket.put_object("a.txt", b"a", headers={"content-type": "text/plain"})
    return bucket


def ask(oss: RunningOss, path: str, method: str = "GET", **headers: str) -> requests.Response:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return requests.request(method, oss.url(path), headers=sent, timeout=10, allow_redirects=False)


def code(response: requests.Response) -> str:
    return response.text.partition("<Code>")[2].partition("</Code>")[0]


# CORS


def preflight(oss: RunningOss, origin: str, method: str, headers: str = "") -> requests.Response:
    asked = {"access_control_request_method": method, "access_control_request_headers": headers}
    return ask(oss, "enforced/a.txt", "OPTIONS", origin=origin, **asked)


def test_preflight(oss: RunningOss, bucket: oss2.Bucket) -> None:
    refused = preflight(oss, "https://app.a.example", "PUT")
    assert (refused.status_code, code(refused)) == (403, "AccessForbidden")
    assert "not enabled" in refused.text
    rule = models.CorsRule(["https://*.a.example"], ["PUT", "GET"], ["x-oss-*", "Content-Type"], ["ETag"], 60)
    bucket.put_bucket_cors(models.BucketCors([rule]))
    answer = preflight(oss, "https://app.a.example", "PUT", "X-Oss-Date, content-type")
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "https://app.a.example"
    assert answer.headers["access-control-allow-methods"] == "PUT, GET"
    assert answer.headers["access-control-allow-headers"] == "x-oss-date, content-type"
    assert answer.headers["access-control-expose-headers"] == "ETag"
    assert (answer.headers["access-control-max-age"], answer.headers["vary"]) == ("60", "Origin")
    for origin, method, headers in (
        ("https://a.example.evil", "PUT", ""),
        ("https://app.a.example", "DELETE", ""),
        ("https://app.a.example", "PUT", "x-custom"),
    ):
        refused = preflight(oss, origin, method, headers)
        assert (refused.status_code, code(refused)) == (403, "AccessForbidden")
        assert "access-control-allow-origin" not in refused.headers
    assert ask(oss, "enforced/a.txt", "OPTIONS").status_code == 400


def test_preflight_of_a_signed_url_needs_no_signature_of_its_own(oss: RunningOss, bucket: oss2.Bucket) -> None:
    bucket.put_bucket_acl("private")
    bucket.put_bucket_cors(models.BucketCors([models.CorsRule(["*"], ["PUT"], ["*"])]))
    url = bucket.sign_url("PUT", "b.txt", 60)
    headers = {"origin": "https://a.example", "access-control-request-method": "PUT"}
    assert requests.options(url, headers=headers, timeout=10).headers["access-control-allow-origin"] == "*"
    answer = requests.put(url, b"b", headers={"origin": "https://a.example"}, timeout=10)
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, "*")


def test_answers_to_pages_of_other_sites(oss: RunningOss, bucket: oss2.Bucket) -> None:
    assert "access-control-allow-origin" not in ask(oss, "enforced/a.txt", origin="https://a.example").headers
    rules = [models.CorsRule(["https://a.example"], ["GET"], [])]
    bucket.put_bucket_cors(models.BucketCors(rules, response_vary=True))
    allowed = ask(oss, "enforced/a.txt", origin="https://a.example").headers
    assert (allowed["access-control-allow-origin"], allowed["vary"]) == ("https://a.example", "Origin")
    # A page must be able to read why it failed.
    missing = ask(oss, "enforced/nope", origin="https://a.example")
    assert (missing.status_code, missing.headers["access-control-allow-origin"]) == (404, "https://a.example")
    other = ask(oss, "enforced/a.txt", origin="https://b.example")
    assert (other.status_code, other.headers["vary"]) == (200, "Origin")
    assert "access-control-allow-origin" not in other.headers
    assert ask(oss, "enforced/a.txt").headers["vary"] == "Origin"


# Hotlink protection


def test_referer(oss: RunningOss, bucket: oss2.Bucket) -> None:
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


# Bucket policy


def statement(effect: str, *actions: str, resource: str = "enforced/*", **parts: object) -> dict[str, object]:
    names = [f"oss:{action}" for action in actions]
    return {"Effect": effect, "Action": names, "Resource": [f"acs:oss:*:*:{resource}"], "Principal": ["*"], **parts}


def put_policy(bucket: oss2.Bucket, *statements: dict[str, object]) -> None:
    bucket.put_bucket_policy(json.dumps({"Version": "1", "Statement": statements}))


def test_policies_open_what_acls_close(oss: RunningOss, bucket: oss2.Bucket) -> None:
    bucket.put_bucket_acl("private")
    for key in ("public/a", "private/a"):
        bucket.put_object(key, b"x")
    assert ask(oss, "enforced/public/a").status_code == 403
    put_policy(bucket, statement("Allow", "GetObject", resource="enforced/public/*"))
    assert ask(oss, "enforced/public/a").text == "x"
    assert ask(oss, "enforced/public/a", "HEAD").status_code == 200
    for path, method in (("private/a", "GET"), ("public/a", "PUT"), ("public/a", "DELETE"), ("", "GET")):
        assert ask(oss, f"enforced/{path}", method).status_code == 403, (path, method)
    put_policy(bucket, statement("Allow", "ListObjects", resource="enforced"))
    assert "<Key>public/a</Key>" in ask(oss, "enforced").text
    assert ask(oss, "enforced/public/a").status_code == 403
    put_policy(bucket, statement("Allow", "GetObject", Principal=[ACCOUNT]))
    assert ask(oss, "enforced/public/a").status_code == 403


def test_a_denial_wins_and_holds_for_the_owner(oss: RunningOss, bucket: oss2.Bucket) -> None:
    put_policy(bucket, statement("Allow", "*"), statement("Deny", "PutObject", "DeleteObject", resource="enforced/a*"))
    for act in (lambda: bucket.put_object("a.txt", b"y"), lambda: bucket.delete_object("a.txt")):
        with pytest.raises(OssError) as error:
            act()
        assert (error.value.status, error.value.code, error.value.ec) == (403, "AccessDenied", "0003-00000202")
    assert bucket.get_object("a.txt").read() == b"a"
    bucket.put_object("b.txt", b"y")
    put_policy(bucket, statement("Deny", "*", resource="*"))
    with pytest.raises(OssError):
        bucket.get_object("a.txt")
    bucket.delete_bucket_policy()  # nobody locks himself out
    assert bucket.get_object("a.txt").read() == b"a"


def test_who_may_write_copies_only_what_he_may_read(oss: RunningOss, bucket: oss2.Bucket) -> None:
    oss.bucket().put_object("secret", b"x")
    bucket.put_object_acl("a.txt", "private")
    bucket.put_object("b.txt", b"b")
    put_policy(bucket, statement("Allow", "PutObject"))
    for source, status in (("media-test/secret", 403), ("enforced/a.txt", 403), ("enforced/b.txt", 200)):
        assert ask(oss, "enforced/copy", "PUT", x_oss_copy_source=f"/{source}").status_code == status, source
    put_policy(bucket, statement("Deny", "GetObject"))
    with pytest.raises(OssError):
        bucket.copy_object(bucket.bucket_name, "b.txt", "c.txt")


def test_who_may_read_a_link_may_not_read_what_it_leads_to(oss: RunningOss, bucket: oss2.Bucket) -> None:
    bucket.put_symlink("a.txt", "link")
    assert ask(oss, "enforced/link").content == b"a"
    bucket.put_object_acl("a.txt", "private")
    assert [ask(oss, "enforced/link", method).status_code for method in ("GET", "HEAD")] == [403, 403]
    assert bucket.get_object("link").read() == b"a"


def test_the_acl_of_a_version_is_its_own(oss: RunningOss, bucket: oss2.Bucket) -> None:
    bucket.put_bucket_versioning(models.BucketVersioningConfig("Enabled"))
    secret = bucket.put_object("v", b"secret", headers={"x-oss-object-acl": "private"}).versionid
    public = bucket.put_object("v", b"public").versionid
    assert ask(oss, f"enforced/v?versionId={public}").content == b"public"
    assert ask(oss, f"enforced/v?versionId={secret}").status_code == 403


def test_a_batch_deletes_nothing_that_alone_would_stay(oss: RunningOss, bucket: oss2.Bucket) -> None:
    bucket.put_bucket_acl("public-read-write")
    bucket.put_object("closed", b"x", headers={"x-oss-object-acl": "private"})
    with pytest.raises(OssError) as error:
        oss.anonymous("enforced").batch_delete_objects(["a.txt", "closed"])
    assert error.value.status == 403
    put_policy(bucket, statement("Deny", "DeleteObject", resource="enforced/a*"))
    with pytest.raises(OssError) as error:
        bucket.batch_delete_objects(["closed", "a.txt"])
    assert error.value.status == 403
    assert bucket.get_object("a.txt").read() == b"a"
    assert bucket.batch_delete_objects(["closed"]).deleted_keys == ["closed"]


def test_what_is_made_from_an_object_is_stored_only_where_one_may_write(oss: RunningOss, bucket: oss2.Bucket) -> None:
    image = BytesIO()
    Image.new("RGB", (8, 8)).save(image, "PNG")
    bucket.put_object("image.png", image.getvalue())
    put_policy(bucket, statement("Deny", "PutObject", resource="enforced/closed*"))
    for key, status in (("closed.png", 403), ("open.png", 200)):
        saveas = f"image/resize,w_4|sys/saveas,o_{urlsafe_b64encode(key.encode()).decode()}"
        try:
            answered = bucket.process_object("image.png", saveas).status
        except OssError as error:
            answered = error.status
        assert (answered, bucket.object_exists(key)) == (status, status == 200)


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ({"IpAddress": {"acs:SourceIp": ["10.0.0.0/8", "127.0.0.0/8"]}}, True),
        ({"IpAddress": {"acs:SourceIp": "10.0.0.1"}}, False),
        ({"NotIpAddress": {"acs:SourceIp": ["10.0.0.0/8"]}}, True),
        ({"StringLike": {"acs:SourceIp": ["127.*"]}}, True),
        ({"StringNotLike": {"acs:SourceIp": ["127.*"]}}, False),
        ({"Bool": {"acs:SecureTransport": [False]}}, True),
        ({"Bool": {"acs:SecureTransport": "true"}}, False),
        ({"StringEquals": {"acs:UserAgent": ["me"]}}, True),
        ({"DateLessThan": {"acs:CurrentTime": ["2020-01-01T00:00:00Z"]}}, False),
        ({"DateGreaterThan": {"acs:CurrentTime": ["2020-01-01T00:00:00Z"]}}, True),
        ({"Bool": {"acs:SecureTransport": "false"}, "StringLike": {"acs:Referer": ["https://*"]}}, False),
    ],
)
def test_conditions(oss: RunningOss, bucket: oss2.Bucket, condition: dict[str, object], holds: bool) -> None:
    bucket.put_bucket_acl("private")
    put_policy(bucket, statement("Allow", "GetObject", Condition=condition))
    assert ask(oss, "enforced/a.txt", user_agent="me").status_code == (200 if holds else 403)


def test_policy_status_and_blocked_public_access(oss: RunningOss, bucket: oss2.Bucket) -> None:
    def is_public() -> str:
        body = bucket._get_bucket_config("policyStatus").read().decode()
        return str(body.partition("<IsPublic>")[2].partition("<")[0])

    assert is_public() == "false"
    put_policy(bucket, statement("Allow", "GetObject"))
    assert is_public() == "true"
    bucket.put_bucket_public_access_block(True)
    assert ask(oss, "enforced/a.txt").status_code == 403
    assert bucket.get_object("a.txt").read() == b"a"


# Websites


def site(bucket: oss2.Bucket, index: str = "", *rules: models.RoutingRule) -> None:
    if index:
        nodes = f"<IndexDocument><Suffix>index.html</Suffix>{index}</IndexDocument>"
        error = "<ErrorDocument><Key>error.html</Key></ErrorDocument>"
        bucket.put_bucket_website(f"<WebsiteConfiguration>{nodes}{error}</WebsiteConfiguration>")
    else:
        bucket.put_bucket_website(models.BucketWebsite("index.html", "error.html", list(rules)))
    for key in ("index.html", "docs/index.html", "error.html"):
        bucket.put_object(key, key.encode())


def test_index_and_error_documents(oss: RunningOss, bucket: oss2.Bucket) -> None:
    site(bucket)
    for path in ("enforced", "enforced/", "enforced/docs/"):
        page = ask(oss, path)
        assert (page.status_code, page.text, page.headers["content-type"]) == (200, "index.html", "text/html")
    missing = ask(oss, "enforced/nope", range="bytes=0-1")
    assert (missing.status_code, missing.text) == (404, "error.html")
    assert "<ListBucketResult>" in ask(oss, "enforced?prefix=a").text  # who asks for a list gets it
    assert [entry.key for entry in bucket.list_objects(prefix="a").object_list] == ["a.txt"]
    with pytest.raises(oss2.exceptions.NoSuchKey):  # programs are told as ever
        bucket.get_object("nope")
    bucket.delete_object("error.html")
    assert code(ask(oss, "enforced/nope")) == "NoSuchKey"


def test_websites_open_nothing_that_is_closed(oss: RunningOss, bucket: oss2.Bucket) -> None:
    site(bucket)
    bucket.put_object_acl("index.html", "private")
    bucket.put_object_acl("error.html", "private")
    for path in ("enforced/", "enforced/docs/", "enforced/nope"):
        assert ask(oss, path).status_code == 403, path


@pytest.mark.parametrize(
    ("kind", "status", "shown"),
    [("0", 302, "/enforced/docs/"), ("1", 404, "error.html"), ("2", 200, "docs/index.html")],
)
def test_folders_with_their_own_index(oss: RunningOss, bucket: oss2.Bucket, kind: str, status: int, shown: str) -> None:
    site(bucket, f"<SupportSubDir>true</SupportSubDir><Type>{kind}</Type>")
    assert ask(oss, "enforced/docs/").text == "docs/index.html"
    page = ask(oss, "enforced/docs")
    assert (page.status_code, page.headers.get("location", page.text)) == (status, shown)


def test_redirects(oss: RunningOss, bucket: oss2.Bucket) -> None:
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


# Lifecycle


def put_rule(bucket: oss2.Bucket, prefix: str = "", **parts: Any) -> None:
    put = models.LifecycleRule("r", prefix, status=models.LifecycleRule.ENABLED, **parts)
    bucket.put_bucket_lifecycle(models.BucketLifecycle([put]))


def keys(bucket: oss2.Bucket) -> list[str]:
    return [entry.key for entry in oss2.ObjectIterator(bucket)]


def days(count: int) -> models.LifecycleExpiration:
    return models.LifecycleExpiration(days=count)


def test_objects_expire_by_age(oss: RunningOss, bucket: oss2.Bucket) -> None:
    bucket.put_object("tmp/old", b"x")
    put_rule(bucket, "tmp/", expiration=days(3))
    oss.turn_clock(2 * DAY_S)
    bucket.put_object("tmp/new", b"x")
    assert keys(bucket) == ["a.txt", "tmp/new", "tmp/old"]
    seen = len(oss.events)
    oss.turn_clock(DAY_S)
    assert keys(bucket) == ["a.txt", "tmp/new"]
    oss.turn_clock(2 * DAY_S)
    assert keys(bucket) == ["a.txt"]
    assert oss.events[seen:] == []  # the triggers are told of API calls alone


def test_objects_expire_by_date(oss: RunningOss, bucket: oss2.Bucket) -> None:
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).date()
    put_rule(bucket, expiration=models.LifecycleExpiration(created_before_date=date(2020, 1, 1)))
    oss.turn_clock(2 * DAY_S)
    assert keys(bucket) == ["a.txt"]
    put_rule(bucket, expiration=models.LifecycleExpiration(date=tomorrow))
    oss.turn_clock(60)
    assert keys(bucket) == []


def test_tags_sizes_and_exclusions_choose(oss: RunningOss, bucket: oss2.Bucket) -> None:
    for key, size, tags in (
        ("logs/a", 5, "kind=draft"),
        ("logs/b", 5, "kind=final"),
        ("logs/c", 50, "kind=draft"),
        ("logs/keep/d", 5, "kind=draft"),
        ("other/e", 5, "kind=draft"),
    ):
        bucket.put_object(key, b"x" * size, headers={"x-oss-tagging": tags})
    tagging = models.Tagging()
    tagging.tag_set.tagging_rule = {"kind": "draft"}
    chosen = models.LifecycleFilter([models.FilterNot("logs/keep/")], object_size_less_than=20)
    put_rule(bucket, "logs/", expiration=days(1), tagging=tagging, filter=chosen)
    oss.turn_clock(DAY_S)
    assert keys(bucket) == ["a.txt", "logs/b", "logs/c", "logs/keep/d", "other/e"]


def test_disabled_rules_do_nothing(oss: RunningOss, bucket: oss2.Bucket) -> None:
    put = models.LifecycleRule("r", "", status=models.LifecycleRule.DISABLED, expiration=days(1))
    bucket.put_bucket_lifecycle(models.BucketLifecycle([put]))
    oss.turn_clock(30 * DAY_S)
    assert keys(bucket) == ["a.txt"]


def test_objects_grow_colder_and_nothing_else_changes(oss: RunningOss, bucket: oss2.Bucket) -> None:
    before = bucket.head_object("a.txt")
    moves = [models.StorageTransition(days=age, storage_class=to) for age, to in ((60, "Archive"), (30, "IA"))]
    put_rule(bucket, storage_transitions=moves)
    for passed, storage_class in ((29, "Standard"), (1, "IA"), (30, "Archive")):
        oss.turn_clock(passed * DAY_S)
        now = bucket.head_object("a.txt")
        assert now.headers["x-oss-storage-class"] == storage_class
        assert (now.etag, now.last_modified, now.content_type) == (
            before.etag,
            before.last_modified,
            before.content_type,
        )
    assert bucket.get_bucket_stat().archive_object_count == 1


def test_old_uploads_are_aborted(oss: RunningOss, bucket: oss2.Bucket) -> None:
    put_rule(bucket, "up/", abort_multipart_upload=models.AbortMultipartUpload(days=1))
    for key in ("up/a", "other/b"):
        bucket.init_multipart_upload(key)
    oss.turn_clock(DAY_S)
    assert [upload.key for upload in oss2.MultipartUploadIterator(bucket)] == ["other/b"]


def test_versions(oss: RunningOss, bucket: oss2.Bucket) -> None:
    def versions() -> tuple[list[str], int]:
        listed = bucket.list_object_versions()
        return [version.storage_class for version in listed.versions], len(listed.delete_marker)

    bucket.put_bucket_versioning(models.BucketVersioningConfig("Enabled"))
    for _ in range(2):
        bucket.put_object("a.txt", b"newer")
    put_rule(
        bucket,
        expiration=days(5),
        noncurrent_version_expiration=models.NoncurrentVersionExpiration(4),
        noncurrent_version_sotrage_transitions=[models.NoncurrentVersionStorageTransition(2, "IA")],
    )
    assert versions() == (["Standard"] * 3, 0)
    oss.turn_clock(2 * DAY_S)
    assert versions() == (["Standard", "IA", "IA"], 0)
    oss.turn_clock(2 * DAY_S)
    assert versions() == (["Standard"], 0)
    oss.turn_clock(DAY_S)
    assert versions() == (["Standard"], 1)
    assert keys(bucket) == []
    oss.turn_clock(4 * DAY_S)
    assert versions() == ([], 1)
    put_rule(bucket, expiration=models.LifecycleExpiration(expired_detete_marker=True))
    oss.turn_clock(60)
    assert versions() == ([], 0)


# Retention


def refused(act: Any) -> tuple[int, str]:
    with pytest.raises(OssError) as error:
        act()
    return error.value.status, error.value.code


def test_retention_policies_protect_what_is_there(oss: RunningOss, bucket: oss2.Bucket) -> None:
    assert refused(bucket.get_bucket_worm) == (404, "NoSuchWORMConfiguration")
    worm_id = bucket.init_bucket_worm(2).worm_id
    assert refused(lambda: bucket.extend_bucket_worm(worm_id, 3)) == (400, "InvalidWORMConfiguration")
    assert refused(lambda: bucket.put_object("a.txt", b"b")) == (409, "FileImmutable")
    bucket.abort_bucket_worm()
    bucket.put_object("a.txt", b"b")
    bucket.complete_bucket_worm(bucket.init_bucket_worm(2).worm_id)
    assert refused(bucket.abort_bucket_worm) == (409, "WORMConfigurationLocked")
    for act in (
        lambda: bucket.put_object("a.txt", b"c"),
        lambda: bucket.delete_object("a.txt"),
        lambda: bucket.batch_delete_objects(["a.txt"]),
        lambda: bucket.copy_object(bucket.bucket_name, "a.txt", "a.txt"),
    ):
        assert refused(act) == (409, "FileImmutable")
    bucket.put_object("b.txt", b"b")
    put_rule(bucket, expiration=days(1))
    oss.turn_clock(DAY_S)
    assert keys(bucket) == ["a.txt", "b.txt"]
    oss.turn_clock(DAY_S)
    assert keys(bucket) == []


def test_a_policy_that_nobody_locks_is_void_after_a_day(oss: RunningOss, bucket: oss2.Bucket) -> None:
    bucket.init_bucket_worm(5)
    assert refused(lambda: bucket.delete_object("a.txt")) == (409, "FileImmutable")
    oss.turn_clock(DAY_S)
    assert refused(bucket.get_bucket_worm) == (404, "NoSuchWORMConfiguration")
    bucket.delete_object("a.txt")
