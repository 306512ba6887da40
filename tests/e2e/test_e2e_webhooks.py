"""Webhooks from end to end: from ``webhookUrl`` in a request to the receiver and to the deliveries in the API."""

import itertools
import json
from collections.abc import Callable, Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from standardwebhooks import Webhook

from tests.e2e.job_support import check_problem, generate, run
from tests.local_cloud import LocalCloud, eventually
from tests.serving import serving

USER = "test@factory-buy.com"
SIZE = {"size": "512x512"}
_PATHS = (f"/hook-{number}" for number in itertools.count(1))


class _Receiver(ThreadingHTTPServer):
    """Records its requests; ``answers`` has the next statuses of a path, and after them the status is 204.

    ``retry_after`` is the header ``Retry-After`` of the answers of a path.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.got: dict[str, list[tuple[dict[str, str], bytes]]] = {}
        self.answers: dict[str, list[int]] = {}
        self.retry_after: dict[str, str] = {}


class _Handler(BaseHTTPRequestHandler):
    server: _Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.got.setdefault(self.path, []).append((headers, body))
        answers = self.server.answers.get(self.path)
        self.send_response(answers.pop(0) if answers else 204)
        if self.path in self.server.retry_after:
            self.send_header("Retry-After", self.server.retry_after[self.path])
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


class Hook:
    """The webhook of one test, with its own path."""

    def __init__(self, server: _Receiver, cloud: LocalCloud) -> None:
        self._server = server
        self._cloud = cloud
        self.path = f"{next(_PATHS)}?token=%2Fmine"
        self.url = f"http://127.0.0.1:{server.server_port}{self.path}"

    def will_answer(self, *statuses: int, retry_after: str | None = None) -> None:
        self._server.answers[self.path] = list(statuses)
        if retry_after is not None:
            self._server.retry_after[self.path] = retry_after

    @property
    def count(self) -> int:
        return len(self._server.got.get(self.path, []))

    def messages(self, count: int) -> list[tuple[str, dict[str, Any]]]:
        """Wait for this number of messages, verify each, and return their ids and contents."""
        eventually(lambda: self.count >= count)
        secret = Webhook(self._cloud.variables["WEBHOOK_SECRET"])
        got = self._server.got[self.path]
        assert len(got) == count
        return [(headers["webhook-id"], secret.verify(body, headers)) for headers, body in got]

    def delivery(self, job_id: str) -> dict[str, Any]:
        """Return the job's one delivery as the API shows it."""
        answer = self._cloud.api(USER).get(f"/jobs/{job_id}/deliveries")
        assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
        ((delivery),) = answer.json()["data"]
        assert delivery["url"] == self.url
        return dict(delivery)

    def ends_as(self, job_id: str, status: str) -> dict[str, Any]:
        return eventually(lambda: (found := self.delivery(job_id))["status"] == status and found)


@pytest.fixture(scope="module")
def server() -> Iterator[_Receiver]:
    with serving(_Receiver()) as server:
        yield server


@pytest.fixture
def hook(server: _Receiver, cloud: LocalCloud) -> Hook:
    return Hook(server, cloud)


def fall_due(cloud: LocalCloud, job_id: str) -> None:
    """Let the time until the job's next delivery pass, and fire the minute timer."""
    cloud.execute("UPDATE webhook_deliveries SET next_attempt_at = '2020-01-01 00:00:00' WHERE job_id = ?", job_id)
    cloud.advance(60)


def test_a_successful_job_sends_one_webhook_with_its_json(cloud: LocalCloud, prompt: str, hook: Hook) -> None:
    job = run(cloud, USER, prompt, webhookUrl=hook.url, **SIZE)
    ((id_, payload),) = hook.messages(1)
    assert payload == {"type": "job.succeeded", "timestamp": job["finishedAt"], "data": job}
    delivery = hook.ends_as(job["id"], "delivered")
    assert delivery.keys() == {
        *("id", "event", "url", "status", "attempts", "createdAt", "lastAttemptAt", "nextAttemptAt"),
        *("responseStatus", "error"),
    }
    assert (delivery["id"], delivery["event"], delivery["attempts"]) == (id_, "job.succeeded", 1)
    assert (delivery["createdAt"], delivery["nextAttemptAt"]) == (job["finishedAt"], None)
    assert (delivery["responseStatus"], delivery["error"]) == (204, None)
    # The invocation at the job's end has sent the message at once, not the timer.
    sent = [each for each in cloud.invocations("deliver-webhooks") if each["kind"] == "async"]
    assert sent
    cloud.advance(60)
    assert hook.count == 1


def test_a_failed_job_sends_its_webhook(cloud: LocalCloud, prompt: str, hook: Hook) -> None:
    job = run(cloud, USER, f"[refuse] {prompt}", webhookUrl=hook.url, **SIZE)
    assert job["status"] == "failed"
    ((_, payload),) = hook.messages(1)
    assert (payload["type"], payload["data"]) == ("job.failed", job)


