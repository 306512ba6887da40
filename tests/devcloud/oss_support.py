"""What the tests of the OSS emulator share: its settings, requests without an SDK, and readings of answers."""

import hashlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import oss2
import pytest
import requests
from oss2.exceptions import OssError

from devcloud.credentials import AccessKey
from devcloud.oss.processing.workers import Limits
from devcloud.oss.storages.port import Storage
from devcloud.oss.testing import EmulatedOss, EmulatorSettings, emulated_oss

REGION = "cn-hangzhou"
ACCOUNT = "1234567890123456"
KEY = AccessKey("LTAItest", "secret-of-the-test")
OTHER_KEY = AccessKey("LTAIpayer", "secret-of-another-account", account_id="2234567890123456")
BUCKET = "media-test"
SETTINGS = EmulatorSettings(REGION, ACCOUNT, BUCKET, (KEY, OTHER_KEY))
PUBLIC_BUCKET = "enforced"
DAY_S = 86_400


def running_oss(data: Path | Storage, limits: Limits = Limits()) -> AbstractContextManager[EmulatedOss]:  # noqa: B008 - frozen
    """Serve an emulator of the plug-in on a folder or storage of the caller."""
    return emulated_oss(data, replace(SETTINGS, limits=limits))


def public_bucket(oss: EmulatedOss) -> oss2.Bucket:
    """Create a public bucket with the object ``a.txt``."""
    bucket = oss.client(PUBLIC_BUCKET)
    bucket.create_bucket("public-read")
    bucket.put_object("a.txt", b"a", headers={"content-type": "text/plain"})
    return bucket


def ask(oss: EmulatedOss, path: str, method: str = "GET", **headers: str) -> requests.Response:
    """Send a request without a signature; ``_`` in header names stands for ``-``."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return requests.request(method, oss.url(path), headers=sent, timeout=10, allow_redirects=False)


def code(response: requests.Response) -> str:
    """Return the ``Code`` of an error."""
    return response.text.partition("<Code>")[2].partition("</Code>")[0]


def refusal(act: Callable[[], object]) -> tuple[int, str]:
    """Return status and code of the error that ``act`` gets."""
    with pytest.raises(OssError) as error:
        act()
    return error.value.status, error.value.code


def md5(data: bytes) -> bytes:
    return hashlib.md5(data, usedforsecurity=False).digest()
