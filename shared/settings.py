"""The only reader of ``os.environ``: one frozen class per outside system, read when its adapter is built.

A missing or wrong value raises ConfigurationError with one line that names the variable, the value (unless it may be
secret) and a correct value. An empty value counts as missing.
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
from shared.domain.media import MediaLimits
from shared.domain.media_type import MediaType
from shared.domain.web_addresses import IpNetwork, WebPolicy

T = TypeVar("T")
MIB = 1024 * 1024


def _get(*names: str) -> str | None:
    for name in names:
        if value := os.environ.get(name, "").strip():
            return value
    return None


def _require(*names: str, expected: str) -> str:
    value = _get(*names)
    if value is None:
        raise ConfigurationError(f"{' or '.join(names)} is not set; it must be {expected}")
    return value


def _parse(name: str, parse: Callable[[str], T], default: T, expected: str) -> T:
    value = _get(name)
    if value is None:
        return default
    try:
        return parse(value)
    except (ValueError, KeyError):
        raise ConfigurationError(f"{name} must be {expected}, got {value!r}") from None


def _read_seconds(name: str, default: float) -> float:
    return _parse(name, _seconds, default, "a number of seconds above 0")


def _seconds(text: str) -> float:
    number = float(text)
    if not 0 < number < 1e9:
        raise ValueError
    return number


def _read_number(name: str, default: int, unit: str) -> int:
    return _parse(name, _positive, default, f"a whole number of {unit} above 0")


def _positive(text: str) -> int:
    number = int(text)
    if number <= 0:
        raise ValueError
    return number


_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}


def _read_flag(name: str) -> bool:
    return _parse(name, lambda text: _BOOLEANS[text.lower()], False, "true or false")


def _read_url(name: str, default: str) -> str:
    value = _get(name)
    return default if value is None else _check_url(name, value)


def _check_url(name: str, value: str) -> str:
    try:
        parts = urlsplit(value)
        good = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good:
        raise ConfigurationError(f"{name} must be a URL like https://host, got {value!r}")
    return value.rstrip("/")


@dataclass(frozen=True)
class OssCredentials:
    """An AccessKey that signs requests. Only the temporary credentials of a role have a ``security_token``."""

    access_key_id: str
    access_key_secret: SecretStr
    security_token: SecretStr | None


def oss_credentials() -> OssCredentials:
    """Return the configured AccessKey for OSS, or else the credentials of the function's role.

    Every call reads them again, because Function Compute renews a role's credentials in the environment. They are
    valid for 36 hours.
    """
    if key_id := _get("OSS_ACCESS_KEY", "OSS_ACCESS_KEY_ID"):
        secret = _require("OSS_SECRET", "OSS_ACCESS_KEY_SECRET", expected="the secret of OSS_ACCESS_KEY")
        return OssCredentials(key_id, SecretStr(secret), None)
    return role_credentials()


def role_credentials() -> OssCredentials:
    """Return the credentials of the function's role."""
    key_id = _get("ALIBABA_CLOUD_ACCESS_KEY_ID")
    if key_id is None:
        raise ConfigurationError(
            "ALIBABA_CLOUD_ACCESS_KEY_ID is not set: give the function a role (for OSS alone, OSS_ACCESS_KEY and "
            "OSS_SECRET are enough)"
        )
    secret = _require("ALIBABA_CLOUD_ACCESS_KEY_SECRET", expected="the secret of the function's role")
    token = _get("ALIBABA_CLOUD_SECURITY_TOKEN")
    return OssCredentials(key_id, SecretStr(secret), SecretStr(token) if token else None)


@dataclass(frozen=True)
class OssSettings:
    """The bucket.

    ``region`` is like ``cn-hangzhou``. ``url_ttl_s`` is how long a signed URL is valid; None means public URLs.
    """

    bucket: str
    region: str
    endpoint: str
    base_url: str
    url_ttl_s: int | None

    @classmethod
    def read(cls) -> "OssSettings":
        """Read OSS_BUCKET, OSS_REGION, OSS_ENDPOINT, OSS_BASE_URL and OSS_URL_TTL_S."""
        bucket = _require("OSS_BUCKET", expected="the name of the bucket")
        region = _require("OSS_REGION", expected="a region like cn-hangzhou").removeprefix("oss-")
        endpoint = _read_url("OSS_ENDPOINT", f"https://oss-{region}.aliyuncs.com")
        return cls(
            bucket=bucket,
            region=region,
            endpoint=endpoint,
            base_url=_read_url("OSS_BASE_URL", bucket_url(endpoint, bucket)),
            url_ttl_s=_parse("OSS_URL_TTL_S", _ttl, None, "a whole number of seconds from 1 to 604800 (a week)"),
        )


