"""Continue unfinished jobs without a living attempt: the minute timer's part of every job.

This is the safety net for every lost invocation: one that was never accepted, one that died with its instance, one
whose repetitions are used up. And it polls the tasks of the providers, so that waiting costs no instance per job.

A run handles every job once that is due when the run begins, the longest due first. Runs may overlap: a run first
writes a later due time into the job's row, and this write fails for the slower of two runs.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from shared.domain.errors import (
    DatabaseUnavailableError,
    DispatchError,
    DreamFactoryError,
    LeaseLostError,
    ProviderError,
    ProviderUnavailableError,
)
from shared.domain.jobs import Job
from shared.ports import Clock, Dispatcher, JobStore, Pending, Provider, ProviderOf
from shared.services.batches import Step, pages, work_through
from shared.services.indexing import IndexingPorts, follow_late_objects
from shared.services.job_endings import (
    JobEndingPorts,
    announce_end,
    deadline_exceeded,
    fail_job,
    give_up_job,
    unexpected_failure,
)

AT_ONCE = 16
_PAGE = 200


@dataclass(frozen=True)
class RevivalPorts:
    """The ports that look after unfinished jobs."""

    jobs: JobStore
    provider_of: ProviderOf
    dispatcher: Dispatcher
    clock: Clock
    endings: JobEndingPorts
    indexing: IndexingPorts


def dispatch_due_jobs(*, ports: RevivalPorts, until: datetime) -> dict[str, int]:
    """End due jobs that are past their deadline, dispatch other due jobs without a task to wait for, return the counts.

    A crash before a dispatch leaves a job that is due again in a minute; a crash after it needs no repair.
    """
    run = _Run(ports, until)
    return run.work_through(ports.jobs.to_dispatch, run.begin_turn)


def poll_due_jobs(*, ports: RevivalPorts, until: datetime) -> dict[str, int]:
    """Poll the tasks of due jobs, dispatch the jobs whose task has ended, and return the counts.

    A crash between the two leaves jobs that are due again after the provider's polling interval.
    """
    run = _Run(ports, until)
    return run.work_through(ports.jobs.to_poll, run.begin_poll)


@dataclass(frozen=True)
class _Run:
    ports: RevivalPorts
    until: datetime
    counts: Counter[str] = field(default_factory=lambda: Counter(polled=0, dispatched=0, ended=0, failed=0))

    def work_through(
        self, due: Callable[..., Sequence[Job]], begin: Callable[[Job], Step[Any] | None]
    ) -> dict[str, int]:
        began = self._now
        work_through(
            pages(lambda last: due(began, limit=_PAGE, after=last)),
            begin,
            id_of=lambda job: job.id,
            counts=self.counts,
            charge=self._charge,
            is_late=lambda: self._now >= self.until,
            at_once=AT_ONCE,
        )
        return dict(self.counts)

    def begin_turn(self, job: Job) -> Step[None]:
        """End a job that is past its deadline, and dispatch any other job."""
        if job.deadline > self._now:
            return self._begin_dispatch(job)
        done = give_up_job(self._take_over(job), deadline_exceeded(job), ports=self.ports.endings)
        return Step(partial(announce_end, done, dispatcher=self.ports.dispatcher), lambda _: self._end(done))

    def begin_poll(self, job: Job) -> Step[Any]:
        """Poll the job's task, and dispatch the job if the task has ended."""
        try:
            provider = self.ports.provider_of(job.model)
        except ProviderError:
            return self._begin_dispatch(job)  # no provider serves its model any more: its next attempt ends the job
        waiting = self.ports.jobs.postpone(job, self._now + timedelta(seconds=provider.poll_interval_s))
        return Step(
            partial(_is_pending, provider, job.provider_task_id or ""),
            partial(self._end_poll, waiting),
        )

    def _end_poll(self, job: Job, is_pending: bool) -> Step[None] | None:
        self.counts["polled"] += 1
        return None if is_pending else self._begin_dispatch(job)

    def _begin_dispatch(self, job: Job) -> Step[None]:
        again = self._take_over(job)
        return Step(partial(self.ports.dispatcher.dispatch, again), self._count("dispatched"))

    def _take_over(self, job: Job) -> Job:
        """Begin a new attempt number, so that an attempt whose lease has expired stores nothing from here on."""
        taken = job.dispatched_again(self._now)
        self.ports.jobs.save(taken, over_attempt=job.attempt)
        return taken

    def _end(self, done: Job) -> None:
        self.counts["ended"] += 1
        follow_late_objects(done, ports=self.ports.indexing)

    def _count(self, name: str) -> Callable[[None], None]:
        return lambda _: self.counts.update([name])

    def _charge(self, job: Job, error: Exception) -> None:
        """Postpone a job whose turn failed; after several such failures, give it up."""
        if isinstance(error, DispatchError | DatabaseUnavailableError):
            return  # not a fault of the job, which is due again within a minute
        current = self.ports.jobs.get(job.id)
        if current is None or not current.free(self._now):
            return
        if current.may_fail_again:
            self.ports.jobs.save(current.set_back(self._now))
        else:
            self._give_up_in_any_case(self._take_over(current), unexpected_failure(error))

    def _give_up_in_any_case(self, job: Job, error: DreamFactoryError) -> None:
        try:
            give_up_job(job, error, ports=self.ports.endings)
        except LeaseLostError:
            raise
        except Exception:
            # Its stored outputs are unknown at the moment. After the deadline the job fails without that knowledge.
            if job.deadline > self._now:
                raise
            fail_job(job, error, ports=self.ports.endings)

    @property
    def _now(self) -> datetime:
        return self.ports.clock.now()


def _is_pending(provider: Provider, task_id: str) -> bool:
    try:
        return isinstance(provider.poll(task_id), Pending)
    except ProviderUnavailableError:
        return True  # the task continues at the provider, whether or not we can reach the provider now
    except ProviderError:
        return False  # the job's next attempt gets the same error, and ends the job
