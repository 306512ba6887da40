"""The minute timer: the jobs and deletions of every user have their turn, however many others there are."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import NoReturn

import pytest

from shared.domain.deletions import MAX_FAILURES as DELETION_FAILURES
from shared.domain.deletions import deletion_of_job
from shared.domain.errors import DispatchError, ProviderRefusedError, StorageRefusedError
from shared.domain.jobs import MAX_FAILURES, Job, JobStatus
from shared.ports import Finished, MediaUrl, Pending
from shared.services.deletion import carry_out_deletion
from shared.services.jobs import first_attempt_due
from shared.services.upkeep import do_every_minute
from tests.fakes import NOW, USER, FakeProvider, World, make_job, make_output

RUN = timedelta(seconds=280)  # of the five minutes that clean-up may take


def minute(world: World, provider: FakeProvider) -> dict[str, int]:
    """Run the timer's task; the next run may begin a minute after this one began."""
    began = world.clock.now()
    counts = do_every_minute(ports=world.upkeep(provider), until=began + RUN)
    world.clock.advance(max((began + timedelta(minutes=1) - world.clock.now()).total_seconds(), 0))
    return counts


def waiting_job(job_id: str, user_id: str = USER) -> Job:
    job = first_attempt_due(make_job(id=job_id, user_id=user_id)).claimed(NOW).submitting(NOW)
    return job.submitted(f"task of {job_id}", NOW).parked(NOW)


def always_pending(world: World, seconds: float) -> FakeProvider:
    """A slow provider: each poll advances the clock, as if the polls ran one after the other."""

    def poll() -> Pending:
        world.clock.advance(seconds)
        return Pending("…")

    return FakeProvider(AssertionError("submitted"), poll)


def test_each_of_a_thousand_waiting_jobs_has_its_turn(world: World) -> None:
    jobs = [f"job-{number:04}" for number in range(1000)]
    for number, job_id in enumerate(jobs):
        world.jobs.add(waiting_job(job_id, f"user-{number % 3}"))
    world.jobs.add(make_job(id="its-instance-died", created_at=NOW + timedelta(seconds=1)).claimed(NOW))
    for number in range(5):
        job = world.jobs.add(make_job(id=f"deleted-{number}", status=JobStatus.SUCCEEDED))
        world.deletions.add(deletion_of_job(job, NOW))
    world.clock.advance(60)
    provider = always_pending(world, 0.2)
    counts = minute(world, provider)
    assert set(provider.polled) == {f"task of {job_id}" for job_id in jobs} and len(provider.polled) == 1000
    assert "job_its-instance-died_2" in world.dispatcher.task_ids
    assert (counts["polled"], counts["dispatched"], counts["deletions_ended"], counts["deletions_left"]) == (
        1000,
        1,
        5,
        0,
    )


def test_slow_polls_block_neither_deletions_nor_dispatches(world: World) -> None:
    for number in range(200):
        world.jobs.add(waiting_job(f"job-{number:03}"))
    world.clock.advance(60)
    provider = always_pending(world, 2)
    for number in range(3):
        job = world.jobs.add(make_job(id=f"deleted-{number}", status=JobStatus.SUCCEEDED))
        world.deletions.add(deletion_of_job(job, world.clock.now()))
        world.jobs.add(make_job(id=f"lost-{number}", next_attempt_at=world.clock.now()))
        counts = minute(world, provider)
        assert counts["deletions_ended"] == 1 and f"job_lost-{number}_1" in world.dispatcher.task_ids
    # The jobs for which one run has no time come first in the next run.
    assert len(set(provider.polled)) == 200


@pytest.mark.parametrize("what", ["to_dispatch", "to_poll"])
def test_a_failed_list_of_jobs_blocks_no_other_kind_of_work(world: World, what: str) -> None:
    def fail(*_: object, **__: object) -> object:
        raise OverflowError("a bug")

    setattr(world.jobs, what, fail)
    world.jobs.add(waiting_job("waiting"))
    world.jobs.add(make_job(id="lost", next_attempt_at=NOW))
    job = world.jobs.add(make_job(id="deleted", status=JobStatus.SUCCEEDED))
    deletion = deletion_of_job(job, NOW)
    world.deletions.add(deletion)
    provider = always_pending(world, 0)
    with pytest.raises(OverflowError):  # so that the invocation counts as failed
        minute(world, provider)
    assert world.jobs.get("deleted") is None
    assert (len(provider.polled), len(world.dispatcher.task_ids)) == ((1, 0) if what == "to_dispatch" else (0, 1))


# -- failures that are charged to an item


def let_minutes_pass(world: World, provider: FakeProvider, done: Callable[[], bool], *, most: int) -> int:
    for number in range(1, most + 1):
        minute(world, provider)
        if done():
            return number
    raise AssertionError(f"not done after {most} minutes")


def ended(world: World, job_id: str = "bad") -> Callable[[], bool]:
    return lambda: world.job(job_id).status.final


def test_a_job_is_given_up_after_several_failed_turns(world: World) -> None:
    world.jobs.add(waiting_job("bad"))
    provider = FakeProvider(AssertionError("submitted"), AttributeError("a bug"))
    assert let_minutes_pass(world, provider, ended(world), most=9) == MAX_FAILURES
    job = world.job("bad")
    assert job.error is not None
    assert (job.status, job.error.code, job.error.retryable) == (JobStatus.FAILED, "internal_error", True)
    assert "bug" not in job.error.message