def _ttl(text: str) -> int | None:
    seconds = int(text)
    if not 1 <= seconds <= 604_800:  # a week is the longest that OSS's V4 signature allows
        raise ValueError
    return seconds


def bucket_url(endpoint: str, bucket: str) -> str:
    """Return the bucket's own URL: the bucket is part of the host, or of the path if the endpoint is an IP address."""
    parts = urlsplit(endpoint)
    try:
        ipaddress.ip_address(parts.hostname or "")
    except ValueError:
        return endpoint if parts.hostname == "localhost" else f"{parts.scheme}://{bucket}.{parts.netloc}"
    return f"{endpoint}/{bucket}"


class SslMode(StrEnum):
    """How the connection to MySQL is protected, in MySQL's own words.

    PREFERRED is not supported: an attacker on the network can turn it into DISABLED.
    """

    DISABLED = "DISABLED"  # plain text
    REQUIRED = "REQUIRED"  # encrypted, with a server that nobody has verified
    VERIFY_CA = "VERIFY_CA"  # encrypted, with a server whose certificate is from the CA
    VERIFY_IDENTITY = "VERIFY_IDENTITY"  # encrypted, with a server whose certificate is from the CA and for this host


@dataclass(frozen=True)
class DatabaseTls:
    """How the client verifies MySQL's server. With ``ca_file`` None, the client trusts the system's CAs."""

    mode: SslMode
    ca_file: Path | None


