"""Faults on demand: what a test arms through ``POST /faults`` and an emulator asks for at each step."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

TARGETS = ("provider", "oss", "events", "fc")


@dataclass
class Fault:
    """One armed fault: the effect that the next ``remaining`` matching steps of ``target`` suffer."""

    target: str
    match: dict[str, str]
    effect: dict[str, Any]
    remaining: int = 1

    def fits(self, target: str, facts: Mapping[str, object]) -> bool:
        """Tell whether every pattern of ``match`` (shell wildcards) fits the fact of that name."""
        return self.target == target and all(
            fnmatchcase(str(facts.get(name, "")), pattern) for name, pattern in self.match.items()
        )


@dataclass
class Faults:
    """The armed faults, first armed first served."""

    armed: list[Fault] = field(default_factory=list)

    def arm(self, fault: Fault) -> None:
        """Add ``fault`` behind those armed before it."""
        if fault.target not in TARGETS:
            raise ValueError(f"target must be one of {', '.join(TARGETS)}, got {fault.target!r}")
        if fault.remaining < 1:
            raise ValueError(f"times must be 1 or more, got {fault.remaining}")
        self.armed.append(fault)

    def take(self, target: str, **facts: object) -> dict[str, Any] | None:
        """Return the effect of the first armed fault that fits and use up one of its times, else ``None``."""
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
