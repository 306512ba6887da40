"""The steps of a job: the state after each failure, and that the next attempt continues from this state."""

import base64
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, NoReturn

import pytest

from shared.domain.errors import (
    ChecksumMismatchError,
    DatabaseUnavailableError,
    DownloadInterruptedError,
    DownloadRefusedError,
    DreamFactoryError,
    ProviderFailedError,
    ProviderRefusedError,
    ProviderUnavailableError,
    ResultLostError,
    StorageRefusedError,
    StorageUnavailableError,
    SubmissionUnknownError,
)
from shared.domain.jobs import LEASE_S, MAX_FAILURES, SUBMIT_LEASE_S, Job, JobError, JobOutput, JobStatus
from shared.ports import Finished, MediaBase64, MediaUrl, Pending, RefusedResult, StoredObject
from shared.services.generation import advance_job
from tests.fakes import (
    NOW,
    Chunk,
    FakeProvider,
    HeldObject,
    World,
    make_job,
    make_output,
    make_png,
    make_video_job,
)

LATER = NOW + timedelta(minutes=10)
URLS = [f"https://results.example.com/{n}.png" for n in range(4)]
ONE = Finished((MediaUrl(URLS[0]),))


@pytest.fixture(autouse=True)
def results(world: World) -> None:
    world.downloads.bodies = {url: make_png(noise=[n]) for n, url in enumerate(URLS)}


def attempt(world: World, provider: FakeProvider, until: datetime = LATER) -> Job | None:
    return advance_job("abc123", ports=world.generation(provider), until=until)


def advance(world: World, provider: FakeProvider, until: datetime = LATER) -> Job:
    """Let an attempt advance the job, and return the job as the attempt left it."""
    job = attempt(world, provider, until)
    assert job is not None
    return job


def error_of(job: Job) -> JobError:
    assert job.error is not None
    return job.error


def add(world: World, job: Job | None = None) -> None:
    world.jobs.add(job or make_job())


def test_a_job_goes_from_the_submission_to_its_stored_outputs(world: World) -> None:
    add(world)
    provider = FakeProvider(Pending("task-1"), Pending("task-1"), ONE)
    done = advance(world, provider)
    assert done == world.job()
    assert (done.status, done.provider_task_id, done.attempt, done.warnings) == (JobStatus.SUCCEEDED, "task-1", 1, ())
    assert (done.started_at, done.finished_at) == (NOW, NOW + timedelta(seconds=5))
    assert (done.lease_expires_at, done.next_attempt_at, done.error) == (None, None, None)
    assert len(world.outputs.of_job("abc123")) == len(world.store.objects) == 1
    assert (len(provider.submitted), provider.polled) == (1, ["task-1", "task-1"])
    assert world.temp_files() == []


def test_each_step_is_recorded_before_the_next_step(world: World) -> None:
    add(world)
    seen: list[Job] = []

    def submit() -> Pending:
        seen.append(world.job())
        return Pending("task-1")

    def poll() -> Finished:
        seen.append(world.job())
        return ONE

    def chunk() -> bytes:
        seen.append(world.job())
        return make_png()

    world.downloads.bodies[URLS[0]] = [chunk]
    advance(world, FakeProvider(submit, poll))
    assert [(job.status, job.submitted_at is not None, job.provider_task_id) for job in seen] == [
        (JobStatus.RUNNING, True, None),
        (JobStatus.RUNNING, True, "task-1"),
        (JobStatus.STORING, True, "task-1"),
    ]


FIRST_FRAME = "https://images.example.com/first-frame.png"


def test_an_input_image_is_checked_before_the_submission(world: World) -> None:
    add(world, make_video_job(image_url=FIRST_FRAME))
    world.downloads.refusals = {FIRST_FRAME: DownloadRefusedError("the image's address is not on the public internet")}
    provider = FakeProvider(ONE)
    failed = advance(world, provider)
    assert (failed.status, error_of(failed).code, error_of(failed).retryable) == (
        JobStatus.FAILED,
        "download_refused",
        False,
    )
    assert (provider.submitted, failed.submitted_at) == ([], None)


