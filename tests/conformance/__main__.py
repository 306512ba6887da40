"""Run oss2's own test suite against the OSS emulator and print a table: ``make conformance``.

The folder with the tests is taken from ``OSS2_TESTS`` if it is set, else from the source distribution of the
installed oss2 (which lacks the images and CSV files that some tests read). Each file runs in its own process,
under signature V1 and V4, on the disk storage. The exit status is 0 only if the counts reach ``AT_LEAST_CORE`` and
``AT_LEAST_ALL``.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/devcloud"))

from oss_support import ACCOUNT, KEY, OTHER_KEY, REGION, running_oss  # noqa: E402 - beside the emulator's own tests

CORE = (
    *("object", "multipart", "upload", "download", "iterator", "bucket", "sign", "list_objects_v2", "chinese"),
    *("put_object_chunked", "crypto_object", "crypto_multipart", "object_versioning"),
)
OTHERS = (
    *("bucket_versioning", "website", "server_side_encryotion", "lifecycle_versioning", "api_base", "bucket_style"),
    *("utils", "crc64_combine", "headers", "init", "object_request_payment", "select_csv_object"),
    *("select_json_object", "traffic_limit", "live_channel", "image", "exception_ec"),
)
AT_LEAST_CORE = 235
AT_LEAST_ALL = 340
TIMEOUT_S = 600


@dataclass
class FileResult:
    """The result of one test file: the number of tests, and the reason of each failure."""

    tests: int
    failures: dict[str, str]

    @property
    def passed(self) -> int:
        return self.tests - len(self.failures)


def main() -> int:
    parser = argparse.ArgumentParser(prog="make conformance")
    parser.add_argument("files", nargs="*", help="names of test files, like object or sign; default: all")
    parser.add_argument("--auth", choices=("v1", "v4"), action="append", help="default: both")
    options = parser.parse_args()
    status = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        provide_tests(folder / "suite")
        for auth in options.auth or ("v1", "v4"):
            chosen = [file for file in (*CORE, *OTHERS) if not options.files or file in options.files]
            results = dict(run_suite(folder, auth, chosen))
            print_table(auth, results)
            if not options.files:
                status |= not enough(results)
    return status


def provide_tests(suite: Path) -> None:
    """Put the tests into ``suite/tests``."""
    given = os.environ.get("OSS2_TESTS")
    if given:
        shutil.copytree(given, suite / "tests")
        return
    release = f"oss2=={version('oss2')}"
    command = ["pip", "download", "--quiet", "--no-deps", "--no-binary", "oss2"]
    subprocess.run([sys.executable, "-m", *command, "--dest", str(suite), release], check=True)
    with tarfile.open(next(suite.glob("oss2-*.tar.gz"))) as archive:
        archive.extractall(suite, filter="data")
    next(suite.glob("oss2-*/tests")).rename(suite / "tests")


def run_suite(folder: Path, auth: str, files: list[str]) -> Iterator[tuple[str, FileResult]]:
    """Run the files, two at a time, each against the same emulator."""
    with running_oss(folder / f"data-{auth}") as oss, ThreadPoolExecutor(2) as pool:
        yield from zip(files, pool.map(lambda file: run_file(folder, oss.port, auth, file), files), strict=True)


def run_file(folder: Path, port: int, auth: str, file: str) -> FileResult:
    report = folder / f"{auth}-{file}.json"
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("OSS_", "PYTEST_"))},
        "OSS_TEST_ACCESS_KEY_ID": KEY.access_key_id,
        "OSS_TEST_ACCESS_KEY_SECRET": KEY.access_key_secret,
        "OSS_TEST_ENDPOINT": f"http://127.0.0.1:{port}",
        "OSS_TEST_REGION": REGION,
        "OSS_TEST_UID": ACCOUNT,
        "OSS_TEST_AUTH_VERSION": auth,
        "OSS_TEST_PAYER_UID": OTHER_KEY.account_id,
        "OSS_TEST_PAYER_ACCESS_KEY_ID": OTHER_KEY.access_key_id,
        "OSS_TEST_PAYER_ACCESS_KEY_SECRET": OTHER_KEY.access_key_secret,
        "CONFORMANCE_REPORT": str(report),
        "PYTHONPATH": str(Path(__file__).parent),
    }
    command = [sys.executable, "-W", "ignore", "-m", "pytest", "-q", "-p", "plugin", "-p", "no:cacheprovider"]
    try:
        subprocess.run(
            [*command, "-c", os.devnull, "--rootdir", ".", "--show-capture=no", f"tests/test_{file}.py"],
            cwd=folder / "suite",
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return FileResult(1, {file: f"not done after {TIMEOUT_S} s"})
    if not report.exists():
        return FileResult(1, {file: "pytest could not run it"})
    outcomes = json.loads(report.read_text())
    return FileResult(len(outcomes), {name: why for name, (outcome, why) in outcomes.items() if outcome == "failed"})


def print_table(auth: str, results: dict[str, FileResult]) -> None:
    print(f"\nsignature {auth.upper()}\n{'file':28} passed    of")
    for file, result in results.items():
        print(f"{file:28} {result.passed:6} {result.tests:5}")
    for label, names in (("core", CORE), ("all", (*CORE, *OTHERS))):
        print(f"{label:28} {count(results, names):6} {sum(results[n].tests for n in names if n in results):5}")
    for result in results.values():
        for name, why in result.failures.items():
            print(f"  {name.partition('::')[2] or name}: {why}")
    sys.stdout.flush()


def enough(results: dict[str, FileResult]) -> bool:
    core, everything = count(results, CORE), count(results, (*CORE, *OTHERS))
    return core >= AT_LEAST_CORE and everything >= AT_LEAST_ALL


def count(results: dict[str, FileResult], names: tuple[str, ...]) -> int:
    return sum(results[name].passed for name in names if name in results)


if __name__ == "__main__":
    sys.exit(main())
