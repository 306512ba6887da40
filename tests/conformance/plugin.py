"""A pytest plugin for oss2's own tests: one exchange, and a line of JSON per test.

The tests pick a bucket for encryption through Alibaba Cloud's KMS at random; there is no KMS here, so its provider
gives way to the RSA one. The package ``mock`` that they import is Python's own ``unittest.mock``. Nothing else of the
tests is changed.
"""

import json
import os
import sys
from pathlib import Path
from unittest import mock

import oss2
import pytest
from oss2.crypto import RsaProvider

_REPORT = Path(os.environ["CONFORMANCE_REPORT"])
_outcomes: dict[str, tuple[str, str]] = {}


def _exchange_kms() -> None:
    sys.path.insert(0, str(Path.cwd()))
    from tests import common  # type: ignore[attr-defined]  # oss2's own module of that name

    def provider(*_args: object, **_kwargs: object) -> RsaProvider:
        return RsaProvider(common.key_pair)

    oss2.AliKMSProvider = provider
    common.oss2.AliKMSProvider = provider


def pytest_configure(config: pytest.Config) -> None:
    sys.modules.setdefault("mock", mock)
    _exchange_kms()


@pytest.hookimpl(trylast=True)
def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    name = report.nodeid.rpartition("/")[2]
    if report.failed:
        text = str(report.longrepr).strip().splitlines()
        reasons = [line for line in text if line.startswith("E ")] or text[-1:]
        _outcomes[name] = ("failed", " ".join(reasons[:1]).removeprefix("E").strip()[:300])
    elif report.when == "call":
        _outcomes.setdefault(name, (report.outcome, ""))


def pytest_sessionfinish() -> None:
    _REPORT.write_text(json.dumps(_outcomes))
