"""One scenario, struck at one of its points after the other."""

from dataclasses import replace

from tests.faults.function_compute import Platform, Run
from tests.faults.instances import Fault, Kind
from tests.faults.plan import Plan
from tests.faults.scenarios import Scenario


def strike(
    platform: Platform, scenario: Scenario, kind: Kind, plan: Plan, share: slice = slice(None)
) -> tuple[int, int]:
    """Play the scenario for a share of its points; return how many were tried, and of how many.

    The points are those of a run without a fault. Connections can be dropped where there are any.
    """
    plan = replace(plan, functions=scenario.functions, timeout_s=scenario.timeout_s)
    points = _play(platform, scenario, replace(plan, rival=False)).points
    numbers = [number for number, label in enumerate(points, 1) if kind != "drop" or label.startswith("net ")]
    runs = [_play(platform, scenario, replace(plan, fault=Fault(kind, number))) for number in numbers[share]]
    # The answers of a server may come in fewer pieces than the first time.
    return sum(run.struck is not None for run in runs), len(numbers)


def _play(platform: Platform, scenario: Scenario, plan: Plan) -> Run:
    run = Run(platform, plan)
    try:
        scenario.play(run)
    except Exception as error:
        error.add_note(_story(run))
        raise
    return run


def _story(run: Run) -> str:
    """Tell where the fault struck, what came before it, and what the functions said in this run."""
    steps = [] if run.struck is None else run.struck.points
    lines = [
        f"{run.plan.kind} at point {run.plan.at} of {', '.join(run.plan.functions)}; the last steps of the one struck:",
        *(steps[-10:]),
        "the last steps of all:",
        *([] if run.last is None else run.last.points[-10:]),
        *(f"{instances.log.name}: {instances.said()}" for instances in run.platform.running() if instances.said()),
    ]
    return "\n".join(lines)
