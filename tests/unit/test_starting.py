"""Starting jobs: each key once, within quotas, with one answer."""

from dataclasses import replace
from datetime import timedelta

import pytest

from shared.domain.errors import ConflictError, DispatchError, QuotaExceededError, ValidationError
from shared.domain.idempotency import KEY_LIFETIME, Answer, UsedKey
from shared.domain.jobs import Job
from shared.domain.quotas import Quotas
from shared.domain.usage import Usage
from shared.services.jobs import first_attempt_due
from shared.services.starting import Start, forget_starts, keep_answer, start_job, wait_for_answer
from tests.fakes import NOW, PLENTY, USER, RecordingDispatcher, World, make_job

ANSWER = Answer(202, {"Location": "/jobs/first"}, {"id": "first"})


def start(
    world: World, job_id: str, key: str | None = "k", *, hash: str = "h", quotas: Quotas = PLENTY, user: str = USER
) -> Start:
    job = first_attempt_due(make_job(id=job_id, user_id=user, created_at=world.clock.now()))
    used = None if key is None else UsedKey(user, key, hash, job_id, job.created_at)
    return start_job(job, used, quotas, starts=world.starts, jobs=world.jobs, dispatcher=world.dispatcher)


def wait(world: World, begun: Start, seconds: float) -> Start:
    return wait_for_answer(begun, seconds, starts=world.starts, jobs=world.jobs, clock=world.clock)


def keep(world: World, begun: Start, answer: Answer) -> tuple[Answer, Job]:
    assert begun.key is not None
    return keep_answer(begun.key, begun.job, answer, starts=world.starts, jobs=world.jobs)


def end(world: World, job: Job) -> Job:
    done = job.succeeded(world.clock.now())
    world.jobs.save(done)
    return done


def test_the_same_key_and_request_give_the_same_job(world: World) -> None:
    first = start(world, "first")
    again = start(world, "second")
    assert first.usage == Usage(1, 1, 0)
    assert again == replace(first, usage=None)
    assert world.jobs.get("second") is None
    assert world.dispatcher.task_ids == ["job_first_0"]


def test_the_same_key_with_another_request_is_refused(world: World) -> None:
    start(world, "first")
    with pytest.raises(ValidationError) as caught:
        start(world, "second", hash="other")
    assert (caught.value.code, caught.value.status) == ("idempotency_key_reused", 422)


def test_keys_are_each_users_own(world: World) -> None:
    start(world, "first")
    assert start(world, "second", hash="x", user="other").job.id == "second"


def test_jobs_without_a_key_are_all_different(world: World) -> None:
    assert [start(world, job_id, None).job.id for job_id in "ab"] == ["a", "b"]


def test_a_dispatch_that_failed_leaves_the_key_with_its_job(world: World) -> None:
    world.dispatcher = RecordingDispatcher(DispatchError("away"))
    first = start(world, "first")
    assert start(world, "second").job == first.job == world.jobs.get("first")


def test_the_key_of_a_deleted_job_is_refused_and_nothing_is_begun(world: World) -> None:
    first = start(world, "first")
    world.jobs.remove("first")
    with pytest.raises(ConflictError) as caught:
        start(world, "second")
    assert (caught.value.code, caught.value.status) == ("job_deleted", 409)
    with pytest.raises(ConflictError):
        wait(world, first, 1)
    assert world.jobs.get("second") is None


def test_a_refusal_for_quota_uses_up_no_key(world: World) -> None:
    one = replace(PLENTY, concurrent_jobs=1)
    first = start(world, "first", quotas=one)
    with pytest.raises(QuotaExceededError):
        start(world, "second", "another", quotas=one)
    end(world, first.job)
    assert start(world, "third", "another", hash="other", quotas=one).job.id == "third"
    assert world.dispatcher.task_ids == ["job_first_0", "job_third_0"]


def test_a_repetition_is_never_refused_for_quota(world: World) -> None:
    one = Quotas(1, 1, 1)
    start(world, "first", quotas=one)
    assert start(world, "second", quotas=one).job.id == "first"


def test_waiting_ends_with_the_job(world: World) -> None:
    for key in (None, "k"):
        begun = start(world, f"job {key}", key)
        done = end(world, begun.job)
        assert wait(world, begun, 30) == replace(begun, job=done)


def test_waiting_ends_when_somebody_has_answered(world: World) -> None:
    first, again = start(world, "first"), start(world, "second")
    assert keep(world, again, ANSWER) == (ANSWER, again.job)
    seen = wait(world, first, 30)
    assert seen.key is not None
    assert seen.key.answer == ANSWER
    assert sum(world.clock.slept) <= 0.25
    slept = len(world.clock.slept)
    wait(world, start(world, "third"), 30)
    assert len(world.clock.slept) == slept


def test_waiting_ends_in_time(world: World) -> None:
    begun = start(world, "first")
    assert wait(world, begun, 1.1) == begun
    assert sum(world.clock.slept) == pytest.approx(1.1)


def test_the_first_answer_is_everybodys(world: World) -> None:
    first, again = start(world, "first"), start(world, "second")
    done = end(world, first.job)
    assert keep(world, replace(first, job=done), ANSWER) == (ANSWER, done)
    # Who saw the job before it ended, and lost the race, sees it as it was answered about.
    assert keep(world, again, replace(ANSWER, status=200)) == (ANSWER, done)


def test_an_answer_whose_key_is_gone_is_given_all_the_same(world: World) -> None:
    begun = start(world, "first")
    world.starts.forget_keys(NOW + timedelta(days=9), limit=9)
    assert keep(world, begun, ANSWER) == (ANSWER, begun.job)


def forget(world: World, seconds: float = 60) -> dict[str, int]:
    until = world.clock.now() + timedelta(seconds=seconds)
    return forget_starts(starts=world.starts, clock=world.clock, until=until, batch=2)


def test_a_key_is_kept_for_a_day(world: World) -> None:
    start(world, "first")
    world.clock.advance(KEY_LIFETIME.total_seconds())
    assert forget(world)["keys_forgotten"] == 0
    assert start(world, "second").job.id == "first"
    world.clock.advance(0.001)
    assert forget(world)["keys_forgotten"] == 1
    assert start(world, "third", hash="other").job.id == "third"


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
