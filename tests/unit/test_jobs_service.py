"""Jobs: how they are read, continued, cancelled and ended."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from shared.domain.errors import (
    DispatchError,
    LeaseLostError,
    NotFoundError,
    ProviderFailedError,
    ProviderUnavailableError,
)
from shared.domain.idempotency import Answer
from shared.domain.jobs import DISPATCH_GRACE_S, LEASE_S, Job, JobError, JobOutput, JobStatus
from shared.domain.media_type import MediaType
from shared.ports import Finished, MediaUrl, Pending
from shared.services.job_endings import complete_job, give_up_job
from shared.services.jobs import (
    cancel_job,
    first_attempt_due,
    get_job,
    wait_for_end,
)
from shared.services.revival import AT_ONCE, dispatch_due_jobs, poll_due_jobs
from shared.services.starting import JobOrder, StartCommand, start_job
from tests.fakes import (
    NOW,
    USER,
    FakeProvider,
    HeldObject,
    RecordingDispatcher,
    World,
    make_job,
    make_output,
    make_png,
)

IDLE = FakeProvider(AssertionError("submitted"), AssertionError("polled"))
TASK = Pending("task-1")
ONE = Finished((MediaUrl("https://results.example.com/0.png"),))


def start(world: World, job_id: str = "abc123", count: int = 1) -> Job:
    ports = replace(world.starting(), new_id=lambda: job_id)
    order = JobOrder(MediaType.IMAGE, "a lake at dawn", count=count)
    start_job(StartCommand(USER, order, wait_s=0), lambda job: Answer(202, {}, {}), ports=ports)
    return world.job(job_id)


def revive(world: World, provider: FakeProvider = IDLE) -> dict[str, int]:
    """Do the work of the minute timer for jobs, for one minute; return the counts that are not 0."""
    ports, until = world.revival(provider), world.clock.now() + timedelta(minutes=1)
    counts = Counter(dispatch_due_jobs(ports=ports, until=until))
    counts.update(poll_due_jobs(ports=ports, until=until))
    return {name: number for name, number in counts.items() if number}


def new_job(job_id: str = "abc123", **changes: object) -> Job:
    return first_attempt_due(make_job(id=job_id, **changes))


def test_a_job_is_recorded_and_dispatched(world: World) -> None:
    job = start(world)
    assert world.job() == job
    assert world.dispatcher.task_ids == ["job_abc123_0"]


def test_the_minute_timer_repeats_a_failed_dispatch(world: World) -> None:
    world.dispatcher = RecordingDispatcher(DispatchError("away"))
    job = start(world)
    assert job.status is JobStatus.QUEUED
    assert revive(world) == {}
    world.clock.advance(DISPATCH_GRACE_S)
    assert revive(world) == {"dispatched": 1}
    assert world.dispatcher.task_ids == ["job_abc123_1"]


def test_a_job_is_found_by_its_user_only(world: World) -> None:
    job = start(world)
    assert get_job(job.id, USER, jobs=world.jobs) == job
    for job_id, user in ((job.id, "other"), (job.id, USER.upper()), ("nothing", USER)):
        with pytest.raises(NotFoundError, match="job does not exist"):
            get_job(job_id, user, jobs=world.jobs)


def test_the_wait_ends_with_the_job(world: World) -> None:
    job = start(world)
    sleep = world.clock.sleep

    def sleep_and_finish(seconds: float) -> None:
        sleep(seconds)
        if world.clock.now() >= NOW + timedelta(seconds=3):
            world.jobs.save(job.succeeded(world.clock.now()))

    world.clock.sleep = sleep_and_finish
    assert wait_for_end(job, 30, jobs=world.jobs, clock=world.clock).status is JobStatus.SUCCEEDED
    assert world.clock.now() == NOW + timedelta(seconds=3)


def test_the_wait_ends_in_time(world: World) -> None:
    job = start(world)
    assert wait_for_end(job, 1.1, jobs=world.jobs, clock=world.clock) == job
    assert sum(world.clock.slept) == pytest.approx(1.1)
    assert wait_for_end(job, 0, jobs=world.jobs, clock=world.clock) == job
    assert len(world.clock.slept) == 5


def end(world: World, job: Job) -> Job:
    error = ProviderFailedError("it failed")
    return give_up_job(job, error, ports=world.endings)


@pytest.mark.parametrize("ending", ["complete", "give up"])
def test_the_temp_files_are_removed_when_the_job_ends(world: World, ending: str) -> None:
    job = start(world)
    world.temp.write("abc123.png", [b"x"])
    if ending == "complete":
        done = complete_job(job, ("w",), ports=world.endings)
        assert (done.status, done.warnings) == (JobStatus.SUCCEEDED, ("w",))
    else:
        done = end(world, job)
        assert (done.status, done.error) == (JobStatus.FAILED, JobError("provider_failed", "it failed", False))
    assert world.job() == done
    assert world.temp_files() == []


def test_a_job_given_up_succeeds_with_its_stored_outputs(world: World) -> None:
    job = start(world, count=2)
    world.outputs.put(make_output())
    done = end(world, job)
    assert (done.status, done.error) == (JobStatus.SUCCEEDED, None)
    assert done.warnings == ("stored 1 of 2 outputs: it failed",)


def test_a_job_whose_attempt_died_is_dispatched_again(world: World) -> None:
    world.jobs.add(new_job().claimed(NOW))
    world.clock.advance(LEASE_S - 1)
    assert revive(world) == {}
    world.clock.advance(1)
    assert revive(world) == {"dispatched": 1}
    assert world.dispatcher.task_ids == ["job_abc123_2"]
    assert revive(world) == {}
    assert (world.job().attempt, world.job().free(world.clock.now())) == (2, True)


def parked(job_id: str = "abc123") -> Job:
    job = new_job(job_id).claimed(NOW).submitting(NOW).submitted("task-1", NOW)
    return job.parked(NOW + timedelta(seconds=30))


def test_the_task_of_a_parked_job_is_polled_without_an_invocation(world: World) -> None:
    world.jobs.add(parked())
    assert revive(world) == {}
    world.clock.advance(30)
    provider = FakeProvider(AssertionError("submitted"), TASK, ProviderUnavailableError("away"), ONE)
    for _ in range(2):
        assert revive(world, provider) == {"polled": 1}
        assert revive(world) == {}
        assert world.job() == parked().parked(world.clock.now() + timedelta(seconds=5))
        world.clock.advance(5)
    assert revive(world, provider) == {"polled": 1, "dispatched": 1}
    assert world.dispatcher.task_ids == ["job_abc123_2"]
    assert provider.polled == ["task-1"] * 3


def test_a_job_with_a_failed_task_is_dispatched(world: World) -> None:
    world.jobs.add(parked())
    world.clock.advance(30)
    provider = FakeProvider(AssertionError("submitted"), ProviderFailedError("no"))
    assert revive(world, provider) == {"polled": 1, "dispatched": 1}
    assert not world.job().status.final


def test_tasks_that_a_run_could_not_poll_come_first_in_the_next_run(world: World) -> None:
    jobs = [f"job-{number:03}" for number in range(300)]
    for job_id in jobs:
        world.jobs.add(parked(job_id))
    world.clock.advance(30)

    def poll() -> Pending:
        world.clock.advance(0.3)  # in one minute, 200 polls end, and those that have begun by the end of the minute
        return TASK

    provider = FakeProvider(AssertionError("submitted"), poll)
    first = revive(world, provider)["polled"]
    assert 200 <= first <= 200 + AT_ONCE
    polled = {job.id for job in map(world.jobs.get, jobs) if job and job.due_at != NOW + timedelta(seconds=30)}
    assert polled == set(jobs[:first])
    revive(world, provider)
    assert all(world.job(job_id).due_at != NOW + timedelta(seconds=30) for job_id in jobs)


def test_a_job_past_its_deadline_fails(world: World) -> None:
    world.jobs.add(new_job().claimed(NOW))
    world.clock.advance(3600)
    assert revive(world) == {"ended": 1}
    job = world.job()
    assert (job.status, job.error and job.error.code) == (JobStatus.FAILED, "deadline_exceeded")
    assert revive(world) == {}


def test_an_attempt_with_an_expired_lease_stores_nothing_while_its_job_ends(world: World) -> None:
    intent, of_job = world.leave_an_intent(), world.outputs.of_job
    refused: list[LeaseLostError] = []

    def of_job_ahead_of_the_attempt(job_id: str) -> Sequence[JobOutput]:
        rows = of_job(job_id)
        with pytest.raises(LeaseLostError) as raised:
            world.outputs.commit(intent, lease_expires_at=world.clock.now())
        refused.append(raised.value)
        return rows

    world.outputs.of_job = of_job_ahead_of_the_attempt
    world.clock.advance(3600)
    assert revive(world) == {"ended": 1}
    assert len(refused) == 1
    assert (world.job().status, of_job("abc123")) == (JobStatus.FAILED, [])


def test_an_object_without_a_row_is_removed_at_the_deadline_of_its_job(world: World) -> None:
    key = world.leave_an_intent().output.oss_path
    world.store.objects[key] = HeldObject(make_png())
    world.clock.advance(3600)
    assert revive(world) == {"ended": 1}
    assert (world.job().status, world.store.objects, world.outputs.of_job("abc123")) == (JobStatus.FAILED, {}, [])


def test_a_job_ends_at_its_deadline_even_if_oss_is_unavailable(world: World) -> None:
    world.leave_an_intent()
    world.store.away = True
    world.clock.advance(3600)
    assert revive(world) == {"ended": 1, "failed": 1}
    assert world.job().status is JobStatus.FAILED


def test_a_job_that_another_attempt_has_claimed_is_not_dispatched(world: World) -> None:
    stale = new_job()
    world.jobs.add(stale.claimed(NOW))
    world.jobs.to_dispatch = lambda now, *, limit, after=None: [] if after else [stale]
    assert revive(world) == {}
    assert world.job().attempt == 1
    assert world.dispatcher.task_ids == []


def test_a_failed_dispatch_does_not_block_the_others(world: World) -> None:
    world.dispatcher = RecordingDispatcher(DispatchError("away"))
    for number, job_id in enumerate("ab"):
        world.jobs.add(replace(new_job(job_id), created_at=NOW + timedelta(seconds=number)))
    world.clock.advance(DISPATCH_GRACE_S)
    assert revive(world) == {"dispatched": 1, "failed": 1}
    world.clock.advance(DISPATCH_GRACE_S)
    assert revive(world) == {"dispatched": 2}
    assert sorted(world.dispatcher.task_ids) in (["job_a_1", "job_a_2", "job_b_2"], ["job_a_2", "job_b_1", "job_b_2"])
    assert all(
        world.job(job_id).failures == 0 for job_id in "ab"
    )  # a failure of Function Compute is not charged to the jobs


def test_the_jobs_that_are_due_longest_come_first(world: World) -> None:
    for age, job_id in ((1, "young"), (3, "old"), (2, "middle")):
        world.jobs.add(first_attempt_due(make_job(id=job_id, created_at=NOW - timedelta(seconds=age))))
    world.clock.advance(DISPATCH_GRACE_S)
    assert revive(world) == {"dispatched": 3}
    begun = [job.id for job in world.jobs.history if job.attempt == 1]
    assert begun == ["old", "middle", "young"]


def cancel(world: World) -> Job:
    return cancel_job("abc123", USER, ports=world.job_requests)


def test_a_job_that_was_not_submitted_is_cancelled_at_once(world: World) -> None:
    start(world)
    done = cancel(world)
    assert (done.status, done.finished_at, done.error) == (JobStatus.CANCELLED, NOW, None)
    assert cancel(world) == world.job() == done


def test_a_running_attempt_cancels_its_job_itself(world: World) -> None:
    world.jobs.add(new_job().claimed(NOW))
    assert cancel(world) == world.job() == replace(new_job().claimed(NOW), cancel_requested_at=NOW)
    assert world.dispatcher.task_ids == []
    world.clock.advance(1)
    assert cancel(world).cancel_requested_at == NOW


def test_a_parked_job_is_dispatched_to_cancel_its_task_at_the_provider(world: World) -> None:
    world.jobs.add(parked())
    assert (cancel(world).status, world.dispatcher.task_ids) == (JobStatus.RUNNING, ["job_abc123_2"])


def test_the_minute_timer_repeats_the_dispatch_of_a_cancellation(world: World) -> None:
    world.jobs.add(parked())
    world.dispatcher = RecordingDispatcher(DispatchError("away"))
    assert cancel(world).cancel_requested_at == NOW
    world.clock.advance(DISPATCH_GRACE_S)
    assert revive(world) == {"dispatched": 1}


def test_another_users_job_cannot_be_cancelled(world: World) -> None:
    start(world)
    with pytest.raises(NotFoundError):
        cancel_job("abc123", "other", ports=world.job_requests)
    assert world.job().cancel_requested_at is None