@dataclass(frozen=True)
class DatabaseSettings:
    """The database. ``url`` is ``mysql+pymysql://user:password@host:3306/name?ssl_mode=…&ssl_ca=…`` or ``sqlite:///path``."""

    url: SecretStr

    @classmethod
    def read(cls) -> "DatabaseSettings":
        """Read DATABASE_URL."""
        url = _require("DATABASE_URL", expected="a URL like mysql+pymysql://user:password@host:3306/name")
        if not url.startswith(("mysql+pymysql://", "sqlite:///")):
            scheme = url.split(":", 1)[0]
            raise ConfigurationError(f"DATABASE_URL must begin with mysql+pymysql:// or sqlite:///, got {scheme}:…")
        if not _names_a_database(url):
            # The URL is not shown, because it contains a password.
            raise ConfigurationError(
                "DATABASE_URL must name a host and a database, or a file of SQLite; "
                "special characters in the password must be percent-encoded"
            )
        return cls(SecretStr(url))

    def tls(self) -> DatabaseTls | None:
        """Return how to verify the server, or None for plain text.

        Plain text is the default for a loopback host only. Raises ConfigurationError: an option is not valid.
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
            f"DATABASE_URL has unknown options after its ?: {', '.join(unknown)}; "
            f"allowed: {' and '.join(known) or 'no options'}"
        )
    if len(options) < len(given):
        raise ConfigurationError("DATABASE_URL must state each option only once")
    return options


def _ssl_mode(text: str) -> SslMode:
    try:
        return SslMode(text.upper())
    except ValueError:
        raise ConfigurationError(
            f"ssl_mode of DATABASE_URL must be one of {', '.join(SslMode)}, got {text!r}"
        ) from None


def _ssl_ca(text: str, mode: SslMode) -> Path:
    if mode not in {SslMode.VERIFY_CA, SslMode.VERIFY_IDENTITY}:
        raise ConfigurationError(
            f"ssl_ca of DATABASE_URL has no effect with ssl_mode={mode}; use ssl_mode=VERIFY_IDENTITY or VERIFY_CA"
        )
    # Relative to the folder that contains shared/: /code in a function, the checkout elsewhere.
    file = Path(__file__).parents[1] / text
    if not file.is_file():
        raise ConfigurationError(f"ssl_ca of DATABASE_URL must name a file, but {file} is not a file")
    return file


def _names_a_database(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return len(parts.path) > 1 and (parts.scheme == "sqlite" or (bool(parts.hostname) and parts.port != 0))
    except ValueError:
        return False


@dataclass(frozen=True)
class ProviderSettings:
    """One AI provider: its address, its API key and how often to ask for the state of a task."""

    base_url: str
    api_key: SecretStr
    poll_interval_s: float

    @classmethod
    def read(cls, name: str, default_base_url: str) -> "ProviderSettings":
        """Read ``{NAME}_API_KEY``, ``{NAME}_BASE_URL`` and POLL_INTERVAL_S; ``name`` is that of the provider."""
        prefix = name.upper()
        return cls(
            base_url=_read_url(f"{prefix}_BASE_URL", default_base_url),
            api_key=SecretStr(_require(f"{prefix}_API_KEY", expected="an API key of the provider")),
            poll_interval_s=_read_seconds("POLL_INTERVAL_S", 5.0),
        )


def read_web_policy() -> WebPolicy:
    """Read DOWNLOAD_ALLOW_HTTP and DOWNLOAD_ALLOW_NETWORKS, which apply to image inputs, results and webhooks alike."""
    return WebPolicy(
        allow_http=_read_flag("DOWNLOAD_ALLOW_HTTP"),
        allow_networks=_parse(
            "DOWNLOAD_ALLOW_NETWORKS", _networks, (), "networks like 10.0.0.0/8, separated by commas"
        ),
    )


def _networks(text: str) -> tuple[IpNetwork, ...]:
    return tuple(ipaddress.ip_network(part.strip()) for part in text.split(","))


@dataclass(frozen=True)
class DownloadSettings:
    """How long the download of a result may take."""

    timeout_s: float

    @classmethod
    def read(cls) -> "DownloadSettings":
        """Read DOWNLOAD_TIMEOUT_S."""
        return cls(timeout_s=_read_seconds("DOWNLOAD_TIMEOUT_S", 300.0))


def read_media_limits() -> MediaLimits:
    """Read MAX_IMAGE_BYTES, MAX_VIDEO_BYTES and MAX_PIXELS."""
    return MediaLimits(
        max_bytes={
            MediaType.IMAGE: _read_number("MAX_IMAGE_BYTES", 64 * MIB, "bytes"),
            MediaType.VIDEO: _read_number("MAX_VIDEO_BYTES", 2048 * MIB, "bytes"),
        },
        max_pixels=_read_number("MAX_PIXELS", 100_000_000, "pixels"),
    )


@dataclass(frozen=True)
class AuthSettings:
    """How tokens are verified, with exactly one of three kinds of key.

    ``user_claim`` names the claim that contains the user id. A token with the scope ``service_scope`` belongs to a
    backend that acts for users.
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
        """Read the AUTH_… variables. A missing key is an error, because the API has no anonymous mode."""
        sources = {name: _get(name) for name in ("AUTH_JWKS_URL", "AUTH_JWKS", "AUTH_HS256_SECRET")}
        given = [name for name, value in sources.items() if value]
        if len(given) != 1:
            found = f"{' and '.join(given)} are set" if given else "no variable of these is set"
            raise ConfigurationError(f"set exactly one of {', '.join(sources)}; now {found}")
        secret = sources["AUTH_HS256_SECRET"]
        if secret and len(secret.encode()) < 32:  # RFC 7518 § 3.2
            raise ConfigurationError(f"AUTH_HS256_SECRET must have at least 32 bytes, got {len(secret.encode())}")
        url = sources["AUTH_JWKS_URL"]
        return cls(
            jwks_url=_keys_url("AUTH_JWKS_URL", url) if url else None,
            jwks=_parse("AUTH_JWKS", _jwks, None, 'a JSON Web Key Set like {"keys": [...]}'),
            hs256_secret=SecretStr(secret) if secret else None,
            issuer=_get("AUTH_ISSUER"),
            audience=_get("AUTH_AUDIENCE"),
            user_claim=_get("AUTH_USER_CLAIM") or "sub",
            service_scope=_parse(
                "AUTH_SERVICE_SCOPE", _scope, "act-for-user", "one scope, like act-for-user, without spaces or quotes"
            ),
        )


def _keys_url(name: str, value: str) -> str:
    """Return ``value`` if nobody on the network can change the keys that are fetched from it."""
    parts = urlsplit(_check_url(name, value))
    if parts.scheme != "https" and not _is_loopback(parts.hostname or ""):
        raise ConfigurationError(f"{name} must begin with https:// (http:// only for loopback hosts), got {value!r}")
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
    """The secrets that sign webhooks. Every secret signs, so that receivers can change from an old to a new one."""

    secrets: tuple[SecretStr, ...]

    @classmethod
    def read(cls) -> "WebhookSettings":
        """Read WEBHOOK_SECRET: one or more secrets like ``whsec_…``, separated by spaces.

        Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
        """
        secrets = _require("WEBHOOK_SECRET", expected=_WHSEC_FORMAT).split()
        if not all(map(_is_webhook_secret, secrets)):
            # The value is not shown: it may contain a valid secret.
            raise ConfigurationError(f"WEBHOOK_SECRET must be {_WHSEC_FORMAT}")
        return cls(tuple(map(SecretStr, secrets)))


