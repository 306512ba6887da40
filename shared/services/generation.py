"""Advance one job: claim → provider → temp folder → OSS → ``job_outputs`` → done.

Each step records its result before the next step begins, so that the next attempt can continue after a crash. Comments
at each step say what a crash leaves behind and who repairs it.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.domain.errors import (
    DatabaseUnavailableError,
    DeadlineExceededError,
    DreamFactoryError,
    LeaseLostError,
    ProviderFailedError,
    ProviderUnavailableError,
    ResultLostError,
    StorageError,
    SubmissionUnknownError,
)
from shared.domain.jobs import LEASE_S, Job, JobStatus
from shared.domain.keys import ObjectKey
from shared.ports import (
    Clock,
    Dispatcher,
    Finished,
    JobStore,
    MediaBase64,
    Pending,
    Provider,
    ProviderOf,
    RefusedResult,
    Result,
)
from shared.services.indexing import IndexingPorts, follow_late_objects, is_unwanted
from shared.services.job_endings import (
    JobEndingPorts,
    announce_end,
    complete_job,
    deadline_exceeded,
    give_up_job,
    unexpected_failure,
)
from shared.services.storage import (
    StoragePorts,
    cleanup_job_temp_files,
    commit_earlier_uploads,
    upload_job_output_from_source,
)

log = logging.getLogger(__name__)
_INSIST_AFTER_S = (1, 4, 10)


class _CancelledError(Exception):
    """The job's user has requested its cancellation."""


@dataclass(frozen=True)
class GenerationPorts:
    """The ports that advance a job.

    ``provider_of`` returns the provider of a model. ``patience_s`` is how long an invocation waits for a provider
    before it gives the job back to the minute timer: waiting costs instance time and saves latency.
    """

    jobs: JobStore
    provider_of: ProviderOf
    dispatcher: Dispatcher
    clock: Clock
    storage: StoragePorts
    endings: JobEndingPorts
    indexing: IndexingPorts
    patience_s: float


def advance_job(job_id: str, *, ports: GenerationPorts, until: datetime) -> Job | None:
    """Advance the job as far as possible until ``until`` and return it.

    Return None if the job does not exist, or if another attempt takes it over. A failure that may pass gives the job
    back and is raised, so that Function Compute repeats the invocation. A permanent failure, or the last of several,
    ends the job.
    """
    job = ports.jobs.get(job_id)
    if job is not None and job.free(ports.clock.now()):
        job = _make_attempt(job, ports, until)
    if job is not None and job.status.final:
        # After a crash before this line, the repeated invocation or the reconcile handles late objects.
        follow_late_objects(job, ports=ports.indexing)
    return job


def _make_attempt(job: Job, ports: GenerationPorts, until: datetime) -> Job | None:
    """Make an attempt and return the job as the attempt left it; None if another attempt has taken the job over."""
    claimed = job.claimed(ports.clock.now())
    try:
        # A crash after this line leaves a lease. It expires in a minute, and the minute timer dispatches the job.
        ports.jobs.save(claimed, over_attempt=job.attempt)
        done = _Attempt(claimed, ports, until).run()
    except LeaseLostError:
        log.info("another attempt has taken this job over", extra={"job_id": job.id})
        _remove_unwanted_objects(job.id, ports)
        return None
    # After a crash before this line, the minute timer sends the webhook of a job that has ended.
    announce_end(done, dispatcher=ports.dispatcher)
    return done


def _remove_unwanted_objects(job_id: str, ports: GenerationPorts) -> None:
    """Remove the objects that this attempt may have put, if the job has ended without success.

    After a crash before the removal, the reconcile removes the objects.
    """
    job = ports.jobs.get(job_id)
    if is_unwanted(job):
        follow_late_objects(job, ports=ports.indexing)


