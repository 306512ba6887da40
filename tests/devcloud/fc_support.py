"""A tiny separate project, and the local cloud that runs it as a process."""

import contextlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import httpx
import psutil

T = TypeVar("T")

REPOSITORY = Path(__file__).resolve().parents[2]

MANIFEST = """
edition: 3.0.0
name: tiny
vars:
  region: ${env('FC_REGION', 'cn-hangzhou')}
  account: '1234567890123456'
template:
  function:
    runtime: python3.12
    handler: index.handler
    memorySize: 128
    timeout: 10
    environmentVariables: &common
      NOTES: NOTES_DIR
      SECRET: ${env('AUTH_HS256_SECRET')}
resources:
  web:
    component: fc3
    extend: {name: function}
    props:
      functionName: web
      code: ./dist/web
      triggers:
        - triggerName: http
          triggerType: http
          triggerConfig: {authType: anonymous, methods: [GET, HEAD, POST, OPTIONS]}
  work:
    component: fc3
    extend: {name: function}
    props:
      functionName: work
      code: ./dist/work
      timeout: 5
      asyncInvokeConfig: {asyncTask: true, maxAsyncRetryAttempts: 2, maxAsyncEventAgeInSeconds: 3600}
  slow-job:
    component: fc3
    extend: {name: function}
    props:
      functionName: slow-job
      code: ./dist/slow-job
      timeout: 600
      asyncInvokeConfig: {asyncTask: true}
      instanceLifecycleConfig:
        initializer: {handler: index.initialize, timeout: 10}
        preStop: {handler: index.pre_stop, timeout: 10}
  seen:
    component: fc3
    extend: {name: function}
    props:
      functionName: seen
      code: ./dist/seen
      triggers:
        - triggerName: outputs
          triggerType: oss
          sourceArn: acs:oss:${vars.region}:${vars.account}:dream-factory-media
          triggerConfig:
            events: ['oss:ObjectCreated:PutObject', 'oss:ObjectRemoved:*']
            filter: {key: {prefix: users/, suffix: .png}}
  tick:
    component: fc3
    extend: {name: function}
    props:
      functionName: tick
      code: ./dist/tick
      triggers:
        - triggerName: yearly
          triggerType: timer
          triggerConfig: {cronExpression: CRON_TZ=Asia/Shanghai 0 30 2 1 1 *, enable: true, payload: '{"task": "x"}'}
        - triggerName: never
          triggerType: timer
          triggerConfig: {cronExpression: '@every 1s', enable: false}
"""

FUNCTIONS = {
    "web": """
import base64, json
def handler(event, context):
    event = json.loads(event)
    path = event["rawPath"]
    if path == "/raise":
        raise RuntimeError(__file__)
    if path == "/forbidden":
        return {"statusCode": 200, "headers": {"Content-Length": "3"}, "body": "abc"}
    if path == "/text":
        return "just text"
    if path == "/binary":
        body = base64.b64encode(bytes(range(256))).decode()
        return {"statusCode": 200, "headers": {"Content-Type": "image/png"}, "isBase64Encoded": True, "body": body}
    return {"statusCode": 201, "headers": {"Content-Type": "application/json", "X-Mine": "1"},
            "body": json.dumps(event)}
""",
    "work": """
import json, os, sys, tempfile, time
from pathlib import Path
from shared.greeting import GREETING
def handler(event, context):
    event = json.loads(event)
    do = event.get("do")
    print("doing", do, "in", tempfile.gettempdir())
    if "note" in event:
        with (Path(os.environ["NOTES"]) / event["note"]).open("a") as notes:
            notes.write(context.request_id + "\\n")
    if do == "raise":
        raise ValueError(f"no good: {__file__} {tempfile.gettempdir()}/x")
    if do == "fail twice" and len((Path(os.environ["NOTES"]) / event["note"]).read_text().split()) < 3:
        raise ValueError("not yet")
    if do == "sleep":
        time.sleep(60)
    if do == "exit":
        os._exit(3)
    if do == "memory":
        block = b"x" * (300 << 20)
    if do == "fill":
        (Path(os.environ["TEMP_DIR"]) / "full").write_bytes(bytes(event["size"]))
    if do == "look":
        return {"greeting": GREETING, "env": dict(os.environ), "path": sys.path, "pid": os.getpid(),
                "context": [context.function.name, context.function.timeout, context.region, context.account_id],
                "oddities": [hasattr(context, "credentials"), hasattr(context, "service")],
                "temp": os.listdir(os.environ["TEMP_DIR"])}
    if do == "keep":
        (Path(os.environ["TEMP_DIR"]) / "kept").touch()
    return event
""",
    "slow_job": """
import json, os, threading
from pathlib import Path
notes = Path(os.environ["NOTES"])
def initialize(context):
    (notes / "initialized").touch()
def pre_stop(context):
    (notes / "pre-stopped").touch()
def handler(event, context):
    event = json.loads(event)
    if event.get("quick"):
        return "done"
    with (notes / event["note"]).open("a") as started:
        started.write(f"{os.getpid()}\\n")
    if len((notes / event["note"]).read_text().split()) == 1:
        threading.Event().wait()
    return "done"
""",
    "seen": """
import json, os
from pathlib import Path
def handler(event, context):
    with (Path(os.environ["NOTES"]) / "seen").open("a") as seen:
        for record in json.loads(event)["events"]:
            seen.write(record["eventName"] + " " + record["oss"]["object"]["key"] + "\\n")
""",
    "tick": """
import json, os
from pathlib import Path
def handler(event, context):
    with (Path(os.environ["NOTES"]) / "ticks").open("a") as ticks:
        ticks.write(event.decode() + "\\n")
""",
}


