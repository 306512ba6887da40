"""URLs of outputs: our presigner against the official SDK's, byte for byte, and against the emulator."""

import io
import secrets
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qsl, quote, unquote, urlsplit

import httpx
import oss2
import pytest
from hypothesis import given, strategies
from oss_support import KEY, REGION
from PIL import Image
from pydantic import SecretStr

from devcloud.oss.testing import EmulatedOss
from shared.adapters.output_urls import OutputUrls, presign, signing_time
from shared.domain.jobs import JobOutput
from shared.domain.media_type import MediaType
from shared.settings import OssCredentials, OssSettings
from tests.fakes import NOW, USER, FakeClock, make_output, make_png

KEYS = [
    f"users/{USER}/jobs/abc123/image-1703123456789.png",
    "users/a b/jobs/j/image-1703123456789.png",
    "users/a+b/jobs/j/image-1703123456789.png",
    "users/用户/jobs/j/video-1703123456789.mp4",
    "users/😀~!*'()%2F/jobs/j/image-1703123456789.png",
    "users/?a=b&c#d/jobs/j/image-1703123456789.png",
]
RESIZE, SNAPSHOT = "image/resize,w_512", "video/snapshot,t_0,f_jpg,w_512"
PARAMETERS = [
    {},
    {"x-oss-process": RESIZE},
    {"x-oss-process": SNAPSHOT},
    {"z": "a b+c/é~", "response-content-type": "é"},
]
TOKEN = "CAIS+token/with=odd&characters?"
ROLE = "ALIBABA_CLOUD_ACCESS_KEY"
AT = datetime(2024, 2, 29, 23, 59, 59, tzinfo=UTC)


class _FrozenDatetime(datetime):
    @classmethod
    def utcnow(cls) -> Self:
        return cls.now()

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Self:
        at = cls.fromtimestamp(AT.timestamp(), UTC)
        return at if tz else at.replace(tzinfo=None)


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


def signer(oss: EmulatedOss, sts: bool) -> OssCredentials:
    if not sts:
        return credentials(None)
    role = oss.credentials.assume_role()
    token = SecretStr(role.security_token or "")
    return OssCredentials(role.access_key_id, SecretStr(role.access_key_secret), token)


def in_order(url: str) -> tuple[str, list[str]]:
    path, _, query = url.partition("?")
    return path, sorted(query.split("&"))


@pytest.mark.parametrize("token", [None, TOKEN], ids=["keys", "sts"])
@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("ttl_s", [1, 604_800])
@pytest.mark.parametrize("parameters", PARAMETERS, ids=lambda parameters: "&".join(parameters) or "none")
@pytest.mark.usefixtures("frozen_sdk")
def test_a_url_is_signed_like_the_sdk_s(key: str, token: str | None, ttl_s: int, parameters: dict[str, str]) -> None:
    endpoint = "http://127.0.0.1:9001"
    if token:
        auth = oss2.StsAuth(KEY.access_key_id, KEY.access_key_secret, token, auth_version="v4")
    else:
        auth = oss2.AuthV4(KEY.access_key_id, KEY.access_key_secret)
    bucket = oss2.Bucket(auth, endpoint, "media", region=REGION)
    theirs = bucket.sign_url("GET", key, ttl_s, params=dict(parameters), slash_safe=True)
    assert "20240229T235959Z" in theirs
    ours = presign(settings(endpoint, "media"), credentials(token), key, ttl_s, AT, parameters)
    # Only the order of the parameters may differ, because neither side depends on it.
    assert in_order(ours) == in_order(theirs)


@pytest.mark.parametrize("sts", [False, True], ids=["keys", "sts"])
@pytest.mark.parametrize("key", KEYS)
def test_a_private_bucket_accepts_a_signed_url(oss: EmulatedOss, tmp_path: Path, key: str, sts: bool) -> None:
    bucket = f"private-{secrets.token_hex(6)}"
    oss.create_bucket(bucket)
    oss.client(bucket).put_object(key, b"the bytes")
    url = presign(settings(oss.endpoint, bucket), signer(oss, sts), key, 600, datetime.now(UTC))
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


@pytest.mark.parametrize("sts", [False, True], ids=["keys", "sts"])
@pytest.mark.parametrize("key", KEYS)
def test_a_signed_thumbnail_url_allows_only_its_thumbnail(oss: EmulatedOss, key: str, sts: bool) -> None:
    bucket = f"private-{secrets.token_hex(6)}"
    oss.create_bucket(bucket)
    oss.client(bucket).put_object(key, make_png(1024, 768))
    url = presign(
        settings(oss.endpoint, bucket), signer(oss, sts), key, 600, datetime.now(UTC), {"x-oss-process": RESIZE}
    )
    with httpx.Client(trust_env=False) as client:
        answer = client.get(url)
        assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
        with Image.open(io.BytesIO(answer.content)) as picture:
            assert picture.size == (512, 384)
        for changed in (url.replace("w_512", "w_513"), url.replace("x-oss-process=image%2Fresize%2Cw_512&", "")):
            assert changed != url and client.get(changed).status_code == 403