class _Attempt:
    """One attempt at a job. ``job`` is its last recorded state, except for the leases that ``storage`` has renewed."""

    def __init__(self, job: Job, ports: GenerationPorts, until: datetime) -> None:
        self.job = job
        self.ports = ports
        self.storage = ports.storage
        self.clock = ports.clock
        self.until = until

    def run(self) -> Job:
        try:
            self._advance()
        except LeaseLostError:
            raise
        except _CancelledError:
            self._cancel()
        except DreamFactoryError as error:
            self._set_back_or_give_up(error)
        except Exception as error:
            # A bug must not block the job: the job is given back, and after some attempts it fails.
            self._set_back_or_give_up(unexpected_failure(error))
        finally:
            cleanup_job_temp_files(self.job.id, temp=self.storage.temp)
        return self.job

    def _advance(self) -> None:
        self._check_cancel()
        if self.job.deadline <= self.clock.now():
            raise deadline_exceeded(self.job)
        commit_earlier_uploads(self.job, ports=self.storage)
        warnings: tuple[str, ...] = ()
        if not self._stored_positions() >= set(range(self.job.count)):
            results = self._generate()
            if results is None:
                return
            storing = self.job.storing(self.clock.now())
            self._insist(lambda: self._save(storing))
            warnings = self._store(results)
        # A crash before this line leaves a job in status storing with all its rows; the next attempt ends the job.
        self.job = complete_job(self.job, warnings, ports=self.ports.endings)

    def _generate(self) -> tuple[Result, ...] | None:
        """Return the provider's results, or None when the job is parked until the provider has finished."""
        provider = self.ports.provider_of(self.job.model)
        task_id = self.job.provider_task_id
        state = self._submit(provider) if task_id is None else Pending(task_id)
        until = min(self.until, self.clock.now() + timedelta(seconds=self.ports.patience_s))
        while isinstance(state, Pending):
            state = self._poll(provider, state)
            if isinstance(state, Pending):
                next_poll = self.clock.now() + timedelta(seconds=provider.poll_interval_s)
                if next_poll >= until:
                    self._save(self.job.parked(next_poll))
                    return None
                self.clock.sleep(provider.poll_interval_s)
                self._keep_lease()
                self._check_cancel()
        return state.results

    def _poll(self, provider: Provider, state: Pending) -> Pending | Finished:
        try:
            return provider.poll(state.task_id)
        except ProviderUnavailableError:
            # The task continues at the provider, whether or not we can reach the provider now.
            log.warning("poll failed; it is repeated", extra={"job_id": self.job.id}, exc_info=True)
            return state

    def _submit(self, provider: Provider) -> Pending | Finished:
        if self.job.status is JobStatus.STORING:
            raise ResultLostError(
                "the provider's answer contained the results, and the function stopped before it stored them"
            )
        if self.job.submitted_at is not None:
            raise SubmissionUnknownError(
                "the provider's answer was lost; the job is not submitted again, because that might be billed twice"
            )
        if self.job.image_url is not None:
            # The provider downloads the image, and must not do so from our private network or its own.
            self.storage.downloads.check(self.job.image_url)
        # A crash after this line leaves it unknown whether the job was submitted: the job fails.
        self._save(self.job.submitting(self.clock.now()))
        try:
            state = provider.submit(self.job)
        except SubmissionUnknownError:
            raise
        except DreamFactoryError:
            self._save(self.job.not_submitted())
            raise
        if isinstance(state, Pending):
            # From here on every attempt polls this task, and none submits the job again.
            submitted = self.job.submitted(state.task_id, self.clock.now())
            self._insist(lambda: self._save(submitted))
        return state

    def _store(self, results: tuple[Result, ...]) -> tuple[str, ...]:
        """Store every result that is not stored yet, and return a warning for each that could not be stored.

        Raises the first failure instead if it may pass, or if no output is stored. Results inside the provider's answer
        exist only in this process, so no later attempt can repeat them.
        """
        failures: list[tuple[int, DreamFactoryError]] = []
        results = _limit_results(results, self.job.count)
        stored = self._stored_positions()
        for position, result in enumerate(results):
            if position in stored:
                continue
            self._check_cancel()
            try:
                self._store_one(position, result)
                stored.add(position)
            except LeaseLostError:
                raise
            except DreamFactoryError as error:
                failures.append((position, error))
            except Exception as error:
                # A bug that shows in one file must not block the others.
                log.exception("output not stored because of an unexpected error", extra={"job_id": self.job.id})
                failures.append((position, unexpected_failure(error)))
            self._keep_lease()
        repeatable = [failure for _, failure in failures if failure.retryable and self._may_repeat()]
        if repeatable:
            raise repeatable[0]
        if failures and not stored:
            raise failures[0][1]
        missing = self.job.count - len(results)
        shortage = (f"the provider delivered {len(results)} of {self.job.count} outputs",) if missing > 0 else ()
        return shortage + tuple(f"output {position + 1} of {len(results)}: {failure}" for position, failure in failures)

    def _stored_positions(self) -> set[int]:
        rows = self.storage.outputs.of_job(self.job.id)
        return {ObjectKey.parse(row.oss_path).position_in(self.job.created_at) for row in rows}

    def _store_one(self, position: int, result: Result) -> None:
        def upload() -> None:
            upload_job_output_from_source(self.job, position, result, ports=self.storage, on_chunk=self._keep_lease)

        if isinstance(result, MediaBase64):
            self._insist(upload)
        else:
            upload()

    def _insist(self, action: Callable[[], None]) -> None:
        """Try an action several times, because only this attempt can do it: it needs data that no other attempt has."""
        for again_in_s in _INSIST_AFTER_S:
            try:
                return action()
            except (DatabaseUnavailableError, StorageError):
                log.warning("a step failed; it is repeated at once", extra={"job_id": self.job.id}, exc_info=True)
                self.clock.sleep(again_in_s)
        return action()

    def _may_repeat(self) -> bool:
        return self.job.provider_task_id is not None and self.job.may_fail_again

    def _set_back_or_give_up(self, error: DreamFactoryError) -> None:
        answered_inline = self.job.status is JobStatus.STORING and self.job.provider_task_id is None
        # A failed task stays failed, and a deadline stays exceeded: only a new job may succeed.
        permanent = answered_inline or isinstance(error, ProviderFailedError | DeadlineExceededError)
        if error.retryable and self.job.may_fail_again and not permanent:
            self._save(self.job.set_back(self.clock.now()))
            raise error
        log.warning("the job is given up", extra={"job_id": self.job.id, "code": error.code}, exc_info=error)
        self.job = give_up_job(self.job, error, ports=self.ports.endings)

    def _check_cancel(self) -> None:
        job = self.ports.jobs.get(self.job.id)
        if job is not None and job.cancel_requested_at is not None:
            raise _CancelledError

    def _cancel(self) -> None:
        """End the job, and cancel its task at the provider while that may still have an effect."""
        task_id = self.job.provider_task_id
        if task_id is not None and self.job.status is JobStatus.RUNNING:
            try:
                self.ports.provider_of(self.job.model).cancel(task_id)
            except Exception:
                # The job ends in any case, because its user requested that.
                log.warning("the task was not cancelled at the provider", extra={"job_id": self.job.id}, exc_info=True)
        self._save(self.job.cancelled(self.clock.now()))

    def _keep_lease(self) -> None:
        lease = self.job.lease_expires_at
        if lease is None or (lease - self.clock.now()).total_seconds() < LEASE_S * 2 / 3:
            self._save(self.job.renewed(self.clock.now()))

    def _save(self, job: Job) -> None:
        self.ports.jobs.save(job)
        self.job = job


def _limit_results(results: tuple[Result, ...], count: int) -> tuple[Result, ...]:
    """Return at most ``count`` results, as many as were ordered; refused results are left out first."""
    if len(results) <= count:
        return results
    return tuple(sorted(results, key=lambda result: isinstance(result, RefusedResult))[:count])