_WHSEC_FORMAT = "whsec_ followed by base64 of 24 to 64 bytes; several secrets are separated by spaces"


def webhooks_are_enabled() -> bool:
    """Read WEBHOOKS_ENABLED: whether deliver-webhooks has a secret. The other functions do not know the secret."""
    return _read_flag("WEBHOOKS_ENABLED")


def _is_webhook_secret(text: str) -> bool:
    try:
        key = base64.b64decode(text.removeprefix("whsec_"), validate=True)
    except ValueError:
        return False
    return text.startswith("whsec_") and 24 <= len(key) <= 64


@dataclass(frozen=True)
class DispatchSettings:
    """Function Compute's API, through which the functions invoke each other."""

    endpoint: str

    @classmethod
    def read(cls) -> "DispatchSettings":
        """Read DISPATCH_ENDPOINT, or else derive the endpoint from FC_ACCOUNT_ID and FC_REGION."""
        if endpoint := _get("DISPATCH_ENDPOINT"):
            return cls(_check_url("DISPATCH_ENDPOINT", endpoint))
        account, region = _get("FC_ACCOUNT_ID"), _get("FC_REGION")
        if account is None or region is None:
            raise ConfigurationError(
                "DISPATCH_ENDPOINT is not set; set it, or both FC_ACCOUNT_ID and FC_REGION, as Function Compute does"
            )
        return cls(f"https://{account}.{region}-internal.fc.aliyuncs.com")


@dataclass(frozen=True)
class QuotaSettings:
    """The quotas of each user: unfinished jobs, jobs started in one day of UTC, bytes of outputs."""

    concurrent_jobs: int
    jobs_per_day: int
    stored_bytes: int

    @classmethod
    def read(cls) -> "QuotaSettings":
        """Read QUOTA_CONCURRENT_JOBS, QUOTA_JOBS_PER_DAY and QUOTA_STORED_BYTES."""
        return cls(
            concurrent_jobs=_read_quota("QUOTA_CONCURRENT_JOBS", 200),
            jobs_per_day=_read_quota("QUOTA_JOBS_PER_DAY", 5000),
            stored_bytes=_read_quota("QUOTA_STORED_BYTES", 100 * 1024 * MIB),
        )


# An integer of a structured header field has at most 15 digits (RFC 9651).
_MAX_QUOTA = 10**15 - 1


def _read_quota(name: str, default: int) -> int:
    return _parse(name, _quota, default, f"a whole number from 1 to {_MAX_QUOTA}")


def _quota(text: str) -> int:
    number = _positive(text)  # 0 could mean "nothing" or "no limit"
    if number > _MAX_QUOTA:
        raise ValueError
    return number


@dataclass(frozen=True)
class RuntimeSettings:
    """The function instance.

    ``patience_s`` is how long an attempt waits for a provider before it gives the job back.
    """

    temp_dir: str
    log_level: str
    patience_s: float
    cors_origins: tuple[str, ...]
    function_name: str
    version: str

    @classmethod
    def read(cls) -> "RuntimeSettings":
        """Read TEMP_DIR, LOG_LEVEL, PATIENCE_S, CORS_ORIGINS, and the name and version from Function Compute."""
        return cls(
            temp_dir=_get("TEMP_DIR") or "/tmp/dream-factory",  # noqa: S108 - Function Compute's only writable folder
            log_level=_parse("LOG_LEVEL", _level, "INFO", "DEBUG, INFO, WARNING or ERROR"),
            patience_s=_read_seconds("PATIENCE_S", 60.0),
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
        # Browsers write an origin in lower case and without a default port (RFC 6454 § 6.2); no other form would match.
        match = _ORIGIN.fullmatch(origin)
        if match is None or match[3] == _DEFAULT_PORTS.get(match[1], ""):
            raise ValueError
    return origins


def _level(text: str) -> str:
    if text.upper() not in {"DEBUG", "INFO", "WARNING", "ERROR"}:
        raise ValueError
    return text.upper()


def interpreter_environment() -> dict[str, str]:
    """Return the variables that a child process needs to run this interpreter: LD_LIBRARY_PATH, where it is set."""
    return {name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ}
