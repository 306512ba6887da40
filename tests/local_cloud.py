"""The local cloud as its users run it: a process, spoken to over HTTP, and its state looked at from outside."""

import json
import os
import queue
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx
import jwt
import oss2
import psutil

from devcloud.credentials import AccessKey
from devcloud.fc import acs3
from tests.answer_checker import ROOT, AnswerChecker
from tests.database_connection import open_database

T = TypeVar("T")
# Limits of tests that fail: a test that passes waits for nothing but the event itself.
START_TIMEOUT_S = 180
STOP_TIMEOUT_S = 90
ENDED = ("succeeded", "failed", "cancelled")
# Everything is plain HTTP here; building a TLS context per client would cost 30 ms each.
TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
# Tests poll often, and begin many jobs in the name of few users.
_DEFAULTS = {"POLL_INTERVAL_S": "0.1", "QUOTA_CONCURRENT_JOBS": "1000", "QUOTA_JOBS_PER_DAY": "100000"}
_SECRETS = ("OSS_SECRET", "DASHSCOPE_API_KEY", "OPENAI_API_KEY", "DATABASE_URL", "WEBHOOK_SECRET")
_MISSING = (
    *("AUTH_", "CORS_ORIGINS", "JOB_", "MAX_", "OSS_URL_TTL_S", "PATIENCE_S", "POLL_INTERVAL_S", "QUOTA_"),
    "WEBHOOK_SECRET",
)


def eventually(probe: Callable[[], T | None], *, timeout_s: float = 90, interval_s: float = 0.05) -> T:
    """Return the first true value of ``probe``; fail with the last one when the time is over.

    An AssertionError of ``probe`` counts as not yet.
    """
    until = time.monotonic() + timeout_s
    while True:
        try:
            value, failure = probe(), None
        except AssertionError as error:
            failure = error
        else:
            if value:
                return value
        if time.monotonic() > until:
            raise failure or AssertionError(f"not within {timeout_s:g} s; the last value was {value!r}")
        time.sleep(interval_s)


