"""What the OSS emulator costs, against moto's S3 server in the same run, and what must not grow."""

import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import requests

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests/devcloud"))

from oss_process import bucket, fill, peak_memory, serving, stress  # noqa: E402 - beside the emulator's tests
from oss_support import running_oss  # noqa: E402

ROUNDS = 7
BODY_BYTES = 64 * 1024**2
RANGE_BYTES = 100 * 1024
RANGES = 20
LARGE_BYTES = 1024**3
STRESS_S = 20


def bench_oss() -> None:
    bench_against_moto()
    bench_lists()
    with tempfile.TemporaryDirectory() as name:
        peak = peak_memory(Path(name), LARGE_BYTES)
    print(f"\nOSS emulator, put and get of 1 GiB: {peak / 1024**2:.0f} MiB of memory at most (64 allowed)")
    with tempfile.TemporaryDirectory() as name:
        reads, writes, faults = stress(Path(name), STRESS_S)
    print(f"OSS emulator, 8 processes on one key for {STRESS_S} s: {reads} reads, {writes} writes, {len(faults)} wrong")


def bench_against_moto() -> None:
    print(f"\nOSS emulator against moto's server (median of {ROUNDS}, interleaved)")
    body, session, chance = Random(0).randbytes(BODY_BYTES), requests.Session(), Random(1)
    with tempfile.TemporaryDirectory() as name, serving(Path(name)) as (_, endpoint), moto_server() as moto:
        # moto verifies no signature, but wants one.
        scope = "id/20260101/us-east-1/s3/aws4_request"
        authorization = f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0"
        headers = {"moto": {"Authorization": authorization}, "ours": {}}
        requests.put(f"{moto}/bench", headers=headers["moto"], timeout=60).raise_for_status()
        urls = {
            "moto": {"PUT": f"{moto}/bench/a", "GET": f"{moto}/bench/a"},
            "ours": {method: bucket(endpoint).sign_url(method, "a", 3600) for method in ("PUT", "GET")},
        }

        def put(peer: str) -> None:
            session.put(urls[peer]["PUT"], data=body, headers=headers[peer], timeout=60).raise_for_status()

        def ranges(peer: str) -> None:
            for _ in range(RANGES):
                start = chance.randrange(BODY_BYTES - RANGE_BYTES)
                span = {"Range": f"bytes={start}-{start + RANGE_BYTES - 1}"}
                answer = session.get(urls[peer]["GET"], headers=headers[peer] | span, timeout=60)
                assert answer.content == body[start : start + RANGE_BYTES]

        compare("put of 64 MiB", put, "at least 3")
        compare(f"{RANGES} ranges of 100 KiB", ranges, "at least 10")


def compare(what: str, work: Callable[[str], None], wanted: str) -> None:
    times: dict[str, list[float]] = {"moto": [], "ours": []}
    for _ in range(ROUNDS):
        for peer, taken in times.items():
            taken.append(measure(lambda peer=peer: work(peer)))  # type: ignore[misc]
    moto, ours = (statistics.median(taken) for taken in times.values())
    print(f"  {what:22} moto {moto * 1000:7.1f} ms  ours {ours * 1000:7.1f} ms  {moto / ours:6.1f} x  ({wanted})")


def bench_lists() -> None:
    print(f"\nOSS emulator, a page of 1,000 objects (median of {ROUNDS}, interleaved)")
    with tempfile.TemporaryDirectory() as name, running_oss(Path(name)) as oss:
        fill(oss, "small", 1_000)
        fill(oss, "large", 100_000)
        places = {"of 1,000": ("small", "")} | {
            f"of 100,000 after {marker}": ("large", marker) for marker in ("p/000000", "p/050000", "p/098000")
        }
        times: dict[str, list[float]] = {place: [] for place in places}
        for _ in range(ROUNDS):
            for place, (name, marker) in places.items():
                listed = oss.bucket(name)
                work = lambda listed=listed, marker=marker: listed.list_objects("p/", marker=marker, max_keys=1000)  # noqa: E731
                times[place].append(measure(work))
    base = statistics.median(times["of 1,000"])
    for place, taken in times.items():
        median = statistics.median(taken)
        print(f"  {place:26} {median * 1000:6.1f} ms  {median / base:5.2f} x  (at most 1.5)")


@contextmanager
def moto_server() -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-p", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            while True:
                try:
                    requests.get(f"http://127.0.0.1:{port}/moto-api/", timeout=5)
                    break
                except requests.ConnectionError:
                    if process.poll() is not None:
                        raise
                    time.sleep(0.1)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def measure(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


if __name__ == "__main__":
    bench_oss()
