"""The port ``Dispatcher``, which records the invocations."""

from collections.abc import Callable

from shared.domain.jobs import Job


class RecordingDispatcher:
    """Records dispatches, each attempt once, and announcements; raises ``failures`` first.

    ``on_delete`` carries deletions out.
    """

    def __init__(self, *failures: Exception, on_delete: Callable[[str], object] = str) -> None:
        self.failures = list(failures)
        self.on_delete = on_delete
        self.task_ids: list[str] = []
        self.announced: list[str] = []

    def delete(self, deletion_id: str) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.on_delete(deletion_id)

    def dispatch(self, job: Job) -> None:
        if self.failures:
            raise self.failures.pop(0)
        if job.task_id not in self.task_ids:
            self.task_ids.append(job.task_id)

    def announce(self, job: Job) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.announced.append(job.id)
