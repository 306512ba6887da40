"""What is in store for a run."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from tests.faults.instances import Fault


def _thaw(_run: Any, thaw: Callable[[], object]) -> None:
    thaw()


@dataclass(frozen=True)
class Plan:
    """The fault, whom it strikes, and what else goes differently.

    The points of all invocations of ``functions`` are counted through, so that every one of them has its turn.
    ``while_frozen(run, thaw)`` is what happens while a process is frozen, and must thaw it. With a ``rival`` the
    invocation that is struck has a twin on another host, which begins at the same time. A platform that is ``slow``
    repeats an invocation when the lease of the one before has died. ``timeout_s`` is what a generating function may
    take.
    """

    functions: frozenset[str] = frozenset()
    fault: Fault | None = None
    events: Literal["once", "lost", "doubled", "late"] = "once"
    while_frozen: Callable[[Any, Callable[[], object]], None] = _thaw
    rival: bool = False
    slow: bool = False
    timeout_s: float | None = None

    @property
    def at(self) -> int:
        """The number of the point at which the fault strikes; 0 for none."""
        return 0 if self.fault is None else self.fault.at

    @property
    def kind(self) -> str:
        """What strikes."""
        return "none" if self.fault is None else self.fault.kind

    def delivered(self, events: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return what is delivered of these events, in its order."""
        match self.events:
            case "lost":
                return []
            case "doubled":
                return [event for event in events for _ in range(2)]
            case "late":
                return events[::-1]
            case _:
                return events