def test_an_input_image_at_a_public_host_goes_to_the_provider(world: World) -> None:
    add(world, make_video_job(image_url=FIRST_FRAME))
    provider = FakeProvider(Pending("task-1"), Pending("task-1"))
    advance_job("abc123", ports=world.generation(provider), until=NOW)
    assert [job.image_url for job in provider.submitted] == world.downloads.checked == [FIRST_FRAME]


def test_a_job_without_an_input_image_checks_no_url(world: World) -> None:
    add(world)
    advance(world, FakeProvider(ONE))
    assert world.downloads.checked == []


def test_a_result_inside_the_answer_needs_no_poll(world: World) -> None:
    add(world)
    provider = FakeProvider(Finished((MediaBase64(base64.b64encode(make_png()).decode()),)))
    assert advance(world, provider).status is JobStatus.SUCCEEDED
    assert provider.polled == []


def test_an_unknown_job_is_ignored(world: World) -> None:
    assert attempt(world, FakeProvider(ONE)) is None


@pytest.mark.parametrize("status", [JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED])
def test_a_job_that_has_ended_does_not_change(world: World, status: JobStatus) -> None:
    add(world, make_job(status=status))
    provider = FakeProvider(ONE)
    assert advance(world, provider).status is status
    assert (provider.submitted, len(world.jobs.history)) == ([], 1)


def test_a_job_of_another_living_attempt_does_not_change(world: World) -> None:
    add(world, make_job().claimed(NOW))
    provider = FakeProvider(ONE)
    advance(world, provider)
    assert (provider.submitted, world.job().attempt) == ([], 1)


def test_a_refusal_by_the_provider_fails_the_job(world: World) -> None:
    add(world)
    done = advance(world, FakeProvider(ProviderRefusedError("no such thing")))
    assert (done.status, error_of(done).code, error_of(done).message) == (
        JobStatus.FAILED,
        "provider_refused",
        "no such thing",
    )
    assert not error_of(done).retryable
    assert world.job() == done


def test_a_submission_to_an_unavailable_provider_is_repeated_later(world: World) -> None:
    add(world)
    provider = FakeProvider(ProviderUnavailableError("away"))
    with pytest.raises(ProviderUnavailableError):
        advance(world, provider)
    job = world.job()
    assert (job.status, job.failures, job.submitted_at, job.lease_expires_at) == (JobStatus.RUNNING, 1, None, None)
    assert job.next_attempt_at == NOW + timedelta(seconds=60)
    assert advance(world, FakeProvider(ONE)).status is JobStatus.SUCCEEDED


def test_a_provider_that_stays_unavailable_fails_the_job(world: World) -> None:
    add(world)
    provider = FakeProvider(ProviderUnavailableError("away"))
    for _ in range(MAX_FAILURES - 1):
        with pytest.raises(ProviderUnavailableError):
            advance(world, provider)
    done = advance(world, provider)
    assert (done.status, error_of(done).code, error_of(done).retryable) == (
        JobStatus.FAILED,
        "provider_unavailable",
        True,
    )
    assert len(provider.submitted) == MAX_FAILURES


def test_a_submission_with_an_unknown_result_is_never_repeated(world: World) -> None:
    add(world)
    provider = FakeProvider(SubmissionUnknownError("the answer was lost"))
    done = advance(world, provider)
    assert (done.status, error_of(done).code) == (JobStatus.FAILED, "submission_unknown")
    assert len(provider.submitted) == 1
    advance(world, provider)
    assert len(provider.submitted) == 1


def test_after_a_crash_during_the_submission_the_job_is_not_submitted_again(world: World) -> None:
    # The instance died between the intent and the answer.
    add(world, make_job().claimed(NOW).submitting(NOW))
    world.clock.advance(SUBMIT_LEASE_S)
    provider = FakeProvider(ONE)
    done = advance(world, provider)
    assert (provider.submitted, done.status, error_of(done).code) == ([], JobStatus.FAILED, "submission_unknown")


