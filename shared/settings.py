"""The only reader of ``os.environ``: one frozen class per outside system, read when its adapter is built.

A missing or wrong value is one clear line that names the variable. An empty value counts as missing.
"""

import base64
import ipaddress
import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlsplit

from pydantic import SecretStr

from shared.domain.errors import ConfigurationError
from shared.domain.keys import MediaType
from shared.domain.media import MediaLimits
from shared.domain.web_addresses import WebPolicy

T = TypeVar("T")
MIB = 1024 * 1024


def _get(*names: str) -> str | None:
    for name in names:
        if value := os.environ.get(name, "").strip():
            return value
    return None


def _require(*names: str) -> str:
    value = _get(*names)
    if value is None:
        raise ConfigurationError(f"{' or '.join(names)} is not set")
    return value


def _parse(name: str, parse: Callable[[str], T], default: T, expected: str) -> T:
    value = _get(name)
    if value is None:
        return default
    try:
        return parse(value)
    except (ValueError, KeyError):
        raise ConfigurationError(f"{name} must be {expected}, got {value!r}") from None


def _positive(text: str) -> int:
    number = int(text)
    if number <= 0:
        raise ValueError
    return number


def _seconds(text: str) -> float:
    number = float(text)
    if not 0 < number < 1e9:
        raise ValueError
    return number


def _url(name: str, value: str) -> str:
    try:
        parts = urlsplit(value)
        good = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good:
        raise ConfigurationError(f"{name} must be a URL like https://host, got {value!r}")
    return value.rstrip("/")


_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}


def _boolean(text: str) -> bool:
    return _BOOLEANS[text.lower()]


@dataclass(frozen=True)
class OssCredentials:
    """Who signs. ``security_token`` belongs to the temporary credentials of a function's role."""

    access_key_id: str
    access_key_secret: SecretStr
    security_token: SecretStr | None


def oss_credentials() -> OssCredentials:
    """Return the configured OSS keys, else those of the function's role; read anew at every call.

    Function Compute renews the role's credentials in the environment; they live 36 hours.
    """
    if key_id := _get("OSS_ACCESS_KEY", "OSS_ACCESS_KEY_ID"):
        return OssCredentials(key_id, SecretStr(_require("OSS_SECRET", "OSS_ACCESS_KEY_SECRET")), None)
    return role_credentials()


def role_credentials() -> OssCredentials:
    """Return the credentials of the function's role."""
    key_id = _get("ALIBABA_CLOUD_ACCESS_KEY_ID")
    if key_id is None:
        raise ConfigurationError("OSS_ACCESS_KEY is not set, and the function has no role to use instead")
    token = _get("ALIBABA_CLOUD_SECURITY_TOKEN")
    return OssCredentials(
        key_id, SecretStr(_require("ALIBABA_CLOUD_ACCESS_KEY_SECRET")), SecretStr(token) if token else None
    )


@dataclass(frozen=True)
class OssSettings:
    """The bucket. ``region`` is like ``cn-hangzhou``; ``url_ttl_s`` None means public URLs."""

    bucket: str
    region: str
    endpoint: str
    base_url: str
    url_ttl_s: int | None

    @classmethod
    def read(cls) -> "OssSettings":
        """Read OSS_BUCKET, OSS_REGION, OSS_ENDPOINT, OSS_BASE_URL and OSS_URL_TTL_S."""
        bucket = _require("OSS_BUCKET")
        region = _require("OSS_REGION").removeprefix("oss-")
        override = _get("OSS_ENDPOINT")
        endpoint = _url("OSS_ENDPOINT", override) if override else f"https://oss-{region}.aliyuncs.com"
        base = _get("OSS_BASE_URL")
        return cls(
            bucket=bucket,
            region=region,
            endpoint=endpoint,
            base_url=_url("OSS_BASE_URL", base) if base else bucket_url(endpoint, bucket),
            url_ttl_s=_parse("OSS_URL_TTL_S", _ttl, None, "1 to 604800 seconds"),
        )


def _ttl(text: str) -> int | None:
    seconds = int(text)
    if not 1 <= seconds <= 604_800:  # a week is the longest that OSS's V4 signature allows
        raise ValueError
    return seconds


def bucket_url(endpoint: str, bucket: str) -> str:
    """Return the bucket's own URL: a host of its own, or a path where the endpoint is an IP address."""
    parts = urlsplit(endpoint)
    try:
        ipaddress.ip_address(parts.hostname or "")
    except ValueError:
        return endpoint if parts.hostname == "localhost" else f"{parts.scheme}://{bucket}.{parts.netloc}"
    return f"{endpoint}/{bucket}"


