"""One scenario, struck at one point after the other until a run passes that has no such point."""

from dataclasses import replace
from typing import Literal

from tests.faults.function_compute import Platform, Run
from tests.faults.instances import Fault
from tests.faults.plan import Plan
from tests.faults.scenarios import Scenario

_MOST_POINTS = 3000


def strike(
    platform: Platform, scenario: Scenario, kind: Literal["kill", "freeze", "drop"], plan: Plan, *, first: int, stride: int
) -> tuple[int, int]:
    """Play the scenario for the points ``first``, ``first + stride``, …; return how many were tried, and of how many."""
    tried = 0
    for at in range(first, _MOST_POINTS, stride):
        struck_plan = replace(plan, functions=scenario.functions, fault=Fault(kind, at), timeout_s=scenario.timeout_s)
        run = Run(platform, struck_plan)
        try:
            scenario.play(run)
        except Exception as error:
            error.add_note(_story(run))
            raise
        if run.struck is None:
            return tried, len(run.points)
        tried += 1
    raise AssertionError(f"{scenario} has no end of steps")


def _story(run: Run) -> str:
    """Tell where the fault struck and what the functions said last."""
    where = f"{run.plan.kind} at point {run.plan.at}: {run.points[-1:]}"
    logs = [f"-- {name}\n{text}" for name, text in run.platform.log_tails().items()]
    return "\n".join([where, *run.points[-8:], *logs])
