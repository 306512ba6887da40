"""A provider whose answers a test scripts."""

import json
from http.server import ThreadingHTTPServer
from typing import Any

from pydantic import SecretStr

from shared.settings import ProviderSettings
from tests.serving import QuietHandler

KEY = "sk-a-key-that-nobody-may-see"


def settings(base_url: str, key: str = KEY) -> ProviderSettings:
    return ProviderSettings(base_url, SecretStr(key), 5.0)


class Scripted(ThreadingHTTPServer):
    """Answers every request with the same status, body and headers, and records the requests."""

    daemon_threads = True
    status, body = 200, b"{}"

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _ScriptedHandler)
        self.headers: dict[str, str] = {}
        self.asked: list[tuple[str, dict[str, str], Any]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _ScriptedHandler(QuietHandler):
    server: Scripted

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.asked.append((self.path, headers, json.loads(body) if body else None))
        self.answer(self.server.status, self.server.body, **self.server.headers)

    def do_GET(self) -> None:
        self.do_POST()