class SslMode(StrEnum):
    """How the connection to MySQL is protected, in MySQL's own words.

    PREFERRED is left out: whoever is on the way can turn it into DISABLED.
    """

    DISABLED = "DISABLED"  # plain text
    REQUIRED = "REQUIRED"  # encrypted, with whoever answers
    VERIFY_CA = "VERIFY_CA"  # encrypted, with a server that the CA knows
    VERIFY_IDENTITY = "VERIFY_IDENTITY"  # encrypted, with the server that the CA knows by the host's name


@dataclass(frozen=True)
class DatabaseTls:
    """How MySQL's server is verified; ``ca_file`` None means the CAs of the system."""

    mode: SslMode
    ca_file: Path | None


@dataclass(frozen=True)
class DatabaseSettings:
    """``url`` is ``mysql+pymysql://user:password@host:3306/name?ssl_mode=…&ssl_ca=…`` or ``sqlite:///path``."""

    url: SecretStr

    @classmethod
    def read(cls) -> "DatabaseSettings":
        """Read DATABASE_URL."""
        url = _require("DATABASE_URL")
        if not url.startswith(("mysql+pymysql://", "sqlite:///")):
            scheme = url.split(":", 1)[0]
            raise ConfigurationError(f"DATABASE_URL must begin with mysql+pymysql:// or sqlite:///, got {scheme}:…")
        if not _names_a_database(url):
            # The URL is not shown: there is a password in it.
            raise ConfigurationError(
                "DATABASE_URL must name a host and a database, or a file; "
                "special characters of the password are percent-encoded"
            )
        return cls(SecretStr(url))

    def tls(self) -> DatabaseTls | None:
        """Return how the server is verified, or None for plain text: to a loopback host, or because it is asked for.

        Raises ConfigurationError: the options of the URL are not valid.
        """
        parts = urlsplit(self.url.get_secret_value())
        if parts.scheme == "sqlite":
            _read_options(parts.query, ())
            return None
        options = _read_options(parts.query, ("ssl_mode", "ssl_ca"))
        default = SslMode.DISABLED if _is_loopback(parts.hostname or "") else SslMode.VERIFY_IDENTITY
        mode = _ssl_mode(options["ssl_mode"]) if "ssl_mode" in options else default
        ca_file = _ssl_ca(options["ssl_ca"], mode) if "ssl_ca" in options else None
        return None if mode is SslMode.DISABLED else DatabaseTls(mode, ca_file)


def _read_options(query: str, known: tuple[str, ...]) -> dict[str, str]:
    given = parse_qsl(query, keep_blank_values=True)
    options = dict(given)
    if unknown := sorted(options.keys() - set(known)):
        raise ConfigurationError(
            f"DATABASE_URL may have {' and '.join(known) or 'no options'} behind its ?, got {', '.join(unknown)}"
        )
    if len(options) < len(given):
        raise ConfigurationError("DATABASE_URL must have each of its options once")
    return options


def _ssl_mode(text: str) -> SslMode:
    try:
        return SslMode(text.upper())
    except ValueError:
        raise ConfigurationError(f"ssl_mode of DATABASE_URL must be {', '.join(SslMode)}, got {text!r}") from None


def _ssl_ca(text: str, mode: SslMode) -> Path:
    if mode not in {SslMode.VERIFY_CA, SslMode.VERIFY_IDENTITY}:
        raise ConfigurationError(
            f"ssl_ca of DATABASE_URL verifies nothing with ssl_mode={mode}; use VERIFY_IDENTITY or VERIFY_CA"
        )
    # The folder that holds shared/: /code in a function, the checkout elsewhere.
    file = Path(__file__).parents[1] / text
    if not file.is_file():
        raise ConfigurationError(f"ssl_ca of DATABASE_URL must name a file, {file} is not one")
    return file


