"""The keys that verify tokens: which keys are used, and how often they are fetched."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import RSAAlgorithm

from shared.adapters import key_fetching
from shared.adapters.key_fetching import fetch_key_set
from shared.adapters.key_sets import MAX_AGE_S, REST_S, REST_WITHOUT_KEYS_S, KeySet
from shared.adapters.tokens import TokenVerifier
from shared.domain.callers import UserCaller
from shared.domain.errors import InvalidTokenError, KeysUnavailableError
from shared.settings import AuthSettings
from tests.issuer import Issuer, KeyHandler, public
from tests.serving import serving

USER = UserCaller("test@factory-buy.com")
RSA, NEXT = (rsa.generate_private_key(public_exponent=65537, key_size=2048) for _ in range(2))
EC = ec.generate_private_key(ec.SECP256R1())


def private(key: rsa.RSAPrivateKey) -> dict[str, Any]:
    return dict(RSAAlgorithm.to_jwk(key, as_dict=True))


def bearer(key: Any, kid: str | None, algorithm: str = "RS256") -> str:
    claims = {"sub": USER.user_id, "aud": "media", "exp": int(time.time()) + 600}
    token = jwt.encode(claims, key, algorithm=algorithm, headers={"kid": kid} if kid else None)
    return f"Bearer {token}"


# -- which keys are used


UNUSABLE: dict[str, Any] = {
    "for encryption": public(RSA, use="enc"),
    "for encryption, said otherwise": public(RSA, key_ops=["encrypt"]),
    "odd operations": public(RSA, key_ops=7),
    "RS512": public(RSA, alg="RS512"),
    "PS256": public(RSA, alg="PS256"),
    "ES256 by RSA": public(RSA, alg="ES256"),
    "HS256 by RSA": public(RSA, alg="HS256"),
    "odd algorithm": public(RSA, alg=["RS256"]),
    "odd modulus": public(RSA, n=7),
    "unreadable modulus": public(RSA, n="***"),
    "no modulus": {"kty": "RSA"},
    "private": {**private(RSA), "key_ops": ["verify"]},
    "weak": public(rsa.generate_private_key(public_exponent=65537, key_size=1024)),  # noqa: S505 - on purpose
    "P-384": public(ec.generate_private_key(ec.SECP384R1())),
    "P-384 as ES256": public(ec.generate_private_key(ec.SECP384R1()), alg="ES256"),
    "secp256k1": public(ec.generate_private_key(ec.SECP256K1())),
    "secret": {"kty": "oct", "k": "YSBzZWNyZXQgb2YgYXQgbGVhc3QgdGhpcnR5LXR3byBieXRlcw", "alg": "HS256"},
    "Ed25519": {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},
    "empty": {},
    "text": "text",
    "null": None,
}


@pytest.mark.parametrize("entry", UNUSABLE.values(), ids=UNUSABLE.keys())
def test_a_key_for_another_purpose_is_not_used(entry: Any) -> None:
    with pytest.raises(KeysUnavailableError):
        KeySet({"keys": [entry]})
    assert KeySet({"keys": [entry, public(EC)]}).key_for({"alg": "ES256"})


@pytest.mark.parametrize("document", [None, [], {}, {"keys": None}, {"keys": []}, {"keys": {}}, "text"], ids=str)
def test_an_invalid_key_set_is_refused(document: object) -> None:
    with pytest.raises(KeysUnavailableError):
        KeySet(document)


def test_without_an_id_exactly_one_key_must_fit() -> None:
    keys = KeySet({"keys": [public(RSA, kid="a"), public(EC, kid="b"), public(RSA, use="enc")]})
    assert keys.key_for({"alg": "RS256"}).key_id == "a" and keys.key_for({"alg": "ES256"}).key_id == "b"
    two = KeySet({"keys": [public(RSA, kid="a"), public(NEXT, kid="b")]})
    with pytest.raises(InvalidTokenError, match="several"):
        two.key_for({"alg": "RS256"})
    assert two.key_for({"alg": "RS256", "kid": "b"}).key_id == "b"


def test_keys_of_different_algorithms_may_share_an_id() -> None:
    keys = KeySet({"keys": [public(RSA, kid="x"), public(EC, kid="x")]})
    assert keys.key_for({"alg": "ES256", "kid": "x"}).algorithm_name == "ES256"


# -- how an issuer is asked


class Monotonic:
    """Time that a test advances."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with serving(Issuer(public(RSA, kid="rsa"), public(EC, kid="ec"))) as server:
        yield server


