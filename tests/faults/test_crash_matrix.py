"""Every step of a function's process is the last one once; the job ends all the same, stored once and paid once.

Each test takes a share of a scenario's steps, so that test processes can divide them among themselves. What multiplies
the matrix (races, events) takes some of the steps by default and all of them in the long run.
"""

from collections.abc import Callable

import pytest

from tests.faults import matrix
from tests.faults.conftest import SHARES
from tests.faults.function_compute import Platform, Run
from tests.faults.instances import Fault
from tests.faults.matrix import Choice
from tests.faults.plan import Plan
from tests.faults.scenarios import ALL, JOBS, Scenario

Thaw = Callable[[], object]
Tally = Callable[[str, int, int], None]
on_each_database = pytest.mark.parametrize("platform", ["on_sqlite", "on_mariadb"], indirect=True)
in_shares = pytest.mark.parametrize("share", range(SHARES))
of_each_job = pytest.mark.parametrize("scenario", JOBS, ids=str)
of_everything = pytest.mark.parametrize("scenario", ALL, ids=str)


@on_each_database
@of_everything
@in_shares
def test_killed(platform: Platform, scenario: Scenario, tally: Tally, every: Choice) -> None:
    tried, found = matrix.strike(platform, scenario, "kill", Plan(), every)
    tally(f"{scenario}: killed", tried, found)


@on_each_database
@of_each_job
@in_shares
def test_killed_and_repeated_when_the_lease_is_dead(
    platform: Platform, scenario: Scenario, tally: Tally, some: Choice
) -> None:
    tried, found = matrix.strike(platform, scenario, "kill", Plan(slow=True), some)
    tally(f"{scenario}: killed, repeated late", tried, found)


@on_each_database
@of_everything
@in_shares
def test_cut_off(platform: Platform, scenario: Scenario, tally: Tally, every: Choice) -> None:
    tried, found = matrix.strike(platform, scenario, "drop", Plan(), every)
    tally(f"{scenario}: connection broken", tried, found)


def overtaken(run: Run, thaw: Thaw) -> None:
    """Let another host do the job, and see that the one who slept through it changes nothing any more.

    What it had begun to send arrives all the same: an object without a row or an intent.
    """
    run.overtake()
    before = run.state()
    thaw()
    after = run.state()
    late = after["objects"].keys() - before["objects"].keys()
    assert not late or run.submission_unknown
    after["objects"] = {key: stated for key, stated in after["objects"].items() if key not in late}
    assert after == before, "the stale attempt has changed something"


@on_each_database
@of_each_job
@in_shares
def test_frozen_and_overtaken(platform: Platform, scenario: Scenario, tally: Tally, some_and_uploads: Choice) -> None:
    plan = Plan(while_frozen=overtaken)
    tried, found = matrix.strike(platform, scenario, "freeze", plan, some_and_uploads)
    tally(f"{scenario}: frozen and overtaken", tried, found)


def overtaken_halfway(run: Run, thaw: Thaw) -> None:
    """Freeze the other host, too, somewhere in its work, and let the first one continue beside it, and OSS tell."""
    thawed = False

    def thaw_first(run: Run, thaw_second: Thaw) -> None:
        nonlocal thawed
        thawed, held, before = True, run.world.database.a_lease_lives(), run.world.database.contents()
        thaw()
        run.deliver_events()
        # Until the second one has its lease, the first one may still claim the job.
        assert not held or run.world.database.contents() == before, "an attempt without the lease has changed something"
        thaw_second()

    # Spread over the second one's steps, from behind its claim.
    at = 8 + run.plan.at * 7 % 40
    run.overtake(functions=run.plan.functions, fault=Fault("freeze", at), while_frozen=thaw_first)
    if not thawed:
        thaw()


@on_each_database
@of_each_job
@in_shares
def test_frozen_and_overtaken_halfway(
    platform: Platform, scenario: Scenario, tally: Tally, some_and_uploads: Choice
) -> None:
    plan = Plan(while_frozen=overtaken_halfway)
    tried, found = matrix.strike(platform, scenario, "freeze", plan, some_and_uploads)
    tally(f"{scenario}: frozen and overtaken halfway", tried, found)


@on_each_database
@of_each_job
@in_shares
def test_killed_beside_a_rival(platform: Platform, scenario: Scenario, tally: Tally, some: Choice) -> None:
    tried, found = matrix.strike(platform, scenario, "kill", Plan(rival=True), some)
    tally(f"{scenario}: killed beside a rival", tried, found)


def told_in_between(run: Run, thaw: Thaw) -> None:
    """Deliver the events so far while the process that caused them stands still."""
    run.deliver_events()
    thaw()


@on_each_database
@of_each_job
@in_shares
def test_events_in_between(platform: Platform, scenario: Scenario, tally: Tally, some: Choice) -> None:
    tried, found = matrix.strike(platform, scenario, "freeze", Plan(while_frozen=told_in_between), some)
    tally(f"{scenario}: events at any time", tried, found)


@on_each_database
@of_each_job
@pytest.mark.parametrize("events", ["lost", "doubled", "late"])
@in_shares
def test_killed_with_events(platform: Platform, scenario: Scenario, events: str, tally: Tally, some: Choice) -> None:
    plan = Plan(events=events)  # type: ignore[arg-type]  # one of the three
    tried, found = matrix.strike(platform, scenario, "kill", plan, some)
    tally(f"{scenario}: killed, events {events}", tried, found)
