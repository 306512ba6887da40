"""Faults on demand: a test arms a fault through ``POST /faults``; an emulator applies it at a matching step."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

TARGETS = ("provider", "oss", "events", "fc")


@dataclass
class Fault:
    """One armed fault: ``effect`` applies to the next ``remaining`` matching steps of ``target``."""

    target: str
    match: dict[str, str]
    effect: dict[str, Any]
    remaining: int = 1

    def fits(self, target: str, facts: Mapping[str, object]) -> bool:
        """Tell whether every pattern of ``match`` (shell wildcards) matches the fact of the same name."""
        return self.target == target and all(
            fnmatchcase(str(facts.get(name, "")), pattern) for name, pattern in self.match.items()
        )


@dataclass
class Faults:
    """The armed faults, in the order in which they were armed."""

    armed: list[Fault] = field(default_factory=list)

    def arm(self, fault: Fault) -> None:
        """Add ``fault`` after the faults that are armed already."""
        if fault.target not in TARGETS:
            raise ValueError(f"target must be one of {', '.join(TARGETS)}, got {fault.target!r}")
        if fault.remaining < 1:
            raise ValueError(f"times must be 1 or more, got {fault.remaining}")
        self.armed.append(fault)

    def take(self, target: str, **facts: object) -> dict[str, Any] | None:
        """Return the effect of the first fault that matches and count down its times; ``None`` if no fault matches."""
        for fault in self.armed:
            if fault.fits(target, facts):
                fault.remaining -= 1
                if fault.remaining == 0:
                    self.armed.remove(fault)
                return fault.effect
        return None

    def clear(self) -> None:
        """Disarm everything."""
        self.armed.clear()
