"""HTTP at every route: methods, paths, origins, caching, and headers as the platform passes them on."""

import json
from pathlib import Path

import httpx
import pytest

from tests.api_routes import JOB_ID, ROUTES, path_of
from tests.e2e.job_support import check_problem, generate, run
from tests.local_cloud import LocalCloud

ORIGIN, OTHER_ORIGIN = "https://studio.example.com", "https://evil.example.com"
USER = "test@factory-buy.com"
EVENTS = Path(__file__).resolve().parents[1] / "events"
PATHS = sorted({route.path for route in ROUTES})
READABLE = [route.path for route in ROUTES if route.method == "GET"]
# Headers that differ between any two answers.
_DIFFERENT_EACH_TIME = {"date", "x-fc-request-id", "content-length"}


def methods_of(path: str) -> set[str]:
    methods = {route.method for route in ROUTES if route.path == path}
    return methods | {"OPTIONS"} | ({"HEAD"} if "GET" in methods else set())


def split(header: str) -> set[str]:
    return {part.strip() for part in header.split(",")}


# -- methods


@pytest.mark.parametrize("path", PATHS)
def test_options_returns_the_methods_of_the_path(cloud: LocalCloud, path: str) -> None:
    for prefix in ("", "/api"):
        answer = cloud.api(None).options(prefix + path_of(path))
        assert (answer.status_code, answer.content) == (204, b"")
        assert split(answer.headers["allow"]) == methods_of(path)


@pytest.mark.parametrize("path", PATHS)
def test_a_preflight_returns_the_methods_and_headers_of_the_path(cloud: LocalCloud, path: str) -> None:
    asked = {"Origin": ORIGIN, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "prefer"}
    answer = cloud.api(None).options(path_of(path), headers=asked)
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    assert split(answer.headers["access-control-allow-methods"]) == methods_of(path)
    taken = {header for route in ROUTES if route.path == path for header in route.headers}
    assert split(answer.headers["access-control-allow-headers"]) == {"Authorization", "Content-Type", *taken}
    assert split(answer.headers["vary"]) == {
        *("Origin", "Access-Control-Request-Method", "Access-Control-Request-Headers")
    }
    assert "access-control-allow-credentials" not in answer.headers


@pytest.mark.parametrize(
    "asked", [{}, {"Origin": ORIGIN}, {"Origin": OTHER_ORIGIN, "Access-Control-Request-Method": "GET"}]
)
def test_options_without_a_valid_preflight_allow_nothing(cloud: LocalCloud, asked: dict[str, str]) -> None:
    answer = cloud.api(None).options("/healthz", headers=asked)
    assert answer.status_code == 204 and "Origin" in answer.headers["vary"]
    assert not {"access-control-allow-methods", "access-control-allow-headers"} & answer.headers.keys()


@pytest.mark.parametrize("path", ["/nope", "/jobs/a/b", "/api"])
def test_options_of_an_unknown_path_are_a_404(cloud: LocalCloud, path: str) -> None:
    check_problem(cloud.api(None).options(path), 404)


@pytest.mark.parametrize("path", READABLE)
def test_head_has_the_headers_of_get_and_no_body(cloud: LocalCloud, prompt: str, path: str) -> None:
    api = cloud.api(USER)
    job_id = run(cloud, USER, prompt, size="512x512")["id"] if "{jobId}" in path else JOB_ID
    url = path_of(path).replace(JOB_ID, job_id)
    got, head = api.get(url), api.head(url)
    assert (head.status_code, head.content) == (got.status_code, b"")
    assert headers_of(head) == headers_of(got)
    # 0 would be wrong: the body of GET has more.
    assert "content-length" not in head.headers


def test_head_of_a_missing_job_is_a_404(cloud: LocalCloud) -> None:
    assert cloud.api(USER).head(f"/jobs/{JOB_ID}").status_code == 404


def headers_of(answer: httpx.Response) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name not in _DIFFERENT_EACH_TIME}


@pytest.mark.parametrize("path", PATHS)
def test_an_unsupported_method_is_a_405_that_names_the_supported_ones(cloud: LocalCloud, path: str) -> None:
    (method, *_) = {"PATCH", "PUT"} - methods_of(path)
    answer = cloud.api(USER).request(method, path_of(path))
    check_problem(answer, 405)
    assert split(answer.headers["allow"]) == methods_of(path)


