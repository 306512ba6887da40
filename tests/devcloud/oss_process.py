"""The OSS emulator as its own process, and measurements of it for tests and benchmarks."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import oss2
import requests
from oss_support import BUCKET

from devcloud.oss.testing import EmulatedOss

ROOT = Path(__file__).parents[2]
PROCESSES = 8


@contextmanager
def serving(data_dir: Path) -> Iterator[tuple[int, str]]:
    """Run the command; yields its process id and endpoint."""
    key = ("--access-key", "id", "--secret", "secret", "--bucket", BUCKET, "--bucket", "photos")
    command = [sys.executable, "-m", "devcloud", "oss", "--port", "0", "--data", str(data_dir), *key]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            assert process.stdout is not None
            ready = next(line for line in process.stdout if line.startswith("ready "))
            yield process.pid, ready.split()[1]
        finally:
            process.terminate()


def bucket(endpoint: str) -> oss2.Bucket:
    return oss2.Bucket(oss2.AuthV4("id", "secret"), endpoint, BUCKET, region="cn-hangzhou")


def peak_memory(folder: Path, size: int) -> int:
    """Return the peak memory in bytes of a server while an object of ``size`` bytes was put and got."""
    file = folder / "body"
    with file.open("wb") as body:
        body.truncate(size)
    with serving(folder / "data") as (pid, endpoint):
        url = {method: bucket(endpoint).sign_url(method, "a", 600) for method in ("PUT", "GET")}
        with file.open("rb") as body:
            requests.put(url["PUT"], data=body, timeout=600).raise_for_status()
        with requests.get(url["GET"], stream=True, timeout=600) as answer:
            assert sum(map(len, answer.iter_content(256 * 1024))) == size
        status = Path(f"/proc/{pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def fill(oss: EmulatedOss, name: str, count: int) -> None:
    """Put one object and copy its row many times."""
    oss.create_bucket(name)
    oss.client(name).put_object("p/seed", b"")
    database = oss.emulator._storage._db  # type: ignore[attr-defined]  # 100,000 requests would take minutes
    columns = [row[1] for row in database.execute("PRAGMA table_info(objects)")]
    repeated = ", ".join("printf('p/%06d', n)" if column == "key" else column for column in columns)
    database.execute(
        "WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < ?)"
        f" INSERT INTO objects SELECT {repeated} FROM objects, numbers WHERE bucket = ? AND key = 'p/seed'",
        (count - 1, name),
    )


def stress(folder: Path, seconds: float) -> tuple[int, int, list[str]]:
    """Let processes read and overwrite one key; returns the numbers of reads and writes, and the errors."""
    with serving(folder / "data") as (_, endpoint), ExitStack() as stack:
        script = str(Path(__file__).with_name("oss_stress.py"))
        running = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, script, endpoint, BUCKET, str(seconds), str(seed)], stdout=subprocess.PIPE
                )
            )
            for seed in range(PROCESSES)
        ]
        results = [json.loads(process.communicate(timeout=seconds + 60)[0]) for process in running]
    reads, writes, faults = zip(*results, strict=True)
    return sum(reads), sum(writes), [fault for part in faults for fault in part]
