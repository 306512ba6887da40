"""Signatures in headers and URLs: who signed, how old a signature may be, and STS tokens."""

import http.client
import time
from email.utils import formatdate
from unittest.mock import patch

import oss2
import pytest
from oss2.exceptions import OssError
from oss_support import BUCKET, KEY, REGION

from devcloud.credentials import AccessKey
from devcloud.oss.testing import EmulatedOss

pytest_plugins = ["devcloud.oss.pytest_plugin"]


@pytest.fixture(scope="module")
def oss(shared_oss_emulator: EmulatedOss) -> EmulatedOss:
    shared_oss_emulator.client().put_object("known", b"x")
    return shared_oss_emulator


VERSIONS = pytest.mark.parametrize("version", ["v1", "v2", "v4"])


def sent(request: oss2.http.Request) -> dict[str, str]:
    """Return the headers of a signed request without those that only requests understands."""
    return {name: value for name, value in request.headers.items() if value is not None}


def refused(error: pytest.ExceptionInfo[OssError]) -> tuple[int, str, str]:
    return error.value.status, error.value.code, error.value.details.get("EC", "")


@VERSIONS
def test_a_wrong_secret_is_refused(oss: EmulatedOss, version: str) -> None:
    forger = oss.client(version=version, key=AccessKey(KEY.access_key_id, "guessed"))
    with pytest.raises(OssError) as error:
        forger.get_object("known")
    assert refused(error)[:2] == (403, "SignatureDoesNotMatch")
    assert error.value.details["StringToSign"]
    with pytest.raises(OssError) as error:
        forger.get_object_with_url(forger.sign_url("GET", "known", 60))
    assert refused(error)[:2] == (403, "SignatureDoesNotMatch")


@VERSIONS
def test_an_unknown_key_is_refused(oss: EmulatedOss, version: str) -> None:
    with pytest.raises(OssError) as error:
        oss.client(version=version, key=AccessKey("LTAIother", "x")).get_object("known")
    assert refused(error) == (403, "InvalidAccessKeyId", "0002-00000902")


@VERSIONS
def test_a_url_is_valid_for_one_object_and_method(oss: EmulatedOss, version: str) -> None:
    bucket = oss.client(version=version)
    url = bucket.sign_url("GET", "known", 60)
    for changed in (url.replace("known", "other"), url.replace(f"/{BUCKET}/", "/else-bucket/")):
        with pytest.raises(OssError) as error:
            bucket.get_object_with_url(changed)
        assert refused(error)[:2] == (403, "SignatureDoesNotMatch")
    with pytest.raises(OssError) as error:
        bucket.put_object_with_url(url, b"")
    assert refused(error)[:2] == (403, "SignatureDoesNotMatch")


@VERSIONS
def test_urls_expire_by_the_emulators_clock(oss_emulator: EmulatedOss, version: str) -> None:
    bucket = oss_emulator.client(version=version)
    bucket.put_object("known", b"x")
    url = bucket.sign_url("GET", "known", 3600)
    assert bucket.get_object_with_url(url).read() == b"x"
    oss_emulator.advance(3601)
    with pytest.raises(OssError) as error:
        bucket.get_object_with_url(url)
    assert refused(error) == (403, "AccessDenied", "0002-00000069")
    assert error.value.message == "Request has expired."


def test_signed_headers_do_not_age_by_the_emulators_clock(oss_emulator: EmulatedOss) -> None:
    url = oss_emulator.client().sign_url("GET", "k", 3600)
    oss_emulator.advance(7200)
    oss_emulator.client().put_object("k", b"x")
    with pytest.raises(OssError) as error:
        oss_emulator.client().get_object_with_url(url)
    assert refused(error) == (403, "AccessDenied", "0002-00000069")


def test_headers_with_a_wrong_date_are_refused(oss: EmulatedOss) -> None:
    def answer(at: float) -> tuple[int, bytes]:
        date = formatdate(at, usegmt=True)
        request = oss2.http.Request("GET", oss.url(f"{BUCKET}/known"), product="oss", region=REGION)
        with patch("oss2.utils.http_date", lambda: date):
            oss2.Auth(KEY.access_key_id, KEY.access_key_secret)._sign_request(request, BUCKET, "known")
        connection = http.client.HTTPConnection("127.0.0.1", oss.port)
        connection.request("GET", f"/{BUCKET}/known", headers=sent(request))
        response = connection.getresponse()
        body = response.read()
        connection.close()
        return response.status, body

    assert answer(time.time() - 14 * 60)[0] == 200
    for minutes in (-16, 16):
        status, body = answer(time.time() + minutes * 60)
        assert status == 403
        assert b"<Code>RequestTimeTooSkewed</Code>" in body


def test_v4_checks_the_region(oss: EmulatedOss) -> None:
    bucket = oss2.Bucket(
        oss2.AuthV4(KEY.access_key_id, KEY.access_key_secret), oss.endpoint, BUCKET, region="cn-beijing"
    )
    with pytest.raises(OssError) as error:
        bucket.get_object("known")
    assert refused(error) == (400, "InvalidArgument", "0002-00000226")


def test_v4_signs_additional_headers(oss: EmulatedOss) -> None:
    signer, bucket = oss2.AuthV4(KEY.access_key_id, KEY.access_key_secret), oss.client()
    request = oss2.http.Request(
        "GET", oss.url(f"{BUCKET}/known"), headers={"Range": "bytes=0-0"}, product="oss", region=REGION
    )
    signer._sign_request(request, BUCKET, "known", {"range"})
    assert bucket.session.do_request(request, 10).status == 206
    request.headers["range"] = "bytes=0-5"
    assert bucket.session.do_request(request, 10).status == 403


@VERSIONS
def test_a_temporary_key_needs_its_token(oss: EmulatedOss, version: str) -> None:
    key = oss.credentials.assume_role()
    bucket = oss.client(version=version, key=key)
    assert bucket.get_object("known").read() == b"x"
    assert bucket.get_object_with_url(bucket.sign_url("GET", "known", 60)).read() == b"x"
    for token, code, ec in (
        (None, "InvalidAccessKeyId", "0002-00000003"),
        ("other", "InvalidSecurityToken", "0002-00000006"),
    ):
        thief = oss.client(version=version, key=AccessKey(key.access_key_id, key.access_key_secret, token))
        with pytest.raises(OssError) as error:
            thief.get_object("known")
        assert refused(error) == (403, code, ec)
        with pytest.raises(OssError) as error:
            thief.get_object_with_url(thief.sign_url("GET", "known", 60))
        assert refused(error) == (403, code, ec)
    expired = oss.credentials.assume_role(lifetime_s=-1)
    with pytest.raises(OssError) as error:
        oss.client(version=version, key=expired).get_object("known")
    assert refused(error) == (403, "SecurityTokenExpired", "0002-00000007")


def test_a_bucket_can_be_named_by_the_host(oss: EmulatedOss) -> None:
    host = f"{BUCKET}.oss-{REGION}.aliyuncs.com"
    request = oss2.http.Request("GET", f"http://{host}/known", product="oss", region=REGION)
    oss2.AuthV4(KEY.access_key_id, KEY.access_key_secret)._sign_request(request, BUCKET, "known")
    connection = http.client.HTTPConnection("127.0.0.1", oss.port)
    connection.request("GET", "/known", headers=sent(request) | {"Host": host})
    response = connection.getresponse()
    assert (response.status, response.read()) == (200, b"x")
    connection.close()
