"""The quotas of a user, and the headers that report them."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.e2e.job_support import check_problem
from tests.local_cloud import LocalCloud

IMAGE, VIDEO = "/ai/generate-image", "/ai/generate-video"
ORIGIN = "https://studio.example.com"
ASYNC = {"Prefer": "respond-async"}
_ITEM = re.compile(r'"([a-z-]+)"((?:;[a-z]+=\d+)+)')  # an item of a structured field (RFC 9651)


@pytest.fixture(scope="module")
def running_cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    quotas = {"QUOTA_CONCURRENT_JOBS": "3", "QUOTA_JOBS_PER_DAY": "5", "QUOTA_STORED_BYTES": "1000000"}
    running = LocalCloud(tmp_path_factory.mktemp("cloud") / "data", env={**quotas, "CORS_ORIGINS": ORIGIN}).start()
    yield running
    running.stop()


@pytest.fixture
def api(cloud: LocalCloud, prompt: str) -> httpx.Client:
    """A client of a user of this test only."""
    return cloud.api(prompt)


def ask(api: httpx.Client, prompt: str, path: str = IMAGE, **headers: str) -> httpx.Response:
    return api.post(path, json={"prompt": f"[slow] {prompt}"}, headers={**ASYNC, **headers})


def limits(answer: httpx.Response, field: str = "ratelimit") -> dict[str, dict[str, int]]:
    """Return the parameters of each item of a field."""
    items = answer.headers[field].split(", ")
    found = [_ITEM.fullmatch(item) for item in items]
    assert all(found), answer.headers[field]
    return {each[1]: {p[0]: int(p[2:]) for p in each[2].split(";")[1:]} for each in found if each}


def left_today_s() -> float:
    now = datetime.now(UTC)
    return ((now + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0) - now).total_seconds()


def usage(api: httpx.Client) -> dict[str, Any]:
    answer = api.get("/usage")
    assert answer.status_code == 200 and answer.headers["cache-control"] == "no-store", answer.text
    found: dict[str, Any] = answer.json()
    assert found.keys() == {"concurrentJobs", "jobsToday", "storedBytes"}
    return found


def used(api: httpx.Client) -> list[int]:
    return [each["used"] for each in usage(api).values()]


def end(cloud: LocalCloud, user: str) -> None:
    cloud.execute("UPDATE jobs SET status = 'failed', finished_at = created_at WHERE user_id = ?", user)


def test_a_new_user_has_used_nothing(cloud: LocalCloud, api: httpx.Client) -> None:
    found = usage(api)
    assert found["concurrentJobs"] == {"used": 0, "limit": 3}
    assert found["storedBytes"] == {"used": 0, "limit": 1_000_000}
    resets_at = datetime.fromisoformat(found["jobsToday"].pop("resetsAt"))
    assert found["jobsToday"] == {"used": 0, "limit": 5}
    assert abs((resets_at - datetime.now(UTC)).total_seconds() - left_today_s()) < 5
    check_problem(cloud.api(None).get("/usage"), 401)


def test_a_job_beyond_the_quota_of_concurrent_jobs_is_refused(
    cloud: LocalCloud, api: httpx.Client, prompt: str
) -> None:
    answers = [ask(api, prompt) for _ in range(3)]
    assert [limits(answer)["concurrent-jobs"] for answer in answers] == [{"r": 2}, {"r": 1}, {"r": 0}]
    assert limits(answers[0], "ratelimit-policy") == {"jobs-per-day": {"q": 5, "w": 86400}, "concurrent-jobs": {"q": 3}}
    for path in (IMAGE, VIDEO):
        refused = ask(api, prompt, path)
        assert check_problem(refused, 429)["code"] == "quota_exceeded"
        assert 0 < int(refused.headers["retry-after"]) <= 60
        assert limits(refused)["concurrent-jobs"] == {"r": 0} and limits(refused)["jobs-per-day"]["r"] == 2
    assert used(api) == [3, 3, 0]
    assert ask(cloud.api(f"{prompt} another"), prompt).status_code == 202
    end(cloud, prompt)
    assert ask(api, prompt).status_code == 202


def test_a_job_beyond_the_quota_of_jobs_per_day_is_refused(cloud: LocalCloud, api: httpx.Client, prompt: str) -> None:
    for _ in range(5):
        assert ask(api, prompt).status_code == 202
        end(cloud, prompt)
    # Deleted jobs still count.
    cloud.execute("DELETE FROM jobs WHERE user_id = ?", prompt)
    refused = ask(api, prompt)
    check_problem(refused, 429)
    assert abs(int(refused.headers["retry-after"]) - left_today_s()) < 5
    assert limits(refused)["jobs-per-day"] == {"r": 0, "t": int(refused.headers["retry-after"])}
    assert used(api) == [0, 5, 0]
    cloud.execute("UPDATE daily_usage SET day = '2020-01-01' WHERE user_id = ?", prompt)
    assert used(api) == [0, 0, 0]
    assert ask(api, prompt).status_code == 202 and used(api) == [1, 1, 0]


def test_a_job_beyond_the_quota_of_stored_bytes_is_refused(cloud: LocalCloud, api: httpx.Client, prompt: str) -> None:
    job = api.post(IMAGE, json={"prompt": prompt, "size": "512x512"}).json()
    (output,) = job["outputs"]
    assert used(api) == [0, 1, output["size"]]
    cloud.execute("UPDATE job_outputs SET size = 1000000 WHERE id = ?", output["id"])
    refused = ask(api, prompt)
    assert "delete" in check_problem(refused, 429)["detail"] and refused.headers["retry-after"] == "3600"
    cloud.execute("UPDATE job_outputs SET size = 999999 WHERE id = ?", output["id"])
    assert ask(api, prompt).status_code == 202


def test_a_refused_request_uses_up_no_key_and_a_repeated_one_is_answered(
    cloud: LocalCloud, api: httpx.Client, prompt: str
) -> None:
    first = [ask(api, prompt, **{"Idempotency-Key": f"k{number}"}) for number in range(3)]
    check_problem(ask(api, prompt, **{"Idempotency-Key": "k3"}), 429)
    again = ask(api, prompt, **{"Idempotency-Key": "k2"})
    assert (again.status_code, again.json()) == (202, first[2].json())
    end(cloud, prompt)
    assert ask(api, prompt, **{"Idempotency-Key": "k3"}).status_code == 202


def test_concurrent_requests_do_not_exceed_a_quota(cloud: LocalCloud, api: httpx.Client, prompt: str) -> None:
    with ThreadPoolExecutor(12) as threads:
        statuses = list(threads.map(lambda _: ask(api, prompt).status_code, range(12)))
    assert sorted(statuses) == [202] * 3 + [429] * 9
    assert used(api) == [3, 3, 0]


def test_pages_may_read_the_quota_headers(cloud: LocalCloud, api: httpx.Client, prompt: str) -> None:
    answer = ask(api, prompt, Origin=ORIGIN)
    exposed = {name.strip() for name in answer.headers["access-control-expose-headers"].split(",")}
    assert exposed >= {"RateLimit", "RateLimit-Policy", "Retry-After"}