@pytest.mark.parametrize(
    "crashed",
    [
        lambda: make_job().claimed(NOW).submitting(NOW).submitted("task-1", NOW),
        lambda: make_job().claimed(NOW).submitting(NOW).submitted("task-1", NOW).storing(NOW),
    ],
)
def test_after_a_crash_behind_the_submission_the_same_task_is_polled(world: World, crashed: Callable[[], Job]) -> None:
    add(world, crashed())
    world.temp.write("abc123.png", [b"left behind"])
    world.clock.advance(LEASE_S)
    provider = FakeProvider(AssertionError("submitted again"), ONE)
    done = advance(world, provider)
    assert (done.status, done.attempt, provider.polled) == (JobStatus.SUCCEEDED, 2, ["task-1"])
    assert provider.submitted == []
    assert world.temp_files() == []


def test_after_a_crash_behind_the_rows_the_next_attempt_ends_the_job_with_the_same_rows(world: World) -> None:
    add(world)
    provider = FakeProvider(Pending("task-1"), ONE)
    world.jobs.save, save = _failing_when(world, JobStatus.SUCCEEDED), world.jobs.save
    with pytest.raises(DatabaseUnavailableError):
        advance(world, provider)
    first = list(world.outputs.of_job("abc123"))
    world.jobs.save = save
    world.clock.advance(LEASE_S)
    assert advance(world, provider).status is JobStatus.SUCCEEDED
    assert list(world.outputs.of_job("abc123")) == first
    assert len(world.store.objects) == 1
    assert len(provider.submitted) == 1


def _failing_when(world: World, status: JobStatus) -> Callable[..., None]:
    save = world.jobs.save

    def failing(job: Job, *, over_attempt: int | None = None) -> None:
        if job.status is status:
            world.jobs.away = True
        save(job, over_attempt=over_attempt)

    def back(job: Job, *, over_attempt: int | None = None) -> None:
        try:
            failing(job, over_attempt=over_attempt)
        finally:
            world.jobs.away = False

    return back


def test_polling_continues_after_an_outage_of_the_provider(world: World) -> None:
    add(world)
    away = ProviderUnavailableError("away")
    done = advance(world, FakeProvider(Pending("task-1"), away, away, away, ONE))
    assert (done.status, done.failures) == (JobStatus.SUCCEEDED, 0)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ProviderFailedError("it failed"), "provider_failed"),
        (ResultLostError("it is gone"), "result_lost"),
    ],
)
def test_a_failed_task_fails_the_job(world: World, error: DreamFactoryError, code: str) -> None:
    add(world)
    provider = FakeProvider(Pending("task-1"), Pending("task-1"), error)
    done = advance(world, provider)
    assert (done.status, error_of(done).code, len(provider.submitted)) == (JobStatus.FAILED, code, 1)


def test_a_job_with_a_long_task_is_parked_before_the_timeout(world: World) -> None:
    add(world, make_video_job())
    provider = FakeProvider(Pending("task-1"), Pending("task-1"))
    until = NOW + timedelta(seconds=23)
    parked = advance(world, provider, until)
    assert (parked.status, parked.lease_expires_at, parked.failures) == (JobStatus.RUNNING, None, 0)
    assert world.clock.now() < until
    assert parked.next_attempt_at == NOW + timedelta(seconds=25)
    world.clock.advance(10)
    world.downloads.bodies[URLS[0]] = make_png()
    again = FakeProvider(AssertionError("submitted again"), ProviderFailedError("it failed"))
    assert advance(world, again).status is JobStatus.FAILED
    assert again.polled == ["task-1"]


def test_the_lease_is_renewed_while_polling(world: World) -> None:
    add(world)
    free: list[bool] = []

    def poll() -> Pending:
        free.append(world.job().free(world.clock.now()))
        return Pending("task-1")

    advance(world, FakeProvider(Pending("task-1"), *[poll] * 60, ONE))
    assert free == [False] * 60