def test_a_cancelled_job_sends_its_webhook(cloud: LocalCloud, prompt: str, hook: Hook) -> None:
    cloud.arm("fc", {"function": "generate-image", "attempt": "0"}, {"status": 500, "code": "InternalServerError"})
    api = cloud.api(USER)
    job = generate(api, prompt, webhookUrl=hook.url, **SIZE)
    assert api.get(f"/jobs/{job['id']}/deliveries").json() == {"data": []}
    done = api.post(f"/jobs/{job['id']}/cancel").json()
    assert done["status"] == "cancelled"
    ((_, payload),) = hook.messages(1)
    assert (payload["type"], payload["data"]) == ("job.cancelled", done)


def test_a_failed_delivery_is_repeated_with_the_same_id(cloud: LocalCloud, prompt: str, hook: Hook) -> None:
    hook.will_answer(500, 302, 200)
    job = run(cloud, USER, prompt, webhookUrl=hook.url, **SIZE)

    def answered(status: int) -> dict[str, Any] | None:
        found = hook.delivery(job["id"])
        return found if found["responseStatus"] == status else None

    for attempt, status in ((1, 500), (2, 302)):
        delivery = eventually(partial(answered, status))
        assert (delivery["status"], delivery["attempts"]) == ("pending", attempt)
        assert delivery["error"].startswith(f"the receiver answered HTTP {status}")
        assert delivery["nextAttemptAt"] > delivery["lastAttemptAt"] >= delivery["createdAt"]
        fall_due(cloud, job["id"])
    messages = hook.messages(3)
    assert len({id_ for id_, _ in messages}) == 1
    assert [payload["data"]["id"] for _, payload in messages] == [job["id"]] * 3
    assert hook.ends_as(job["id"], "delivered")["attempts"] == 3


def test_a_receiver_that_answered_410_gets_no_more_webhooks(cloud: LocalCloud, prompt: str, hook: Hook) -> None:
    hook.will_answer(410)
    first = run(cloud, USER, prompt, webhookUrl=hook.url, **SIZE)
    assert hook.ends_as(first["id"], "disabled")["responseStatus"] == 410
    second = run(cloud, USER, f"{prompt} again", webhookUrl=hook.url, **SIZE)
    delivery = hook.ends_as(second["id"], "disabled")
    assert (delivery["attempts"], delivery["responseStatus"], hook.count) == (0, None, 1)
    assert "410" in delivery["error"]


@pytest.mark.parametrize("effect", [{"status": 500}, {"status": 429}, {"kill": True}], ids=str)
def test_the_minute_timer_sends_the_webhook_of_a_lost_invocation(
    cloud: LocalCloud, prompt: str, hook: Hook, effect: dict[str, Any]
) -> None:
    cloud.arm("fc", {"function": "deliver-webhooks", "kind": "async"}, effect)
    job = run(cloud, USER, prompt, webhookUrl=hook.url, **SIZE)
    before = hook.delivery(job["id"])
    assert before["status"] == "pending"
    fall_due(cloud, job["id"])
    hook.messages(1)
    hook.ends_as(job["id"], "delivered")


def cancelled(cloud: LocalCloud, user: str, prompt: str, hook: Hook) -> str:
    api = cloud.api(user)
    job = generate(api, prompt, webhookUrl=hook.url, **SIZE)
    assert api.post(f"/jobs/{job['id']}/cancel").json()["status"] == "cancelled"
    return str(job["id"])


def test_invalid_answers_of_one_users_receivers_do_not_block_other_users(
    cloud: LocalCloud, prompt: str, server: _Receiver
) -> None:
    cloud.arm("fc", {"kind": "async"}, {"status": 500}, times=1000)  # no job begins, and no webhook is sent at once
    poisoned, good = [Hook(server, cloud) for _ in range(22)], [Hook(server, cloud) for _ in range(8)]
    for hook in poisoned:
        hook.will_answer(503, retry_after="Fri, 1 Jan 99999999999 00:00:00 GMT")
        cancelled(cloud, "attacker@example.com", prompt, hook)
    jobs = {number: cancelled(cloud, f"user-{number}@example.com", prompt, hook) for number, hook in enumerate(good)}
    cloud.disarm()
    cloud.execute("UPDATE webhook_deliveries SET next_attempt_at = '2020-01-01 00:00:00' WHERE status = ?", "pending")
    cloud.invoke("deliver-webhooks", {"triggerName": "every-minute", "payload": '{"task": "webhooks"}'})
    for number, hook in enumerate(good):
        answer = cloud.api(f"user-{number}@example.com").get(f"/jobs/{jobs[number]}/deliveries")
        ((delivery),) = answer.json()["data"]
        assert (delivery["status"], delivery["attempts"], delivery["responseStatus"], hook.count) == (
            *("delivered", 1, 204),
            1,
        )
    statuses = cloud.rows("SELECT status, attempts FROM webhook_deliveries WHERE user_id = ?", "attacker@example.com")
    assert [(row["status"], row["attempts"]) for row in statuses] == [("pending", 1)] * 22


