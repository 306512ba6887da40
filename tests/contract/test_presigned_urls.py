"""Our presigner against the official SDK's, byte for byte, and against the emulator."""

import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import oss2
import pytest
from oss_support import KEY, REGION, RunningOss
from pydantic import SecretStr

from shared.adapters.oss_urls import OutputUrls, presign
from shared.domain.jobs import JobOutput
from shared.domain.keys import MediaType
from shared.settings import OssCredentials, OssSettings
from tests.fakes import NOW, USER, FakeClock

KEYS = [
    f"users/{USER}/jobs/abc123/image-1703123456789.png",
    "users/a b/jobs/j/image-1703123456789.png",
    "users/a+b/jobs/j/image-1703123456789.png",
    "users/用户/jobs/j/video-1703123456789.mp4",
    "users/😀~!*'()%2F/jobs/j/image-1703123456789.png",
    "users/?a=b&c#d/jobs/j/image-1703123456789.png",
]
TOKEN = "CAIS+token/with=odd&characters?"
AT = datetime(2024, 2, 29, 23, 59, 59, tzinfo=UTC)


class _FrozenDatetime(datetime):
    @classmethod
    def utcnow(cls) -> "datetime":
        return AT.replace(tzinfo=None)

    @classmethod
    def now(cls, tz: Any = None) -> "datetime":
        return AT if tz else AT.replace(tzinfo=None)


@pytest.fixture
def frozen_sdk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stop the SDK's clock at AT."""
    for module in (oss2.auth, oss2.utils):
        if hasattr(module, "datetime"):
            monkeypatch.setattr(module, "datetime", _FrozenDatetime)


def settings(endpoint: str, bucket: str, base_url: str | None = None, ttl_s: int | None = 600) -> OssSettings:
    return OssSettings(bucket, REGION, endpoint, base_url or f"{endpoint}/{bucket}", ttl_s)


def credentials(token: str | None) -> OssCredentials:
    return OssCredentials(KEY.access_key_id, SecretStr(KEY.access_key_secret), SecretStr(token) if token else None)


def in_order(url: str) -> tuple[str, list[str]]:
    path, _, query = url.partition("?")
    return path, sorted(query.split("&"))


@pytest.mark.parametrize("token", [None, TOKEN], ids=["keys", "sts"])
@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("ttl_s", [1, 604_800])
@pytest.mark.usefixtures("frozen_sdk")
def test_it_signs_as_the_sdk_does(key: str, token: str | None, ttl_s: int) -> None:
    endpoint = "http://127.0.0.1:9001"
    if token:
        auth = oss2.StsAuth(KEY.access_key_id, KEY.access_key_secret, token, auth_version="v4")
    else:
        auth = oss2.AuthV4(KEY.access_key_id, KEY.access_key_secret)
    theirs = oss2.Bucket(auth, endpoint, "media", region=REGION).sign_url("GET", key, ttl_s, slash_safe=True)
    assert "20240229T235959Z" in theirs
    ours = presign(settings(endpoint, "media"), credentials(token), key, ttl_s, AT)
    # The order of the parameters is the one thing that may differ: neither end reads anything from it.
    assert in_order(ours) == in_order(theirs)


@pytest.mark.parametrize("sts", [False, True], ids=["keys", "sts"])
@pytest.mark.parametrize("key", KEYS)
def test_a_private_bucket_lets_it_in(oss: RunningOss, tmp_path: Path, key: str, sts: bool) -> None:
    bucket = f"private-{secrets.token_hex(6)}"
    oss.emulator.create_bucket(bucket)
    oss.bucket(bucket).put_object(key, b"the bytes")
    signer = credentials(None)
    if sts:
        role = oss.credentials.assume_role()
        token = SecretStr(role.security_token or "")
        signer = OssCredentials(role.access_key_id, SecretStr(role.access_key_secret), token)
    url = presign(settings(oss.endpoint, bucket), signer, key, 600, datetime.now(UTC))
    with httpx.Client(trust_env=False) as client:
        assert client.get(url).content == b"the bytes"
        assert client.get(url.partition("?")[0]).status_code == 403
        assert client.get(url.replace("x-oss-expires=600", "x-oss-expires=601")).status_code == 403
        assert client.get(url.replace("image-", "imagf-").replace("video-", "videp-")).status_code == 403


def test_the_host_is_not_part_of_the_signature() -> None:
    own = presign(settings("https://oss.example.com", "media"), credentials(None), KEYS[0], 60, AT)
    cdn = presign(
        settings("https://oss.example.com", "media", "https://cdn.example.com"), credentials(None), KEYS[0], 60, AT
    )
    assert cdn.startswith("https://cdn.example.com/users/test%40factory-buy.com/")
    assert own.partition("?")[2] == cdn.partition("?")[2]


@pytest.mark.parametrize("ttl_s", [None, 600])
def test_a_url_is_public_or_signed_as_configured(clean_environment: pytest.MonkeyPatch, ttl_s: int | None) -> None:
    clean_environment.setenv("OSS_ACCESS_KEY", KEY.access_key_id)
    clean_environment.setenv("OSS_SECRET", KEY.access_key_secret)
    output = JobOutput("id", "j", USER, MediaType.IMAGE, "https://cdn.example.com/x", KEYS[0], 1, {}, NOW)
    url = OutputUrls(settings("https://oss.example.com", "media", ttl_s=ttl_s), FakeClock()).url_of(output)
    if ttl_s is None:
        assert url == output.oss_url
    else:
        assert "x-oss-expires=600&" in url
    assert KEY.access_key_secret not in url