def test_the_lease_is_renewed_while_downloading(world: World) -> None:
    add(world)
    free: list[bool] = []

    def chunk() -> bytes:
        world.clock.advance(15)
        free.append(world.job().free(world.clock.now()))
        return b"x" * 600

    chunks: list[Chunk] = [make_png(), *[chunk] * 12]
    world.downloads.bodies[URLS[0]] = chunks
    assert advance(world, FakeProvider(Pending("task-1"), ONE)).status is JobStatus.SUCCEEDED
    assert free == [False] * 12


def test_a_job_past_its_deadline_fails_without_a_submission(world: World) -> None:
    add(world)
    world.clock.advance(3600)
    provider = FakeProvider(ONE)
    done = advance(world, provider, world.clock.now() + timedelta(minutes=1))
    assert (provider.submitted, done.status, error_of(done).code) == ([], JobStatus.FAILED, "deadline_exceeded")


def test_a_partly_refused_job_succeeds_with_a_warning(world: World) -> None:
    add(world, make_job(count=3, warnings=("cut prompt",)))
    partial = Finished((MediaUrl(URLS[0]), RefusedResult("DataInspectionFailed: no"), MediaUrl(URLS[2])))
    done = advance(world, FakeProvider(Pending("task-1"), partial))
    assert done.status is JobStatus.SUCCEEDED
    assert done.warnings == ("cut prompt", "output 2 of 3: DataInspectionFailed: no")
    assert len(world.outputs.of_job("abc123")) == 2


def test_a_result_that_is_not_an_image_is_a_warning_beside_stored_outputs(world: World) -> None:
    add(world, make_job(count=2))
    world.downloads.bodies[URLS[0]] = b"<!doctype html>"
    done = advance(world, FakeProvider(Pending("task-1"), Finished((MediaUrl(URLS[0]), MediaUrl(URLS[1])))))
    assert done.status is JobStatus.SUCCEEDED
    assert "output 1 of 2: the file must be png" in done.warnings[0]
    assert "got HTML" in done.warnings[0]


def test_a_job_without_any_valid_image_fails(world: World) -> None:
    add(world)
    world.downloads.bodies[URLS[0]] = b"<!doctype html>"
    done = advance(world, FakeProvider(Pending("task-1"), ONE))
    assert (done.status, error_of(done).code) == (JobStatus.FAILED, "wrong_media_type")
    assert world.temp_files() == []


@pytest.mark.parametrize("error", [StorageUnavailableError("away"), StorageRefusedError("no right")])
def test_a_failed_upload_is_repeated_from_the_same_task(world: World, error: DreamFactoryError) -> None:
    add(world)
    world.store.failures = [error]
    provider = FakeProvider(Pending("task-1"), ONE)
    with pytest.raises(type(error)):
        advance(world, provider)
    job = world.job()
    assert (job.status, job.failures, job.lease_expires_at) == (JobStatus.STORING, 1, None)
    assert world.temp_files() == []
    assert advance(world, provider).status is JobStatus.SUCCEEDED
    assert len(provider.submitted) == 1


def test_oss_that_stays_unavailable_fails_the_job(world: World) -> None:
    add(world)
    world.store.away = True
    provider = FakeProvider(Pending("task-1"), ONE)
    for attempt in range(1, MAX_FAILURES):
        with pytest.raises(StorageUnavailableError):
            advance(world, provider)
        assert (world.job().failures, world.temp_files()) == (attempt, [])
    # The job has ended; the invocation is repeated, to check whether one of its objects has arrived after all.
    with pytest.raises(StorageUnavailableError):
        advance(world, provider)
    done = world.job()
    assert (done.status, error_of(done).code) == (JobStatus.FAILED, "storage_unavailable")
    assert len(provider.submitted) == 1


