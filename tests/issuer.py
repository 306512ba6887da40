"""A token issuer: a server with its key set, scripted by a test."""

import json
from http.server import ThreadingHTTPServer
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from tests.serving import QuietHandler


def public(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, **members: object) -> dict[str, Any]:
    """Return the public part as an entry of a key set."""
    made = (
        RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
        if isinstance(key, rsa.RSAPrivateKey)
        else ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
    )
    return {**made, **members}


class KeyHandler(QuietHandler):
    """Answers every request with the present answer of the issuer."""

    server: "Issuer"

    def do_GET(self) -> None:
        self.server.asked += 1
        self.send_response(self.server.status)
        for name, value in {"Content-Length": str(len(self.server.body)), **self.server.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(self.server.body)


class Issuer(ThreadingHTTPServer):
    """An issuer that publishes ``keys`` and counts how often it is asked for them."""

    daemon_threads = True

    def __init__(self, *keys: dict[str, Any], handler: type[KeyHandler] = KeyHandler) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self.asked = 0
        self.status = 200
        self.headers: dict[str, str] = {}
        self.publish(*keys)

    def handle_error(self, request: object, client_address: object) -> None:
        """Do not report a client that has closed the connection."""

    def publish(self, *keys: dict[str, Any]) -> None:
        """Publish these keys from now on."""
        self.body = json.dumps({"keys": keys}).encode()

    @property
    def url(self) -> str:
        """The URL of the keys."""
        return f"http://127.0.0.1:{self.server_port}/keys"
