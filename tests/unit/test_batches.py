"""Batches: error boundaries, fair turns, and shares of the time."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest

from shared.domain.errors import LeaseLostError
from shared.observability import request_id
from shared.services.batches import Kind, Step, do_each, do_kinds, work_through
from tests.fakes import NOW, FakeClock, World


def work(items: Any, begin: Callable[[str], Step[Any] | None], **options: Any) -> Counter[str]:
    """Work through items that are named after their group, like ``a1``."""
    counts: Counter[str] = Counter()
    defaults: dict[str, Any] = {
        "id_of": str,
        "counts": counts,
        "charge": lambda item, error: None,
        "is_late": lambda: False,
        "at_once": 4,
        "group_of": lambda item: item[0],
    }
    work_through(items, begin, **{**defaults, **options})
    return counts


def test_groups_take_turns() -> None:
    begun: list[str] = []
    work(["a1", "a2", "a3", "b1", "b2", "c1"], lambda item: begun.append(item), at_once=1)
    assert begun == ["a1", "a2", "a3", "b1", "b2", "c1"]  # nothing is running, so nothing is read ahead
    begun.clear()
    asked: list[str] = []
    work(
        ["a1", "a2", "a3", "b1", "b2", "c1"],
        lambda item: Step(lambda: asked.append(item), lambda _: None),
        at_once=3,
        per_group=1,
    )
    assert sorted(asked[:3]) == ["a1", "b1", "c1"] and sorted(asked) == ["a1", "a2", "a3", "b1", "b2", "c1"]


def test_a_slow_group_leaves_room_for_the_others() -> None:
    """Two requests of a group that do not end block neither the other groups nor the reading of more items."""
    released, done = threading.Event(), []

    def begin(item: str) -> Step[Any]:
        if item[0] == "s":
            return Step(lambda: released.wait(30), lambda _: done.append(item))
        return Step(lambda: None, lambda _: _finish(item))

    def _finish(item: str) -> None:
        done.append(item)
        if item == "z1":
            released.set()

    items = [*(f"s{number}" for number in range(50)), *(f"{letter}1" for letter in "abcxyz")]
    work(items, begin, per_group=2)
    assert done.index("z1") < 6 and len(done) == len(items)


def test_only_a_few_of_a_group_run_at_once() -> None:
    lock, running, most = threading.Lock(), Counter[str](), Counter[str]()
    together = threading.Barrier(4)

    def ask(item: str) -> None:
        with lock:
            running[item[0]] += 1
            most[item[0]] = max(most[item[0]], running[item[0]])
        if item[1] in "12":
            together.wait(30)  # two of each group must run at the same time, or this breaks
        with lock:
            running[item[0]] -= 1

    work(
        [f"{group}{number}" for group in "ab" for number in range(1, 10)],
        lambda item: Step(lambda: ask(item), lambda _: None),
        per_group=2,
    )
    assert most == {"a": 2, "b": 2}


def test_logs_of_a_thread_have_the_id_of_the_invocation() -> None:
    seen: list[str] = []
    token = request_id.set("1-abc")
    work(["a1"], lambda item: Step(request_id.get, seen.append))
    request_id.reset(token)
    assert seen == ["1-abc"]


def test_a_step_may_return_another_step() -> None:
    seen: list[str] = []
    work(["a1"], lambda item: Step(lambda: "poll", lambda got: Step(lambda: f"{got}, dispatch", seen.append)))
    assert seen == ["poll, dispatch"]


@pytest.mark.parametrize("where", ["begin", "ask", "then"])
def test_a_failure_is_counted_and_charged_to_its_item(where: str) -> None:
    charged: list[tuple[str, str]] = []
    done: list[str] = []

    def fail(item: str, place: str) -> None:
        if (item, place) == ("b1", where):
            raise ZeroDivisionError(place)

    def begin(item: str) -> Step[None]:
        def then(_: None) -> None:
            fail(item, "then")
            done.append(item)

        fail(item, "begin")
        return Step(lambda: fail(item, "ask"), then)

    counts = work(["a1", "b1", "c1"], begin, charge=lambda item, error: charged.append((item, str(error))))
    assert (counts["failed"], charged, sorted(done)) == (1, [("b1", where)], ["a1", "c1"])


def test_a_failing_charge_does_not_stop_the_batch() -> None:
    done: list[str] = []

    def begin(item: str) -> None:
        if item == "a1":
            raise MemoryError
        done.append(item)

    def charge(item: str, error: Exception) -> None:
        raise RecursionError

    assert work(["a1", "b1"], begin, charge=charge)["failed"] == 1
    assert done == ["b1"]


def test_a_lost_lease_is_not_a_failure() -> None:
    def begin(item: str) -> None:
        raise LeaseLostError("another run has it")

    assert work(["a1"], begin, charge=lambda item, error: pytest.fail("charged")) == Counter()


def test_an_error_while_reading_items_is_raised_after_all_begun_items_have_ended() -> None:
    def items() -> Iterator[str]:
        yield "a1"
        yield "b1"
        raise OSError("the list broke off")

    done: list[str] = []
    with pytest.raises(OSError, match="broke off"):
        work(items(), lambda item: Step(lambda: None, lambda _: done.append(item)))
    assert sorted(done) == ["a1", "b1"]


def test_no_item_begins_after_the_time_is_over() -> None:
    clock, begun = FakeClock(), list[str]()

    def begin(item: str) -> None:
        begun.append(item)
        clock.advance(1)

    work(["a1", "a2", "a3", "a4"], begin, is_late=lambda: clock.now() >= NOW + timedelta(seconds=2))
    assert begun == ["a1", "a2"]


def test_the_work_is_done_for_each_item_and_the_first_failure_is_raised() -> None:
    done: list[int] = []

    def divide(number: int) -> None:
        done.append(12 // number)

    with pytest.raises(ZeroDivisionError):
        do_each([1, 0, 2, 0, 3], divide, id_of=str)
    assert done == [12, 6, 4]
    do_each([], divide, id_of=str)


def test_each_kind_of_work_has_its_share_of_the_time(world: World) -> None:
    got: dict[str, datetime] = {}

    def take(name: str, seconds: float) -> Callable[[datetime], dict[str, int]]:
        def work_until(until: datetime) -> dict[str, int]:
            got[name] = until
            world.clock.advance(seconds)
            return {"done": 1, name: 1}

        return work_until

    kinds = [
        Kind("first", take("first", 10), timedelta(seconds=10)),
        Kind("second", take("second", 1), timedelta(seconds=10)),
        Kind("greedy", take("greedy", 5), timedelta(seconds=1000)),
        Kind("last", take("last", 5)),
    ]
    until = NOW + timedelta(seconds=60)
    counts = do_kinds(kinds, until=until, clock=world.clock)
    assert counts == {"done": 4, "first": 1, "second": 1, "greedy": 1, "last": 1}
    assert got == {
        "first": NOW + timedelta(seconds=10),
        "second": NOW + timedelta(seconds=20),
        "greedy": until,
        "last": until,
    }


def test_the_failure_of_a_kind_of_work_is_raised_after_the_other_kinds(world: World) -> None:
    done: list[str] = []

    def fail(until: datetime) -> dict[str, int]:
        raise MemoryError("no more")

    def succeed(until: datetime) -> dict[str, int]:
        done.append("second")
        return {}

    with pytest.raises(MemoryError, match="no more"):
        do_kinds([Kind("first", fail), Kind("second", succeed)], until=NOW, clock=world.clock)
    assert done == ["second"]