@pytest.fixture
def monotonic() -> Monotonic:
    return Monotonic()


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    with httpx.Client(trust_env=False) as client:
        yield client


@pytest.fixture
def verifier(issuer: Issuer, monotonic: Monotonic, client: httpx.Client) -> TokenVerifier:
    config = AuthSettings(
        jwks_url=issuer.url,
        jwks=None,
        hs256_secret=None,
        issuer=None,
        audience="media",
        user_claim="sub",
        service_scope="act-for-user",
    )
    return TokenVerifier(config, fetch_keys=lambda url: fetch_key_set(url, client), monotonic=monotonic)


def refused(verifier: TokenVerifier, authorization: str) -> None:
    with pytest.raises(InvalidTokenError):
        verifier.caller_of(authorization)


def test_keys_are_fetched_with_the_first_token_and_cached(
    verifier: TokenVerifier, issuer: Issuer, monotonic: Monotonic
) -> None:
    assert issuer.asked == 0
    for key, kid, algorithm in ((RSA, "rsa", "RS256"), (EC, "ec", "ES256"), (RSA, None, "RS256")):
        assert verifier.caller_of(bearer(key, kid, algorithm)) == USER
    monotonic.now += MAX_AGE_S - 1
    assert verifier.caller_of(bearer(RSA, "rsa")) == USER
    assert issuer.asked == 1
    monotonic.now += 1
    assert verifier.caller_of(bearer(RSA, "rsa")) == USER
    assert issuer.asked == 2


def test_a_withdrawn_key_is_refused_after_the_next_fetch(
    verifier: TokenVerifier, issuer: Issuer, monotonic: Monotonic
) -> None:
    assert verifier.caller_of(bearer(RSA, "rsa")) == USER
    issuer.publish(public(NEXT, kid="next"))
    monotonic.now += MAX_AGE_S
    refused(verifier, bearer(RSA, "rsa"))


def test_an_unknown_key_id_causes_a_new_fetch(verifier: TokenVerifier, issuer: Issuer, monotonic: Monotonic) -> None:
    assert verifier.caller_of(bearer(RSA, "rsa")) == USER
    issuer.publish(public(RSA, kid="rsa"), public(NEXT, kid="next"))
    monotonic.now += REST_S
    assert verifier.caller_of(bearer(NEXT, "next")) == USER
    assert issuer.asked == 2


def test_many_unknown_key_ids_cause_one_fetch(verifier: TokenVerifier, issuer: Issuer, monotonic: Monotonic) -> None:
    for number in range(300):
        refused(verifier, bearer(EC, f"made-up-{number}", "ES256"))
        monotonic.now += 0.25
    assert issuer.asked == 3  # 75 seconds
    assert verifier.caller_of(bearer(RSA, "rsa")) == USER
    assert issuer.asked == 3


def test_a_wrong_signature_or_algorithm_causes_no_fetch(
    verifier: TokenVerifier, issuer: Issuer, monotonic: Monotonic
) -> None:
    verifier.caller_of(bearer(RSA, "rsa"))
    monotonic.now += REST_S
    refused(verifier, bearer(NEXT, "rsa"))
    refused(verifier, bearer(EC, "rsa", "ES256"))
    refused(verifier, "Bearer rubbish")
    assert issuer.asked == 1