# -- origins


def test_every_answer_varies_by_origin(cloud: LocalCloud) -> None:
    api = cloud.api(USER)
    for origin in ({}, {"Origin": ORIGIN}, {"Origin": OTHER_ORIGIN}, {"Origin": f"{ORIGIN},{ORIGIN}"}):
        for answer in (
            api.get("/healthz", headers=origin),
            api.get("/nope", headers=origin),
            api.put("/healthz", headers=origin),
            api.get(f"/jobs/{JOB_ID}", headers=origin),
            api.post("/ai/generate-image", json={}, headers=origin),
            cloud.api(None).get(f"/jobs/{JOB_ID}", headers=origin),
        ):
            assert "Origin" in split(answer.headers["vary"])
            assert answer.headers.get("access-control-allow-origin") == (
                ORIGIN if origin.get("Origin") == ORIGIN else None
            )


@pytest.mark.parametrize(
    "origin", ["https://evil.example.com", "null", f"{ORIGIN}.evil.com", "http://studio.example.com"]
)
def test_other_origins_are_not_allowed(cloud: LocalCloud, origin: str) -> None:
    for answer in (
        cloud.api(None).options("/ai/generate-image", headers={"Origin": origin}),
        cloud.api(None).get("/healthz", headers={"Origin": origin}),
    ):
        assert "access-control-allow-origin" not in answer.headers


def test_pages_may_read_the_headers_of_the_api(cloud: LocalCloud) -> None:
    exposed = split(
        cloud.api(None).get("/healthz", headers={"Origin": ORIGIN}).headers["access-control-expose-headers"]
    )
    assert exposed >= {"ETag", "Location", "Preference-Applied", "RateLimit", "RateLimit-Policy", "Retry-After"}


# -- paths


@pytest.mark.parametrize("path", ["/healthz", "/api/healthz"])
def test_healthz_needs_no_token(cloud: LocalCloud, path: str) -> None:
    answer = cloud.api(None).get(path)
    assert answer.status_code == 200 and answer.json()["status"] == "ok" and answer.json()["version"]


@pytest.mark.parametrize(
    "path", ["/", "/api", "/api/", "/jobs/", "/healthz/", "/apihealthz", "/ai", "/nope", "/jobs/a/b", "//healthz"]
)
def test_unknown_paths_are_a_404(cloud: LocalCloud, path: str) -> None:
    url = cloud.variables["API_URL"] + path
    check_problem(cloud.api(USER).get(url), 404)


@pytest.mark.parametrize(
    "path",
    [
        "/jobs/a%2Fb",
        f"/jobs/{JOB_ID}%2Foutputs",
        f"/jobs%2F{JOB_ID}",
        "/api%2Fhealthz",
        "/healthz%2F",
        "/healthz//",
        "/jobs//outputs",
        "/./healthz",
        "/jobs/../healthz",
        "/jobs/%2e%2e/outputs",
        "/jobs/%2e",
        "/jobs/%00",
        "/jobs/%0a",
        "/jobs/a%5Cb",
        f"/jobs/{JOB_ID}%20",
        f"/jobs/{'x' * 65}",
        f"/jobs/{'x' * 3900}",
        f"/jobs/{'%F0%9F%8C%85' * 300}",
    ],
    ids=lambda path: path[:30],
)
def test_paths_that_resemble_a_route_are_a_404(cloud: LocalCloud, path: str) -> None:
    # The route refuses the path; the database is not asked for a value that cannot be an id.
    assert (
        check_problem(get_raw(cloud, path), 404)["detail"]
        == "this path does not exist; GET /openapi.json lists every path"
    )


@pytest.mark.parametrize("path", ["/jobs/%ff", "/%c0%afhealthz", "/jobs/%ed%a0%80/outputs"])
def test_a_path_that_is_not_utf8_is_a_400(cloud: LocalCloud, path: str) -> None:
    check_problem(get_raw(cloud, path), 400)


@pytest.mark.parametrize("path", ["/%68ealthz", "/%61pi/healthz"])
def test_letters_may_be_percent_encoded(cloud: LocalCloud, path: str) -> None:
    assert get_raw(cloud, path).status_code == 200


def get_raw(cloud: LocalCloud, path: str) -> httpx.Response:
    """Send the path unchanged; httpx would normalize it."""
    return cloud.api(USER).get("/", extensions={"target": path.encode()})


