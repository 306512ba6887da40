"""A killed function leaves behind what docs/decisions/job-protocol.md says, and the job ends as that page says."""

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.faults import matrix
from tests.faults.function_compute import Platform, Run
from tests.faults.matrix import Choice
from tests.faults.plan import Plan
from tests.faults.scenarios import VIDEO_JOB
from tests.mariadb import ROOT

_SIGN = "<!-- the crash states: tests/faults/test_crash_states.py reads this table -->"
State = tuple[str, ...]


def read_table() -> dict[State, str]:
    """Return how a job ends by what is left of it: status, provider, intent, object and row."""
    table = (ROOT / "docs/decisions/job-protocol.md").read_text().partition(_SIGN)[2].strip().partition("\n\n")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]
    return {tuple(row[1:6]): row[-1] for row in rows}


def left_by(run: Run) -> State:
    """Return what there is just now, in the table's words."""
    (job,) = run.world.database.rows("SELECT * FROM jobs")
    provider = "task" if job["provider_task_id"] else "asked" if job["submitted_at"] else "–"
    there = (
        run.world.database.rows("SELECT * FROM output_intents"),
        run.objects(),
        run.world.database.rows("SELECT * FROM job_outputs"),
    )
    return (job["status"], provider, *("yes" if each else "–" for each in there))


@pytest.mark.parametrize("platform", ["on_sqlite", "on_mariadb"], indirect=True)
def test_every_state_is_in_the_table_and_every_line_of_it_is_true(platform: Platform) -> None:
    states: dict[int, State] = {}
    found: dict[State, set[str]] = {}

    def look_and_kill(run: Run, thaw: Callable[[], object]) -> None:
        states[id(run)] = left_by(run)
        assert run.last is not None
        run.last.kill()
        thaw()

    def play(run: Run) -> None:
        VIDEO_JOB.play(run)
        (job,) = run.world.database.rows("SELECT * FROM jobs")
        error = f": {json.loads(job['error'])['code']}" if job["error"] else ""
        if id(run) in states:
            found.setdefault(states.pop(id(run)), set()).add(job["status"] + error)

    matrix.strike(
        platform,
        replace(VIDEO_JOB, play=play),
        "freeze",
        Plan(while_frozen=look_and_kill),
        Choice(0, 1, 1, with_twins=False),
    )
    table = read_table()
    # Killed before it asks or after, a job whose submission is recorded cannot know.
    assert found == {state: {ends} for state, ends in table.items()}
