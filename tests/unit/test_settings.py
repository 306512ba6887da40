"""Configuration: an error is one line that names the variable, and never shows a secret."""

import json
from collections.abc import Callable
from functools import partial

import pytest

from shared import settings
from shared.domain.errors import ConfigurationError
from shared.domain.media_type import MediaType
from shared.domain.web_addresses import WebPolicy

SECRET = "a-secret-that-must-never-be-shown"
WEBHOOK_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
JWKS = json.dumps({"keys": [{"kty": "RSA"}]})
GOOD = {
    "OSS_BUCKET": "media",
    "OSS_REGION": "oss-cn-hangzhou",
    "OSS_ACCESS_KEY": "LTAI",
    "OSS_SECRET": SECRET,
    "DATABASE_URL": f"mysql+pymysql://user:{SECRET}@db:3306/media",
    "DASHSCOPE_API_KEY": SECRET,
    "OPENAI_API_KEY": SECRET,
    "AUTH_HS256_SECRET": SECRET,
    "DISPATCH_ENDPOINT": "https://fc.example.com",
    "WEBHOOK_SECRET": WEBHOOK_SECRET,
}
READERS: dict[str, Callable[[], object]] = {
    "oss": settings.OssSettings.read,
    "credentials": settings.oss_credentials,
    "role": settings.role_credentials,
    "database": settings.DatabaseSettings.read,
    "dashscope": partial(settings.ProviderSettings.read, "dashscope", "https://dashscope.example.com"),
    "openai": partial(settings.ProviderSettings.read, "openai", "https://openai.example.com"),
    "web": settings.read_web_policy,
    "downloads": settings.DownloadSettings.read,
    "media limits": settings.read_media_limits,
    "webhooks": settings.WebhookSettings.read,
    "auth": settings.AuthSettings.read,
    "dispatch": settings.DispatchSettings.read,
    "quotas": settings.QuotaSettings.read,
    "runtime": settings.RuntimeSettings.read,
}