def test_a_retryable_failure_beside_a_stored_output_is_repeated_and_then_a_warning(world: World) -> None:
    add(world, make_job(count=2))
    both = Finished((MediaUrl(URLS[0]), MediaUrl(URLS[1])))
    provider = FakeProvider(Pending("task-1"), both)
    world.store.failures = [None]
    for _ in range(MAX_FAILURES - 1):
        world.store.failures.append(StorageUnavailableError("away"))
        with pytest.raises(StorageUnavailableError):
            advance(world, provider)
    assert world.downloads.fetched.count(URLS[0]) == 1  # a stored output is not stored again
    world.store.failures = [StorageUnavailableError("away")]
    done = advance(world, provider)
    assert (done.status, done.warnings) == (JobStatus.SUCCEEDED, ("output 2 of 2: away",))
    assert len(world.outputs.of_job("abc123")) == 1


def test_a_refused_result_does_not_prevent_the_repetition_of_a_failed_upload(world: World) -> None:
    add(world, make_job(count=2))
    world.store.failures = [StorageUnavailableError("away")]
    provider = FakeProvider(Pending("task-1"), Finished((RefusedResult("no"), MediaUrl(URLS[1]))))
    with pytest.raises(StorageUnavailableError):
        advance(world, provider)
    done = advance(world, provider)
    assert (done.status, done.warnings) == (JobStatus.SUCCEEDED, ("output 1 of 2: no",))


def test_a_result_inside_the_answer_cannot_be_repeated(world: World) -> None:
    add(world)
    world.store.away = True
    provider = FakeProvider(Finished((MediaBase64(base64.b64encode(make_png()).decode()),)))
    with pytest.raises(StorageUnavailableError):
        advance(world, provider)
    done = world.job()
    assert (done.status, error_of(done).code, len(provider.submitted)) == (JobStatus.FAILED, "storage_unavailable", 1)


def test_the_upload_of_a_result_inside_the_answer_is_repeated_at_once(world: World) -> None:
    add(world)
    world.store.failures = [StorageUnavailableError("no"), ChecksumMismatchError("no"), StorageRefusedError("no")]
    provider = FakeProvider(Finished((MediaBase64(base64.b64encode(make_png()).decode()),)))
    done = advance(world, provider)
    assert (done.status, done.failures, len(provider.submitted)) == (JobStatus.SUCCEEDED, 0, 1)
    assert world.temp_files() == []


def test_a_job_that_meets_a_bug_is_repeated_and_then_fails(world: World) -> None:
    add(world)
    world.probe.error = ZeroDivisionError("a bug")
    provider = FakeProvider(Pending("task-1"), ONE)
    for _ in range(MAX_FAILURES - 1):
        with pytest.raises(DreamFactoryError, match="unexpected"):
            advance(world, provider)
        assert world.job().lease_expires_at is None
    done = advance(world, provider)
    assert (done.status, error_of(done).code, error_of(done).retryable) == (JobStatus.FAILED, "internal_error", True)
    assert "bug" not in error_of(done).message and world.temp_files() == []


def test_missing_outputs_are_a_warning(world: World) -> None:
    add(world, make_job(count=3))
    done = advance(world, FakeProvider(Pending("task-1"), ONE))
    assert (done.status, done.warnings) == (JobStatus.SUCCEEDED, ("the provider delivered 1 of 3 outputs",))


def test_results_beyond_the_ordered_number_are_not_stored(world: World) -> None:
    add(world, make_job(count=2))
    refused = RefusedResult("DataInspectionFailed")
    results = Finished((refused, MediaUrl(URLS[0]), MediaUrl(URLS[1]), MediaUrl("https://results.example.com/more")))
    done = advance(world, FakeProvider(Pending("task-1"), results))
    assert (done.status, done.warnings, world.downloads.fetched) == (JobStatus.SUCCEEDED, (), [URLS[0], URLS[1]])