class LocalCloud:
    """One ``python -m devcloud up`` on a data folder. ``env`` is what a developer would export before it."""

    def __init__(
        self, data_dir: Path, database_url: str | None = None, env: Mapping[str, str] | None = None, port: int = 0
    ) -> None:
        self.data_dir = data_dir
        self._database_url = database_url
        self._env = dict(env or {})
        self._port = port
        self._process: subprocess.Popen[str] | None = None
        self._clients: list[httpx.Client] = []

    def start(self) -> "LocalCloud":
        """Start it and return once it says that it is ready."""
        mine = {name: value for name, value in os.environ.items() if not name.startswith(_MISSING)}
        command = [sys.executable, "-m", "devcloud", "up", "--port", str(self._port), "--data", str(self.data_dir)]
        if self._database_url:
            command += ["--database-url", self._database_url]
        log_file = self.data_dir.with_name(f"{self.data_dir.name}.log")
        with log_file.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                cwd=ROOT,
                env={**mine, **_DEFAULTS, **self._env},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
            )
        try:
            self._wait_until_ready(log_file)
            self._read_state()
        except BaseException:
            self.kill()
            raise
        return self

    def _wait_until_ready(self, log_file: Path) -> None:
        lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        output = self.process.stdout
        assert output is not None

        def read() -> None:
            for line in output:
                lines.put(line)
            lines.put(None)

        threading.Thread(target=read, daemon=True).start()
        until = time.monotonic() + START_TIMEOUT_S
        while True:
            line = lines.get(timeout=max(until - time.monotonic(), 0.01))
            if line is None:
                raise AssertionError(f"the local cloud did not start:\n{log_file.read_text()[-4000:]}")
            if line.startswith("ready "):
                return

    def _read_state(self) -> None:
        # What ``env`` and ``token`` read too; asking them costs a second each.
        state = json.loads((self.data_dir / "running.json").read_text())
        self.variables: dict[str, str] = state["variables"]
        self._auth_secret = state["auth_secret"]
        self._claims = {"iss": state["auth_issuer"], "aud": state["auth_audience"]}
        self.service_scope: str = state["auth_service_scope"]
        secrets = {name: self.variables[name] for name in _SECRETS if self.variables[name]} | {
            "AUTH_HS256_SECRET": self._auth_secret
        }
        if password := urlsplit(self.variables["DATABASE_URL"]).password:
            secrets["the database's password"] = password
        self.checker = AnswerChecker([self.data_dir], secrets, signed_urls="OSS_URL_TTL_S" in self._env)

    def command(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run ``python -m devcloud …`` on this data folder."""
        return subprocess.run(
            [sys.executable, "-m", "devcloud", arguments[0], "--data", str(self.data_dir), *arguments[1:]],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
            timeout=START_TIMEOUT_S,
        )

    @property
    def process(self) -> "subprocess.Popen[str]":
        """The process of the local cloud."""
        assert self._process is not None, "it does not run"
        return self._process

    def stop(self) -> None:
        """End it as ``kill`` without options does; it must exit with 0 and leave no process behind."""
        if self._process is None:
            return
        family = psutil.Process(self.process.pid).children(recursive=True)
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(timeout=STOP_TIMEOUT_S)
        self._forget()
        _, alive = psutil.wait_procs(family, timeout=STOP_TIMEOUT_S)
        assert not alive, f"still running: {alive}"
        assert status == 0, f"it ended with status {status}"

    def kill(self) -> None:
        """End it as a crash does."""
        if self._process is None:
            return
        self.process.kill()
        self.process.wait(timeout=STOP_TIMEOUT_S)
        self._forget()

    def _forget(self) -> None:
        for client in self._clients:
            client.close()
        self._clients.clear()
        self.__dict__.pop("control", None)
        if self.process.stdout is not None:
            self.process.stdout.close()
        self._process = None

    # -- asking

    def token(self, user: str, *, secret: str | None = None, **claims: object) -> str:
        """Return a token of the user; ``claims`` replace or, where None, remove what it says by default."""
        now = int(time.time())
        said = {"sub": user, "iat": now, "exp": now + 3600, **self._claims, **claims}
        said = {name: value for name, value in said.items() if value is not None}
        return jwt.encode(said, secret or self._auth_secret, algorithm="HS256")

    def api(self, user: str | None) -> httpx.Client:
        """Return a client of the API with the user's token, or without any; every answer is looked through."""
        headers = {} if user is None else {"Authorization": f"Bearer {self.token(user)}"}
        return self._client(self.variables["API_URL"], headers=headers, checked=True)

    @cached_property
    def control(self) -> httpx.Client:
        """The control requests."""
        return self._client(self.variables["CONTROL_URL"])

    def _client(
        self, base_url: str, *, headers: Mapping[str, str] | None = None, checked: bool = False
    ) -> httpx.Client:
        client = httpx.Client(
            base_url=base_url,
            headers=headers,
            timeout=90,
            trust_env=False,
            verify=TLS,
            event_hooks={"response": [self.checker.check]} if checked else {},
        )
        self._clients.append(client)
        return client

    def oss2_bucket(self) -> Any:
        """Return the bucket as the official SDK opens it with the operator's key."""
        variables = self.variables
        return oss2.Bucket(
            oss2.AuthV4(variables["OSS_ACCESS_KEY"], variables["OSS_SECRET"]),
            variables["OSS_ENDPOINT"],
            variables["OSS_BUCKET"],
            region=variables["OSS_REGION"].removeprefix("oss-"),
            connect_timeout=60,
        )

    def invoke(self, function: str, event: object) -> bytes:
        """Invoke a function by FC's own API, wait, and return its result; an error of it fails."""
        url = httpx.URL(f"{self.variables['FC_ENDPOINT']}/2023-03-30/functions/{function}/invocations")
        body = json.dumps(event).encode()
        headers = {"host": url.netloc.decode(), "content-type": "application/octet-stream"}
        key = AccessKey(self.variables["OSS_ACCESS_KEY"], self.variables["OSS_SECRET"])
        signed = acs3.sign("POST", url.raw_path.decode(), "", headers, body, action="InvokeFunction", key=key)
        answer = httpx.post(url, headers=signed, content=body, timeout=90, trust_env=False, verify=TLS)
        assert answer.status_code == 200 and "x-fc-error-type" not in answer.headers, answer.text
        return answer.content

    def answer_of(self, function: str, event: object) -> dict[str, Any]:
        """Invoke an HTTP function past the gateway and return what it hands to the platform, looked through."""
        return self.checker.check_result(self.invoke(function, event))

    # -- turning the knobs

    def arm(self, target: str, match: Mapping[str, str], effect: Mapping[str, object], times: int = 1) -> None:
        """Arm a fault."""
        fault = {"target": target, "match": match, "effect": effect, "times": times}
        self._control("POST", "/faults", fault)

    def disarm(self) -> None:
        """Clear every fault."""
        self._control("DELETE", "/faults")

    def advance(self, seconds: float) -> str:
        """Move the emulators' clock and return what it shows now."""
        return str(self._control("POST", "/clock", {"advanceSeconds": seconds})["now"])

    def _control(self, method: str, path: str, body: object = None) -> Any:
        answer = self.control.request(method, path, json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def execute(self, sql: str, *values: object) -> None:
        """Change the database; ``?`` stands for a value."""
        with open_database(self.variables["DATABASE_URL"]) as (connection, mark):
            connection.cursor().execute(sql.replace("?", mark), values)
            connection.commit()

    # -- looking

    def rows(self, sql: str, *values: object) -> list[dict[str, Any]]:
        """Query the database; ``?`` stands for a value."""
        with open_database(self.variables["DATABASE_URL"]) as (connection, mark):
            cursor = connection.cursor()
            cursor.execute(sql.replace("?", mark), values)
            return [dict(row) for row in cursor.fetchall()]

    def instances(self, function: str | None = None) -> list[dict[str, Any]]:
        """Return the live instances, of one function or of all."""
        found = self._control("GET", "/instances")
        return [instance for instance in found if function in {None, instance["function"]}]

    def invocations(self, function: str) -> list[dict[str, Any]]:
        """Return the invocations of a function, first begun first."""
        found: list[dict[str, Any]] = self._control("GET", f"/invocations?function={function}")
        return found

    def charges(self, prompt: str) -> list[dict[str, Any]]:
        """Return what the provider would have billed for the prompt."""
        return [charge for charge in self._control("GET", "/provider/charges") if charge["prompt"] == prompt]

    def temp_files(self) -> list[Path]:
        """Return every file under the temp folder of any instance, living or dead."""
        folders = {Path(instance["tempDir"]) for instance in self.instances()}
        folders |= set((self.data_dir / "instances").glob("*/tmp"))
        # An instance that has just died takes its folder along while it is looked at, which os.walk does not mind.
        found = ((folder, names) for top in folders for folder, _, names in os.walk(top))
        return sorted({Path(folder) / name for folder, names in found for name in names})

    def objects(self, user: str, job_id: str) -> list[Any]:
        """Return OSS's list of what lies in the job's folder."""
        return list(oss2.ObjectIterator(self.oss2_bucket(), prefix=f"users/{user}/jobs/{job_id}/"))

    def output_rows(self, job_id: str) -> list[dict[str, Any]]:
        """Return the job's rows of ``job_outputs`` with ``meta`` read."""
        rows = self.rows("SELECT * FROM job_outputs WHERE job_id = ? ORDER BY oss_path", job_id)
        return [{**row, "meta": json.loads(row["meta"])} for row in rows]

    def finish(self, api: httpx.Client, job_id: str, *, timeout_s: float = 120) -> dict[str, Any]:
        """Return the job once it has ended, with the emulators' clock driven on until it does."""

        def ended() -> dict[str, Any] | None:
            job: dict[str, Any] = api.get(f"/jobs/{job_id}").raise_for_status().json()
            if job["status"] in ENDED:
                return job
            self.advance(2)
            return None

        return eventually(ended, timeout_s=timeout_s, interval_s=0.1)

    def age(self, job_id: str) -> None:
        """Let a minute pass for one job: its lease dies and its next attempt is due. Then fire the minute timer.

        Only for a job that nobody works on: a living attempt would lose its lease.
        """
        past = "2020-01-01 00:00:00"
        self.execute(
            "UPDATE jobs SET lease_expires_at = CASE WHEN lease_expires_at IS NULL THEN NULL ELSE ? END,"
            " next_attempt_at = CASE WHEN next_attempt_at IS NULL THEN NULL ELSE ? END WHERE id = ?",
            past,
            past,
            job_id,
        )
        self.advance(60)


def free_ports(count: int = 3) -> int:
    """Return the first of ``count`` ports in a row that are free now."""
    for _ in range(200):
        with closing(socket.socket()) as first:
            first.bind(("127.0.0.1", 0))
            port: int = first.getsockname()[1]
            if port + count < 65536 and all(_is_free(port + offset) for offset in range(1, count)):
                return port
    raise AssertionError("no free ports in a row")


def _is_free(port: int) -> bool:
    with closing(socket.socket()) as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def download(url: str) -> httpx.Response:
    """Fetch an object as anybody can, without a token."""
    return httpx.get(url, trust_env=False, verify=TLS, timeout=90)


def crc64_of(headers: Mapping[str, str]) -> int:
    """Return the CRC-64 that OSS states of an object."""
    return int(headers["x-oss-hash-crc64ecma"])
