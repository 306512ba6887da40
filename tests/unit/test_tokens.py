"""Bearer tokens: valid ones, and every reason why a token is not valid."""

import base64
import hashlib
import hmac
import json
import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from pydantic import SecretStr

from shared.adapters.tokens import TokenVerifier
from shared.domain.callers import ServiceCaller, UserCaller
from shared.domain.errors import ConfigurationError, InvalidTokenError, UnauthenticatedError
from shared.settings import AuthSettings
from tests.fakes import USER
from tests.issuer import public

SECRET = "a secret of at least sixty-four bytes, which is what HS512 wants too"
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC = ec.generate_private_key(ec.SECP256R1())
STRANGER = rsa.generate_private_key(public_exponent=65537, key_size=2048)
JWKS = {
    "keys": [
        public(RSA, kid="rsa", use="sig", alg="RS256"),
        public(EC, kid="ec", use="sig"),
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
        "service_scope": "act-for-user",
    }
    return AuthSettings(**{**values, **changes})


def verifier(config: AuthSettings) -> TokenVerifier:
    def fetch_keys(url: str) -> object:
        raise AssertionError("nothing is fetched here")

    return TokenVerifier(config, fetch_keys=fetch_keys)


def hs256(**changes: Any) -> TokenVerifier:
    return verifier(settings(hs256_secret=SecretStr(SECRET), **changes))


def jwks(**changes: Any) -> TokenVerifier:
    return verifier(settings(jwks=JWKS, **changes))


def claims(**changes: Any) -> dict[str, Any]:
    made = {"sub": USER, "exp": int(time.time()) + 600, **changes}
    return {name: value for name, value in made.items() if value is not None}


def bearer(key: Any = SECRET, algorithm: str = "HS256", kid: str | None = None, **changes: Any) -> str:
    headers = {"kid": kid} if kid else None
    return f"Bearer {jwt.encode(claims(**changes), key, algorithm=algorithm, headers=headers)}"


def forged(header: dict[str, Any], secret: bytes | None = None, payload: str | None = None) -> str:
    """Make a token by hand, because libraries refuse to make an invalid one."""
    texts = (json.dumps(header), json.dumps(claims()) if payload is None else payload)
    parts = [base64.urlsafe_b64encode(text.encode()).rstrip(b"=") for text in texts]
    body = b".".join(parts)
    signature = hmac.digest(secret, body, hashlib.sha256) if secret else b""
    return f"Bearer {(body + b'.' + base64.urlsafe_b64encode(signature).rstrip(b'=')).decode()}"


def refused(verifier: TokenVerifier, authorization: str) -> str:
    """Return why a token is refused."""
    with pytest.raises(InvalidTokenError) as caught:
        verifier.caller_of(authorization)
    return str(caught.value)


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_a_shared_secret_verifies_tokens(scheme: str) -> None:
    assert hs256().caller_of(bearer().replace("Bearer", scheme)) == UserCaller(USER)


@pytest.mark.parametrize(
    ("key", "algorithm", "kid"), [(RSA, "RS256", "rsa"), (EC, "ES256", "ec"), (RSA, "RS256", None)]
)
def test_a_key_set_verifies_tokens(key: Any, algorithm: str, kid: str | None) -> None:
    assert jwks().caller_of(bearer(key, algorithm, kid)) == UserCaller(USER)


def test_a_key_set_without_an_audience_logs_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    jwks(audience="media")
    hs256()
    assert not caplog.records
    jwks()
    (record,) = caplog.records
    assert (record.levelname, "AUTH_AUDIENCE" in record.message) == ("WARNING", True)


def test_another_claim_can_contain_the_user_id() -> None:
    caller = UserCaller("a@example.com")
    assert hs256(user_claim="name").caller_of(bearer(name="a@example.com")) == caller
    assert hs256(user_claim="name").caller_of(bearer(name="a@example.com", sub=None)) == caller


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Basic dXNlcjpw", "token", "Bearer\tabc"])
def test_a_missing_token_is_refused(header: str | None) -> None:
    with pytest.raises(UnauthenticatedError) as caught:
        hs256().caller_of(header)
    assert caught.value.code == "unauthenticated"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"exp": int(time.time()) - 60}, "invalid token: it has expired"),
        ({"exp": None}, '"exp" is missing'),
        ({"nbf": int(time.time()) + 86_400}, "it is not valid yet"),
        ({"iat": int(time.time()) + 86_400}, "it is not valid yet"),
        ({"sub": None}, '"sub" is missing'),
        ({"iss": "https://other.example.com"}, '"iss" is another issuer'),
        ({"iss": None}, '"iss" is missing'),
        ({"aud": "other"}, '"aud" is another audience'),
        ({"aud": "medi"}, '"aud" is another audience'),
        ({"aud": {"media": 1}}, '"aud" is another audience'),
        ({"aud": None}, '"aud" is missing'),
        ({"key": "another secret of at least 32 bytes!"}, "its signature is not valid"),
        ({"algorithm": "HS512"}, "its algorithm is not accepted"),
    ],
)
def test_the_error_names_why_a_token_is_not_valid(changes: dict[str, Any], reason: str) -> None:
    verifier = hs256(issuer="https://issuer.example.com", audience="media")
    good: dict[str, Any] = {"iss": "https://issuer.example.com", "aud": ["media", "x"]}
    assert verifier.caller_of(bearer(**good)) == UserCaller(USER)
    assert reason in refused(verifier, bearer(**{**good, **changes}))


