"""One Idempotency-Key has one job and one answer, whatever happens in between."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.e2e.job_support import check_problem
from tests.local_cloud import LocalCloud, download, eventually

IMAGE, VIDEO = "/ai/generate-image", "/ai/generate-video"
USER, OTHER_USER = "test@factory-buy.com", "somebody.else@factory-buy.com"
SMALL = {"size": "512x512"}
_HEADERS = ("location", "retry-after", "preference-applied", "content-type", "cache-control")


@pytest.fixture(scope="module")
def running_cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    running = LocalCloud(tmp_path_factory.mktemp("cloud") / "data", env={"OSS_URL_TTL_S": "600"}).start()
    yield running
    running.stop()


def shown(answer: httpx.Response) -> tuple[object, ...]:
    """Return the parts of an answer that a repeated request must get again."""
    return answer.status_code, unsigned(answer.json()), [answer.headers.get(name) for name in _HEADERS]


def unsigned(job: dict[str, Any]) -> dict[str, Any]:
    """Return the job without the signatures, which differ with the credentials of each instance."""
    names = ("ossUrl", "thumbnailUrl")
    outputs = [{**output, **{name: output[name].partition("?")[0] for name in names}} for output in job["outputs"]]
    return {**job, "outputs": outputs}


def once(prompt: str, **headers: str) -> dict[str, str]:
    return {"Idempotency-Key": f"key of {prompt.strip()}", **headers}


def count_jobs(cloud: LocalCloud, prompt: str) -> int:
    return len(cloud.rows("SELECT id FROM jobs WHERE prompt = ?", prompt))


def test_the_first_answer_is_repeated_after_the_job_has_ended(cloud: LocalCloud, prompt: str) -> None:
    api, body = cloud.api(USER), {"prompt": prompt, **SMALL}
    first = api.post(IMAGE, json=body, headers=once(prompt, Prefer="respond-async"))
    assert first.status_code == 202 and "ratelimit" in first.headers
    cloud.finish(api, first.json()["id"])
    again = api.post(f"/api{IMAGE}", json=body, headers=once(prompt, Prefer="wait=9"))
    assert shown(again) == shown(first)
    assert "ratelimit" not in again.headers  # the repeated request used no quota
    assert (count_jobs(cloud, prompt), len(cloud.charges(prompt))) == (1, 1)


def test_white_space_order_and_defaults_do_not_change_the_request(cloud: LocalCloud, prompt: str) -> None:
    api, headers = cloud.api(USER), once(prompt, **{"Content-Type": "application/json"})
    texts = (
        json.dumps({"prompt": prompt, "size": "512x512", "seed": 7}),
        json.dumps({"seed": 7, "size": "512x512", "prompt": prompt}, indent=4),
        json.dumps({"prompt": prompt, "size": "512x512", "seed": 7, "count": 1, "model": None}),
        json.dumps({"prompt": prompt, "size": "512x512", "seed": 7}).replace("a", "\\u0061"),
    )
    answers = [api.post(IMAGE, content=text, headers=headers) for text in texts]
    assert [shown(answer) for answer in answers] == [shown(answers[0])] * len(texts)
    assert answers[0].status_code == 200 and len(cloud.charges(prompt)) == 1


@pytest.mark.parametrize("change", ["body", "route"])
def test_the_same_key_with_another_request_is_refused(cloud: LocalCloud, prompt: str, change: str) -> None:
    api, headers = cloud.api(USER), once(prompt, Prefer="respond-async")
    first = api.post(IMAGE, json={"prompt": prompt}, headers=headers)
    path, body = (VIDEO, {"prompt": prompt}) if change == "route" else (IMAGE, {"prompt": prompt, "seed": 1})
    assert check_problem(api.post(path, json=body, headers=headers), 422)["code"] == "idempotency_key_reused"
    cloud.finish(api, first.json()["id"])
    assert (count_jobs(cloud, prompt), len(cloud.charges(prompt))) == (1, 1)


def test_a_refused_request_uses_up_no_key(cloud: LocalCloud, prompt: str) -> None:
    api, headers = cloud.api(USER), once(prompt)
    json_ = {**headers, "Content-Type": "application/json"}
    check_problem(api.post(IMAGE, content=b"{", headers=json_), 400)
    check_problem(api.post(IMAGE, json={"prompt": prompt}, headers={**headers, "Prefer": "wait=x"}), 400)
    check_problem(cloud.api(None).post(IMAGE, json={"prompt": prompt}, headers=headers), 401)
    check_problem(api.post(IMAGE, content=b"x" * 300_000, headers=json_), 413)
    check_problem(api.post(IMAGE, content=b"x", headers={**headers, "Content-Type": "text/plain"}), 415)
    check_problem(api.post(IMAGE, json={"prompt": prompt, "count": 9}, headers=headers), 422)
    check_problem(api.post(IMAGE, json={"prompt": prompt, "model": "none"}, headers=headers), 422)
    assert api.post(IMAGE, json={"prompt": prompt, **SMALL}, headers=headers).status_code == 200


def test_concurrent_requests_wait_and_get_the_same_answer(cloud: LocalCloud, prompt: str) -> None:
    api, body = cloud.api(USER), {"prompt": f"[slow] {prompt}", **SMALL}
    with ThreadPoolExecutor(2) as threads:
        waiting = [
            threads.submit(api.post, IMAGE, json=body, headers=once(prompt, Prefer=f"wait={n}")) for n in (40, 41)
        ]
        submitted = "SELECT id FROM jobs WHERE prompt = ? AND provider_task_id IS NOT NULL"
        eventually(lambda: cloud.rows(submitted, body["prompt"]))
        cloud.advance(61)
        answers = [each.result() for each in waiting]
    assert shown(answers[0]) == shown(answers[1])
    assert answers[0].status_code == 200 and answers[0].json()["status"] == "succeeded"


def test_a_request_that_does_not_wait_decides_the_answer_of_waiting_ones(cloud: LocalCloud, prompt: str) -> None:
    api, body = cloud.api(USER), {"prompt": f"[slow] {prompt}", **SMALL}
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(api.post, IMAGE, json=body, headers=once(prompt, Prefer="wait=40"))
        eventually(lambda: count_jobs(cloud, body["prompt"]))
        first = api.post(IMAGE, json=body, headers=once(prompt, Prefer="respond-async"))
        answer = waiting.result()
    assert first.status_code == 202 and shown(answer) == shown(first)
    cloud.advance(61)
    cloud.finish(api, first.json()["id"])


def test_deleted_outputs_are_missing_from_a_repeated_answer(cloud: LocalCloud, prompt: str) -> None:
    api, body = cloud.api(USER), {"prompt": prompt, "count": 2, **SMALL}
    first = unsigned(api.post(IMAGE, json=body, headers=once(prompt)).json())
    assert len(first["outputs"]) == 2
    cloud.execute("DELETE FROM job_outputs WHERE id = ?", first["outputs"][0]["id"])
    again = api.post(IMAGE, json=body, headers=once(prompt))
    assert again.status_code == 200 and unsigned(again.json()) == {**first, "outputs": first["outputs"][1:]}


def test_the_key_of_a_deleted_job_starts_nothing(cloud: LocalCloud, prompt: str) -> None:
    api, body = cloud.api(USER), {"prompt": prompt, **SMALL}
    job = api.post(IMAGE, json=body, headers=once(prompt)).json()
    cloud.execute("UPDATE idempotency_keys SET answer = NULL WHERE job_id = ?", job["id"])
    cloud.execute("DELETE FROM jobs WHERE id = ?", job["id"])
    problem = check_problem(api.post(IMAGE, json=body, headers=once(prompt)), 409)
    assert problem["code"] == "job_deleted" and "new key" in problem["detail"]
    assert (count_jobs(cloud, prompt), len(cloud.charges(prompt))) == (0, 1)


def test_a_key_lasts_a_day(cloud: LocalCloud, prompt: str) -> None:
    api, body = cloud.api(USER), {"prompt": prompt, **SMALL}
    first = api.post(IMAGE, json=body, headers=once(prompt)).json()
    cloud.execute("UPDATE idempotency_keys SET created_at = '2020-01-01 00:00:00' WHERE job_id = ?", first["id"])
    cloud.advance(60)
    eventually(lambda: not cloud.rows("SELECT job_id FROM idempotency_keys WHERE job_id = ?", first["id"]))
    second = api.post(IMAGE, json=body, headers=once(prompt)).json()
    assert second["id"] != first["id"] and len(cloud.charges(prompt)) == 2


def test_a_lost_answer_is_given_to_the_repeated_request(cloud: LocalCloud, prompt: str) -> None:
    api, body = cloud.api(USER), {"prompt": prompt, **SMALL}
    cloud.arm("fc", {"function": "api", "kind": "http"}, {"drop": True})
    with pytest.raises(httpx.RemoteProtocolError):
        api.post(IMAGE, json=body, headers=once(prompt, Prefer="respond-async"))
    (begun,) = cloud.rows("SELECT id FROM jobs WHERE prompt = ?", prompt)
    again = api.post(IMAGE, json=body, headers=once(prompt))
    assert (again.status_code, again.json()["id"]) == (202, begun["id"])
    assert cloud.finish(api, begun["id"])["status"] == "succeeded"
    assert (count_jobs(cloud, prompt), len(cloud.charges(prompt))) == (1, 1)


def test_a_repeated_answer_has_newly_signed_urls(cloud: LocalCloud, prompt: str) -> None:
    api, body = cloud.api(USER), {"prompt": prompt, **SMALL}
    first = api.post(IMAGE, json=body, headers=once(prompt)).json()
    (stored,) = cloud.rows("SELECT answer FROM idempotency_keys WHERE job_id = ?", first["id"])
    assert json.loads(stored["answer"])["body"] == {**first, "outputs": []}
    (output,) = api.post(IMAGE, json=body, headers=once(prompt)).json()["outputs"]
    assert "x-oss-signature" in output["ossUrl"] and download(output["ossUrl"]).status_code == 200


def test_the_same_key_of_another_user_starts_another_job(cloud: LocalCloud, prompt: str) -> None:
    key, body = {"Idempotency-Key": f"shared {prompt}"}, {"prompt": prompt, "size": "512x512"}
    ids = {cloud.api(user).post(IMAGE, json=body, headers=key).json()["id"] for user in (USER, OTHER_USER)}
    assert len(ids) == 2


def test_eight_requests_at_once_with_one_key_start_one_job(cloud: LocalCloud, prompt: str) -> None:
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
def test_an_invalid_key_is_a_400(cloud: LocalCloud, prompt: str, key: bytes) -> None:
    answer = cloud.api(USER).post(IMAGE, json={"prompt": prompt}, headers=httpx.Headers([(b"Idempotency-Key", key)]))
    check_problem(answer, 400)
    assert cloud.charges(prompt) == []
