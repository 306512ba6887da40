"""Advance one job: claim → provider → temp folder → OSS → ``job_outputs`` → done.

Each step writes down what it did before the next one begins, so that whoever comes after a crash goes on from
there. What a crash leaves behind, and who heals it, stands at each step.
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
    """The job's user wishes it to be cancelled."""


@dataclass(frozen=True)
class GenerationPorts:
    """What advancing a job works with.

    ``provider_of`` returns the provider that serves a model. ``patience_s`` is how long an invocation waits for a
    provider before it gives the job back to the minute timer: patience costs an instance's time and saves latency.
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
    """Take the job as far as it goes until ``until`` and return it; None if there is nothing to do here.

    A failure that may pass gives the job back and is raised, so that Function Compute repeats the invocation; one
    that will not pass, or the last of several, ends the job.
    """
    job = ports.jobs.get(job_id)
    if job is not None and job.free(ports.clock.now()):
        job = _take_up(job, ports, until)
    if job is not None and job.status.final:
        # A crash before this line leaves an object that came late to the repeated invocation, or to the reconcile.
        follow_late_objects(job, ports=ports.indexing)
    return job


def _take_up(job: Job, ports: GenerationPorts, until: datetime) -> Job | None:
    """Make an attempt at the job and return the job as it is then; None if another attempt has it."""
    claimed = job.claimed(ports.clock.now())
    try:
        # A crash after this line leaves a lease; it dies in a minute, and the minute timer dispatches the job.
        ports.jobs.save(claimed, over_attempt=job.attempt)
        done = _Attempt(claimed, ports, until).run()
    except LeaseLostError:
        log.info("another attempt has this job", extra={"job_id": job.id})
        _take_back(job.id, ports=ports)
        return None
    # A crash before this line leaves the webhook, if the job has ended and names one, to the minute timer.
    announce_end(done, dispatcher=ports.dispatcher)
    return done


def _take_back(job_id: str, *, ports: GenerationPorts) -> None:
    """Remove what this attempt may have put, if nobody waits for it any more.

    A crash before that leaves the object to the reconcile.
    """
    job = ports.jobs.get(job_id)
    if is_unwanted(job):
        follow_late_objects(job, ports=ports.indexing)


class _Attempt:
    """One attempt at a job. ``job`` is as it was last written down, but for a lease renewed since."""

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
            # A bug must not hold the job: it is given back, and after some attempts its user hears of it.
            self._set_back_or_give_up(unexpected_failure(error))
        finally:
            cleanup_job_temp_files(self.job.id, temp=self.storage.temp)
        return self.job

    def _advance(self) -> None:
        self._heed_cancel()
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
        # A crash before this line leaves a job that is storing with all its rows; the next attempt ends it.
        self.job = complete_job(self.job, warnings, ports=self.ports.endings)

    def _generate(self) -> tuple[Result, ...] | None:
        """Return what the provider delivers, or None when the job was parked to wait for it."""
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
                self._heed_cancel()
        return state.results

    def _poll(self, provider: Provider, state: Pending) -> Pending | Finished:
        try:
            return provider.poll(state.task_id)
        except ProviderUnavailableError:
            # The task goes on at the provider whether or not it can be asked just now.
            log.warning("poll failed; repeated", extra={"job_id": self.job.id}, exc_info=True)
            return state

    def _submit(self, provider: Provider) -> Pending | Finished:
        if self.job.status is JobStatus.STORING:
            raise ResultLostError(
                "the provider delivered inside its answer, and the function stopped before storing it"
            )
        if self.job.submitted_at is not None:
            raise SubmissionUnknownError(
                "the provider was asked, and its answer was lost; it is not asked again, because that may cost twice"
            )
        if self.job.image_url is not None:
            # The provider is to fetch it, and not from our networks or its own.
            self.storage.downloads.check(self.job.image_url)
        # A crash after this line leaves a submission of which nobody knows whether it happened: the job fails.
        self._save(self.job.submitting(self.clock.now()))
        try:
            state = provider.submit(self.job)
        except SubmissionUnknownError:
            raise
        except DreamFactoryError:
            self._save(self.job.not_submitted())
            raise
        if isinstance(state, Pending):
            # From here on every attempt asks for this task and none submits again.
            submitted = self.job.submitted(state.task_id, self.clock.now())
            self._insist(lambda: self._save(submitted))
        return state

    def _store(self, results: tuple[Result, ...]) -> tuple[str, ...]:
        """Store every result that is not stored yet and return a warning for each that could not be stored.

        Raises the failure instead if it may pass, or if nothing is stored. Results that came inside the answer exist
        only in this process, so their failures cannot be repeated.
        """
        failures: list[tuple[int, DreamFactoryError]] = []
        results = _ordered(results, self.job.count)
        stored = self._stored_positions()
        for position, result in enumerate(results):
            if position in stored:
                continue
            self._heed_cancel()
            try:
                self._store_one(position, result)
                stored.add(position)
            except LeaseLostError:
                raise
            except DreamFactoryError as error:
                failures.append((position, error))
            except Exception as error:
                # A bug that one file shows must not hold up the others.
                log.exception("an output could not be stored", extra={"job_id": self.job.id})
                failures.append((position, unexpected_failure(error)))
            self._keep_lease()
        passing = [failure for _, failure in failures if failure.retryable and self._may_repeat()]
        if passing:
            raise passing[0]
        if failures and not stored:
            raise failures[0][1]
        missing = self.job.count - len(results)
        short = (f"the provider delivered {len(results)} of {self.job.count} outputs",) if missing > 0 else ()
        return short + tuple(f"output {position + 1} of {len(results)}: {failure}" for position, failure in failures)

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
        """Try several times what no later attempt can: it would not know what this one knows."""
        for again_in_s in _INSIST_AFTER_S:
            try:
                return action()
            except (DatabaseUnavailableError, StorageError):
                log.warning("failed; repeated", extra={"job_id": self.job.id}, exc_info=True)
                self.clock.sleep(again_in_s)
        return action()

    def _may_repeat(self) -> bool:
        return self.job.provider_task_id is not None and self.job.may_fail_again

    def _set_back_or_give_up(self, error: DreamFactoryError) -> None:
        answered_inline = self.job.status is JobStatus.STORING and self.job.provider_task_id is None
        # A failed task stays failed, however often it is looked at; lost time stays lost. Only a new job may succeed.
        over = answered_inline or isinstance(error, ProviderFailedError | DeadlineExceededError)
        if error.retryable and self.job.may_fail_again and not over:
            self._save(self.job.set_back(self.clock.now()))
            raise error
        log.warning("job given up", extra={"job_id": self.job.id, "code": error.code}, exc_info=error)
        self.job = give_up_job(self.job, error, ports=self.ports.endings)

    def _heed_cancel(self) -> None:
        job = self.ports.jobs.get(self.job.id)
        if job is not None and job.cancel_requested_at is not None:
            raise _CancelledError

    def _cancel(self) -> None:
        """End the job; tell the provider while that may still help."""
        task_id = self.job.provider_task_id
        if task_id is not None and self.job.status is JobStatus.RUNNING:
            try:
                self.ports.provider_of(self.job.model).cancel(task_id)
            except Exception:
                # Whatever it is, the job ends: its user asked for that.
                log.warning("the provider was not told", extra={"job_id": self.job.id}, exc_info=True)
        self._save(self.job.cancelled(self.clock.now()))

    def _keep_lease(self) -> None:
        lease = self.job.lease_expires_at
        if lease is None or (lease - self.clock.now()).total_seconds() < LEASE_S * 2 / 3:
            self._save(self.job.renewed(self.clock.now()))

    def _save(self, job: Job) -> None:
        self.ports.jobs.save(job)
        self.job = job


def _ordered(results: tuple[Result, ...], count: int) -> tuple[Result, ...]:
    """Return as many results as were ordered. Of more, those that were refused are left out first."""
    if len(results) <= count:
        return results
    return tuple(sorted(results, key=lambda result: isinstance(result, RefusedResult))[:count])
