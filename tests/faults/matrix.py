"""One scenario, struck at one of its points after the other."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from tests.faults.function_compute import Platform, Run
from tests.faults.instances import Fault, Kind
from tests.faults.plan import Plan
from tests.faults.scenarios import Scenario

# The steps on a connection that are not HTTP requests.
_DATABASE = re.compile(r"net (before|after) (?!(GET|HEAD|POST|PUT|DELETE) (oss|provider|fc|receiver)\b)")


@dataclass(frozen=True)
class Choice:
    """Which of the points are tried: of every ``stride``-th, the share with this number of ``shares``.

    ``of_database`` leaves out the steps that are not steps of a database server and do not follow one: they are the
    same on any database, and tried on SQLite. Before one step the outside is what it was after the one before, and a
    connection that breaks before a request is sent is the lesser evil. Only a choice ``with_twins`` tries both. A step
    that ``always`` matches is tried in any case.
    """

    share: int
    shares: int
    stride: int
    with_twins: bool
    of_database: bool = False
    always: re.Pattern[str] | None = None

    def of(self, points: Sequence[str], kind: Kind) -> list[int]:
        """Return the numbers of the points to try. A connection can be dropped where there is one."""
        numbers = [
            number
            for number, (former, label) in enumerate(zip(("", *points), points, strict=False), 1)
            if self._wants(former, label, kind)
        ]
        sampled = numbers[:: self.stride]
        certain = {number for number, label in enumerate(points, 1) if self.always and self.always.match(label)}
        return sorted({*sampled, *certain})[self.share :: self.shares]

    def _wants(self, former: str, label: str, kind: Kind) -> bool:
        if self.of_database and not (_DATABASE.match(former) or _DATABASE.match(label)):
            return False
        if kind == "drop":
            return label.startswith("net " if self.with_twins else "net after ")
        return self.with_twins or not (" after " in former and " before " in label)


def strike(platform: Platform, scenario: Scenario, kind: Kind, plan: Plan, choice: Choice) -> tuple[int, int]:
    """Play the scenario once for each point of the choice; return how many were tried, and of how many.

    The points are those of a run without a fault.
    """
    plan = replace(plan, functions=scenario.functions, timeout_s=scenario.timeout_s)
    points = platform.points.get(scenario.name) or _play(platform, scenario, replace(plan, rival=False)).points
    platform.points[scenario.name] = points
    runs = [_play(platform, scenario, replace(plan, fault=Fault(kind, number))) for number in choice.of(points, kind)]
    # The answers of a server may come in fewer pieces than the first time.
    return sum(run.struck is not None for run in runs), len(points)


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
    # A process that is frozen has its steps still to itself.
    steps = run.points if len(run.points) >= run.plan.at or run.struck is None else run.struck.points
    lines = [
        f"{run.plan.kind} at point {run.plan.at} of {', '.join(run.plan.functions)}; the last steps of the one struck:",
        *(steps[-10:]),
        "the last steps of all:",
        *([] if run.last is None else run.last.points[-10:]),
        *(f"{instances.log.name}: {instances.said()}" for instances in run.platform.running() if instances.said()),
    ]
    return "\n".join(lines)
