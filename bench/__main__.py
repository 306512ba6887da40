"""What things cost, as ratios against a peer that is measured in the same run: ``make bench``.

What is measured: what a function's imports cost over a bare interpreter; what the way from a provider's URL through
the temp folder into OSS costs over curl, which does the same with two commands and checks nothing; and what the OSS
emulator costs against moto's server (``python -m bench.oss`` runs that alone).
Absolute times drift from machine to machine; the ratios hold.
"""

import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from unittest.mock import patch

import uvicorn

from bench.oss import bench_oss
from devcloud.clock import Clock
from devcloud.credentials import AccessKey, Credentials
from devcloud.faults import Faults
from devcloud.oss import OssEmulator
from shared import bootstrap
from shared.domain.jobs import Job
from shared.domain.media import MediaFacts
from shared.domain.media_type import MediaType
from shared.ports import MediaUrl
from shared.services.storage import upload_job_output_from_source

ROOT = Path(__file__).resolve().parent.parent
ROUNDS = 7
MEDIA_BYTES = 64 * 1024 * 1024
FUNCTIONS = ("api", "clean_up", "generate_image", "index_outputs")


def main() -> None:
    bench_imports()
    bench_transfer()
    bench_oss()


def bench_imports() -> None:
    print(f"\nimports over a bare interpreter (median of {ROUNDS}, interleaved)")
    environment = {"PATH": os.environ["PATH"], "AUTH_HS256_SECRET": "x" * 32}
    commands = {"bare": "pass"} | {
        name: f"import sys; sys.path[:0] = [{str(ROOT / 'functions' / name)!r}, {str(ROOT)!r}]; import index"
        for name in FUNCTIONS
    }
    times: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(ROUNDS):
        for name, code in commands.items():
            times[name].append(measure(partial(run, [sys.executable, "-c", code], environment)))
    bare = statistics.median(times["bare"])
    for name, taken in times.items():
        median = statistics.median(taken)
        print(f"  {name:15} {median * 1000:6.0f} ms  {median / bare:5.1f} x")


def bench_transfer() -> None:
    print(f"\nURL → temp folder → OSS, {MEDIA_BYTES // 1024**2} MiB (median of {ROUNDS}, interleaved)")
    with tempfile.TemporaryDirectory() as name, oss_emulator(Path(name)) as endpoint, provider(Path(name)) as url:
        environment = {
            "OSS_BUCKET": "bench",
            "OSS_REGION": "cn-hangzhou",
            "OSS_ENDPOINT": endpoint,
            "OSS_ACCESS_KEY": "id",
            "OSS_SECRET": "secret",
            "DATABASE_URL": f"sqlite:///{name}/bench.db",
            "TEMP_DIR": f"{name}/temp",
            "DOWNLOAD_ALLOW_HTTP": "true",
            "DOWNLOAD_ALLOW_NETWORKS": "127.0.0.0/8",
        }
        migrate = [sys.executable, "-m", "alembic", "-c", str(ROOT / "migrations/alembic.ini"), "upgrade", "head"]
        run(migrate, {**os.environ, **environment})
        with patch.dict(os.environ, environment):
            store(url)  # the first one opens connections and builds a TLS context
            ours: list[float] = []
            peer: list[float] = []
            for _ in range(ROUNDS):
                peer.append(measure(lambda: curl(url, endpoint, Path(name))))
                ours.append(measure(lambda: store(url)))
    base = statistics.median(peer)
    print(f"  curl -o, curl -T      {base * 1000:6.0f} ms    1.00 x")
    print(f"  probe, store, verify  {statistics.median(ours) * 1000:6.0f} ms  {statistics.median(ours) / base:6.2f} x")


class _NoProbe:
    """The body is no real media, and MediaInfo is not what is measured."""

    def probe(self, source: object, format_name: str) -> MediaFacts:
        return MediaFacts(format_name)


def store(url: str) -> None:
    job = Job("bench", "bench", MediaType.IMAGE, "", "", "1x1", datetime.now(UTC))
    ports = replace(bootstrap.storage_ports(), probe=_NoProbe())
    upload_job_output_from_source(job, 0, MediaUrl(url), ports=ports)
    ports.temp.remove_of_job(job.id)


def curl(url: str, endpoint: str, folder: Path) -> None:
    file = folder / "curl"
    run(["curl", "-s", "-o", str(file), url], dict(os.environ))
    run(["curl", "-sf", "-o", os.devnull, "-T", str(file), f"{endpoint}/bench/curl"], dict(os.environ))


@contextmanager
def oss_emulator(folder: Path) -> Iterator[str]:
    emulator = OssEmulator(
        folder / "oss", credentials=Credentials(AccessKey("id", "secret")), clock=Clock(), faults=Faults()
    )
    emulator.create_bucket("bench", acl="public-read-write")
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(emulator.app, log_level="warning"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        emulator.close()


@contextmanager
def provider(folder: Path) -> Iterator[str]:
    files = folder / "provider"
    files.mkdir()
    with (files / "image.png").open("wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n" + os.urandom(MEDIA_BYTES - 8))

    class Handler(SimpleHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

        def copyfile(self, source: Any, outputfile: Any) -> None:
            shutil.copyfileobj(source, outputfile, 256 * 1024)

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(files)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/image.png"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def measure(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def run(command: list[str], environment: dict[str, str]) -> None:
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
