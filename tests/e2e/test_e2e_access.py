"""Access: every route with every kind of token. Another user's resources look and cost like missing ones."""

import base64
import itertools
import json
import os
import re
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from pydantic import SecretStr

from shared.adapters.sql.database import Database
from shared.adapters.sql.jobs import SqlJobStore
from shared.adapters.sql.outputs import SqlOutputStore
from shared.domain.jobs import JobStatus
from shared.domain.keys import ObjectKey
from shared.settings import DatabaseSettings
from tests.api_routes import ROUTES
from tests.e2e.api_in_process import Asked, serve
from tests.e2e.job_support import check_problem, run
from tests.fakes import make_job, make_output
from tests.issuer import Issuer, public
from tests.local_cloud import LocalCloud
from tests.mariadb import migrate
from tests.serving import serving

OTHER = "other.of.access@factory-buy.com"
MISSING = "11111111-2222-4333-8444-555555555555"
SECRET = "a secret of at least thirty-two bytes"
_NUMBERS = itertools.count(1)


@dataclass(frozen=True)
class Row:
    """A route: the statuses that its user may get, and those of anybody else with a good token.

    A request that ``spends`` removes or changes its things when it succeeds, so it gets separate things.
    """

    own: tuple[int, ...]
    others: tuple[int, ...]
    body: Mapping[str, object] | None = None
    spends: bool = False


PUBLIC = Row((200,), (200,))
LIST = Row((200,), (200,))
ROWS = {
    "GET /healthz": PUBLIC,
    "GET /openapi.json": PUBLIC,
    "POST /ai/generate-image": Row((202,), (202,), body={"size": "512x512"}),
    "POST /ai/generate-video": Row((202,), (202,), body={"size": "832x480", "duration": 2}),
    "GET /jobs": LIST,
    "GET /jobs/{jobId}": Row((200,), (404,)),
    "GET /jobs/{jobId}/outputs": Row((200,), (404,)),
    "GET /jobs/{jobId}/deliveries": Row((200,), (404,)),
    "POST /jobs/{jobId}/cancel": Row((200,), (404,)),
    "DELETE /jobs/{jobId}": Row((204,), (404,), spends=True),
    "GET /outputs": LIST,
    "DELETE /outputs/{outputId}": Row((204,), (404,), spends=True),
    "GET /usage": LIST,
    "DELETE /users/me/data": Row((202, 204), (202, 204), spends=True),
}


# -- every route with every kind of token


@dataclass(frozen=True)
class Things:
    """A user's job that has succeeded, and its output."""

    user: str
    job_id: str
    output_id: str

    def path(self, template: str) -> str:
        return template.format(jobId=self.job_id, outputId=self.output_id)


NOBODYS = Things("", MISSING, MISSING)


@dataclass(frozen=True)
class Refusal:
    """A problem, and the challenge that goes with it."""

    status: int
    code: str
    challenge: str | None


Headers = Callable[[LocalCloud, str], dict[str, str]]


def bearer(cloud: LocalCloud, user: str, **claims: Any) -> dict[str, str]:
    return {"Authorization": f"Bearer {cloud.token(user, **claims)}"}


def said(**claims: Any) -> Headers:
    """Make the owner's token with other claims."""
    return lambda cloud, owner: bearer(cloud, owner, **claims)


def unsigned(cloud: LocalCloud, owner: str) -> dict[str, str]:
    header = base64.urlsafe_b64encode(json.dumps({"alg": "none", "typ": "JWT"}).encode()).rstrip(b"=").decode()
    return {"Authorization": f"Bearer {header}.{cloud.token(owner).split('.')[1]}."}


def service(user: str | None) -> Headers:
    """Make a service's token; ``{owner}`` in the user that it acts for is the owner."""

    def headers(cloud: LocalCloud, owner: str) -> dict[str, str]:
        named = {} if user is None else {"On-Behalf-Of": quote(user.format(owner=owner), safe="")}
        return bearer(cloud, "back-end", scope=f"openid {cloud.service_scope}") | named

    return headers


def meddling(cloud: LocalCloud, owner: str) -> dict[str, str]:
    return bearer(cloud, OTHER) | {"On-Behalf-Of": quote(owner)}


