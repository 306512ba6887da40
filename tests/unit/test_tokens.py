"""Bearer tokens: what holds, and every way in which one does not."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm
from pydantic import SecretStr

from shared.adapters.tokens import TokenVerifier
from shared.domain.errors import ConfigurationError, DreamFactoryError, UnauthenticatedError, ValidationError
from shared.settings import AuthSettings
from tests.fakes import USER

SECRET = "a secret of at least sixty-four bytes, which is what HS512 wants too"
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC = ec.generate_private_key(ec.SECP256R1())
STRANGER = rsa.generate_private_key(public_exponent=65537, key_size=2048)
JWKS = {
    "keys": [
        {**RSAAlgorithm.to_jwk(RSA.public_key(), as_dict=True), "kid": "rsa", "use": "sig", "alg": "RS256"},
        {**ECAlgorithm.to_jwk(EC.public_key(), as_dict=True), "kid": "ec", "use": "sig"},
    ]
}


def settings(**changes: Any) -> AuthSettings:
    values: dict[str, Any] = {
        "jwks_url": None,
        "jwks": None,
        "hs256_secret": None,
        "issuer": None,
        "audience": None,
        "user_claim": "sub",
    }
    return AuthSettings(**{**values, **changes})


def hs256(**changes: Any) -> TokenVerifier:
    return TokenVerifier(settings(hs256_secret=SecretStr(SECRET), **changes))


def jwks(**changes: Any) -> TokenVerifier:
    return TokenVerifier(settings(jwks=JWKS, **changes))


def claims(**changes: Any) -> dict[str, Any]:
    made = {"sub": USER, "exp": int(time.time()) + 600, **changes}
    return {name: value for name, value in made.items() if value is not None}


def bearer(key: Any = SECRET, algorithm: str = "HS256", kid: str | None = None, **changes: Any) -> str:
    headers = {"kid": kid} if kid else None
    return f"Bearer {jwt.encode(claims(**changes), key, algorithm=algorithm, headers=headers)}"


def forged(header: dict[str, Any], secret: bytes | None = None) -> str:
    """Make a token by hand, as no library would."""
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in (header, claims())]
    body = b".".join(parts)
    signature = hmac.digest(secret, body, hashlib.sha256) if secret else b""
    return f"Bearer {(body + b'.' + base64.urlsafe_b64encode(signature).rstrip(b'=')).decode()}"


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_a_shared_secret(scheme: str) -> None:
    assert hs256().user_of(bearer().replace("Bearer", scheme)) == USER


@pytest.mark.parametrize(
    ("key", "algorithm", "kid"), [(RSA, "RS256", "rsa"), (EC, "ES256", "ec"), (RSA, "RS256", None)]
)
def test_a_key_set(key: Any, algorithm: str, kid: str | None) -> None:
    assert jwks().user_of(bearer(key, algorithm, kid)) == USER


def test_another_claim_can_name_the_user() -> None:
    assert hs256(user_claim="email").user_of(bearer(email="a@example.com")) == "a@example.com"
    assert hs256(user_claim="email").user_of(bearer(email="a@example.com", sub=None)) == "a@example.com"


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Basic dXNlcjpw", "token", "Bearer\tabc"])
def test_no_token(header: str | None) -> None:
    with pytest.raises(UnauthenticatedError):
        hs256().user_of(header)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"exp": int(time.time()) - 60}, "it has expired"),
        ({"exp": None}, "the claim 'exp' is missing"),
        ({"nbf": int(time.time()) + 86_400}, "it is not valid yet"),
        ({"sub": None}, "the claim 'sub' is missing"),
        ({"iss": "https://other.example.com"}, "it is from another issuer"),
        ({"iss": None}, "the claim 'iss' is missing"),
        ({"aud": "other"}, "it is for another audience"),
        ({"aud": None}, "the claim 'aud' is missing"),
        ({"key": "another secret of at least 32 bytes!"}, "its signature is wrong"),
        ({"algorithm": "HS512"}, "its algorithm is not accepted"),
    ],
)
def test_a_token_that_does_not_hold_says_why(changes: dict[str, Any], reason: str) -> None:
    verifier = hs256(issuer="https://issuer.example.com", audience="media")
    good: dict[str, Any] = {"iss": "https://issuer.example.com", "aud": ["media", "x"]}
    assert verifier.user_of(bearer(**good)) == USER
    with pytest.raises(UnauthenticatedError, match=reason):
        verifier.user_of(bearer(**{**good, **changes}))


def test_clocks_may_differ_by_some_seconds() -> None:
    assert hs256().user_of(bearer(exp=int(time.time()) - 10, nbf=int(time.time()) + 10)) == USER


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", ""])
def test_a_token_without_signature_never_holds(algorithm: str) -> None:
    for verifier in (hs256(), jwks()):
        for kid in (None, "rsa"):
            with pytest.raises(UnauthenticatedError):
                verifier.user_of(forged({"alg": algorithm, "typ": "JWT", **({"kid": kid} if kid else {})}))


@pytest.mark.parametrize("form", [serialization.Encoding.PEM, serialization.Encoding.DER])
def test_a_public_key_is_no_shared_secret(form: serialization.Encoding) -> None:
    public = RSA.public_key().public_bytes(form, serialization.PublicFormat.SubjectPublicKeyInfo)
    with pytest.raises(UnauthenticatedError, match="algorithm"):
        jwks().user_of(forged({"alg": "HS256", "kid": "rsa"}, public))


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "ES256", "kid": "rsa"},
        {"alg": "RS256", "kid": "ec"},
        {"alg": "PS256", "kid": "rsa"},
        {"alg": "RS256", "kid": "unknown"},
        {"alg": "RS256", "kid": 5},
        {"alg": ["RS256"], "kid": "rsa"},
        {"alg": "RS256", "kid": "rsa", "crit": ["x"]},
        {"kid": "rsa"},
    ],
)
def test_an_odd_header_is_refused_and_breaks_nothing(header: dict[str, Any]) -> None:
    with pytest.raises(UnauthenticatedError):
        jwks().user_of(forged(header, b"x"))


def test_a_key_that_the_token_brings_along_is_not_believed() -> None:
    own = {**RSAAlgorithm.to_jwk(STRANGER.public_key(), as_dict=True), "kid": "rsa"}
    token = jwt.encode(
        claims(), STRANGER, algorithm="RS256", headers={"kid": "rsa", "jwk": own, "jku": "http://127.0.0.1:9/x"}
    )
    with pytest.raises(UnauthenticatedError, match="signature"):
        jwks().user_of(f"Bearer {token}")


@pytest.mark.parametrize("token", ["x", "a.b.c", "....", "é.é.é", "eyJ.eyJ.eyJ", "a" * 8000])
def test_rubbish_is_refused(token: str) -> None:
    for verifier in (hs256(), jwks()):
        with pytest.raises(UnauthenticatedError, match="does not hold"):
            verifier.user_of(f"Bearer {token}")


def test_a_changed_token_does_not_hold() -> None:
    head, _, signature = bearer().removeprefix("Bearer ").split(".")
    body = base64.urlsafe_b64encode(json.dumps(claims(sub="somebody-else")).encode()).rstrip(b"=").decode()
    with pytest.raises(UnauthenticatedError, match="signature"):
        hs256().user_of(f"Bearer {head}.{body}.{signature}")


@pytest.mark.parametrize("user", ["../x", "a/b", "", "x" * 256, "."])
def test_a_user_that_cannot_be_a_folder_is_refused(user: str) -> None:
    with pytest.raises(ValidationError, match="userId"):
        hs256().user_of(bearer(sub=user))


@pytest.mark.parametrize("user", [5, ["a"], {"a": 1}, True])
def test_a_user_id_is_text(user: Any) -> None:
    with pytest.raises(UnauthenticatedError):
        hs256(user_claim="user").user_of(bearer(user=user))


def test_no_message_holds_the_token() -> None:
    token = bearer("another secret of at least 32 bytes!")
    with pytest.raises(UnauthenticatedError) as caught:
        hs256().user_of(token)
    assert token.rsplit(".", 1)[1] not in str(caught.value)


def test_a_key_set_without_a_usable_key_is_a_wrong_setting() -> None:
    with pytest.raises(ConfigurationError, match="AUTH_JWKS"):
        TokenVerifier(settings(jwks={"keys": [{"kty": "nonsense"}]}))


class _KeyServer(ThreadingHTTPServer):
    daemon_threads = True
    status, body = 200, json.dumps(JWKS).encode()


class _KeyHandler(BaseHTTPRequestHandler):
    server: _KeyServer

    def do_GET(self) -> None:
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(self.server.body)))
        self.end_headers()
        self.wfile.write(self.server.body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def key_server() -> Iterator[_KeyServer]:
    server = _KeyServer(("127.0.0.1", 0), _KeyHandler)
    thread = Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def remote(server: _KeyServer) -> TokenVerifier:
    return TokenVerifier(settings(jwks_url=f"http://127.0.0.1:{server.server_port}/jwks"))


@pytest.mark.parametrize(("key", "algorithm", "kid"), [(RSA, "RS256", "rsa"), (EC, "ES256", "ec")])
def test_a_key_set_at_a_url(key_server: _KeyServer, key: Any, algorithm: str, kid: str) -> None:
    assert remote(key_server).user_of(bearer(key, algorithm, kid)) == USER


@pytest.mark.parametrize("header", [{"alg": "ES256", "kid": "rsa"}, {"alg": "RS256", "kid": "no"}, {"alg": "RS256"}])
def test_an_odd_header_is_refused_by_remote_keys_too(key_server: _KeyServer, header: dict[str, Any]) -> None:
    with pytest.raises(UnauthenticatedError):
        remote(key_server).user_of(forged(header, b"x"))


@pytest.mark.parametrize(("status", "body"), [(503, b""), (200, b"<html>"), (200, b"{}")])
def test_keys_that_cannot_be_fetched_are_no_fault_of_the_token(
    key_server: _KeyServer, status: int, body: bytes
) -> None:
    key_server.status, key_server.body = status, body
    with pytest.raises(DreamFactoryError) as caught:
        remote(key_server).user_of(bearer(RSA, "RS256", "rsa"))
    assert caught.value.code == "keys_unavailable"
