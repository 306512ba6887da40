"""The costs of the OSS emulator against moto's S3 server in the same run, and costs that must not grow."""

import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from random import Random
from typing import ClassVar
from urllib.parse import urlsplit

import requests

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests/devcloud"))

from oss_process import bucket, fill, peak_memory, serving, stress  # noqa: E402 - beside the emulator's tests
from oss_support import running_oss  # noqa: E402

ROUNDS = 7
# Sizes in bytes, and how many puts of each make a measurement.
PUTS = ((4 * 1024, 40), (100 * 1024, 40), (1024**2, 16), (8 * 1024**2, 4), (64 * 1024**2, 1))
CLIENTS = (1, 4)
RANGE_OF_BYTES = 64 * 1024**2
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
    print(f"\nOSS emulator against moto's server (median of {ROUNDS}, interleaved, one bare HTTP client for both)")
    with tempfile.TemporaryDirectory() as name, serving(Path(name)) as (_, endpoint), moto_server() as moto:
        peers = (Moto(moto), Ours(endpoint))
        bench_puts(peers)
        bench_ranges(peers)


class Moto:
    """moto's S3 server, which requires a signature but does not verify it."""

    _scope = "id/20260101/us-east-1/s3/aws4_request"
    headers: ClassVar = {
        "Authorization": f"AWS4-HMAC-SHA256 Credential={_scope}, SignedHeaders=host, Signature=0",
    }

    def __init__(self, endpoint: str) -> None:
        self.address = urlsplit(endpoint).netloc
        requests.put(f"{endpoint}/bench", headers=self.headers, timeout=60).raise_for_status()

    def target(self, _method: str, key: str) -> str:
        return f"/bench/{key}"


class Ours:
    """The OSS emulator, which verifies a V4 signature in each URL."""

    headers: ClassVar[dict[str, str]] = {}

    def __init__(self, endpoint: str) -> None:
        self.address = urlsplit(endpoint).netloc
        self._bucket = bucket(endpoint)

    def target(self, method: str, key: str) -> str:
        return str(urlsplit(self._bucket.sign_url(method, key, 3600))._replace(scheme="", netloc="").geturl())


Peers = tuple[Moto, Ours]


def bench_puts(peers: Peers) -> None:
    for size, count in PUTS:
        body = Random(0).randbytes(size)
        for clients in CLIENTS:
            keys = [f"{number}" for number in range(max(count, clients))]
            targets = {peer: [peer.target("PUT", key) for key in keys] for peer in peers}
            with ThreadPoolExecutor(clients) as pool:
                put = partial(put_all, pool, clients, targets, body)
                compare(f"put of {readable(size)}, clients: {clients}", peers, put, len(keys))


def put_all(
    pool: ThreadPoolExecutor, clients: int, targets: dict[Moto | Ours, list[str]], body: bytes, peer: Moto | Ours
) -> None:
    shares = [targets[peer][start::clients] for start in range(clients)]
    list(pool.map(lambda share: send(peer, "PUT", share, body), shares))


def bench_ranges(peers: Peers) -> None:
    body, chance = Random(0).randbytes(RANGE_OF_BYTES), Random(1)
    for peer in peers:
        send(peer, "PUT", [peer.target("PUT", "large")], body)
    targets = {peer: peer.target("GET", "large") for peer in peers}

    def read(peer: Moto | Ours) -> None:
        for _ in range(RANGES):
            start = chance.randrange(RANGE_OF_BYTES - RANGE_BYTES)
            span = {"Range": f"bytes={start}-{start + RANGE_BYTES - 1}"}
            (answer,) = send(peer, "GET", [targets[peer]], None, span)
            assert answer == body[start : start + RANGE_BYTES]

    compare(f"range of {readable(RANGE_BYTES)} of {readable(RANGE_OF_BYTES)}", peers, read, RANGES)


def send(
    peer: Moto | Ours, method: str, targets: list[str], body: bytes | None, headers: dict[str, str] | None = None
) -> list[bytes]:
    """Send requests by one connection, as long as the server keeps it; return the bodies of the answers."""
    connection = HTTPConnection(peer.address, timeout=60)
    bodies = []
    try:
        for target in targets:
            connection.request(method, target, body, {**peer.headers, **(headers or {})})
            answer = connection.getresponse()
            bodies.append(answer.read())
            assert answer.status in (200, 206), (answer.status, bodies[-1][:300])
    finally:
        connection.close()
    return bodies


def compare(what: str, peers: Peers, work: Callable[[Moto | Ours], None], count: int) -> None:
    times: dict[Moto | Ours, list[float]] = {peer: [] for peer in peers}
    for _ in range(ROUNDS):
        for peer, taken in times.items():
            taken.append(measure(partial(work, peer)) / count)
    moto, ours = (statistics.median(taken) for taken in times.values())
    print(f"  {what:29} moto {moto * 1000:7.2f} ms  ours {ours * 1000:7.2f} ms  {moto / ours:5.1f} x", flush=True)


def readable(size: int) -> str:
    return f"{size // 1024**2} MiB" if size >= 1024**2 else f"{size // 1024} KiB"


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
                listed = oss.client(name)
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
