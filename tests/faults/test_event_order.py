"""OSS promises neither that events come once nor that they come in order: rows follow the objects all the same."""

from itertools import permutations

import pytest

from tests.faults.function_compute import Platform, Run
from tests.faults.plan import Plan
from tests.faults.scenarios import ForeignObject

HISTORIES = {
    "put, replaced": ("put", "replace"),
    "put, deleted": ("put", "delete"),
    "put, replaced, deleted": ("put", "replace", "delete"),
    "put, deleted, put": ("put", "delete", "put"),
}


@pytest.mark.parametrize("platform", ["on_sqlite", "on_mariadb"], indirect=True)
@pytest.mark.parametrize("history", HISTORIES.values(), ids=HISTORIES)
def test_events_in_any_order_and_any_number(platform: Platform, history: tuple[str, ...]) -> None:
    for order in permutations(range(len(history))):
        # One of them comes twice, once it is the last of all.
        for events in (order, (*order, order[0])):
            run = Run(platform, Plan())
            there = ForeignObject(run)
            for deed in history:
                getattr(there, deed)()
            told = list(run.world.events)
            run.world.events[:] = [told[number] for number in events]
            run.settle()
            there.check_row()