def break_off(issuer: Issuer) -> None:
    issuer.status = 503


def redirect(issuer: Issuer) -> None:
    issuer.status, issuer.headers = 302, {"Location": "/elsewhere"}


def swell(issuer: Issuer) -> None:
    issuer.body += b" " * key_fetching.MAX_BYTES


def say(body: bytes) -> Callable[[Issuer], None]:
    def change(issuer: Issuer) -> None:
        issuer.body = body

    return change


FAILURES = {
    "503": break_off,
    "redirect": redirect,
    "html": say(b"<html>"),
    "no keys": say(b'{"keys": []}'),
    "deep": say(b"[" * 100_000),
    "large": swell,
    "cut off": lambda issuer: issuer.headers.update({"Content-Length": "9999"}),
}


@pytest.mark.parametrize("fail", FAILURES.values(), ids=FAILURES.keys())
def test_cached_keys_are_used_when_a_fetch_fails(
    verifier: TokenVerifier, issuer: Issuer, monotonic: Monotonic, fail: Callable[[Issuer], None]
) -> None:
    good, status, body = bearer(RSA, "rsa"), issuer.status, issuer.body
    verifier.caller_of(good)
    fail(issuer)
    monotonic.now += MAX_AGE_S
    for _ in range(3):
        assert verifier.caller_of(good) == USER
        refused(verifier, bearer(NEXT, "unknown"))
    assert issuer.asked == 2
    issuer.status, issuer.body, issuer.headers = status, body, {}
    issuer.publish(public(NEXT, kid="next"))
    monotonic.now += REST_S
    assert verifier.caller_of(bearer(NEXT, "next")) == USER


@pytest.mark.parametrize("fail", FAILURES.values(), ids=FAILURES.keys())
def test_a_failed_first_fetch_is_not_an_error_of_the_token(
    verifier: TokenVerifier, issuer: Issuer, monotonic: Monotonic, fail: Callable[[Issuer], None]
) -> None:
    body = issuer.body
    fail(issuer)
    for _ in range(3):
        with pytest.raises(KeysUnavailableError) as caught:
            verifier.caller_of(bearer(RSA, "rsa"))
        assert caught.value.code == "keys_unavailable" and "127.0.0.1" not in str(caught.value)
    assert issuer.asked == 1
    issuer.status, issuer.body, issuer.headers = 200, body, {}
    monotonic.now += REST_WITHOUT_KEYS_S
    assert verifier.caller_of(bearer(RSA, "rsa")) == USER


def test_unreadable_tokens_cause_no_fetch(verifier: TokenVerifier, issuer: Issuer) -> None:
    for token in ("rubbish", "a.b.c", bearer(RSA, "rsa")[7:] + ",x"):
        refused(verifier, f"Bearer {token}")
    assert issuer.asked == 0


def test_a_slow_issuer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_fetching, "TIMEOUT_S", 0.05)
    released = threading.Event()

    class Slow(KeyHandler):
        def do_GET(self) -> None:
            released.wait(2)
            super().do_GET()

    patient = httpx.Client(trust_env=False, timeout=None)  # noqa: S113 - the limit is the fetch's own
    with serving(Issuer(public(RSA), handler=Slow)) as issuer, patient:
        try:
            with pytest.raises(KeysUnavailableError):
                fetch_key_set(issuer.url, patient)
        finally:
            released.set()


def test_an_issuer_that_sends_byte_by_byte_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_fetching, "TIMEOUT_S", 0.05)

    def drip() -> Iterator[bytes]:
        until = time.monotonic() + 5
        while time.monotonic() < until:
            yield b" "

    transport = httpx.MockTransport(lambda request: httpx.Response(200, content=drip()))
    with httpx.Client(transport=transport) as dripping, pytest.raises(KeysUnavailableError, match="longer"):
        fetch_key_set("https://issuer.example.com/keys", dripping)