def test_clocks_may_differ_by_half_a_minute() -> None:
    now = int(time.time())
    assert hs256().caller_of(bearer(exp=now - 20, nbf=now + 20, iat=now + 20)) == UserCaller(USER)
    assert "expired" in refused(hs256(), bearer(exp=now - 40))
    assert "not valid yet" in refused(hs256(), bearer(nbf=now + 40))


@pytest.mark.parametrize("name", ["exp", "nbf", "iat"])
@pytest.mark.parametrize(
    "value",
    [
        *("NaN", "Infinity", "-Infinity", "1e400", "1e300", "9" * 30, "9" * 5000, "-1", "253402300800"),
        *('"4000000000"', '"soon"', '""', "true", "false", "[]", "{}", "[4000000000]"),
    ],
    ids=lambda value: value[:20],
)
def test_invalid_timestamps_are_refused(name: str, value: str) -> None:
    rest = {"sub": USER, **({} if name == "exp" else {"exp": int(time.time()) + 600})}
    payload = f'{json.dumps(rest)[:-1]}, "{name}": {value}}}'
    refused(hs256(), forged({"alg": "HS256"}, SECRET.encode(), payload))


@pytest.mark.parametrize("payload", ["", "[]", "null", "7", '"text"', "{", "[" * 3000, '{"exp": 1' + "0" * 5000 + "}"])
def test_invalid_payloads_are_refused(payload: str) -> None:
    refused(hs256(), forged({"alg": "HS256"}, SECRET.encode(), payload))


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", ""])
def test_a_token_without_signature_is_refused(algorithm: str) -> None:
    for verifier in (hs256(), jwks()):
        for header in ({"alg": algorithm, "typ": "JWT"}, {"alg": algorithm, "kid": "rsa"}):
            refused(verifier, forged(header))
            assert "algorithm" in refused(verifier, forged(header) + "eA")


@pytest.mark.parametrize("form", [serialization.Encoding.PEM, serialization.Encoding.DER])
@pytest.mark.parametrize("header", [{"alg": "HS256", "kid": "rsa"}, {"alg": "HS256"}])
def test_a_public_key_is_not_accepted_as_a_shared_secret(form: serialization.Encoding, header: dict[str, str]) -> None:
    public = RSA.public_key().public_bytes(form, serialization.PublicFormat.SubjectPublicKeyInfo)
    assert "algorithm" in refused(jwks(), forged(header, public))


def test_a_shared_secret_accepts_only_hs256() -> None:
    for key, algorithm in ((RSA, "RS256"), (EC, "ES256")):
        assert "algorithm" in refused(hs256(), bearer(key, algorithm))


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ({"alg": "ES256", "kid": "rsa"}, "algorithm"),
        ({"alg": "RS256", "kid": "ec"}, "algorithm"),
        ({"alg": "PS256", "kid": "rsa"}, "algorithm"),
        ({"alg": "RS256", "kid": "unknown"}, "not the id of a known key"),
        ({"alg": "RS256", "kid": 5}, "cannot be read"),
        ({"alg": "RS256", "kid": None}, "cannot be read"),
        ({"alg": ["RS256"], "kid": "rsa"}, "algorithm"),
        ({"kid": "rsa"}, "algorithm"),
        ({"alg": "RS256", "kid": "rsa"}, "signature"),
    ],
)
def test_invalid_headers_are_refused(header: dict[str, Any], reason: str) -> None:
    assert reason in refused(jwks(), forged(header, b"x"))


@pytest.mark.parametrize("members", [{"crit": ["x"], "x": 1}, {"crit": ["b64"], "b64": True}, {"crit": []}], ids=str)
def test_critical_extensions_are_refused(members: dict[str, Any]) -> None:
    refused(hs256(), forged({"alg": "HS256", **members}, SECRET.encode()))


@pytest.mark.parametrize("name", ["jku", "jwk", "x5u", "x5c"])
def test_a_key_inside_the_token_is_refused(name: str) -> None:
    value = {"jwk": public(STRANGER, kid="rsa"), "x5c": ["MIIB"]}.get(name, "http://127.0.0.1:9/keys")
    for key in (RSA, STRANGER):
        token = jwt.encode(claims(), key, algorithm="RS256", headers={"kid": "rsa", name: value})
        assert name in refused(jwks(), f"Bearer {token}")