def test_a_job_that_is_given_up_succeeds_with_what_is_stored(world: World) -> None:
    world.jobs.add(waiting_job("abc123"))
    world.outputs.put(make_output())
    provider = FakeProvider(AssertionError("submitted"), TypeError("a bug"))
    let_minutes_pass(world, provider, ended(world, "abc123"), most=9)
    assert world.job("abc123").status is JobStatus.SUCCEEDED


def test_a_job_whose_outputs_cannot_be_read_fails_after_its_deadline(world: World) -> None:
    world.jobs.add(waiting_job("bad"))

    def fail(job_id: str) -> NoReturn:
        raise KeyError(job_id)

    world.outputs.of_job = fail
    minutes = let_minutes_pass(world, FakeProvider(AssertionError("submitted"), ValueError()), ended(world), most=80)
    assert 60 <= minutes <= 65 and world.job("bad").status is JobStatus.FAILED


def test_a_failure_of_function_compute_is_not_charged_to_the_job(world: World) -> None:
    world.jobs.add(make_job(id="lost", next_attempt_at=NOW))
    world.dispatcher.failures = [DispatchError("HTTP 503")] * 10
    for _ in range(10):
        minute(world, always_pending(world, 0))
        world.clock.advance(1)
    assert (world.job("lost").failures, world.dispatcher.task_ids) == (0, [])
    minute(world, always_pending(world, 0))
    assert world.dispatcher.task_ids == ["job_lost_11"]


def test_a_job_with_a_removed_model_is_dispatched(world: World) -> None:
    world.jobs.add(waiting_job("old"))

    def provider_of(model: str) -> FakeProvider:
        raise ProviderRefusedError(f"this release does not serve the model {model}")

    ports = world.upkeep(always_pending(world, 0))
    revival = replace(ports.revival, provider_of=provider_of)
    do_every_minute(ports=replace(ports, revival=revival), until=NOW + RUN)
    assert (world.dispatcher.task_ids, world.job("old").failures) == (["job_old_2"], 0)


def test_two_runs_at_once_poll_each_task_once(world: World) -> None:
    for number in range(20):
        world.jobs.add(waiting_job(f"job-{number:02}"))
    other = always_pending(world, 0)

    def poll() -> Finished:
        if len(other.polled) == 0:
            other.polled.append("begun")
            minute(world, other)
        return Finished((MediaUrl("https://results.example.com/0.png"),))

    first = FakeProvider(AssertionError("submitted"), poll)
    minute(world, first)
    assert sorted([*first.polled, *other.polled[1:]]) == [f"task of job-{number:02}" for number in range(20)]


# -- deletions


def refuse(world: World, part: str) -> None:
    delete = world.store.delete

    def refuse_some(key: str) -> None:
        if part in key:
            raise StorageRefusedError("OSS refused: 409 (FileImmutable)")
        delete(key)

    world.store.delete = refuse_some


def add_deletion(world: World, job_id: str, *, objects: int = 0) -> str:
    from tests.fakes import HeldObject

    job = world.jobs.add(make_job(id=job_id, status=JobStatus.SUCCEEDED))
    for number in range(objects):
        world.store.objects[f"users/{USER}/jobs/{job_id}/image-{1703123456789 + number}.png"] = HeldObject(b"x")
    deletion = deletion_of_job(job, world.clock.now())
    world.deletions.add(deletion)
    return deletion.id


def test_a_failing_deletion_is_postponed_longer_each_time_and_then_given_up(world: World) -> None:
    deletion_id = add_deletion(world, "held", objects=3)
    refuse(world, "image-1703123456790")
    tries = 0
    for _ in range(7 * 24 * 60):
        counts = minute(world, always_pending(world, 0))
        tries += counts["failed"]
        # Objects that OSS does not refuse to delete are deleted at once.
        assert list(world.store.objects) == [f"users/{USER}/jobs/held/image-1703123456790.png"]
    deletion = world.deletions.get(deletion_id)
    assert deletion is not None and deletion.given_up and tries == DELETION_FAILURES
    world.store.delete = world.store.objects.pop  # type: ignore[assignment]  # the policy has ended; nobody reads what pop returns
    minute(world, always_pending(world, 0))
    assert len(world.store.objects) == 1
    # A repeated request begins the deletion again.
    outcome = carry_out_deletion(deletion_id, ports=world.deletion, until=world.clock.now() + RUN)
    assert outcome == {"deletions_ended": 1}
    assert not world.store.objects and world.jobs.get("held") is None


def test_a_large_deletion_does_not_block_a_small_one(world: World) -> None:
    add_deletion(world, "large", objects=300)
    world.clock.advance(1)
    for number in range(3):
        add_deletion(world, f"small-{number}", objects=1)
    delete = world.store.delete

    def slowly(key: str) -> None:
        world.clock.advance(1)
        delete(key)

    world.store.delete = slowly
    world.clock.advance(60)
    counts = minute(world, always_pending(world, 0))
    assert (counts["deletions_ended"], counts["deletions_left"]) == (3, 1)
    # The large deletion uses the time that is left.
    assert len(world.store.objects) == 300 - (50 - 3)
    for _ in range(6):
        minute(world, always_pending(world, 0))
    assert world.jobs.get("large") is None