def test_a_bug_with_one_result_does_not_block_the_others(world: World) -> None:
    add(world, make_job(count=2))
    world.downloads.bodies[URLS[0]] = [OverflowError("a bug")]
    two = Finished((MediaUrl(URLS[0]), MediaUrl(URLS[1])))
    provider = FakeProvider(Pending("task-1"), two)
    for _ in range(MAX_FAILURES - 1):
        with pytest.raises(DreamFactoryError, match="unexpected"):
            advance(world, provider)
        assert len(world.outputs.of_job("abc123")) == 1
    done = advance(world, provider)
    assert done.status is JobStatus.SUCCEEDED
    assert done.warnings == ("output 1 of 2: an unexpected internal error occurred",)


def test_a_bug_in_the_cancellation_at_the_provider_does_not_prevent_the_cancellation(world: World) -> None:
    world.jobs.add(make_job().claimed(NOW).submitting(NOW).submitted("task-1", NOW).parked(NOW))
    world.jobs.request_cancel("abc123", NOW)

    class Broken(FakeProvider):
        def cancel(self, task_id: str) -> bool:
            raise KeyError(task_id)

    assert advance(world, Broken(AssertionError("submitted"))).status is JobStatus.CANCELLED


def test_a_download_that_breaks_off_is_repeated(world: World) -> None:
    add(world)
    good = world.downloads.bodies[URLS[0]]
    world.downloads.bodies[URLS[0]] = [make_png(), b"x" * 600, DownloadInterruptedError("it broke off")]
    provider = FakeProvider(Pending("task-1"), ONE)
    with pytest.raises(DownloadInterruptedError):
        advance(world, provider)
    assert world.temp_files() == []
    world.downloads.bodies[URLS[0]] = good
    assert advance(world, provider).status is JobStatus.SUCCEEDED


def take_over(world: World) -> Job:
    """Act as another attempt that claims the job when the lease of the first one has expired."""
    world.clock.advance(SUBMIT_LEASE_S)
    job = world.job()
    other = job.claimed(world.clock.now())
    world.jobs.save(other, over_attempt=job.attempt)
    return other


def test_a_stale_attempt_stops_at_the_first_chunk(world: World) -> None:
    add(world)
    others: list[Job] = []

    def chunk() -> bytes:
        others.append(take_over(world))
        return b"more"

    world.downloads.bodies[URLS[0]] = [make_png() + b"x" * 600, chunk]
    assert attempt(world, FakeProvider(Pending("task-1"), ONE)) is None
    assert world.job() == others[0]
    assert (world.store.puts, world.outputs.of_job("abc123"), world.temp_files()) == ([], [], [])


def test_a_stale_attempt_does_not_write_its_task_id(world: World) -> None:
    add(world)
    others: list[Job] = []

    def submit() -> Pending:
        others.append(take_over(world))
        return Pending("task-1")

    assert attempt(world, FakeProvider(submit, ONE)) is None
    assert world.job() == others[0]


def test_a_stale_attempt_does_not_fail_the_job(world: World) -> None:
    add(world)
    others: list[Job] = []

    def submit() -> Pending:
        others.append(take_over(world))
        raise ProviderRefusedError("no")

    assert attempt(world, FakeProvider(submit)) is None
    assert world.job() == others[0]
    assert not world.job().status.final


@pytest.mark.parametrize("status", [JobStatus.FAILED, JobStatus.CANCELLED], ids=str)
def test_an_object_uploaded_after_an_end_without_success_is_removed_by_its_attempt(
    world: World, status: JobStatus
) -> None:
    add(world)
    put = world.store.put

    def put_too_late(*args: Any, **kwargs: Any) -> StoredObject:
        ended = replace(take_over(world), status=status, finished_at=world.clock.now(), lease_expires_at=None)
        world.jobs.save(ended)
        return put(*args, **{**kwargs, "on_block": lambda: None})

    world.store.put = put_too_late
    assert attempt(world, FakeProvider(Pending("task-1"), ONE)) is None
    assert (len(world.store.puts), world.store.objects, world.outputs.of_job("abc123")) == (1, {}, [])


