"""The HTTP API: who may ask, what may be asked, how the answers look."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.e2e.job_support import Case, check_job_shape, check_problem, check_succeeded, run
from tests.local_cloud import LocalCloud, eventually

ORIGIN = "https://studio.example.com"
IMAGE, VIDEO = "/ai/generate-image", "/ai/generate-video"
USER, OTHER = "test@factory-buy.com", "somebody.else@factory-buy.com"
JOB_ID = "11111111-2222-4333-8444-555555555555"


# -- who may ask


@pytest.mark.parametrize("path", ["/healthz", "/api/healthz"])
def test_healthz_needs_no_token(cloud: LocalCloud, path: str) -> None:
    answer = cloud.api(None).get(path)
    assert answer.status_code == 200 and answer.json()["status"] == "ok" and answer.json()["version"]


REQUESTS = [("POST", IMAGE), ("POST", VIDEO), ("GET", f"/jobs/{JOB_ID}"), ("GET", f"/api/jobs/{JOB_ID}/outputs")]


@pytest.mark.parametrize(("method", "path"), REQUESTS)
def test_without_a_token_there_is_a_401(cloud: LocalCloud, method: str, path: str) -> None:
    answer = cloud.api(None).request(method, path, json={"prompt": "x"})
    assert check_problem(answer, 401)["code"] == "unauthenticated"
    assert answer.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize(
    "change",
    [
        {"exp": 1_700_000_000},
        {"exp": None},
        {"aud": "somebody-else"},
        {"aud": None},
        {"iss": "https://evil.example.com"},
        {"sub": None},
        {"sub": 7},
        {"nbf": 4_000_000_000},
        {"secret": "another secret of more than 32 bytes, just as good"},
    ],
    ids=str,
)
def test_a_token_that_does_not_hold_is_a_401(cloud: LocalCloud, prompt: str, change: dict[str, Any]) -> None:
    token = cloud.token(USER, **change)
    answer = cloud.api(None).post(IMAGE, json={"prompt": prompt}, headers={"Authorization": f"Bearer {token}"})
    check_problem(answer, 401)
    assert token not in answer.text and cloud.charges(prompt) == []


@pytest.mark.parametrize("header", ["", "Bearer", "Basic YTpi", "Bearer x.y.z", "Bearer none", "bearer é"])
def test_what_is_no_token_is_a_401(cloud: LocalCloud, header: str) -> None:
    answer = cloud.api(None).post(IMAGE, json={"prompt": "x"}, headers={b"Authorization": header.encode()})
    check_problem(answer, 401)


def test_an_unsigned_token_is_a_401(cloud: LocalCloud) -> None:
    head, body, _ = cloud.token(USER).split(".")
    unsigned = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0." + body + "."
    assert head != unsigned
    check_problem(cloud.api(None).get(f"/jobs/{JOB_ID}", headers={"Authorization": f"Bearer {unsigned}"}), 401)


def test_another_users_job_looks_like_none(cloud: LocalCloud, prompt: str) -> None:
    job = run(cloud, USER, prompt, size="512x512")
    stranger = cloud.api(OTHER)
    for suffix in ("", "/outputs"):
        answers = [stranger.get(f"/jobs/{id_}{suffix}") for id_ in (job["id"], JOB_ID, "no-such-job", "%2E%2E", "%00")]
        problems = [check_problem(answer, 404) for answer in answers[:3]]
        assert len({json.dumps({**problem, "requestId": ""}) for problem in problems}) == 1
        assert len({tuple(sorted(answer.headers.keys())) for answer in answers[:3]}) == 1
        for answer in answers[3:]:
            check_problem(answer, 404)


# -- how a job is started and waited for


def test_an_image_is_waited_for_and_answered_with_200(cloud: LocalCloud, prompt: str) -> None:
    answer = cloud.api(USER).post(f"/api{IMAGE}", json={"prompt": prompt, "size": "512x512"})
    assert answer.status_code == 200, answer.text
    assert answer.headers["location"] == f"/jobs/{answer.json()['id']}"
    assert "retry-after" not in answer.headers and "preference-applied" not in answer.headers
    check_succeeded(cloud, USER, answer.json(), Case("", IMAGE, {}, (512, 512), "wan2.2-t2i-flash"))
    again = cloud.api(USER).get(f"/api/jobs/{answer.json()['id']}")
    assert (again.status_code, again.json()) == (200, answer.json())
    outputs = cloud.api(USER).get(f"/jobs/{answer.json()['id']}/outputs")
    assert (outputs.status_code, outputs.json()) == (200, {"data": answer.json()["outputs"]})


def test_a_video_is_answered_at_once_with_202(cloud: LocalCloud, prompt: str) -> None:
    api, began = cloud.api(USER), time.monotonic()
    answer = api.post(VIDEO, json={"prompt": f"[slow] {prompt}", "duration": 2, "size": "832x480"})
    assert answer.status_code == 202 and time.monotonic() - began < 5
    assert answer.json()["status"] in {"queued", "running"} and int(answer.headers["retry-after"]) > 0
    check_job_shape(answer.json())
    cloud.finish(api, answer.json()["id"])


def test_prefer_wait_ends_in_time_with_200_or_202(cloud: LocalCloud, prompt: str) -> None:
    api = cloud.api(USER)
    body = {"prompt": f"[slow] {prompt}", "size": "512x512"}
    began = time.monotonic()
    answer = api.post(IMAGE, json=body, headers={"Prefer": "wait=1"})
    assert answer.status_code == 202 and 0.9 < time.monotonic() - began < 8
    assert answer.headers["preference-applied"] == "wait=1"
    job = f"/jobs/{answer.json()['id']}"
    polled = api.get(job, headers={"Prefer": "wait=1"})
    assert polled.status_code == 200 and polled.json()["status"] in {"queued", "running"}
    assert polled.headers["preference-applied"] == "wait=1" and int(polled.headers["retry-after"]) > 0
    with ThreadPoolExecutor() as threads:
        waiting = threads.submit(api.get, job, headers={"Prefer": "wait=60"})
        eventually(lambda: any(each["busy"] for each in cloud.instances("api")))
        # The provider's minute begins with the submit, so the clock is turned after it.
        eventually(lambda: cloud.rows(f"SELECT id FROM jobs WHERE id = '{job[6:]}' AND provider_task_id IS NOT NULL"))
        began = time.monotonic()
        cloud.advance(60)
        ended = waiting.result(timeout=30)
    assert ended.json()["status"] == "succeeded" and time.monotonic() - began < 15
    assert "retry-after" not in ended.headers


@pytest.mark.parametrize("value", ["wait=-1", "wait=", "wait=soon", "wait=1.5", "wait=99999999"])
def test_a_wait_that_is_no_number_is_a_400(cloud: LocalCloud, prompt: str, value: str) -> None:
    check_problem(cloud.api(USER).post(IMAGE, json={"prompt": prompt}, headers={"Prefer": value}), 400)
    assert cloud.charges(prompt) == []


def test_a_long_wait_is_cut_to_a_minute(cloud: LocalCloud, prompt: str) -> None:
    answer = cloud.api(USER).post(IMAGE, json={"prompt": prompt, "size": "512x512"}, headers={"Prefer": "wait=600"})
    assert answer.status_code == 200 and answer.headers["preference-applied"] == "wait=60"


# -- what may be asked


LONG = "x" * 4001
IMAGE_422 = [
    ({}, "prompt"),
    ({"prompt": ""}, "prompt"),
    ({"prompt": LONG}, "prompt"),
    ({"prompt": 7}, "prompt"),
    ({"prompt": None}, "prompt"),
    ({"prompt": ["x"]}, "prompt"),
    ({"prompt": "null \x00 byte"}, "prompt"),
    ({"prompt": "x", "negativePrompt": LONG}, "negativePrompt"),
    ({"prompt": "x", "surprise": 1}, "surprise"),
    ({"prompt": "x", "negative_prompt": "y"}, "negative_prompt"),
    ({"prompt": "x", "duration": 5}, "duration"),
    ({"prompt": "x", "size": "big"}, "size"),
    ({"prompt": "x", "size": "0x0"}, "size"),
    ({"prompt": "x", "size": "1024*1024"}, "size"),
    ({"prompt": "x", "size": "-1x5"}, "size"),
    ({"prompt": "x", "size": "99999x99999"}, "size"),
    ({"prompt": "x", "size": "1024x1024\n"}, "size"),
    ({"prompt": "x", "size": "１０２４x１０２４"}, "size"),
    ({"prompt": "x", "size": {}}, "size"),
    ({"prompt": "x", "count": 0}, "count"),
    ({"prompt": "x", "count": 5}, "count"),
    ({"prompt": "x", "count": "2"}, "count"),
    ({"prompt": "x", "count": 1.5}, "count"),
    ({"prompt": "x", "count": True}, "count"),
    ({"prompt": "x", "seed": -1}, "seed"),
    ({"prompt": "x", "seed": 10**400}, "seed"),
    ({"prompt": "x", "seed": 2**31}, "seed"),
    ({"prompt": "x", "model": "gpt-9"}, "model"),
    ({"prompt": "x", "model": "wan2.6-t2v"}, "model"),
    ({"prompt": "x", "model": "gpt-image-1", "size": "512x512"}, "size"),
    ({"prompt": "x", "webhookUrl": "file:///etc/passwd"}, "webhookUrl"),
    ({"prompt": "x", "webhookUrl": "https://user:pw@example.com/"}, "webhookUrl"),
]
VIDEO_422 = [
    ({}, "prompt"),
    ({"prompt": "x", "duration": 99}, "duration"),
    ({"prompt": "x", "duration": 0}, "duration"),
    ({"prompt": "x", "duration": 20}, "duration"),
    ({"prompt": "x", "duration": "5"}, "duration"),
    ({"prompt": "x", "count": 2}, "count"),
    ({"prompt": "x", "imageUrl": "ftp://example.com/a.png"}, "imageUrl"),
    ({"prompt": "x", "imageUrl": "/etc/passwd"}, "imageUrl"),
    ({"prompt": "x", "model": "wan2.6-i2v"}, "model"),
    ({"prompt": "x", "model": "wan2.6-t2v", "imageUrl": "https://example.com/a.png"}, "model"),
    ({"prompt": "x", "size": "833x481"}, "size"),
]


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [(IMAGE, *case) for case in IMAGE_422] + [(VIDEO, *case) for case in VIDEO_422],
    ids=lambda value: str(value)[:40] if isinstance(value, str) else json.dumps(value)[:40],
)
def test_a_request_against_the_rules_is_a_422_that_names_the_field(
    cloud: LocalCloud, path: str, body: dict[str, Any], field: str
) -> None:
    before = len(cloud.rows("SELECT id FROM jobs"))
    problem = check_problem(cloud.api(USER).post(path, json=body), 422, field)
    assert problem["code"] == "validation_failed"
    assert len(cloud.rows("SELECT id FROM jobs")) == before


def test_all_broken_rules_are_named_at_once(cloud: LocalCloud) -> None:
    body = {"prompt": "", "count": 9, "what": 1}
    check_problem(cloud.api(USER).post(IMAGE, json=body), 422, "prompt", "count", "what")


@pytest.mark.parametrize(
    ("body", "statuses"),
    [
        (b"", {400}),
        (b"{", {400}),
        (b"prompt=x", {400}),
        (b'{"prompt": "x"} trailing', {400}),
        (b'{"prompt": "\xff\xfe"}', {400}),
        (b'{"prompt": "half \\ud800"}', {400, 422}),
        (b'{"prompt": "x", "seed": NaN}', {400, 422}),
        (b'{"prompt": "x", "seed": Infinity}', {400, 422}),
        (b'{"prompt": "x", "seed": 1e400}', {400, 422}),
        (b'{"prompt": "x", "seed": ' + b"9" * 5000 + b"}", {400, 422}),
        (b'{"prompt": ' + b"[" * 50_000 + b"]" * 50_000 + b"}", {400, 422}),
        (b'{"prompt": "x", "' + b"k" * 3000 + b'": 1}', {422}),
        (b"[]", {422}),
        (b'"text"', {422}),
        (b"null", {422}),
    ],
    ids=lambda value: ascii(value)[:30],
)
def test_bodies_that_cannot_be_read(cloud: LocalCloud, body: bytes, statuses: set[int]) -> None:
    answer = cloud.api(USER).post(IMAGE, content=body, headers={"Content-Type": "application/json"})
    problem = check_problem(answer, answer.status_code)
    assert answer.status_code in statuses, answer.text
    assert problem.get("errors") or answer.status_code == 400
    assert len(answer.content) < 8000


def test_a_prompt_of_any_script_and_4000_characters_is_taken(cloud: LocalCloud, prompt: str) -> None:
    text = (prompt + " 灯塔\t\n🌅 e\u0301 ").ljust(4000, "灯")
    job = run(cloud, USER, text, size="512x512")
    assert (job["status"], job["prompt"]) == ("succeeded", text)
    assert any("500" in warning for warning in job["warnings"])


@pytest.mark.parametrize("type_", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", None])
def test_another_content_type_is_a_415(cloud: LocalCloud, type_: str | None) -> None:
    headers = {"Content-Type": type_} if type_ else {}
    check_problem(cloud.api(USER).post(IMAGE, content=b'{"prompt": "x"}', headers=headers), 415)


@pytest.mark.parametrize("type_", ["application/json; charset=utf-8", "Application/JSON"])
def test_json_by_other_spellings_is_json(cloud: LocalCloud, type_: str) -> None:
    answer = cloud.api(USER).post(IMAGE, content=b"{}", headers={"Content-Type": type_})
    check_problem(answer, 422, "prompt")


def test_a_large_body_is_a_413(cloud: LocalCloud) -> None:
    body = json.dumps({"prompt": "x" * 300_000}).encode()
    check_problem(cloud.api(USER).post(IMAGE, content=body, headers={"Content-Type": "application/json"}), 413)


# -- HTTP


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", IMAGE, {"POST"}),
        ("DELETE", VIDEO, {"POST"}),
        ("PUT", f"/jobs/{JOB_ID}", {"GET", "HEAD"}),
        ("POST", "/healthz", {"GET", "HEAD"}),
    ],
)
def test_another_method_is_a_405_that_names_the_right_ones(
    cloud: LocalCloud, method: str, path: str, allowed: set[str]
) -> None:
    answer = cloud.api(USER).request(method, path)
    check_problem(answer, 405)
    assert allowed <= {name.strip() for name in answer.headers["allow"].split(",")}


@pytest.mark.parametrize(
    "path", ["/", "/api", "/api/", "/jobs/", "/healthz/", "/apihealthz", "/ai", "/nope", "/jobs/a/b", "//healthz"]
)
def test_unknown_routes_are_a_404(cloud: LocalCloud, path: str) -> None:
    url = cloud.variables["API_URL"] + path
    check_problem(cloud.api(USER).get(url), 404)


def test_head_is_get_without_a_body(cloud: LocalCloud) -> None:
    api = cloud.api(USER)
    head, got = api.head("/healthz"), api.get("/healthz")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"] == got.headers["content-type"]
    assert api.head(f"/jobs/{JOB_ID}").status_code == 404


def test_preflight_and_answers_name_the_allowed_origin(cloud: LocalCloud) -> None:
    api = cloud.api(None)
    asked = {"Origin": ORIGIN, "Access-Control-Request-Method": "POST"}
    preflight = api.options(f"/api{IMAGE}", headers=asked)
    assert preflight.status_code in {200, 204} and preflight.content == b""
    assert preflight.headers["access-control-allow-origin"] == ORIGIN
    assert "POST" in preflight.headers["access-control-allow-methods"]
    named = preflight.headers["access-control-allow-headers"].lower()
    assert all(name in named for name in ("authorization", "content-type", "idempotency-key", "prefer"))
    assert api.get("/healthz", headers={"Origin": ORIGIN}).headers["access-control-allow-origin"] == ORIGIN
    assert "Origin" in api.get("/healthz", headers={"Origin": ORIGIN}).headers["vary"]


def test_errors_can_be_read_by_the_front_end_too(cloud: LocalCloud) -> None:
    api = cloud.api(None)
    for answer in (
        api.get("/nope", headers={"Origin": ORIGIN}),
        api.post(IMAGE, json={}, headers={"Origin": ORIGIN}),
        cloud.api(USER).post(IMAGE, json={}, headers={"Origin": ORIGIN}),
    ):
        assert answer.status_code >= 400
        assert answer.headers.get("access-control-allow-origin") == ORIGIN


@pytest.mark.parametrize(
    "origin", ["https://evil.example.com", "null", f"{ORIGIN}.evil.com", "http://studio.example.com"]
)
def test_other_origins_are_not_named(cloud: LocalCloud, origin: str) -> None:
    for answer in (
        cloud.api(None).options(IMAGE, headers={"Origin": origin}),
        cloud.api(None).get("/healthz", headers={"Origin": origin}),
    ):
        assert "access-control-allow-origin" not in answer.headers


# -- once is once


def test_the_same_key_and_body_give_the_same_job(cloud: LocalCloud, prompt: str) -> None:
    api, body, key = cloud.api(USER), {"prompt": prompt, "size": "512x512"}, {"Idempotency-Key": f"key of {prompt}"}
    first = api.post(IMAGE, json=body, headers=key)
    again = api.post(
        f"/api{IMAGE}", content=json.dumps(body, indent=3), headers={**key, "Content-Type": "application/json"}
    )
    assert first.status_code == again.status_code == 200 and first.json() == again.json()
    assert len(cloud.charges(prompt)) == 1
    other = check_problem(api.post(IMAGE, json={**body, "seed": 1}, headers=key), 422)
    assert other["code"] == "idempotency_key_reused"
    assert len(cloud.charges(prompt)) == 1


def test_the_same_key_of_another_user_is_another_job(cloud: LocalCloud, prompt: str) -> None:
    key, body = {"Idempotency-Key": f"shared {prompt}"}, {"prompt": prompt, "size": "512x512"}
    ids = {cloud.api(user).post(IMAGE, json=body, headers=key).json()["id"] for user in (USER, OTHER)}
    assert len(ids) == 2


def test_eight_at_once_with_one_key_are_one_job(cloud: LocalCloud, prompt: str) -> None:
    api, body = cloud.api(USER), {"prompt": prompt, "size": "512x512"}
    headers = {"Idempotency-Key": f"key of {prompt}", "Prefer": "respond-async"}
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: api.post(IMAGE, json=body, headers=headers), range(8)))
    assert {answer.status_code for answer in answers} <= {200, 202}, [answer.text for answer in answers]
    (job_id,) = {answer.json()["id"] for answer in answers}
    assert cloud.finish(api, job_id)["status"] == "succeeded"
    assert len(cloud.charges(prompt)) == 1
    assert len(cloud.rows("SELECT id FROM jobs WHERE prompt = ?", prompt)) == 1


@pytest.mark.parametrize("key", [b"", b"x" * 256, "schlüssel".encode(), b"tab\there"], ids=lambda key: ascii(key[:12]))
def test_a_key_that_is_none_is_a_400(cloud: LocalCloud, prompt: str, key: bytes) -> None:
    answer = cloud.api(USER).post(IMAGE, json={"prompt": prompt}, headers=httpx.Headers([(b"Idempotency-Key", key)]))
    check_problem(answer, 400)
    assert cloud.charges(prompt) == []


# -- what an older system left


def test_a_job_without_rows_answers_by_what_lies_in_the_bucket(cloud: LocalCloud, prompt: str) -> None:
    job = run(cloud, USER, prompt, count=2, size="512x512")
    cloud.execute("DELETE FROM job_outputs WHERE job_id = ?", job["id"])
    api = cloud.api(USER)
    shown = api.get(f"/jobs/{job['id']}/outputs").json()["data"]
    assert [{**output, "createdAt": None} for output in shown] == [
        {**output, "createdAt": None} for output in job["outputs"]
    ]
    assert api.get(f"/jobs/{job['id']}").json() == {**job, "outputs": shown}


# -- what the function hands to the platform


def test_the_function_returns_what_the_platform_takes(cloud: LocalCloud) -> None:
    token = cloud.token(USER)
    events = [
        _event("GET", "/healthz"),
        _event("HEAD", "/healthz"),
        _event("OPTIONS", IMAGE, headers={"Origin": ORIGIN}),
        _event("GET", f"/jobs/{JOB_ID}"),
        _event("GET", f"/jobs/{JOB_ID}", headers={"Authorization": f"Bearer {token}"}),
        _event("POST", IMAGE, headers={"Authorization": f"Bearer {token}"}, body="{"),
        _event("DELETE", IMAGE, headers={"Authorization": f"Bearer {token}"}),
        _event(
            "POST", IMAGE, headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"}, body="{}"
        ),
        {"version": "v1"},
        {"headers": None, "rawPath": 7},
        {},
        [],
        "text",
    ]
    statuses = [cloud.answer_of("api", event)["statusCode"] for event in events]
    assert statuses[:8] == [200, 200, 204, 401, 404, 415, 405, 422]
    assert all(isinstance(status, int) and status >= 400 for status in statuses[8:])


def _event(method: str, path: str, *, headers: dict[str, str] | None = None, body: str = "") -> dict[str, object]:
    return {
        "version": "v1",
        "rawPath": path,
        "body": body,
        "isBase64Encoded": False,
        "headers": headers or {},
        "queryParameters": {},
        "requestContext": {"http": {"method": method, "path": path}, "requestId": "1"},
    }