@pytest.fixture(autouse=True)
def environment(clean_environment: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name, value in GOOD.items():
        clean_environment.setenv(name, value)
    return clean_environment


@pytest.mark.parametrize(
    ("reader", "name"),
    [
        ("oss", "OSS_BUCKET"),
        ("oss", "OSS_REGION"),
        ("credentials", "OSS_ACCESS_KEY"),
        ("credentials", "OSS_SECRET"),
        ("role", "ALIBABA_CLOUD_ACCESS_KEY_ID"),
        ("database", "DATABASE_URL"),
        ("dashscope", "DASHSCOPE_API_KEY"),
        ("openai", "OPENAI_API_KEY"),
        ("auth", "AUTH_HS256_SECRET"),
        ("webhooks", "WEBHOOK_SECRET"),
        ("dispatch", "DISPATCH_ENDPOINT"),
    ],
)
@pytest.mark.parametrize("how", ["missing", "empty", "blank"])
def test_a_missing_variable_is_named(environment: pytest.MonkeyPatch, reader: str, name: str, how: str) -> None:
    if how == "missing":
        environment.delenv(name, raising=False)
    else:
        environment.setenv(name, {"empty": "", "blank": " \t"}[how])
    with pytest.raises(ConfigurationError) as caught:
        READERS[reader]()
    message = str(caught.value)
    assert name in message
    assert "\n" not in message
    assert SECRET not in message


@pytest.mark.parametrize(
    ("reader", "name", "value"),
    [
        ("oss", "OSS_ENDPOINT", "oss-cn-hangzhou.aliyuncs.com"),
        ("oss", "OSS_ENDPOINT", "http://[::1"),
        ("oss", "OSS_ENDPOINT", "http://host:port"),
        ("oss", "OSS_BASE_URL", "ftp://cdn.example.com"),
        ("oss", "OSS_URL_TTL_S", "0"),
        ("oss", "OSS_URL_TTL_S", "604801"),
        ("oss", "OSS_URL_TTL_S", "an hour"),
        ("database", "DATABASE_URL", "postgresql://user@db/media"),
        ("database", "DATABASE_URL", "sqlite:///"),
        ("database", "DATABASE_URL", "mysql+pymysql://user@db:3306"),
        ("database", "DATABASE_URL", "mysql+pymysql://user@/media"),
        ("database", "DATABASE_URL", f"mysql+pymysql://user:{SECRET}/x@db/media"),
        ("dashscope", "DASHSCOPE_BASE_URL", "dashscope"),
        ("dashscope", "POLL_INTERVAL_S", "0"),
        ("dashscope", "POLL_INTERVAL_S", "nan"),
        ("dashscope", "POLL_INTERVAL_S", "inf"),
        ("openai", "OPENAI_BASE_URL", "//api"),
        ("web", "DOWNLOAD_ALLOW_HTTP", "maybe"),
        ("web", "DOWNLOAD_ALLOW_NETWORKS", "10.0.0.0/33"),
        ("web", "DOWNLOAD_ALLOW_NETWORKS", "localhost"),
        ("downloads", "DOWNLOAD_TIMEOUT_S", "-1"),
        ("media limits", "MAX_IMAGE_BYTES", "64M"),
        ("media limits", "MAX_VIDEO_BYTES", "0"),
        ("media limits", "MAX_PIXELS", "many"),
        ("auth", "AUTH_HS256_SECRET", "short"),
        ("auth", "AUTH_JWKS", "{}"),
        ("auth", "AUTH_SERVICE_SCOPE", "two scopes"),
        ("auth", "AUTH_SERVICE_SCOPE", 'a"quote'),
        ("webhooks", "WEBHOOK_SECRET", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
        ("webhooks", "WEBHOOK_SECRET", "whsec_short"),
        ("webhooks", "WEBHOOK_SECRET", "whsec_"),
        ("webhooks", "WEBHOOK_SECRET", f"{WEBHOOK_SECRET} whsec_no-base64-at-all-but-long-enough-for-one"),
        ("webhooks", "WEBHOOK_SECRET", "whsec_" + "A" * 88),
        ("dispatch", "DISPATCH_ENDPOINT", "fc.example.com"),
        ("quotas", "QUOTA_CONCURRENT_JOBS", "0"),
        ("quotas", "QUOTA_CONCURRENT_JOBS", "many"),
        ("quotas", "QUOTA_JOBS_PER_DAY", "-1"),
        ("quotas", "QUOTA_JOBS_PER_DAY", "1.5"),
        ("quotas", "QUOTA_STORED_BYTES", "100G"),
        ("quotas", "QUOTA_STORED_BYTES", str(10**15)),
        ("runtime", "LOG_LEVEL", "LOUD"),
    ],
)
def test_a_wrong_variable_is_named(environment: pytest.MonkeyPatch, reader: str, name: str, value: str) -> None:
    environment.setenv(name, value)
    with pytest.raises(ConfigurationError, match=name) as caught:
        READERS[reader]()
    assert "\n" not in str(caught.value)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("value", ["", "null", "[]", '{"keys": []}', '{"keys": {}}', "no json"])
def test_an_invalid_key_set_is_refused(environment: pytest.MonkeyPatch, value: str) -> None:
    environment.delenv("AUTH_HS256_SECRET")
    environment.setenv("AUTH_JWKS", value)
    with pytest.raises(ConfigurationError, match="AUTH_JWKS"):
        settings.AuthSettings.read()


@pytest.fixture
def by_url(environment: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    environment.delenv("AUTH_HS256_SECRET")
    return environment


@pytest.mark.parametrize(
    "url",
    [
        *("https://issuer.example.com/keys/", "http://127.0.0.1:8080/keys", "http://[::1]/keys"),
        "http://localhost/.well-known/jwks.json",
    ],
)
def test_keys_are_fetched_over_https_or_from_loopback(by_url: pytest.MonkeyPatch, url: str) -> None:
    by_url.setenv("AUTH_JWKS_URL", url)
    assert settings.AuthSettings.read().jwks_url == url


@pytest.mark.parametrize(
    "url",
    [
        *("http://issuer.example.com/keys", "http://10.0.0.1/keys", "http://localhost.example.com/keys"),
        *("http://127.0.0.1.example.com/keys", "file:///etc/passwd", "issuer.example.com/keys"),
    ],
)
def test_other_addresses_of_keys_are_refused(by_url: pytest.MonkeyPatch, url: str) -> None:
    by_url.setenv("AUTH_JWKS_URL", url)
    with pytest.raises(ConfigurationError, match="AUTH_JWKS_URL must"):
        settings.AuthSettings.read()


def test_the_service_scope_can_be_changed(environment: pytest.MonkeyPatch) -> None:
    assert settings.AuthSettings.read().service_scope == "act-for-user"
    environment.setenv("AUTH_SERVICE_SCOPE", "media:impersonate")
    assert settings.AuthSettings.read().service_scope == "media:impersonate"


def test_two_kinds_of_keys_are_refused(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("AUTH_JWKS", JWKS)
    with pytest.raises(ConfigurationError, match="now AUTH_JWKS and AUTH_HS256_SECRET are set"):
        settings.AuthSettings.read()


@pytest.mark.parametrize("reader", READERS)
def test_no_repr_shows_a_secret(environment: pytest.MonkeyPatch, reader: str) -> None:
    environment.setenv("ALIBABA_CLOUD_ACCESS_KEY_ID", "STS.id")
    environment.setenv("ALIBABA_CLOUD_ACCESS_KEY_SECRET", SECRET)
    environment.setenv("ALIBABA_CLOUD_SECURITY_TOKEN", SECRET)
    value = READERS[reader]()
    assert SECRET not in repr(value)
    assert SECRET not in str(value)


def test_the_bucket_has_defaults_from_its_region(environment: pytest.MonkeyPatch) -> None:
    read = settings.OssSettings.read()
    assert read == settings.OssSettings(
        bucket="media",
        region="cn-hangzhou",
        endpoint="https://oss-cn-hangzhou.aliyuncs.com",
        base_url="https://media.oss-cn-hangzhou.aliyuncs.com",
        url_ttl_s=None,
    )
    environment.setenv("OSS_REGION", "cn-hangzhou")
    assert settings.OssSettings.read() == read


@pytest.mark.parametrize(
    ("endpoint", "base", "expected"),
    [
        ("http://127.0.0.1:9001", None, "http://127.0.0.1:9001/media"),
        ("http://127.0.0.1:9001/", None, "http://127.0.0.1:9001/media"),
        ("http://[::1]:9001", None, "http://[::1]:9001/media"),
        ("https://oss.example.com", None, "https://media.oss.example.com"),
        ("http://127.0.0.1:9001", "https://cdn.example.com/", "https://cdn.example.com"),
    ],
)
def test_the_base_url_follows_the_endpoint(
    environment: pytest.MonkeyPatch, endpoint: str, base: str | None, expected: str
) -> None:
    environment.setenv("OSS_ENDPOINT", endpoint)
    if base:
        environment.setenv("OSS_BASE_URL", base)
    assert settings.OssSettings.read().base_url == expected


def test_both_spellings_of_the_key_variables_are_read(environment: pytest.MonkeyPatch) -> None:
    for id_name, secret_name in (("OSS_ACCESS_KEY_ID", "OSS_ACCESS_KEY_SECRET"), ("OSS_ACCESS_KEY", "OSS_SECRET")):
        for name in ("OSS_ACCESS_KEY", "OSS_SECRET", "OSS_ACCESS_KEY_ID", "OSS_ACCESS_KEY_SECRET"):
            environment.delenv(name, raising=False)
        environment.setenv(id_name, "id")
        environment.setenv(secret_name, "secret")
        credentials = settings.oss_credentials()
        assert (credentials.access_key_id, credentials.access_key_secret.get_secret_value()) == ("id", "secret")
        assert credentials.security_token is None


def test_without_keys_the_current_credentials_of_the_role_sign(environment: pytest.MonkeyPatch) -> None:
    environment.delenv("OSS_ACCESS_KEY")
    environment.setenv("ALIBABA_CLOUD_ACCESS_KEY_ID", "STS.first")
    environment.setenv("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "s")
    environment.setenv("ALIBABA_CLOUD_SECURITY_TOKEN", "token")
    first = settings.oss_credentials()
    assert first.security_token is not None
    assert (first.access_key_id, first.security_token.get_secret_value()) == ("STS.first", "token")
    environment.setenv("ALIBABA_CLOUD_ACCESS_KEY_ID", "STS.second")
    assert settings.oss_credentials().access_key_id == "STS.second"


def test_by_default_downloads_are_strict() -> None:
    assert settings.read_web_policy() == WebPolicy(allow_http=False, allow_networks=())
    read = settings.read_media_limits()
    assert read.max_bytes == {MediaType.IMAGE: 64 * settings.MIB, MediaType.VIDEO: 2048 * settings.MIB}


def test_the_policy_of_downloads_can_be_opened(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("DOWNLOAD_ALLOW_HTTP", "True")
    environment.setenv("DOWNLOAD_ALLOW_NETWORKS", "127.0.0.0/8, fd00::/8")
    read = settings.read_web_policy()
    assert read.allow_http
    assert [str(network) for network in read.allow_networks] == ["127.0.0.0/8", "fd00::/8"]


def test_several_secrets_sign_webhooks(environment: pytest.MonkeyPatch) -> None:
    other = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
    environment.setenv("WEBHOOK_SECRET", f" {WEBHOOK_SECRET}  {other}\n")
    read = settings.WebhookSettings.read()
    assert [secret.get_secret_value() for secret in read.secrets] == [WEBHOOK_SECRET, other]
    assert WEBHOOK_SECRET not in repr(read)


@pytest.mark.parametrize(("value", "enabled"), [("true", True), ("false", False), ("", False), (None, False)])
def test_webhooks_are_enabled_by_a_flag(environment: pytest.MonkeyPatch, value: str | None, enabled: bool) -> None:
    if value is not None:
        environment.setenv("WEBHOOKS_ENABLED", value)
    assert settings.webhooks_are_enabled() is enabled
    environment.setenv("WEBHOOKS_ENABLED", WEBHOOK_SECRET)
    with pytest.raises(ConfigurationError, match="WEBHOOKS_ENABLED must be true or false"):
        settings.webhooks_are_enabled()


def test_the_endpoint_is_derived_from_account_and_region(environment: pytest.MonkeyPatch) -> None:
    environment.delenv("DISPATCH_ENDPOINT")
    environment.setenv("FC_ACCOUNT_ID", "123")
    environment.setenv("FC_REGION", "cn-hangzhou")
    assert settings.DispatchSettings.read().endpoint == "https://123.cn-hangzhou-internal.fc.aliyuncs.com"


def test_the_instance_has_defaults(environment: pytest.MonkeyPatch) -> None:
    assert settings.RuntimeSettings.read() == settings.RuntimeSettings(
        temp_dir="/tmp/dream-factory",  # noqa: S108 - the folder of the requirement
        log_level="INFO",
        patience_s=60.0,
        cors_origins=(),
        function_name="",
        version="LATEST",
    )
    environment.setenv("CORS_ORIGINS", "https://a.example.com, https://b.example.com,")
    environment.setenv("LOG_LEVEL", "debug")
    read = settings.RuntimeSettings.read()
    assert (read.log_level, read.cors_origins) == ("DEBUG", ("https://a.example.com", "https://b.example.com"))


def test_each_quota_is_set_alone(environment: pytest.MonkeyPatch) -> None:
    assert settings.QuotaSettings.read() == settings.QuotaSettings(200, 5000, 100 * 1024**3)
    environment.setenv("QUOTA_JOBS_PER_DAY", str(10**15 - 1))
    environment.setenv("QUOTA_STORED_BYTES", "1")
    assert settings.QuotaSettings.read() == settings.QuotaSettings(200, 10**15 - 1, 1)


@pytest.mark.parametrize(
    "origins",
    ["https://a.example.com:8443", "http://127.0.0.1:9000", "http://[::1]:3000", "capacitor://localhost", "http://a_b"],
)
def test_an_origin_in_the_form_of_browsers_is_accepted(environment: pytest.MonkeyPatch, origins: str) -> None:
    environment.setenv("CORS_ORIGINS", origins)
    assert settings.RuntimeSettings.read().cors_origins == (origins,)


@pytest.mark.parametrize(
    "origin",
    [
        "*",
        "null",
        "a.example.com",
        "//a.example.com",
        "https://a.example.com/",
        "https://a.example.com/app",
        "https://*.example.com",
        "https://A.example.com",
        "https://a.example.com:443",
        "http://a.example.com:80",
        "https://user@a.example.com",
        "https://a.example.com?x",
        "https://湖.example.com",
        "https://",
    ],
)
def test_an_invalid_origin_is_refused_and_the_variable_named(environment: pytest.MonkeyPatch, origin: str) -> None:
    environment.setenv("CORS_ORIGINS", f"https://good.example.com,{origin}")
    with pytest.raises(ConfigurationError, match="CORS_ORIGINS must be origins like"):
        settings.RuntimeSettings.read()


def test_provider_has_its_own_variables_and_a_default_address(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("NEWAI_API_KEY", SECRET)
    read = settings.ProviderSettings.read("newai", "https://newai.example.com/v1")
    assert (read.base_url, read.api_key.get_secret_value()) == ("https://newai.example.com/v1", SECRET)
    environment.setenv("NEWAI_BASE_URL", "https://eu.newai.example.com/")
    read = settings.ProviderSettings.read("newai", "https://newai.example.com/v1")
    assert read.base_url == "https://eu.newai.example.com"
