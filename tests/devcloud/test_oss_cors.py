"""CORS: the rules of a bucket, the pre-flight request, and the headers of answers."""

from functools import partial

import oss2
import pytest
import requests
from oss2 import models
from oss2.exceptions import OssError
from oss_support import ask, code, refusal

from devcloud.oss.testing import EmulatedOss

pytest_plugins = ["devcloud.oss.pytest_plugin"]


def test_invalid_cors_rules_are_refused(shared_oss_emulator: EmulatedOss) -> None:
    bucket = shared_oss_emulator.client()
    for wrong in (
        models.CorsRule(["*"], ["GET"], ["*"], [], -1),
        models.CorsRule(["*"], ["PATCH"], ["*"]),
        models.CorsRule(["http://*.*.com"], ["GET"], ["*"]),
        models.CorsRule(["*"], ["GET"], [], ["x-oss-*"]),
    ):
        assert refusal(partial(bucket.put_bucket_cors, models.BucketCors([wrong]))) == (
            400,
            "InvalidArgument",
        )
    with pytest.raises(OssError) as error:
        bucket.put_bucket_cors(models.BucketCors([models.CorsRule(["*"], ["GET"], ["*"], [], -1)]))
    assert (error.value.name, error.value.value) == ("MaxAgeSeconds", "-1")


def preflight(oss: EmulatedOss, origin: str, method: str, headers: str = "") -> requests.Response:
    asked = {"access_control_request_method": method, "access_control_request_headers": headers}
    return ask(oss, "enforced/a.txt", "OPTIONS", origin=origin, **asked)


def test_a_preflight_is_answered_by_the_first_rule_that_allows_it(oss: EmulatedOss, bucket: oss2.Bucket) -> None:
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


def test_preflight_of_a_signed_url_needs_no_signature(oss: EmulatedOss, bucket: oss2.Bucket) -> None:
    bucket.put_bucket_acl("private")
    bucket.put_bucket_cors(models.BucketCors([models.CorsRule(["*"], ["PUT"], ["*"])]))
    url = bucket.sign_url("PUT", "b.txt", 60)
    headers = {"origin": "https://a.example", "access-control-request-method": "PUT"}
    assert requests.options(url, headers=headers, timeout=10).headers["access-control-allow-origin"] == "*"
    answer = requests.put(url, b"b", headers={"origin": "https://a.example"}, timeout=10)
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, "*")


def test_answers_to_allowed_sites_have_cors_headers(oss: EmulatedOss, bucket: oss2.Bucket) -> None:
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