INVALID = Refusal(401, "invalid_token", 'Bearer error="invalid_token"')
FORBIDDEN = Refusal(403, "forbidden", 'Bearer error="insufficient_scope"')
CASES: dict[str, tuple[Headers, Refusal | str]] = {
    "its user": (said(), "own"),
    "no token": (lambda cloud, owner: {}, Refusal(401, "unauthenticated", "Bearer")),
    "expired": (said(exp=1_700_000_000), INVALID),
    "wrong key": (said(secret="another secret of more than 32 bytes, just as good"), INVALID),
    "wrong audience": (said(aud="somebody-else"), INVALID),
    "wrong issuer": (said(iss="https://evil.example.com"), INVALID),
    "not yet valid": (said(nbf=4_000_000_000), INVALID),
    "alg none": (unsigned, INVALID),
    "another user": (lambda cloud, owner: bearer(cloud, OTHER), "others"),
    "service for the user": (service("{owner}"), "own"),
    "service for another user": (service(OTHER), "others"),
    "service for itself": (service("back-end"), FORBIDDEN),
    "service for nobody": (service(None), Refusal(400, "bad_request", None)),
    "service for no user id": (service("../{owner}"), Refusal(400, "bad_request", None)),
    "user for the user": (lambda cloud, owner: said()(cloud, owner) | {"On-Behalf-Of": quote(owner)}, FORBIDDEN),
    "user for another user": (meddling, FORBIDDEN),
}


def make_things(cloud: LocalCloud) -> Things:
    number = next(_NUMBERS)
    user = f"owner-{number}.of.access@factory-buy.com"
    job = run(cloud, user, f"a gate, {number}", size="512x512")
    return Things(user, job["id"], job["outputs"][0]["id"])


@pytest.fixture(scope="module")
def things(running_cloud: LocalCloud) -> Things:
    running_cloud.disarm()
    return make_things(running_cloud)


SERVED = {f"{route.method} {route.path}": route.public for route in ROUTES}


def test_every_route_has_a_row_of_expected_statuses() -> None:
    assert SERVED.keys() <= ROWS.keys(), "say in ROWS who may use it"
    public = {name for name, row in ROWS.items() if row is PUBLIC}
    assert {name for name, is_public in SERVED.items() if is_public} == public & SERVED.keys()
    # A path that names a resource is for the resource's user; another name in a path needs a resource here.
    for name in SERVED:
        assert set(re.findall(r"{(\w+)}", name)) <= {"jobId", "outputId"}, name
        assert "{" not in name or ROWS[name].others == (404,), name


@pytest.mark.parametrize("case", CASES)
def test_every_route_answers_every_kind_of_token_as_listed(
    case: str, cloud: LocalCloud, things: Things, prompt: str
) -> None:
    headers_of, expected = CASES[case]
    for name in sorted(SERVED):
        row = ROWS[name]
        mine = make_things(cloud) if row.spends and expected == "own" else things
        before = state_of(cloud, things)
        headers = headers_of(cloud, mine.user)
        answer = ask(cloud, name, mine, headers, f"{prompt}, {name}")
        if row is PUBLIC:
            assert answer.status_code == 200, name
        elif isinstance(expected, Refusal):
            check_refusal(answer, expected, name)
        else:
            assert answer.status_code in (row.own if expected == "own" else row.others), f"{name}: {answer.text}"
        check_started(cloud, f"{prompt}, {name}", answer, mine.user if expected == "own" else OTHER)
        if answer.status_code == 404:
            assert alike(answer) == alike(ask(cloud, name, NOBODYS, headers, "")), name
        if expected != "own":
            assert row is PUBLIC or things.job_id not in answer.text, name
            assert state_of(cloud, things) == before, name


def ask(cloud: LocalCloud, name: str, things: Things, headers: Mapping[str, str], prompt: str) -> httpx.Response:
    method, _, template = name.partition(" ")
    body = ROWS[name].body
    sent = None if body is None else {**body, "prompt": prompt}
    return cloud.api(None).request(
        method, things.path(template), json=sent, headers={**headers, "Prefer": "respond-async"}
    )


def check_refusal(answer: httpx.Response, expected: Refusal, name: str) -> None:
    assert answer.status_code == expected.status, f"{name}: {answer.text}"
    assert check_problem(answer, expected.status)["code"] == expected.code, name
    assert answer.headers.get("www-authenticate") == expected.challenge, name


def check_started(cloud: LocalCloud, prompt: str, answer: httpx.Response, user: str) -> None:
    """Check that a job exists exactly if the answer says so, and that it is this user's; let the job end."""
    started = answer.status_code == 202 and "prompt" in answer.json()
    found = cloud.rows("SELECT user_id FROM jobs WHERE prompt = ?", prompt)
    assert [row["user_id"] for row in found] == ([user] if started else [])
    if started:
        cloud.finish(cloud.api(user), answer.json()["id"])


def alike(answer: httpx.Response) -> tuple[int, dict[str, str], dict[str, Any]]:
    headers = {name: value for name, value in answer.headers.items() if name not in {"x-fc-request-id", "date"}}
    return answer.status_code, headers, {**answer.json(), "requestId": ""}


