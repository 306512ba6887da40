"""URLs of outputs for their readers: public, or signed for a limited time.

The signature is OSS's V4 in the query. Importing the SDK for it would cost the ``api`` function 236 ms of cold start
and 31 MB. Source: https://www.alibabacloud.com/help/en/oss/developer-reference/add-signatures-to-urls
"""

import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import quote, unquote, urlsplit

from shared import settings
from shared.domain.errors import ValidationError
from shared.domain.jobs import JobOutput
from shared.domain.keys import ObjectKey
from shared.ports import Clock

_ALGORITHM = "OSS4-HMAC-SHA256"
# Credentials of a role are valid for 36 hours, and the environment does not say since when. An invocation may use its
# first credentials for 24 hours, so they are valid for 24 hours more when it starts. Half of that is a safe limit.
_MAX_TTL_OF_TOKEN_S = 12 * 3600
_MAX_SIGNING_WINDOW_S = 600

_THUMBNAIL_WIDTH = 512
# https://www.alibabacloud.com/help/en/oss/user-guide/resize-images-4. HEIC is left out: OSS returns HEIC again, which
# most browsers do not show.
_RESIZABLE_FORMATS = frozenset({"png", "jpeg", "bmp", "gif", "webp", "tiff", "avif"})
_MAX_RESIZABLE_BYTES = 20 * 1024 * 1024
# https://www.alibabacloud.com/help/en/oss/user-guide/video-snapshots
_SNAPSHOT_FORMATS = frozenset({"mp4", "mov"})
_SNAPSHOT_CODECS = frozenset({"h264", "hevc"})


class OutputUrls:
    """The URLs at which a user reads outputs: signed if OSS_URL_TTL_S is set, otherwise public."""

    def __init__(self, config: settings.OssSettings, clock: Clock) -> None:
        self._config = config
        self._clock = clock

    def url_of(self, output: JobOutput) -> str:
        """Return the URL of the object.

        A public URL is made from the key each time, so that a later OSS_BASE_URL applies to old rows, too. A row whose
        URL does not end in its key has a URL from another system, which stays.
        """
        if self._config.url_ttl_s is not None:
            return self._signed(output.oss_path)
        return self._public(output.oss_path) if _is_named_by_key(output) else output.oss_url

    def thumbnail_of(self, output: JobOutput) -> str | None:
        """Return the URL of a picture of the output up to 512 pixels wide, which OSS makes on request.

        None: OSS cannot convert this format or an image of this size, or the output is not in the bucket.
        """
        process = _thumbnail_process(output)
        if process is None:
            return None
        if self._config.url_ttl_s is not None:
            return self._signed(output.oss_path, {"x-oss-process": process})
        return f"{self._public(output.oss_path)}?x-oss-process={process}" if _is_named_by_key(output) else None

    def _public(self, key: str) -> str:
        return f"{self._config.base_url}/{quote(key)}"

    def _signed(self, key: str, parameters: Mapping[str, str] | None = None) -> str:
        credentials = settings.oss_credentials()
        ttl_s = lifetime_s(self._config, credentials)
        signed_at = signing_time(self._clock.now(), ttl_s)
        return presign(self._config, credentials, key, ttl_s, signed_at, parameters)

    def key_of(self, url: str) -> ObjectKey | None:
        """Return the key of the output at a URL of the bucket, signed or not; None for every other URL."""
        bucket, region = self._config.bucket, self._config.region
        addresses = (
            self._config.base_url,
            settings.bucket_url(self._config.endpoint, bucket),
            f"https://{bucket}.oss-{region}.aliyuncs.com",
            f"http://{bucket}.oss-{region}.aliyuncs.com",
        )
        for address in addresses:
            if url.startswith(f"{address}/"):
                try:
                    return ObjectKey.parse(unquote(urlsplit(url.removeprefix(f"{address}/")).path))
                except (ValidationError, ValueError):
                    return None
        return None


def _is_named_by_key(output: JobOutput) -> bool:
    return unquote(output.oss_url).endswith(f"/{output.oss_path}")


def _thumbnail_process(output: JobOutput) -> str | None:
    meta = output.meta
    if meta.get("format") in _RESIZABLE_FORMATS and output.size <= _MAX_RESIZABLE_BYTES:
        return f"image/resize,w_{_THUMBNAIL_WIDTH}"  # by default OSS does not enlarge
    if meta.get("format") in _SNAPSHOT_FORMATS and meta.get("codec") in _SNAPSHOT_CODECS:
        # A snapshot cannot be wider than the video.
        return f"video/snapshot,t_0,f_jpg,w_{min(_THUMBNAIL_WIDTH, meta.get('width') or _THUMBNAIL_WIDTH)}"
    return None


def lifetime_s(config: settings.OssSettings, credentials: settings.OssCredentials) -> int:
    """Return for how many seconds a URL signed with these credentials is valid; 0 if URLs are public."""
    ttl_s = config.url_ttl_s or 0
    return min(ttl_s, _MAX_TTL_OF_TOKEN_S) if credentials.security_token else ttl_s


def signing_time(now: datetime, ttl_s: int) -> datetime:
    """Return the time to sign with: ``now`` rounded down to a tenth of ``ttl_s``, at most to ten minutes.

    So URLs stay the same for a while, which caches and ETags need, and are valid for at least 0.9 ``ttl_s``. Signatures
    count in whole seconds, so a ``ttl_s`` below ten is shortened by up to one second.
    """
    window_s = max(1, min(ttl_s // 10, _MAX_SIGNING_WINDOW_S))
    return datetime.fromtimestamp(now.timestamp() // window_s * window_s, UTC)


def presign(
    config: settings.OssSettings,
    credentials: settings.OssCredentials,
    key: str,
    ttl_s: int,
    now: datetime,
    parameters: Mapping[str, str] | None = None,
) -> str:
    """Return a GET URL of ``config.base_url`` that is valid for ``ttl_s`` seconds from ``now``.

    ``parameters`` are part of the query and of the signature. The host is not part of the signature, so that a CDN in
    front of the bucket can serve the URL, too.
    """
    date, time = now.strftime("%Y%m%d"), now.strftime("%Y%m%dT%H%M%SZ")
    scope = f"{date}/{config.region}/oss/aliyun_v4_request"
    query = {
        "x-oss-credential": f"{credentials.access_key_id}/{scope}",
        "x-oss-date": time,
        "x-oss-expires": str(ttl_s),
        "x-oss-signature-version": _ALGORITHM,
        **(parameters or {}),
    }
    if credentials.security_token:
        query["x-oss-security-token"] = credentials.security_token.get_secret_value()
    canonical_query = "&".join(
        f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in sorted(query.items())
    )
    canonical = f"GET\n{quote(f'/{config.bucket}/{key}')}\n{canonical_query}\n\n\nUNSIGNED-PAYLOAD"
    to_sign = f"{_ALGORITHM}\n{time}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    signing_key = f"aliyun_v4{credentials.access_key_secret.get_secret_value()}".encode()
    for part in (date, config.region, "oss", "aliyun_v4_request"):
        signing_key = hmac.digest(signing_key, part.encode(), "sha256")
    signature = hmac.new(signing_key, to_sign.encode(), hashlib.sha256).hexdigest()
    return f"{config.base_url}/{quote(key)}?{canonical_query}&x-oss-signature={signature}"
