"""The states of a job, and the steps between them."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.errors import ConflictError, ProviderUnavailableError
from shared.domain.jobs import LEASE_S, RETRY_AFTER_S, TIME_LIMITS, Job, JobError, JobStatus
from tests.fakes import NOW, make_job, make_video_job

ORDER = [JobStatus.QUEUED, JobStatus.RUNNING, JobStatus.STORING]
ERROR = JobError("provider_failed", "it failed", retryable=False)
STEPS: dict[str, Callable[[Job], Job]] = {
    "claimed": lambda job: job.claimed(NOW),
    "dispatched_again": lambda job: job.dispatched_again(NOW),
    "renewed": lambda job: job.renewed(NOW),
    "submitting": lambda job: job.submitting(NOW),
    "not_submitted": lambda job: job.not_submitted(),
    "submitted": lambda job: job.submitted("task", NOW),
    "parked": lambda job: job.parked(NOW),
    "set_back": lambda job: job.set_back(NOW),
    "succeeded": lambda job: job.succeeded(NOW, ("a warning",)),
    "failed": lambda job: job.failed(ERROR, NOW),
}


@given(st.lists(st.sampled_from(sorted(STEPS)), max_size=30))
def test_no_sequence_of_steps_goes_back(names: list[str]) -> None:
    job = make_job()
    for name in names:
        try:
            after = STEPS[name](job)
        except ConflictError:
            assert job.status.final
            continue
        assert after.attempt >= job.attempt
        assert after.failures >= job.failures
        assert (after.id, after.user_id, after.created_at) == (job.id, job.user_id, job.created_at)
        if job.status.final:
            assert after.status is job.status
            assert after.finished_at == job.finished_at
            assert after.error == job.error
        if not after.status.final and not job.status.final:
            assert ORDER.index(after.status) >= ORDER.index(job.status)
        job = after


@pytest.mark.parametrize("step", ["claimed", "succeeded", "failed"])
@pytest.mark.parametrize("status", [JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED])
def test_a_job_that_has_ended_never_changes_its_status(step: str, status: JobStatus) -> None:
    with pytest.raises(ConflictError, match="ended") as caught:
        STEPS[step](make_job(status=status))
    assert caught.value.code == "job_ended"


def test_a_claim_has_a_lease_and_the_next_attempt_number() -> None:
    claimed = make_job(next_attempt_at=NOW).claimed(NOW)
    assert claimed.status is JobStatus.RUNNING
    assert (claimed.attempt, claimed.started_at, claimed.next_attempt_at) == (1, NOW, None)
    assert claimed.lease_expires_at == NOW + timedelta(seconds=LEASE_S)
    later = NOW + timedelta(hours=1)
    again = claimed.storing(NOW).claimed(later)
    assert (again.status, again.attempt, again.started_at) == (JobStatus.STORING, 2, NOW)


def test_a_job_is_free_without_a_valid_lease() -> None:
    claimed = make_job().claimed(NOW)
    assert make_job().free(NOW)
    assert not claimed.free(NOW + timedelta(seconds=LEASE_S - 1))
    assert claimed.free(NOW + timedelta(seconds=LEASE_S))
    assert claimed.parked(NOW).free(NOW)
    assert not claimed.failed(ERROR, NOW).free(NOW)


def test_each_attempt_has_its_own_task_id() -> None:
    job = make_job()
    ids = [job.task_id, job.claimed(NOW).task_id, job.dispatched_again(NOW).dispatched_again(NOW).task_id]
    assert ids == ["job_abc123_0", "job_abc123_1", "job_abc123_2"]


def test_setting_back_counts_a_failure_and_parking_does_not() -> None:
    set_back = make_job().set_back(NOW)
    assert (set_back.failures, set_back.next_attempt_at) == (1, NOW + timedelta(seconds=RETRY_AFTER_S))
    assert make_job().parked(NOW).failures == 0


def test_a_job_may_fail_three_times_and_is_still_repeated() -> None:
    assert [make_job(failures=number).may_fail_again for number in (0, 2, 3)] == [True, True, False]


def test_the_deadline_depends_on_the_type() -> None:
    for job in (make_job(), make_video_job()):
        assert job.deadline - NOW == TIME_LIMITS[job.type]


def test_warnings_are_appended() -> None:
    assert make_job(warnings=("first",)).succeeded(NOW, ("second",)).warnings == ("first", "second")


def test_a_job_error_has_the_code_and_message_of_its_exception() -> None:
    assert JobError.of(ProviderUnavailableError("away")) == JobError("provider_unavailable", "away", retryable=True)