def test_an_object_uploaded_before_the_failure_is_removed_by_the_attempt_that_fails_the_job(world: World) -> None:
    key = world.leave_an_intent().output.oss_path
    of_job = world.outputs.of_job

    def of_job_before_the_object(job_id: str) -> Sequence[JobOutput]:
        world.outputs.of_job, rows = of_job, of_job(job_id)
        world.store.objects[key] = HeldObject(make_png())
        return rows

    world.outputs.of_job = of_job_before_the_object
    assert error_of(advance(world, FakeProvider(ONE))).code == "result_lost"
    assert (world.store.objects, world.outputs.of_job("abc123")) == ({}, [])


@pytest.mark.parametrize("status", [JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED], ids=str)
def test_an_invocation_after_the_end_handles_late_objects(world: World, status: JobStatus) -> None:
    key = world.leave_an_intent().output.oss_path
    world.jobs.save(replace(world.job(), status=status, finished_at=world.clock.now(), lease_expires_at=None))
    world.store.objects[key] = HeldObject(make_png())
    advance(world, FakeProvider(ONE))
    left = [key] if status is JobStatus.SUCCEEDED else []
    assert ([row.oss_path for row in world.outputs.of_job("abc123")], list(world.store.objects)) == (left, left)


def test_of_two_attempts_at_once_only_one_gets_the_job(world: World) -> None:
    add(world)
    ports = world.generation(FakeProvider(ONE))
    read = world.jobs.get

    def get(job_id: str) -> Job | None:
        seen = read(job_id)
        world.jobs.get = read
        first = advance_job("abc123", ports=ports, until=LATER)
        assert first is not None and first.status is JobStatus.SUCCEEDED
        return seen

    world.jobs.get = get
    provider = FakeProvider(ONE)
    assert advance_job("abc123", ports=world.generation(provider), until=LATER) is None
    assert provider.submitted == []


def test_an_unavailable_database_raises_its_error(world: World) -> None:
    add(world)

    def submit() -> Pending:
        world.jobs.away = True
        return Pending("task-1")

    with pytest.raises(DatabaseUnavailableError):
        advance(world, FakeProvider(submit))
    world.jobs.away = False
    assert world.job().submitted_at is not None
    assert world.job().provider_task_id is None
    assert world.temp_files() == []


def test_a_bug_leaves_no_temp_file(world: World) -> None:
    add(world)
    world.probe.error = RuntimeError("a bug")
    with pytest.raises(DreamFactoryError):
        advance(world, FakeProvider(Pending("task-1"), ONE))
    assert world.temp_files() == []


def test_the_write_of_a_task_id_is_tried_several_times(world: World) -> None:
    add(world)
    save = world.jobs.save

    def failing(job: Job, *, over_attempt: int | None = None) -> None:
        world.jobs.away = job.provider_task_id is not None and len(world.clock.slept) < 2
        try:
            save(job, over_attempt=over_attempt)
        finally:
            world.jobs.away = False

    world.jobs.save = failing
    provider = FakeProvider(Pending("task-1"), ONE)
    assert advance(world, provider).status is JobStatus.SUCCEEDED
    assert (world.clock.slept, len(provider.submitted)) == ([1, 4], 1)


def test_after_its_patience_an_invocation_parks_the_job_for_the_minute_timer(world: World) -> None:
    add(world)
    world.patience_s = 12
    provider = FakeProvider(Pending("task-1"), Pending("task-1"))
    parked = advance(world, provider)
    assert (parked.status, parked.lease_expires_at) == (JobStatus.RUNNING, None)
    assert (world.clock.now(), parked.next_attempt_at) == (NOW + timedelta(seconds=10), NOW + timedelta(seconds=15))


