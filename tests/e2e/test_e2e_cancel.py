"""Cancellation: it takes effect at the next step of the job."""

import pytest

from tests.e2e.job_support import (
    Case,
    check_job_shape,
    check_nothing_stored,
    check_problem,
    check_succeeded,
    generate,
    run,
)
from tests.local_cloud import LocalCloud, eventually

USER = "test@factory-buy.com"
SMALL = Case("small", "/ai/generate-image", {"size": "512x512"}, (512, 512), "wan2.2-t2i-flash")


def submitted(cloud: LocalCloud, job_id: str) -> bool:
    return bool(cloud.rows("SELECT provider_task_id FROM jobs WHERE id = ?", job_id)[0]["provider_task_id"])


def test_a_running_job_is_cancelled_at_its_next_step_and_at_the_provider(cloud: LocalCloud, prompt: str) -> None:
    api = cloud.api(USER)
    job = generate(api, f"[slow] {prompt}", **SMALL.body)
    eventually(lambda: submitted(cloud, job["id"]))
    answer = api.post(f"/jobs/{job['id']}/cancel")
    assert answer.status_code in {200, 202}
    check_job_shape(answer.json())
    done = eventually(lambda: (read := api.get(f"/jobs/{job['id']}").json())["status"] == "cancelled" and read)
    check_nothing_stored(cloud, USER, done)
    assert done["error"] is None
    # The task was still PENDING, so it is not billed.
    assert cloud.charges(f"[slow] {prompt}") == []
    again = api.post(f"/jobs/{job['id']}/cancel")
    assert (again.status_code, again.json()) == (200, done)


def test_a_queued_job_is_cancelled_at_once(cloud: LocalCloud, prompt: str) -> None:
    api = cloud.api(USER)
    cloud.arm("fc", {"function": "generate-image", "attempt": "0"}, {"status": 500, "code": "InternalServerError"})
    job = generate(api, prompt, **SMALL.body)
    answer = api.post(f"/jobs/{job['id']}/cancel")
    assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
    cloud.age(job["id"])
    check_nothing_stored(cloud, USER, api.get(f"/jobs/{job['id']}").json())
    assert cloud.charges(prompt) == []


def test_a_job_that_has_ended_does_not_change(cloud: LocalCloud, prompt: str) -> None:
    job = run(cloud, USER, prompt, **SMALL.body)
    answer = cloud.api(USER).post(f"/jobs/{job['id']}/cancel")
    assert (answer.status_code, answer.json()) == (200, job)
    check_succeeded(cloud, USER, job, SMALL)


@pytest.mark.parametrize("user", ["somebody@else.com", None])
def test_only_the_user_of_a_job_can_cancel_it(cloud: LocalCloud, prompt: str, user: str | None) -> None:
    job = run(cloud, USER, prompt, **SMALL.body)
    check_problem(cloud.api(user).post(f"/jobs/{job['id']}/cancel"), 404 if user else 401)