def state_of(cloud: LocalCloud, things: Things) -> object:
    """Return everything that is stored for a user's job."""
    return (
        cloud.rows("SELECT * FROM jobs WHERE id = ?", things.job_id),
        cloud.output_rows(things.job_id),
        [(found.key, found.etag) for found in cloud.objects(things.user, things.job_id)],
    )


@pytest.mark.parametrize(
    "change",
    [
        {"exp": None},
        {"aud": None},
        {"sub": None},
        {"sub": 7},
    ],
    ids=str,
)
def test_a_token_without_a_required_claim_is_a_401(cloud: LocalCloud, prompt: str, change: dict[str, Any]) -> None:
    token = cloud.token("user.of.access", **change)
    answer = cloud.api(None).post(
        "/ai/generate-image", json={"prompt": prompt}, headers={"Authorization": f"Bearer {token}"}
    )
    check_problem(answer, 401)
    assert token not in answer.text and cloud.charges(prompt) == []


@pytest.mark.parametrize("header", ["", "Bearer", "Basic YTpi", "Bearer x.y.z", "Bearer none", "bearer é"])
def test_a_malformed_authorization_header_is_a_401(cloud: LocalCloud, header: str) -> None:
    answer = cloud.api(None).post(
        "/ai/generate-image", json={"prompt": "x"}, headers={b"Authorization": header.encode()}
    )
    check_problem(answer, 401)


# -- another user's resources cost the same work as missing ones


def environment(folder: Path, database: Path, **auth: str) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "TEMP_DIR": str(folder),
        "OSS_BUCKET": "media",
        "OSS_REGION": "oss-cn-hangzhou",
        "OSS_ACCESS_KEY": "LTAItest",
        "OSS_SECRET": "secret",
        "DATABASE_URL": f"sqlite:///{database}",
        "DISPATCH_ENDPOINT": "http://127.0.0.1:1",
        **(auth or {"AUTH_HS256_SECRET": SECRET}),
    }


def signed(user: str, **claims: object) -> dict[str, str]:
    said = {"sub": user, "exp": int(time.time()) + 600, **claims}
    return {"Authorization": f"Bearer {jwt.encode(said, SECRET, algorithm='HS256')}"}


STATES: dict[str, dict[str, Any]] = {
    "queued": {},
    "running": {"status": JobStatus.RUNNING, "attempt": 1, "provider_task_id": "task"},
    "succeeded": {"status": JobStatus.SUCCEEDED},
    "without rows": {"status": JobStatus.SUCCEEDED},
    "failed": {"status": JobStatus.FAILED},
}


@pytest.fixture(scope="module")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("database") / "empty.db"
    migrate(f"sqlite:///{path}")
    return path.read_bytes()


@pytest.fixture
def database(empty_database: bytes, tmp_path: Path) -> Path:
    path = tmp_path / "media.db"
    path.write_bytes(empty_database)
    return path


def write_things(database: Path, state: str) -> Things:
    """Write a job in this state, with its output unless the state is "without rows"."""
    opened = Database(DatabaseSettings(SecretStr(f"sqlite:///{database}")))
    number = next(_NUMBERS)
    job = make_job(id=f"job-{number:04}", user_id=f"owner-{number:04}", **STATES[state])
    SqlJobStore(opened).add(job)
    key = ObjectKey.for_output(
        user_id=job.user_id, job_id=job.id, type=job.type, created_at=job.created_at, position=0, ext="png"
    )
    output = make_output(id=key.output_id, job_id=job.id, user_id=job.user_id, oss_path=str(key))
    if state != "without rows":
        SqlOutputStore(opened).put(output)
    opened.peewee.close()
    return Things(job.user_id, job.id, output.id)


def dump(database: Path) -> list[str]:
    with closing(sqlite3.connect(database)) as connection:
        return list(connection.iterdump())


def test_another_users_resources_take_the_same_work_as_missing_ones(database: Path, tmp_path: Path) -> None:
    naming = [
        (name, state)
        for name in sorted(SERVED)
        for state in STATES
        if "{jobId}" in name or ("{outputId}" in name and state != "without rows")
    ]
    written = [(name, write_things(database, state)) for name, state in naming]
    before, callers = dump(database), (signed(OTHER), signed("back-end", scope="act-for-user"))
    callers[1]["On-Behalf-Of"] = OTHER
    pairs = [(asking(name, each, by), asking(name, NOBODYS, by)) for name, each in written for by in callers]
    here = environment(tmp_path, database)
    first, *served = serve(here, [pairs[0][0], *itertools.chain(*pairs)])
    assert first.status == 404
    for (asked, _), (name, each), theirs, none in zip(
        pairs, [pair for pair in written for _ in callers], served[::2], served[1::2], strict=True
    ):
        names = (each.job_id, each.output_id, MISSING)
        assert theirs.status == 404 and theirs.work, (name, asked)
        assert theirs.alike(*names) == none.alike(*names), name
    assert dump(database) == before

    # The same requests of the resources' own users are not refused, so the user makes the difference.
    owned = [asking(name, each, signed(each.user)) for name, each in written]
    found = zip(written, serve(here, owned), strict=True)
    assert [(name, answer.status) for (name, _), answer in found if answer.status == 404] == []


