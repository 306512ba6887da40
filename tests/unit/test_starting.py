"""Starting jobs: each key starts one job, within quotas, and has one answer."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from itertools import count

import pytest

from shared.domain.errors import ConflictError, DispatchError, QuotaExceededError, ValidationError
from shared.domain.idempotency import KEY_LIFETIME, Answer
from shared.domain.jobs import DISPATCH_GRACE_S, Job, JobStatus
from shared.domain.media_type import MediaType
from shared.domain.quotas import Quotas, QuotaStatus
from shared.domain.usage import Usage
from shared.services.expiry import remove_expired_starts
from shared.services.reading import read_quota_status
from shared.services.starting import JobOrder, StartCommand, Started, start_job
from tests.fakes import NOW, PLENTY, USER, FakeClock, RecordingDispatcher, World

IMAGE = JobOrder(MediaType.IMAGE, "a lake at dawn")
VIDEO = JobOrder(MediaType.VIDEO, "a lake at dawn")
OTHER_ORDER = replace(IMAGE, prompt="a lake at dusk")
_signatures = count()


class ClockWithEvents(FakeClock):
    """A clock that runs ``event`` once, during the first sleep that reaches ``after_s`` seconds of sleep."""

    def __init__(self, event: Callable[[], object], after_s: float = 0) -> None:
        super().__init__()
        self.event: Callable[[], object] | None = event
        self.after_s = after_s

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        if self.event is not None and sum(self.slept) >= self.after_s:
            event, self.event = self.event, None
            event()


def answer_about(job: Job) -> Answer:
    """Answer as the API does: outputs have URLs that differ each time."""
    outputs = [f"url-{next(_signatures)}"] if job.status is JobStatus.SUCCEEDED else []
    body = {"id": job.id, "status": job.status.value, "outputs": outputs}
    return Answer(200 if job.status.final else 202, {"Location": f"/jobs/{job.id}"}, body)


def start(
    world: World,
    job_id: str,
    key: str | None = "k",
    *,
    order: JobOrder = IMAGE,
    quotas: Quotas = PLENTY,
    user: str = USER,
    wait_s: float = 0,
    answer: Callable[[Job], Answer] = answer_about,
) -> Started:
    ports = replace(world.starting(quotas), new_id=lambda: job_id)
    return start_job(StartCommand(user, order, wait_s, key), answer, ports=ports)


def id_of(started: Started) -> str:
    return str(started.answer.body["id"])


def end(world: World, job_id: str = "first") -> Job:
    done = world.job(job_id).succeeded(world.clock.now())
    world.jobs.save(done)
    return done


# -- the job


def test_the_job_has_the_requested_parameters(world: World) -> None:
    order = replace(
        IMAGE,
        negative_prompt="fog",
        model="wan2.2-t2i-plus",
        seed=7,
        size="512x768",
        count=2,
        webhook_url="https://x.y",
    )
    start(world, "first", order=order)
    assert world.job("first") == Job(
        id="first",
        user_id=USER,
        type=MediaType.IMAGE,
        prompt="a lake at dawn",
        model="wan2.2-t2i-plus",
        size="512x768",
        created_at=NOW,
        negative_prompt="fog",
        seed=7,
        count=2,
        webhook_url="https://x.y",
        next_attempt_at=NOW + timedelta(seconds=DISPATCH_GRACE_S),
    )


def test_the_model_chooses_what_was_left_out(world: World) -> None:
    start(world, "image", None)
    start(world, "video", None, order=VIDEO)
    start(world, "moved", None, order=replace(VIDEO, image_url="https://example.com/a.png"))
    jobs = [world.job(job_id) for job_id in ("image", "video", "moved")]
    assert [(job.model, job.size, job.duration) for job in jobs] == [
        ("wan2.2-t2i-flash", "1024x1024", None),
        ("wan2.6-t2v", "1280x720", 5),
        ("wan2.6-i2v", "1280x720", 5),
    ]


def test_parameters_that_the_model_ignores_are_warnings(world: World) -> None:
    start(world, "first", order=replace(IMAGE, model="gpt-image-1", seed=7))
    assert len(world.job("first").warnings) == 1


@pytest.mark.parametrize(
    ("order", "field"),
    [
        (replace(IMAGE, model="gpt-9"), "model"),
        (replace(IMAGE, model="wan2.6-t2v"), "model"),
        (replace(IMAGE, size="16x16"), "size"),
        (replace(IMAGE, size="big"), "size"),
        (replace(VIDEO, duration=60), "duration"),
        (replace(VIDEO, image_url="https://example.com/a.png", model="wan2.6-t2v"), "model"),
    ],
)
def test_an_order_that_the_model_does_not_take_is_refused_before_anything_is_stored(
    world: World, order: JobOrder, field: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        start(world, "first", order=order)
    assert [error["field"] for error in caught.value.errors] == [field]
    assert world.jobs.get("first") is None
    assert start(world, "second").quota == QuotaStatus(PLENTY, Usage(1, 1, 0), NOW)


def test_the_default_id_is_a_new_uuid(world: World) -> None:
    ids = {id_of(start_job(StartCommand(USER, IMAGE, 0), answer_about, ports=world.starting())) for _ in range(2)}
    assert len(ids) == 2
    assert all(len(job_id) == 36 for job_id in ids)


# -- once for each key


def test_the_same_key_and_request_give_the_same_job(world: World) -> None:
    first = start(world, "first")
    again = start(world, "second")
    assert first.quota == QuotaStatus(PLENTY, Usage(1, 1, 0), NOW)
    assert again == replace(first, quota=None)
    assert world.jobs.get("second") is None
    assert world.dispatcher.task_ids == ["job_first_0"]


def test_written_out_defaults_are_the_same_request(world: World) -> None:
    start(world, "first")
    assert id_of(start(world, "second", order=replace(IMAGE, count=1, seed=None))) == "first"


@pytest.mark.parametrize(
    "order",
    [OTHER_ORDER, VIDEO, replace(IMAGE, seed=0), replace(IMAGE, model="wan2.2-t2i-flash"), replace(IMAGE, count=2)],
)
def test_the_same_key_with_another_request_is_refused(world: World, order: JobOrder) -> None:
    start(world, "first")
    with pytest.raises(ValidationError) as caught:
        start(world, "second", order=order)
    assert (caught.value.code, caught.value.status) == ("idempotency_key_reused", 422)


def test_each_user_has_separate_keys(world: World) -> None:
    start(world, "first")
    assert id_of(start(world, "second", order=OTHER_ORDER, user="other")) == "second"


def test_jobs_without_a_key_are_all_different(world: World) -> None:
    assert [id_of(start(world, job_id, None)) for job_id in "ab"] == ["a", "b"]


def test_a_failed_dispatch_leaves_the_key_with_its_job(world: World) -> None:
    world.dispatcher = RecordingDispatcher(DispatchError("away"))
    first = start(world, "first")
    assert start(world, "second").answer == first.answer
    assert world.job("first").status is JobStatus.QUEUED


def test_the_key_of_a_deleted_job_is_refused_and_starts_nothing(world: World) -> None:
    start(world, "first")
    world.jobs.remove("first")
    with pytest.raises(ConflictError) as caught:
        start(world, "second")
    assert (caught.value.code, caught.value.status) == ("job_deleted", 409)
    assert world.jobs.get("second") is None


def test_a_job_that_is_deleted_during_the_wait_is_a_conflict(world: World) -> None:
    world.clock = ClockWithEvents(lambda: world.jobs.remove("first"))
    with pytest.raises(ConflictError):
        start(world, "first", wait_s=1)


def test_a_refusal_for_quota_uses_up_no_key(world: World) -> None:
    one = replace(PLENTY, concurrent_jobs=1)
    start(world, "first", quotas=one)
    with pytest.raises(QuotaExceededError) as caught:
        start(world, "second", "another", quotas=one)
    assert (caught.value.usage, caught.value.at) == (Usage(1, 1, 0), NOW)
    end(world)
    assert id_of(start(world, "third", "another", order=OTHER_ORDER, quotas=one)) == "third"
    assert world.dispatcher.task_ids == ["job_first_0", "job_third_0"]


def test_a_repetition_is_never_refused_for_quota(world: World) -> None:
    one = Quotas(1, 1, 1)
    start(world, "first", quotas=one)
    assert id_of(start(world, "second", quotas=one)) == "first"


def test_the_quota_status_counts_started_jobs(world: World) -> None:
    start(world, "first")
    assert read_quota_status(USER, ports=world.reading()) == QuotaStatus(PLENTY, Usage(1, 1, 0), NOW)


# -- the wait and the answer


@pytest.mark.parametrize("key", [None, "k"])
def test_waiting_ends_with_the_job(world: World, key: str | None) -> None:
    world.clock = ClockWithEvents(lambda: end(world), after_s=3)
    assert start(world, "first", key, wait_s=30).answer.body["status"] == "succeeded"
    assert sum(world.clock.slept) == 3


@pytest.mark.parametrize("key", [None, "k"])
def test_waiting_ends_in_time(world: World, key: str | None) -> None:
    assert start(world, "first", key, wait_s=1.1).answer.status == 202
    assert sum(world.clock.slept) == pytest.approx(1.1)


def test_waiting_ends_when_another_request_has_answered(world: World) -> None:
    repeated: list[Started] = []
    world.clock = ClockWithEvents(lambda: repeated.append(start(world, "second")))
    first = start(world, "first", wait_s=30)
    assert first.answer == repeated[0].answer
    assert sum(world.clock.slept) <= 0.25
    slept = len(world.clock.slept)
    start(world, "third", wait_s=30)
    assert len(world.clock.slept) == slept


def test_the_first_answer_is_repeated_even_after_the_job_has_ended(world: World) -> None:
    first = start(world, "first")
    end(world)
    again = start(world, "second", wait_s=30)
    assert again.answer == first.answer
    assert (again.answer.status, again.answer.body["outputs"]) == (202, [])


def test_a_repeated_answer_about_a_succeeded_job_has_new_urls(world: World) -> None:
    world.clock = ClockWithEvents(lambda: end(world))
    first = start(world, "first", wait_s=30).answer
    again = start(world, "second").answer
    assert again.with_outputs([]) == first.with_outputs([])
    assert (len(first.body["outputs"]), len(again.body["outputs"])) == (1, 1)
    assert first.body["outputs"] != again.body["outputs"]
    stored = world.starts.find_key(USER, "k")
    assert stored is not None and stored.answer == first.with_outputs([])


def test_a_request_that_loses_the_race_gets_the_answer_of_the_winner(world: World) -> None:
    def overtaken(job: Job) -> Answer:
        """Answer too late: another request of the same key answers first, and the job ends."""
        own = answer_about(job)
        if job.status is JobStatus.QUEUED:
            end(world)
            assert start(world, "second").answer.status == 200
        return own

    answer = start(world, "first", answer=overtaken).answer
    assert (answer.status, answer.body["status"], len(answer.body["outputs"])) == (200, "succeeded", 1)


def test_an_answer_whose_key_is_gone_is_still_given(world: World) -> None:
    def forgetful(job: Job) -> Answer:
        world.starts.forget_keys(NOW + timedelta(days=9), limit=9)
        return answer_about(job)

    assert id_of(start(world, "first", answer=forgetful)) == "first"


# -- the end of keys and counts


def forget(world: World, seconds: float = 60) -> dict[str, int]:
    until = world.clock.now() + timedelta(seconds=seconds)
    return remove_expired_starts(ports=world.expiry, until=until, batch=2)


def test_a_key_is_kept_for_a_day(world: World) -> None:
    start(world, "first")
    world.clock.advance(KEY_LIFETIME.total_seconds())
    assert forget(world)["keys_forgotten"] == 0
    assert id_of(start(world, "second")) == "first"
    world.clock.advance(0.001)
    assert forget(world)["keys_forgotten"] == 1
    assert id_of(start(world, "third", order=OTHER_ORDER)) == "third"


def test_counts_are_kept_beyond_their_day(world: World) -> None:
    start(world, "first", None)
    world.clock.advance(86_400)
    assert forget(world) == {"keys_forgotten": 0, "days_forgotten": 0}
    world.clock.advance(86_400)
    assert forget(world) == {"keys_forgotten": 0, "days_forgotten": 1}


def test_many_are_forgotten_in_batches_as_long_as_there_is_time(world: World) -> None:
    for number in range(5):
        start(world, f"job-{number}", f"k{number}", user=f"user-{number}")
    world.clock.advance(3 * 86_400)
    assert forget(world, 0) == {"keys_forgotten": 0, "days_forgotten": 0}
    assert forget(world) == {"keys_forgotten": 5, "days_forgotten": 5}
