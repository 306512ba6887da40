"""Upload callbacks."""

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
import requests

from devcloud.oss.testing import EmulatedOss

pytest_plugins = ["devcloud.oss.pytest_plugin"]


@contextmanager
def application(status: int) -> Iterator[tuple[str, list[str]]]:
    """Serve an application that answers callbacks; yield its address and the bodies of the callbacks."""
    bodies: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(b'{"saved": true}')

        def log_message(self, *_args: object) -> None:
            """Log nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/saved", bodies
        server.shutdown()
        thread.join()


def encoded(fields: dict[str, str]) -> str:
    return base64.b64encode(json.dumps(fields).encode()).decode()


def callback(url: str, body: str, body_type: str = "application/json") -> dict[str, str]:
    fields = {"callbackUrl": url, "callbackBody": body, "callbackBodyType": body_type}
    return {"x-oss-callback": encoded(fields), "x-oss-callback-var": encoded({"x:job": "4 2"})}


def test_the_answer_of_the_application_is_returned(oss: EmulatedOss) -> None:
    with application(200) as (url, bodies):
        headers = callback(url, '{"key": ${object}, "size": ${size}, "job": ${x:job}}')
        answer = oss.client().put_object("图", b"hello", headers=headers)
        assert json.loads(answer.resp.read()) == {"saved": True}
        form = callback(url, "key=${object}&job=${x:job}", "application/x-www-form-urlencoded")
        oss.client().put_object("图", b"hello", headers=form)
    assert json.loads(bodies[0]) == {"key": "图", "size": 5, "job": "4 2"}
    assert bodies[1] == "key=%E5%9B%BE&job=4%202"


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/", "http://192.0.2.1/", "ftp://127.0.0.1/"])
def test_a_failed_callback_keeps_the_object(oss: EmulatedOss, url: str) -> None:
    address = oss.client().sign_url("PUT", "k", 60)
    headers = callback(url, "b")
    signed = oss.client().sign_url("PUT", "k", 60, headers=headers)
    assert address != signed
    answer = requests.put(signed, data=b"x", headers=headers, timeout=10)
    assert (answer.status_code, "<Code>CallbackFailed</Code>" in answer.text) == (203, True)
    assert oss.client().get_object("k").read() == b"x"


def test_an_error_of_the_application_is_a_failed_callback(oss: EmulatedOss) -> None:
    with application(500) as (url, _):
        headers = callback(url, "b")
        answer = requests.put(
            oss.client().sign_url("PUT", "k", 60, headers=headers), data=b"x", headers=headers, timeout=10
        )
    assert answer.status_code == 203
