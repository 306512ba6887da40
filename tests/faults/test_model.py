"""Whatever happens to jobs, in whatever order: what must hold, holds.

A state machine orders, invokes, kills, freezes, breaks off, cancels, deletes, loses and doubles at random. What it
looks at after each step must hold always; what it looks at in the end, once everything has come to rest.
"""

import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from tests.faults.conftest import SHARES, is_long
from tests.faults.function_compute import FINAL, Platform, Run
from tests.faults.instances import Fault, Invocation
from tests.faults.plan import Plan
from tests.faults.scenarios import IMAGES, INLINE_IMAGES, VIDEO, Order

ORDERS = {"images": IMAGES, "video": VIDEO, "inline": INLINE_IMAGES}
MOST_POINTS = 120  # of one invocation
_HOST, _FREEZER = 0, 1  # a frozen process has its own temp disk, like every instance
# Paying is among the first steps, and whatever comes after the last one changes nothing.
_points = st.integers(16, 30) | st.integers(1, MOST_POINTS)


class Jobs(RuleBasedStateMachine):
    """Jobs of one user. ``tally`` counts what was done."""

    def __init__(self, platform: Platform, tally: Counter[str]) -> None:
        super().__init__()
        self.run = Run(platform, Plan())
        self.tally = tally
        self.orders: dict[str, Order] = {}
        self.ended: dict[str, str] = {}
        self.deleted: set[str] = set()
        self.told_all = True
        self.killed = False
        self.frozen: list[Invocation] = []

    # -- what users do

    @rule(name=st.sampled_from(sorted(ORDERS)), number=st.integers(0, 1), at=st.none() | st.integers(1, 12))
    def order(self, name: str, number: int, at: int | None) -> None:
        """Order with a key that may have been used, perhaps of a process that is killed."""
        key, order = f"{name} {number}", ORDERS[name]
        event = self.run.request("POST", order.path, {**order.body, "prompt": key}, key=key)
        invocation = self._invoke("api", event, None if at is None else Fault("kill", at))
        if invocation.result is not None:
            assert invocation.result["statusCode"] in {200, 202}, invocation.result
        self.orders[key] = order

    @rule(data=st.data())
    @precondition(lambda self: self.jobs())
    def cancel(self, data: st.DataObject) -> None:
        """Request the end of a job."""
        job = data.draw(st.sampled_from(self.jobs()))
        result = self._invoke("api", self.run.request("POST", f"/jobs/{job['id']}/cancel")).result
        assert result["statusCode"] in {200, 202}, result

    @rule(data=st.data())
    @precondition(lambda self: self.run.objects())
    def delete_object(self, data: st.DataObject) -> None:
        """Delete an object, past the API."""
        key = data.draw(st.sampled_from(sorted(self.run.objects())))
        self.run.world.bucket.delete_object(key)
        self.deleted.add(key)

    # -- what the platform does

    @rule()
    @precondition(lambda self: self.run.world.fc.accepted)
    def invoke(self) -> None:
        """Run what was dispatched first."""
        self._invoke(*self.run.world.fc.accepted.pop(0))

    @rule(kind=st.sampled_from(["kill", "drop"]), at=_points, again=st.booleans())
    @precondition(lambda self: self.run.world.fc.accepted)
    def invoke_with_a_fault(self, kind: Any, at: int, again: bool) -> None:
        """Run what was dispatched first, with a fault; the platform may repeat it."""
        function, event = self.run.world.fc.accepted.pop(0)
        if self._invoke(function, event, Fault(kind, at)).returned:
            return
        if again:
            self.run.world.fc.accepted.append((function, event))

    @rule(at=_points)
    @precondition(lambda self: self.run.world.fc.accepted and not self.frozen)
    def freeze(self, at: int) -> None:
        """Run what was dispatched first until it stands still."""
        self._invoke(*self.run.world.fc.accepted.pop(0), Fault("freeze", at), host=_FREEZER)

    @rule()
    @precondition(lambda self: self.frozen)
    def thaw(self) -> None:
        """Let the frozen process continue, in whatever state its job is."""
        self.frozen.pop().resume()

    @rule(which=st.sampled_from([0, -1]), times=st.sampled_from([0, 1, 1, 2]))
    @precondition(lambda self: self.run.world.events)
    def deliver_event(self, which: int, times: int) -> None:
        """Deliver the first or the last event: not at all, once or twice."""
        event = self.run.world.events.pop(which)
        self.told_all = self.told_all and times > 0
        for _ in range(times):
            self.run.deliver(event)

    @rule()
    def minute(self) -> None:
        """Let a minute pass, which kills leases, and fire the minute timer."""
        self.run.let_a_minute_pass()
        self.run.fire(minutely=True)

    @rule(at=st.none() | _points)
    def hour(self, at: int | None) -> None:
        """Let an hour pass and fire the other timers, perhaps on an instance that is killed."""
        self._let_an_hour_pass()
        if at is not None:
            self._invoke("clean-up", self._reconcile(), Fault("kill", at))
        self.run.fire(minutely=False)

    # -- what must hold always

    @invariant()
    def rows_have_objects(self) -> None:
        """A row means: the object is there, whole, with that size."""
        objects = self.run.objects()
        for row in self.run.world.database.rows("SELECT * FROM job_outputs"):
            if row["oss_path"] in self.deleted and row["oss_path"] not in objects:
                continue
            stated = {"size": row["size"], "crc64": json.loads(row["meta"])["crc64"]}
            assert objects[row["oss_path"]].items() >= stated.items()

    @invariant()
    def what_has_ended_stays_as_it_is(self) -> None:
        """A final state is never left."""
        now = {job["id"]: job["status"] for job in self.jobs() if job["status"] in FINAL}
        assert now.items() >= self.ended.items()
        self.ended = now

    # -- what holds at rest

    def teardown(self) -> None:
        """Let everything come to rest, and look at what is left."""
        for invocation in self.frozen:
            invocation.resume()
        self.run.settle()
        self._check_before_the_reconcile()
        self._let_an_hour_pass()
        self.run.fire(minutely=False)
        self.run.settle()
        self.rows_have_objects()
        self.what_has_ended_stays_as_it_is()
        self._check_rest()
        before = self.run.state()
        self.run.fire(minutely=False)
        assert self.run.state() == before, "a second reconcile has changed something"

    def _check_before_the_reconcile(self) -> None:
        """Look at what must not need it: rows follow deletions that were told, and success leaves no intent."""
        database = self.run.world.database
        if self.told_all:
            assert {row["oss_path"] for row in database.rows("SELECT * FROM job_outputs")} <= self.run.objects().keys()
        succeeded = {job["id"] for job in self.jobs() if job["status"] == "succeeded"}
        assert not succeeded & {row["job_id"] for row in database.rows("SELECT * FROM output_intents")}
        if not self.killed:
            assert not self.run.platform.temp_files(_HOST) | self.run.platform.temp_files(_FREEZER)

    def _check_rest(self) -> None:
        database, jobs = self.run.world.database, self.jobs()
        assert {job["status"] for job in jobs} <= set(FINAL)
        assert all(job["lease_expires_at"] is None and job["next_attempt_at"] is None for job in jobs)
        assert database.rows("SELECT * FROM output_intents") == []
        rows = database.rows("SELECT * FROM job_outputs")
        assert {row["oss_path"] for row in rows} == set(self.run.objects())
        for host in (_HOST, _FREEZER):
            for path in self.run.platform.temp_files(host):
                path.unlink()  # of a process that was killed: its instance is gone, and its disk with it
        charges = Counter(charge["prompt"] for charge in self.run.charges())
        assert max(charges.values(), default=0) <= 1, "paid twice"
        for job in jobs:
            self.tally[job["status"]] += 1
            if job["status"] == "succeeded":
                assert charges[job["prompt"]] == 1, "succeeded without being paid for"
                stored = [row for row in rows if row["job_id"] == job["id"]]
                gone = [key for key in self.deleted if f"/{job['id']}/" in key]
                whole = len(stored) == self.orders[job["prompt"]].count
                assert whole or gone or json.loads(job["warnings"]), "something is missing without a word"

    def jobs(self) -> list[dict[str, Any]]:
        """Return the rows of the jobs, oldest first."""
        return sorted(self.run.world.database.rows("SELECT * FROM jobs"), key=lambda row: str(row["prompt"]))

    def _let_an_hour_pass(self) -> None:
        self.run.world.clock.advance(3700)
        self.run.world.database.let_an_hour_pass()
        self.run.world.database.execute("UPDATE job_outputs SET created_at = '2020-01-01 00:00:00'")

    def _reconcile(self) -> str:
        return json.dumps({"triggerName": "hourly", "payload": '{"task": "reconcile"}'})

    def _invoke(self, function: str, event: str, fault: Fault | None = None, *, host: int = _HOST) -> Invocation:
        instances = self.run.platform.instances(function, host)
        invocation = instances.start(event, fault, cold=fault is not None).wait()
        self.tally["invocations"] += 1
        if invocation.frozen:
            self.frozen.append(invocation)
            self.tally["frozen"] += 1
        elif invocation.killed:
            self.killed = True
            self.tally["killed"] += 1
        else:
            instances.learn(invocation)
        return invocation


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give the long run several seeds, so that test processes can divide them; the short one is the same each time."""
    option = metafunc.config.option
    seeds = range(option.model_seed, option.model_seed + SHARES) if is_long(metafunc.config) else [None]
    metafunc.parametrize("number", seeds, ids=lambda number: "short" if number is None else f"seed-{number}")


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("platform", ["on_sqlite", "on_mariadb"], indirect=True)
def test_whatever_happens_in_whatever_order(
    platform: Platform, number: int | None, capsys: pytest.CaptureFixture[str]
) -> None:
    long_run = number is not None
    tally = Counter[str]()

    def begin() -> Jobs:
        return Jobs(platform, tally)

    first = 1000 * (number or 3)  # with 3, all that the short run must meet is met
    for example in range(first, first + (50 if long_run else 14)):
        run_state_machine_as_test(
            seed(example)(begin),  # type: ignore[arg-type]  # any callable that makes one will do
            settings=settings(
                # The shortest one, and one at random. Hypothesis would compare further ones and refuse the difference
                # when a server's answer comes in more pieces and a fault strikes elsewhere.
                max_examples=2,
                stateful_step_count=40 if long_run else 25,
                deadline=None,
                database=None,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            ),
        )
    assert long_run or (tally["killed"] and tally["frozen"] and tally["succeeded"] and tally["cancelled"])
    with capsys.disabled():
        print(f"\nthe model met {dict(tally)}")
