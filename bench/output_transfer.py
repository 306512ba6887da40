"""A provider's URL through the temp folder into OSS, against curl: the same transfer by two commands, unchecked."""

import os
import shutil
import statistics
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from unittest.mock import patch
from uuid import uuid4

from bench.timing import measure, run
from devcloud.credentials import AccessKey
from devcloud.oss.testing import EmulatorSettings, emulated_oss
from shared import bootstrap
from shared.domain.jobs import Job
from shared.domain.media import MediaFacts
from shared.domain.media_type import MediaType
from shared.ports import MediaUrl
from shared.services.storage import upload_job_output_from_source

ROOT = Path(__file__).resolve().parent.parent
ROUNDS = 7
MEDIA_BYTES = 64 * 1024 * 1024


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
            store(new_job(), url)  # the first call opens connections and builds a TLS context
            ours: list[float] = []
            peer: list[float] = []
            for _ in range(ROUNDS):
                peer.append(measure(lambda: curl(url, endpoint, Path(name))))
                ours.append(measure(partial(store, new_job(), url)))
    base = statistics.median(peer)
    print(f"  curl -o, curl -T      {base * 1000:6.0f} ms    1.00 x")
    print(f"  probe, store, verify  {statistics.median(ours) * 1000:6.0f} ms  {statistics.median(ours) / base:6.2f} x")


class _NoProbe:
    """Reports the format without MediaInfo: the body is random, and the benchmark does not measure MediaInfo."""

    def probe(self, source: object, format_name: str) -> MediaFacts:
        return MediaFacts(format_name)


def new_job() -> Job:
    job = Job(str(uuid4()), "bench", MediaType.IMAGE, "", "", "1x1", datetime.now(UTC))
    return bootstrap.jobs().add(job)


def store(job: Job, url: str) -> None:
    ports = replace(bootstrap.storage_ports(), probe=_NoProbe())
    upload_job_output_from_source(job, 0, MediaUrl(url), ports=ports)
    ports.temp.remove_of_job(job.id)


def curl(url: str, endpoint: str, folder: Path) -> None:
    file = folder / "curl"
    run(["curl", "-s", "-o", str(file), url], dict(os.environ))
    run(["curl", "-sf", "-o", os.devnull, "-T", str(file), f"{endpoint}/bench/curl"], dict(os.environ))


@contextmanager
def oss_emulator(folder: Path) -> Iterator[str]:
    with emulated_oss(folder / "oss", EmulatorSettings(keys=(AccessKey("id", "secret"),))) as oss:
        oss.create_bucket("bench", acl="public-read-write")  # curl does not sign
        yield oss.endpoint


@contextmanager
def provider(folder: Path) -> Iterator[str]:
    files = folder / "provider"
    files.mkdir()
    with (files / "image.png").open("wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n" + os.urandom(MEDIA_BYTES - 8))

    class Handler(SimpleHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:
            """Log nothing."""

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


if __name__ == "__main__":
    bench_transfer()
