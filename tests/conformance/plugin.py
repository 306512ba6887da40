"""A pytest plug-in for oss2's own tests: it replaces KMS, and records the outcome of each test as JSON.

The tests encrypt some objects through Alibaba Cloud's KMS. The emulator has no KMS, so its provider is replaced by the
RSA provider. The package ``mock`` that the tests import is replaced by Python's ``unittest.mock``. Nothing else of the
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