def _names_a_database(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return len(parts.path) > 1 and (parts.scheme == "sqlite" or (bool(parts.hostname) and parts.port != 0))
    except ValueError:
        return False


@dataclass(frozen=True)
class ProviderSettings:
    """One provider's address, key and polling interval."""

    base_url: str
    api_key: SecretStr
    poll_interval_s: float

    @classmethod
    def read_dashscope(cls) -> "ProviderSettings":
        """Read DASHSCOPE_API_KEY and DASHSCOPE_BASE_URL."""
        return cls._read("DASHSCOPE", "https://dashscope.aliyuncs.com/api/v1")

    @classmethod
    def read_openai(cls) -> "ProviderSettings":
        """Read OPENAI_API_KEY and OPENAI_BASE_URL."""
        return cls._read("OPENAI", "https://api.openai.com/v1")

    @classmethod
    def _read(cls, name: str, base_url: str) -> "ProviderSettings":
        return cls(
            base_url=_url(f"{name}_BASE_URL", _get(f"{name}_BASE_URL") or base_url),
            api_key=SecretStr(_require(f"{name}_API_KEY")),
            poll_interval_s=_parse("POLL_INTERVAL_S", _seconds, 5.0, "a number of seconds above 0"),
        )


def read_web_policy() -> WebPolicy:
    """Read DOWNLOAD_ALLOW_HTTP and DOWNLOAD_ALLOW_NETWORKS: whom image inputs, results and webhooks may name."""
    return WebPolicy(
        allow_http=_parse("DOWNLOAD_ALLOW_HTTP", _boolean, False, "true or false"),
        allow_networks=_parse(
            "DOWNLOAD_ALLOW_NETWORKS",
            lambda t: tuple(ipaddress.ip_network(part.strip()) for part in t.split(",")),
            (),
            "networks like 10.0.0.0/8, separated by commas",
        ),
    )


@dataclass(frozen=True)
class DownloadSettings:
    """How long the download of a result may take."""

    timeout_s: float

    @classmethod
    def read(cls) -> "DownloadSettings":
        """Read DOWNLOAD_TIMEOUT_S."""
        return cls(timeout_s=_parse("DOWNLOAD_TIMEOUT_S", _seconds, 300.0, "a number of seconds above 0"))


def read_media_limits() -> MediaLimits:
    """Read MAX_IMAGE_BYTES, MAX_VIDEO_BYTES and MAX_PIXELS."""
    return MediaLimits(
        max_bytes={
            MediaType.IMAGE: _parse("MAX_IMAGE_BYTES", _positive, 64 * MIB, "a number of bytes above 0"),
            MediaType.VIDEO: _parse("MAX_VIDEO_BYTES", _positive, 2048 * MIB, "a number of bytes above 0"),
        },
        max_pixels=_parse("MAX_PIXELS", _positive, 100_000_000, "a number of pixels above 0"),
    )


@dataclass(frozen=True)
class AuthSettings:
    """How tokens are verified: exactly one of the three kinds of key is set.

    ``service_scope`` is the scope of the tokens that act for users.
    """

    jwks_url: str | None
    jwks: dict[str, Any] | None
    hs256_secret: SecretStr | None
    issuer: str | None
    audience: str | None
    user_claim: str
    service_scope: str

    @classmethod
    def read(cls) -> "AuthSettings":
        """Read the AUTH_… variables. There is no anonymous mode: without a key this is an error."""
        sources = {name: _get(name) for name in ("AUTH_JWKS_URL", "AUTH_JWKS", "AUTH_HS256_SECRET")}
        given = [name for name, value in sources.items() if value]
        if len(given) != 1:
            what = "none is set" if not given else f"{' and '.join(given)} are set"
            raise ConfigurationError(f"exactly one of {', '.join(sources)} must be set, {what}")
        secret = sources["AUTH_HS256_SECRET"]
        if secret and len(secret.encode()) < 32:  # RFC 7518 § 3.2
            raise ConfigurationError(f"AUTH_HS256_SECRET must have at least 32 bytes, it has {len(secret.encode())}")
        url = sources["AUTH_JWKS_URL"]
        return cls(
            jwks_url=_keys_url("AUTH_JWKS_URL", url) if url else None,
            jwks=_parse("AUTH_JWKS", _jwks, None, 'a JSON Web Key Set like {"keys": [...]}'),
            hs256_secret=SecretStr(secret) if secret else None,
            issuer=_get("AUTH_ISSUER"),
            audience=_get("AUTH_AUDIENCE"),
            user_claim=_get("AUTH_USER_CLAIM") or "sub",
            service_scope=_parse("AUTH_SERVICE_SCOPE", _scope, "act-for-user", "one scope, like act-for-user"),
        )


def _keys_url(name: str, value: str) -> str:
    """Return ``value`` if nobody on the way can change what is fetched there."""
    parts = urlsplit(_url(name, value))
    if parts.scheme != "https" and not _is_loopback(parts.hostname or ""):
        raise ConfigurationError(f"{name} must begin with https; http is for loopback hosts alone")
    return value


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _scope(text: str) -> str:
    if not re.fullmatch(r"[\x21\x23-\x5b\x5d-\x7e]+", text):  # RFC 6749, section 3.3
        raise ValueError
    return text


def _jwks(text: str) -> dict[str, Any] | None:
    keys = json.loads(text)
    if not isinstance(keys, dict) or not isinstance(keys.get("keys"), list) or not keys["keys"]:
        raise ValueError
    return keys


@dataclass(frozen=True)
class WebhookSettings:
    """What webhooks are signed with: every secret signs, so that receivers can change from one to the next."""

    secrets: tuple[SecretStr, ...]

    @classmethod
    def read(cls) -> "WebhookSettings":
        """Read WEBHOOK_SECRET: one or more secrets like ``whsec_…``, separated by spaces.

        Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
        """
        secrets = _require("WEBHOOK_SECRET").split()
        if not all(map(_is_webhook_secret, secrets)):
            # They are not shown: one of them may be nearly right.
            raise ConfigurationError(
                "WEBHOOK_SECRET must be whsec_ and base64 of 24 to 64 bytes; spaces between several"
            )
        return cls(tuple(map(SecretStr, secrets)))


def webhooks_are_enabled() -> bool:
    """Read WEBHOOKS_ENABLED: whether deliver-webhooks has a secret to sign with, which is not shown to others."""
    return _parse("WEBHOOKS_ENABLED", _boolean, False, "true or false")


def _is_webhook_secret(text: str) -> bool:
    try:
        key = base64.b64decode(text.removeprefix("whsec_"), validate=True)
    except ValueError:
        return False
    return text.startswith("whsec_") and 24 <= len(key) <= 64


@dataclass(frozen=True)
class DispatchSettings:
    """Function Compute's API, as the functions reach it."""

    endpoint: str

    @classmethod
    def read(cls) -> "DispatchSettings":
        """Read DISPATCH_ENDPOINT, else make the endpoint of the account and region that FC states."""
        if endpoint := _get("DISPATCH_ENDPOINT"):
            return cls(_url("DISPATCH_ENDPOINT", endpoint))
        account, region = _get("FC_ACCOUNT_ID"), _get("FC_REGION")
        if account is None or region is None:
            raise ConfigurationError("DISPATCH_ENDPOINT is not set, and FC_ACCOUNT_ID and FC_REGION are not either")
        return cls(f"https://{account}.{region}-internal.fc.aliyuncs.com")


@dataclass(frozen=True)
class QuotaSettings:
    """What each user may take up: unfinished jobs, jobs begun in a day of UTC, bytes of outputs."""

    concurrent_jobs: int
    jobs_per_day: int
    stored_bytes: int

    @classmethod
    def read(cls) -> "QuotaSettings":
        """Read QUOTA_CONCURRENT_JOBS, QUOTA_JOBS_PER_DAY and QUOTA_STORED_BYTES."""
        return cls(
            concurrent_jobs=_parse("QUOTA_CONCURRENT_JOBS", _quota, 200, _A_QUOTA),
            jobs_per_day=_parse("QUOTA_JOBS_PER_DAY", _quota, 5000, _A_QUOTA),
            stored_bytes=_parse("QUOTA_STORED_BYTES", _quota, 100 * 1024 * MIB, _A_QUOTA),
        )


# An integer of a structured header field has 15 digits at most (RFC 9651).
_MAX_QUOTA = 10**15 - 1
_A_QUOTA = f"a whole number from 1 to {_MAX_QUOTA}"


def _quota(text: str) -> int:
    number = _positive(text)  # 0 might be meant as none or as no limit
    if number > _MAX_QUOTA:
        raise ValueError
    return number


@dataclass(frozen=True)
class RuntimeSettings:
    """The function instance itself."""

    temp_dir: str
    log_level: str
    patience_s: float
    cors_origins: tuple[str, ...]
    function_name: str
    version: str

    @classmethod
    def read(cls) -> "RuntimeSettings":
        """Read TEMP_DIR, LOG_LEVEL, PATIENCE_S, CORS_ORIGINS and what Function Compute says of the function."""
        return cls(
            temp_dir=_get("TEMP_DIR") or "/tmp/dream-factory",  # noqa: S108 - Function Compute's only writable folder
            log_level=_parse("LOG_LEVEL", _level, "INFO", "DEBUG, INFO, WARNING or ERROR"),
            patience_s=_parse("PATIENCE_S", _seconds, 60.0, "a number of seconds above 0"),
            cors_origins=_parse(
                "CORS_ORIGINS", _origins, (), "origins like https://app.example.com, separated by commas"
            ),
            function_name=_get("FC_FUNCTION_NAME") or "",
            version=_get("FC_VER_ID", "FC_FUNCTION_VERSION") or "LATEST",
        )


_ORIGIN = re.compile(r"([a-z][a-z0-9+.-]*)://([a-z0-9._-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?")
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


def _origins(text: str) -> tuple[str, ...]:
    origins = tuple(part.strip() for part in text.split(",") if part.strip())
    for origin in origins:
        # As browsers write it (RFC 6454 § 6.2): in lower case, without a default port. Whatever else would never match.
        match = _ORIGIN.fullmatch(origin)
        if match is None or match[3] == _DEFAULT_PORTS.get(match[1], ""):
            raise ValueError
    return origins


def _level(text: str) -> str:
    if text.upper() not in {"DEBUG", "INFO", "WARNING", "ERROR"}:
        raise ValueError
    return text.upper()