def write_project(folder: Path) -> Path:
    notes = folder / "notes"
    notes.mkdir(parents=True)
    (folder / "s.yaml").write_text(MANIFEST.replace("NOTES_DIR", str(notes)))
    (folder / "shared").mkdir()
    (folder / "shared" / "greeting.py").write_text("GREETING = 'hello'\n")
    for name, source in FUNCTIONS.items():
        (folder / "functions" / name).mkdir(parents=True)
        (folder / "functions" / name / "index.py").write_text(source)
    return folder


def devcloud(*arguments: str, project: Path, **options: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "devcloud", arguments[0], "--project", str(project), *arguments[1:]]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=180, check=False, **options)


class LocalCloud:
    """A running ``python -m devcloud up``."""

    def __init__(self, project: Path, *arguments: str) -> None:
        self.project = project
        self.notes = project / "notes"
        command = [sys.executable, "-m", "devcloud", "up", "--project", str(project), "--port", "0", *arguments]
        self.process = subprocess.Popen(
            command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert self.process.stdout is not None
        self.output = []
        for line in self.process.stdout:
            self.output.append(line)
            if line.startswith("ready "):
                break
        else:
            raise AssertionError("".join(self.output))
        note = json.loads((project / ".devcloud" / "running" / f"{self.process.pid}.json").read_text())
        self.data = Path(note["data_dir"])
        self.variables: dict[str, str] = note["variables"]
        self.api = httpx.Client(base_url=self.variables["API_URL"], trust_env=False, timeout=90)
        self.control = httpx.Client(base_url=self.variables["CONTROL_URL"], trust_env=False, timeout=90)

    def arm(self, target: str, effect: dict[str, Any], times: int = 1, **match: str) -> None:
        body = {"target": target, "effect": effect, "match": match, "times": times}
        self.control.post("/faults", json=body).raise_for_status()

    def invocations(self, function: str) -> list[dict[str, Any]]:
        return list(self.control.get("/invocations", params={"function": function}).json())

    def instances(self, function: str) -> list[dict[str, Any]]:
        return [item for item in self.control.get("/instances").json() if item["function"] == function]

    def lines(self, note: str) -> list[str]:
        path = self.notes / note
        return path.read_text().splitlines() if path.exists() else []

    def end(self, number: int = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        assert self.process.stdout is not None
        with self.process.stdout as output:
            self.output += output.readlines()
        self.api.close()
        self.control.close()
        return self.process.wait(90)


@contextlib.contextmanager
def local_cloud(project: Path, *arguments: str) -> Iterator[LocalCloud]:
    cloud = LocalCloud(project, *arguments)
    try:
        yield cloud
    finally:
        cloud.end()


def eventually(look: Callable[[], T], within_s: float = 90) -> T:
    """Read repeatedly until the result is not empty."""
    deadline = time.monotonic() + within_s
    while True:
        seen = look()
        if seen:
            return seen
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def is_gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
