"""URLs for readers: public, or signed for a while.

The signer is OSS's V4 in the query. Importing the SDK for it would cost the ``api`` function 236 ms of cold start
and 31 MB. Source: https://www.alibabacloud.com/help/en/oss/developer-reference/add-signatures-to-urls
"""

import hashlib
import hmac
from datetime import UTC, datetime
from urllib.parse import quote, unquote, urlsplit

from shared import settings
from shared.domain.errors import ValidationError
from shared.domain.jobs import JobOutput
from shared.domain.keys import ObjectKey

_ALGORITHM = "OSS4-HMAC-SHA256"


class OutputUrls:
    """The addresses at which a user reads outputs."""

    def __init__(self, config: settings.OssSettings) -> None:
        self._config = config

    def url_of(self, output: JobOutput) -> str:
        """Return the public URL of the row, or a signed one where OSS_URL_TTL_S is set."""
        ttl_s = self._config.url_ttl_s
        if ttl_s is None:
            return output.oss_url
        return presign(self._config, settings.oss_credentials(), output.oss_path, ttl_s, datetime.now(UTC))

    def key_of(self, url: str) -> ObjectKey | None:
        """Return the key of an output that a URL of the bucket names, signed or not; None for every other URL."""
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


def presign(
    config: settings.OssSettings, credentials: settings.OssCredentials, key: str, ttl_s: int, now: datetime
) -> str:
    """Return a GET URL of ``config.base_url`` that is valid for ``ttl_s`` seconds.

    The host is not part of the signature, so a CDN in front of the bucket can serve it too.
    """
    date, time = now.strftime("%Y%m%d"), now.strftime("%Y%m%dT%H%M%SZ")
    scope = f"{date}/{config.region}/oss/aliyun_v4_request"
    query = {
        "x-oss-credential": f"{credentials.access_key_id}/{scope}",
        "x-oss-date": time,
        "x-oss-expires": str(ttl_s),
        "x-oss-signature-version": _ALGORITHM,
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