@pytest.mark.parametrize(
    "token", ["x", "a.b.c", "....", "é.é.é", "eyJ.eyJ.eyJ", "a" * 8000, "e30.e30.e30", "W10.e30.e30", "٣.٣.٣"]
)
def test_unreadable_tokens_are_refused(token: str) -> None:
    for verifier in (hs256(), jwks()):
        assert "invalid token: " in refused(verifier, f"Bearer {token}")


def test_two_headers_in_one_are_refused() -> None:
    assert "cannot be read" in refused(hs256(), f"{bearer()},{bearer()}")
    assert "cannot be read" in refused(hs256(), f"{bearer()}, {bearer()}")


def test_a_token_of_more_than_8_kb_is_refused() -> None:
    assert hs256().caller_of(bearer(more="x" * 5000)) == UserCaller(USER)
    assert "8192" in refused(hs256(), bearer(more="x" * 9000))


def test_a_changed_token_is_refused() -> None:
    head, _, signature = bearer().removeprefix("Bearer ").split(".")
    body = base64.urlsafe_b64encode(json.dumps(claims(sub="somebody-else")).encode()).rstrip(b"=").decode()
    assert "signature" in refused(hs256(), f"Bearer {head}.{body}.{signature}")


@pytest.mark.parametrize("user", ["../x", "a/b", "", "x" * 256, ".", "a\0b", "half \ud800"])
def test_a_user_id_that_cannot_be_a_folder_is_refused(user: str) -> None:
    assert "userId" in refused(hs256(), forged({"alg": "HS256"}, SECRET.encode(), json.dumps(claims(sub=user))))


@pytest.mark.parametrize("user", [5, ["a"], {"a": 1}, True])
def test_a_user_id_must_be_a_string(user: Any) -> None:
    assert '"user" is not a string' in refused(hs256(user_claim="user"), bearer(user=user))


@pytest.mark.parametrize("verified", [True, "true"], ids=repr)
def test_a_verified_email_can_be_the_user_id(verified: object) -> None:
    token = bearer(sub="7", email=USER, email_verified=verified)
    assert hs256(user_claim="email").caller_of(token) == UserCaller(USER)


@pytest.mark.parametrize("verified", [None, False, "false", "True", "yes", "", 1, [True], {"true": True}], ids=repr)
def test_an_unverified_email_is_refused(verified: object) -> None:
    token = bearer(sub="7", email=USER, email_verified=verified)
    assert '"email_verified" must be true' in refused(hs256(user_claim="email"), token)


def test_other_claims_do_not_need_a_verified_email() -> None:
    assert hs256().caller_of(bearer(email="somebody@example.com", email_verified=False)) == UserCaller(USER)


def test_no_message_contains_the_token() -> None:
    token = bearer("another secret of at least 32 bytes!")
    assert token.rsplit(".", 1)[1] not in refused(hs256(), token)


def test_a_key_set_without_a_usable_key_is_a_configuration_error() -> None:
    for keys in ([{"kty": "nonsense"}], [{"kty": "oct", "k": "c2VjcmV0"}], ["text"]):
        with pytest.raises(ConfigurationError, match="AUTH_JWKS"):
            verifier(settings(jwks={"keys": keys}))


# -- services


@pytest.mark.parametrize("scope", ["act-for-user", "openid act-for-user", ["openid", "act-for-user"]], ids=str)
def test_the_service_scope_makes_a_service_caller(scope: Any) -> None:
    assert hs256().caller_of(bearer(sub="back/end", scope=scope)) == ServiceCaller("back/end")


@pytest.mark.parametrize(
    "scope",
    [
        "",
        "openid",
        "act-for-users",
        "ACT-FOR-USER",
        "act-for-user,openid",
        ["openid act-for-user"],
        {"act-for-user": 1},
        7,
    ],
    ids=repr,
)
def test_any_other_scope_makes_a_user_caller(scope: Any) -> None:
    assert hs256().caller_of(bearer(scope=scope)) == UserCaller(USER)


def test_the_name_of_the_service_scope_is_a_setting() -> None:
    verifier = hs256(service_scope="impersonate")
    assert verifier.caller_of(bearer(scope="impersonate")) == ServiceCaller(USER)
    assert verifier.caller_of(bearer(scope="act-for-user")) == UserCaller(USER)


def test_the_subject_of_a_service_is_always_its_sub() -> None:
    verifier = hs256(user_claim="email")
    assert verifier.caller_of(bearer(sub="back-end", scope="act-for-user")) == ServiceCaller("back-end")
    token = bearer(sub=None, email="a@example.com", scope="act-for-user")
    assert '"sub" is missing' in refused(verifier, token)
