"""The port ``Provider``, with scripted answers."""

import threading
from collections.abc import Callable

from shared.domain.jobs import Job
from shared.ports import Finished, Pending

State = Pending | Finished
Step = State | Exception | Callable[[], State]


def play(step: Step) -> State:
    """Return, raise or call one step of a script."""
    if isinstance(step, Exception):
        raise step
    return step if isinstance(step, Pending | Finished) else step()


class FakeProvider:
    """Answers ``submit`` and ``poll`` from scripts; the last step of ``polls`` is repeated forever."""

    def __init__(self, submit: Step, *polls: Step, poll_interval_s: float = 5.0) -> None:
        self.poll_interval_s = poll_interval_s
        self.submitted: list[Job] = []
        self.polled: list[str] = []
        self.cancelled: list[str] = []
        self._submit = submit
        self._polls = list(polls)
        self._lock = threading.Lock()

    def submit(self, job: Job) -> State:
        self.submitted.append(job)
        return play(self._submit)

    def poll(self, task_id: str) -> State:
        with self._lock:
            self.polled.append(task_id)
            step = self._polls.pop(0) if len(self._polls) > 1 else self._polls[0]
        return play(step)

    def cancel(self, task_id: str) -> bool:
        self.cancelled.append(task_id)
        return True