def asking(name: str, things: Things, headers: Mapping[str, str]) -> Asked:
    method, _, template = name.partition(" ")
    return Asked(method, things.path(template), headers)


# -- other ways to send a token or a user


@pytest.mark.parametrize("name", ["access_token", "token", "authorization", "jwt"])
def test_a_token_in_the_query_is_refused(cloud: LocalCloud, things: Things, name: str) -> None:
    answer = cloud.api(None).get(f"/jobs/{things.job_id}", params={name: cloud.token(things.user)})
    check_refusal(answer, Refusal(401, "unauthenticated", "Bearer"), name)


def test_two_authorization_headers_are_refused(cloud: LocalCloud, things: Things) -> None:
    value = f"Bearer {cloud.token(things.user)}"
    answer = cloud.api(None).get(f"/jobs/{things.job_id}", headers=[("Authorization", value)] * 2)
    check_refusal(answer, INVALID, "twice")


def test_two_users_in_the_header_are_refused(cloud: LocalCloud, things: Things) -> None:
    token = service(None)(cloud, "")
    named = [("On-Behalf-Of", quote(things.user)), ("On-Behalf-Of", quote(OTHER))]
    check_problem(cloud.api(None).get(f"/jobs/{things.job_id}", headers=[*token.items(), *named]), 400)


def test_the_log_names_the_service_and_the_user_it_acted_for(cloud: LocalCloud, things: Things) -> None:
    answer = cloud.api(None).get(f"/jobs/{things.job_id}", headers=service("{owner}")(cloud, things.user))
    log = (cloud.data_dir / "logs" / "api.log").read_text().splitlines()
    (line,) = [line for line in log if answer.headers["x-fc-request-id"] in line and "a service acts" in line]
    said = json.loads(line[line.index("{") :])
    assert (said["service"], said["user_id"]) == ("back-end", things.user)


def test_pages_may_not_send_on_behalf_of(cloud: LocalCloud) -> None:
    asked = {
        "Origin": "https://studio.example.com",
        "Access-Control-Request-Method": "GET",
        "Access-Control-Request-Headers": "authorization, on-behalf-of",
    }
    answer = cloud.api(None).options(f"/jobs/{MISSING}", headers=asked)
    named = answer.headers["access-control-allow-headers"].lower()
    assert "authorization" in named and "on-behalf-of" not in named and "*" not in named


# -- keys from a URL


@pytest.fixture
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture
def issuer(key: rsa.RSAPrivateKey) -> Iterator[Issuer]:
    with serving(Issuer(public(key, kid="one"))) as server:
        yield server


def test_keys_from_a_url_are_fetched_once(
    issuer: Issuer, key: rsa.RSAPrivateKey, database: Path, tmp_path: Path
) -> None:
    claims = {"sub": OTHER, "aud": "media", "exp": int(time.time()) + 600}
    good = jwt.encode(claims, key, algorithm="RS256", headers={"kid": "one"})
    made_up = jwt.encode(claims, key, algorithm="RS256", headers={"kid": "two"})
    here = environment(tmp_path, database, AUTH_JWKS_URL=issuer.url, AUTH_AUDIENCE="media")
    asked = [
        Asked("GET", f"/jobs/{MISSING}", {"Authorization": f"Bearer {token}"})
        for token in (good, good, made_up, jwt.encode(claims, SECRET, algorithm="HS256"))
    ]
    served = serve(here, asked)
    assert [each.status for each in served] == [404, 404, 401, 401]
    assert issuer.asked == 1


def test_missing_keys_are_a_503_with_retry_after(key: rsa.RSAPrivateKey, database: Path, tmp_path: Path) -> None:
    token = jwt.encode({"sub": OTHER, "exp": int(time.time()) + 600}, key, algorithm="RS256", headers={"kid": "one"})
    here = environment(tmp_path, database, AUTH_JWKS_URL="http://127.0.0.1:1/keys", AUTH_AUDIENCE="media")
    (served,) = serve(here, [Asked("GET", f"/jobs/{MISSING}", {"Authorization": f"Bearer {token}"})])
    assert (served.status, served.body["code"]) == (503, "keys_unavailable")
    assert int(served.headers["Retry-After"]) > 0