def test_urls_in_the_message_are_newly_signed(
    start_cloud: Callable[..., LocalCloud], server: _Receiver, prompt: str
) -> None:
    cloud = start_cloud(env={"OSS_URL_TTL_S": "600"})
    hook = Hook(server, cloud)
    run(cloud, USER, prompt, webhookUrl=hook.url, **SIZE)
    ((_, payload),) = hook.messages(1)
    (output,) = payload["data"]["outputs"]
    assert "x-oss-signature=" in output["ossUrl"] and "ossPath" not in output


def test_old_deliveries_are_removed_by_the_daily_task(cloud: LocalCloud, prompt: str, hook: Hook) -> None:
    job = run(cloud, USER, prompt, webhookUrl=hook.url, **SIZE)
    hook.ends_as(job["id"], "delivered")
    cloud.execute("UPDATE webhook_deliveries SET created_at = '2020-01-01 00:00:00' WHERE job_id = ?", job["id"])
    result = cloud.invoke("clean-up", {"triggerName": "daily", "payload": '{"task": "temp-files"}'})
    assert json.loads(result)["deliveries"] == 1
    assert cloud.api(USER).get(f"/jobs/{job['id']}/deliveries").json() == {"data": []}


@pytest.mark.parametrize("user", ["somebody@else.com", None])
def test_only_the_user_of_a_job_sees_its_deliveries(cloud: LocalCloud, prompt: str, user: str | None) -> None:
    job = run(cloud, USER, prompt, **SIZE)
    check_problem(cloud.api(user).get(f"/jobs/{job['id']}/deliveries"), 404 if user else 401)
    assert cloud.api(USER).get(f"/jobs/{job['id']}/deliveries").json() == {"data": []}


@pytest.mark.parametrize(
    ("url", "rule"),
    [
        ("http://10.0.0.1/hook", "not on the public internet"),
        ("https://169.254.169.254/latest", "not on the public internet"),
        ("https://0x7f.1/hook", "four decimal numbers"),
        ("https://localhost/hook", "not on the public internet"),
        ("https://[::1]/hook", "not on the public internet"),
        ("https://user:pw@example.com/", "user name"),
        ("ftp://example.com/", "https"),
        ("https://example.com:22/", "port"),
        ("https://example.com\\@10.0.0.1/", "backslashes"),
        ("https://example.com/" + "x" * 2048, "2048"),
    ],
    ids=lambda value: value[:40],
)
@pytest.mark.parametrize(("path", "name"), [("/ai/generate-image", "webhookUrl"), ("/ai/generate-video", "imageUrl")])
def test_a_forbidden_webhook_url_is_refused_in_the_request(
    cloud: LocalCloud, path: str, name: str, url: str, rule: str
) -> None:
    answer = cloud.api(USER).post(path, json={"prompt": "x", name: url})
    (error,) = check_problem(answer, 422, name)["errors"]
    assert rule in error["message"]


def test_without_a_secret_a_webhook_url_is_refused(start_cloud: Callable[..., LocalCloud]) -> None:
    cloud = start_cloud(env={"WEBHOOK_SECRET": ""})
    answer = cloud.api(USER).post("/ai/generate-image", json={"prompt": "x", "webhookUrl": "https://example.com/"})
    (error,) = check_problem(answer, 422, "webhookUrl")["errors"]
    assert "webhooks are not configured" in error["message"]
    with pytest.raises(AssertionError, match="WEBHOOK_SECRET is not set"):
        cloud.invoke("deliver-webhooks", {"triggerName": "every-minute", "payload": '{"task": "webhooks"}'})


def test_an_input_image_at_a_private_address_fails_the_job_before_the_submission(
    cloud: LocalCloud, prompt: str
) -> None:
    api = cloud.api(USER)
    cloud.arm("fc", {"function": "generate-video", "kind": "async"}, {"status": 500})
    job = generate(api, prompt, path="/ai/generate-video", imageUrl="http://127.0.0.1/first.png", duration=2)
    # Like a host name that is public at the request and private at the submission.
    cloud.execute("UPDATE jobs SET image_url = 'http://10.0.0.1/first.png' WHERE id = ?", job["id"])
    cloud.age(job["id"])
    failed = cloud.finish(api, job["id"])
    assert (failed["status"], failed["error"]["code"]) == ("failed", "download_refused")
    assert failed["error"] == {
        "code": "download_refused",
        "message": "the image's address is not on the public internet",
        "retryable": False,
    }
    assert cloud.charges(prompt) == []