def configured(environment: pytest.MonkeyPatch, token: str | None = None) -> None:
    """Put the keys of the operator into the function's environment, or with a token the keys of the role."""
    names = ("OSS_ACCESS_KEY", "OSS_SECRET") if token is None else (f"{ROLE}_ID", f"{ROLE}_SECRET")
    environment.setenv(names[0], KEY.access_key_id)
    environment.setenv(names[1], KEY.access_key_secret)
    if token is not None:
        environment.setenv("ALIBABA_CLOUD_SECURITY_TOKEN", token)


def query_of(url: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(url).query))


@pytest.mark.parametrize(
    "base_url", ["https://media.example.com", "https://cdn.example.com/media", "http://127.0.0.1/m"]
)
@pytest.mark.parametrize("key", KEYS)
def test_a_public_url_follows_the_base_url(key: str, base_url: str) -> None:
    output = make_output(oss_path=key, oss_url=f"https://former.example.com/{quote(key)}")
    urls = OutputUrls(settings("https://oss.example.com", "media", base_url, None), FakeClock())
    assert urls.url_of(output) == f"{base_url}/{quote(key)}"
    assert urls.thumbnail_of(output) == f"{base_url}/{quote(key)}?x-oss-process={RESIZE}"
    assert unquote(urlsplit(urls.url_of(output)).path).endswith(f"/{key}")


def test_a_row_with_a_url_from_elsewhere_keeps_it() -> None:
    urls = OutputUrls(settings("https://oss.example.com", "media", ttl_s=None), FakeClock())
    for url in ("https://old.example.com/files/1.png", "https://[broken/", f"https://old.example.com/x{KEYS[0]}"):
        output = make_output(oss_path=KEYS[0], oss_url=url)
        assert (urls.url_of(output), urls.thumbnail_of(output)) == (url, None)


@pytest.mark.parametrize("token", [None, TOKEN], ids=["keys", "sts"])
@pytest.mark.parametrize("ttl_s", [1, 9, 600, 3600, 43_200, 604_800])
def test_a_signed_url_outlives_neither_its_time_nor_its_credentials(
    clean_environment: pytest.MonkeyPatch, token: str | None, ttl_s: int
) -> None:
    configured(clean_environment, token)
    urls = OutputUrls(settings("https://oss.example.com", "media", ttl_s=ttl_s), FakeClock())
    for url in (urls.url_of(make_output()), urls.thumbnail_of(make_output())):
        assert url is not None
        query = query_of(url)
        lifetime_s = int(query["x-oss-expires"])
        assert lifetime_s == (min(ttl_s, 12 * 3600) if token else ttl_s)
        signed_at = datetime.strptime(query["x-oss-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        assert signed_at == signing_time(NOW, lifetime_s)
        assert KEY.access_key_secret not in url


@given(
    now=strategies.datetimes(datetime(2020, 1, 1), datetime(2099, 1, 1), timezones=strategies.just(UTC)),
    ttl_s=strategies.integers(1, 604_800),
)
def test_a_signed_url_stays_the_same_for_a_while_and_valid_for_longer(now: datetime, ttl_s: int) -> None:
    signed_at = signing_time(now, ttl_s)
    age_s = (now - signed_at).total_seconds()
    assert 0 <= age_s < max(1, min(ttl_s / 10, 600))
    assert signed_at.microsecond == 0
    assert signing_time(signed_at, ttl_s) == signed_at


def test_urls_change_with_the_window(clean_environment: pytest.MonkeyPatch) -> None:
    configured(clean_environment)
    clock = FakeClock(datetime(2024, 2, 29, 23, 54, tzinfo=UTC))
    urls = OutputUrls(settings("https://oss.example.com", "media", ttl_s=3600), clock)
    first = urls.url_of(make_output())
    clock.advance(359)
    assert urls.url_of(make_output()) == first
    clock.advance(1)
    assert urls.url_of(make_output()) != first


@pytest.mark.parametrize(
    ("meta", "size", "process"),
    [
        ({"format": "png"}, 1, RESIZE),
        ({"format": "jpeg"}, 20 << 20, RESIZE),
        ({"format": "jpeg"}, (20 << 20) + 1, None),
        ({"format": "gif"}, 1, RESIZE),
        ({"format": "webp"}, 1, RESIZE),
        ({"format": "avif"}, 1, RESIZE),
        ({"format": "heic"}, 1, None),
        ({"format": "mp4", "codec": "h264", "width": 1280}, 1 << 30, SNAPSHOT),
        ({"format": "mov", "codec": "hevc", "width": None}, 1, SNAPSHOT),
        ({"format": "mp4", "codec": "h264", "width": 320}, 1, "video/snapshot,t_0,f_jpg,w_320"),
        ({"format": "mp4", "codec": "av1", "width": 1280}, 1, None),
        ({"format": "webm", "codec": "vp9", "width": 1280}, 1, None),
        ({"format": None}, 1, None),
        ({}, 1, None),
    ],
    ids=str,
)
def test_outputs_that_oss_can_process_have_a_thumbnail(meta: dict[str, Any], size: int, process: str | None) -> None:
    url = OutputUrls(settings("https://oss.example.com", "media", ttl_s=None), FakeClock()).thumbnail_of(
        make_output(meta=meta, size=size)
    )
    assert (url and url.partition("?x-oss-process=")[2]) == process


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
