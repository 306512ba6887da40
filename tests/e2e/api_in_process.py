"""The API's handler without the platform, to check the work for an answer and not only the answer.

It runs in a separate process, because the modules beside the handler are top-level there. As a program, this module
reads requests from stdin and writes the answers to stdout.
"""

import json
import re
import sqlite3
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
_RESULT = "result "
_TIME = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d+)?")


@dataclass(frozen=True)
class Asked:
    """One request."""

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Served:
    """The answer to a request, and the work for it: SQL (of SQLite) and network connections."""

    status: int
    headers: dict[str, str]
    body: dict[str, Any]
    work: list[str]

    def alike(self, *names: str) -> "Served":
        """Return the answer without values that differ between any two requests, and without the names of things."""
        pattern = re.compile("|".join(map(re.escape, names)))
        work = [pattern.sub("(name)", _TIME.sub("(time)", step)) for step in self.work]
        return Served(self.status, self.headers, {**self.body, "requestId": ""}, work)


def serve(environment: Mapping[str, str], asked: Sequence[Asked]) -> list[Served]:
    """Have one instance of the API serve requests, one after the other."""
    return [Served(**served) for served in _run(environment, asked)]


def _run(environment: Mapping[str, str], asked: Sequence[Asked]) -> list[dict[str, Any]]:
    finished = subprocess.run(
        [sys.executable, __file__],
        env={**environment, "PYTHONPATH": f"{ROOT / 'functions' / 'api'}:{ROOT}", "PYTHONDONTWRITEBYTECODE": "1"},
        input=json.dumps([asdict(each) for each in asked]),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    (line,) = [line for line in finished.stdout.splitlines() if line.startswith(_RESULT)]
    result: list[dict[str, Any]] = json.loads(line.removeprefix(_RESULT))
    return result


def _main() -> None:
    from index import handler

    from tests.answer_checker import AnswerChecker

    checker = AnswerChecker([], {})
    work: list[str] = []
    connect = sqlite3.connect

    def traced(*arguments: Any, **options: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(*arguments, **options)
        connection.set_trace_callback(work.append)
        return connection

    def look(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "socket.connect":
            work.append(f"connect to {arguments[1]}")

    sqlite3.connect = traced  # type: ignore[assignment]  # not all the overloads are needed
    sys.addaudithook(look)
    served = []
    for number, asked in enumerate(json.load(sys.stdin)):
        work.clear()
        event = {
            "rawPath": asked["path"],
            "headers": asked["headers"],
            "requestContext": {"http": {"method": asked["method"]}},
        }
        context = SimpleNamespace(request_id=f"request-{number}", function=SimpleNamespace(name="api", timeout=75))
        answer = handler(json.dumps(event).encode(), context)
        checker.check_result(json.dumps(answer).encode())
        body = json.loads(answer["body"] or "{}")
        served.append(asdict(Served(answer["statusCode"], answer["headers"], body, list(work))))
    print(_RESULT + json.dumps(served))


if __name__ == "__main__":
    _main()
