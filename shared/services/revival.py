"""Look after unfinished jobs that nobody works on: the minute timer's part of every job.

It is the safety net under each lost invocation: one that was never accepted, one that died with its instance, one whose
repetitions are used up. And it asks the providers how far their tasks are, so that waiting costs no instance per job.

Every job that is due when a run begins is looked at once in it, the longest due first. Runs may overlap: a job that is
looked at is due later, and the write that says so is refused to the slower of two runs.
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
    """End the due jobs that are past their deadline, dispatch the others that await no task, and return the counts.

    A crash before a dispatch leaves a job that is due again in a minute; one after it leaves nothing to be healed.
    """
    run = _Run(ports, until)
    return run.work_through(ports.jobs.to_dispatch, run.begin_turn)


def poll_due_jobs(*, ports: RevivalPorts, until: datetime) -> dict[str, int]:
    """Ask the providers for the tasks that due jobs await, dispatch the jobs whose task has ended, return the counts.

    A crash in between leaves jobs that are due again after the provider's polling interval.
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
        """End a job that is late, and dispatch any other."""
        if job.deadline > self._now:
            return self._begin_dispatch(job)
        done = give_up_job(self._take_over(job), deadline_exceeded(job), ports=self.ports.endings)
        return Step(partial(announce_end, done, dispatcher=self.ports.dispatcher), lambda _: self._end(done))

    def begin_poll(self, job: Job) -> Step[Any]:
        """Ask for the job's task, and dispatch the job if the task has ended."""
        try:
            provider = self.ports.provider_of(job.model)
        except ProviderError:
            return self._begin_dispatch(job)  # nobody serves its model any more: its own attempt ends it
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
        """Let no attempt that is slower than its lease store anything from here on: what is stored decides the end."""
        taken = job.dispatched_again(self._now)
        self.ports.jobs.save(taken, over_attempt=job.attempt)
        return taken

    def _end(self, done: Job) -> None:
        self.counts["ended"] += 1
        follow_late_objects(done, ports=self.ports.indexing)

    def _count(self, name: str) -> Callable[[None], None]:
        return lambda _: self.counts.update([name])

    def _charge(self, job: Job, error: Exception) -> None:
        """Postpone a job whose turn failed; after several of these failures, give it up."""
        if isinstance(error, DispatchError | DatabaseUnavailableError):
            return  # the fault of none of its jobs; the job is due again in a minute at the latest
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
            # What is stored of it cannot be told just now. Once its time is over, nobody waits for that any longer.
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
        return True  # the task goes on at the provider whether or not it can be asked just now
    except ProviderError:
        return False  # the job's own attempt meets the same, and ends it