@pytest.mark.parametrize("query", ["?x=1", "?x=1&x=2", "?=", "?%00=%ff"])
def test_an_unknown_query_parameter_is_a_422(cloud: LocalCloud, query: str) -> None:
    problem = check_problem(cloud.api(USER).get(f"/jobs/{JOB_ID}{query}"), 422)
    assert len(problem["errors"]) == 1


# -- caching


@pytest.mark.parametrize("suffix", ["", "/outputs"])
def test_an_unchanged_job_is_a_304(cloud: LocalCloud, prompt: str, suffix: str) -> None:
    api = cloud.api(USER)
    url = f"/jobs/{run(cloud, USER, prompt, size='512x512')['id']}{suffix}"
    got = api.get(url)
    etag = got.headers["etag"]
    assert got.headers["cache-control"] == "private, no-cache"
    assert split(got.headers["vary"]) >= {"Authorization", "Origin"}
    for asked in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        again = api.get(url, headers={"If-None-Match": asked})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
        assert headers_of(again).items() <= headers_of(got).items()
    assert api.get(url, headers=[("If-None-Match", '"a"'), ("If-None-Match", etag)]).status_code == 304
    other = api.get(url, headers={"If-None-Match": '"other"'})
    assert (other.status_code, other.json()) == (200, got.json())
    check_problem(api.get(f"/jobs/{JOB_ID}{suffix}", headers={"If-None-Match": "*"}), 404)
    check_problem(cloud.api(None).get(url, headers={"If-None-Match": "*"}), 401)


def test_the_wait_comes_before_the_comparison_of_etags(cloud: LocalCloud, prompt: str) -> None:
    api = cloud.api(USER)
    url = f"/jobs/{generate(api, f'[slow] {prompt}', size='512x512')['id']}"
    known = {"If-None-Match": api.get(url).headers["etag"]}
    cloud.finish(api, url.removeprefix("/jobs/"))
    answer = api.get(url, headers={**known, "Prefer": "wait=30"})
    assert (answer.status_code, answer.json()["status"]) == (200, "succeeded")
    unchanged = api.get(url, headers={"If-None-Match": answer.headers["etag"], "Prefer": "wait=30"})
    assert (unchanged.status_code, unchanged.headers["preference-applied"]) == (304, "wait=30")


def test_other_answers_are_not_cached_and_no_content_type_is_guessed(cloud: LocalCloud) -> None:
    api = cloud.api(USER)
    for answer in (
        api.get("/nope"),
        api.get("/healthz"),
        api.post("/ai/generate-image", json={}),
        api.options("/healthz"),
    ):
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"


# -- headers as the platform passes them on


def test_joined_headers_and_missing_fields_of_events_are_read(cloud: LocalCloud) -> None:
    token = cloud.token(USER)
    joined = json.loads((EVENTS / "http_joined.json").read_text())
    sparse = json.loads((EVENTS / "http_sparse.json").read_text())
    both = {
        **joined,
        "headers": {"AUTHORIZATION": f"Bearer {token}", "prefer": "wait=1,respond-async"},
        "queryParameters": None,
    }
    assert [cloud.answer_of("api", event)["statusCode"] for event in (joined, sparse, both)] == [401, 401, 404]


def test_two_tokens_are_refused(cloud: LocalCloud) -> None:
    value = f"Bearer {cloud.token(USER)}"
    answer = cloud.api(None).get(f"/jobs/{JOB_ID}", headers=[("Authorization", value), ("Authorization", value)])
    check_problem(answer, 401)


# -- the answers that the function returns to the platform


def test_the_function_returns_answers_that_the_platform_accepts(cloud: LocalCloud) -> None:
    bearer = {"Authorization": f"Bearer {cloud.token(USER)}"}
    events = [
        _event("GET", "/healthz"),
        _event("HEAD", "/healthz"),
        _event("OPTIONS", "/ai/generate-image", headers={"Origin": ORIGIN}),
        _event("GET", f"/jobs/{JOB_ID}"),
        _event("GET", f"/jobs/{JOB_ID}", headers=bearer),
        _event("POST", "/ai/generate-image", headers=bearer, body="{"),
        _event("DELETE", "/ai/generate-image", headers=bearer),
        _event(
            "POST",
            "/ai/generate-image",
            headers={**bearer, "Content-Type": "application/json"},
            body="{}",
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