def test_an_upload_without_confirmation_is_neither_downloaded_nor_uploaded_again(world: World) -> None:
    add(world)
    put = world.store.put

    def put_and_lose_the_answer(*args: Any, **kwargs: Any) -> NoReturn:
        put(*args, **kwargs)
        world.store.away = True
        raise StorageUnavailableError("OSS did not answer")

    world.store.put = put_and_lose_the_answer
    provider = FakeProvider(Pending("task-1"), ONE)
    with pytest.raises(StorageUnavailableError):
        advance(world, provider)
    assert (len(world.outputs.intents_of_job("abc123")), world.outputs.of_job("abc123")) == (1, [])
    world.store.away = False
    assert advance(world, provider).status is JobStatus.SUCCEEDED
    assert (world.downloads.fetched, len(world.store.puts)) == ([URLS[0]], 1)
    assert (world.outputs.intents_of_job("abc123"), len(world.outputs.of_job("abc123"))) == ([], 1)


def test_a_result_inside_the_answer_that_was_lost_in_a_crash_fails_the_job(world: World) -> None:
    add(world, make_job().claimed(NOW).submitting(NOW).storing(NOW))
    world.clock.advance(LEASE_S)
    done = advance(world, FakeProvider(AssertionError("submitted again")))
    assert (done.status, error_of(done).code) == (JobStatus.FAILED, "result_lost")


def test_outputs_that_were_stored_before_a_crash_are_delivered(world: World) -> None:
    add(world, make_job(count=2).claimed(NOW).submitting(NOW).storing(NOW))
    world.outputs.put(make_output(1))
    world.clock.advance(LEASE_S)
    done = advance(world, FakeProvider(AssertionError("submitted again")))
    assert (done.status, done.error) == (JobStatus.SUCCEEDED, None)
    assert done.warnings[0].startswith("stored 1 of 2 outputs: the provider's answer contained the results")


def request_cancel(world: World) -> None:
    world.jobs.request_cancel("abc123", world.clock.now())


def test_a_cancellation_before_the_submission_costs_nothing(world: World) -> None:
    add(world)
    request_cancel(world)
    provider = FakeProvider(ONE)
    done = advance(world, provider)
    assert (done.status, done.lease_expires_at, provider.submitted) == (JobStatus.CANCELLED, None, [])
    assert world.job().status is JobStatus.CANCELLED


def test_a_cancellation_during_the_polls_is_sent_to_the_provider(world: World) -> None:
    add(world)

    def poll() -> Pending:
        request_cancel(world)
        return Pending("task-1")

    provider = FakeProvider(Pending("task-1"), poll)
    assert advance(world, provider).status is JobStatus.CANCELLED
    assert (provider.cancelled, len(provider.polled)) == (["task-1"], 1)


def test_a_job_is_cancelled_even_if_the_provider_is_unavailable(world: World) -> None:
    add(world, make_job().claimed(NOW).submitting(NOW).submitted("task-1", NOW).parked(NOW))
    request_cancel(world)

    class Away(FakeProvider):
        def cancel(self, task_id: str) -> bool:
            raise ProviderUnavailableError("away")

    assert advance(world, Away(ONE)).status is JobStatus.CANCELLED


def test_a_cancelled_job_keeps_its_stored_outputs(world: World) -> None:
    add(world, make_job(count=2))

    def chunk() -> bytes:
        request_cancel(world)
        return make_png()

    world.downloads.bodies[URLS[0]] = [chunk]
    both = Finished((MediaUrl(URLS[0]), MediaUrl(URLS[1])))
    assert advance(world, FakeProvider(Pending("task-1"), both)).status is JobStatus.CANCELLED
    assert (world.downloads.fetched, len(world.outputs.of_job("abc123"))) == ([URLS[0]], 1)
    assert world.temp_files() == []


def test_the_lease_is_renewed_while_uploading(world: World) -> None:
    add(world)
    free: list[bool] = []
    put = world.store.put

    def slow_put(*args: Any, on_block: Callable[[], None], **kwargs: Any) -> StoredObject:
        for _ in range(12):
            world.clock.advance(15)
            on_block()
            free.append(world.job().free(world.clock.now()))
        return put(*args, on_block=on_block, **kwargs)

    world.store.put = slow_put
    assert advance(world, FakeProvider(Pending("task-1"), ONE)).status is JobStatus.SUCCEEDED
    assert free == [False] * 12
