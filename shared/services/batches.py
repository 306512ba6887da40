"""Batches in which no item blocks another item.

- Any exception of an item is the failure of that item only: it is logged with the item's id, counted, and charged to
  the item (postponed, and given up after a number of failures that each kind of work defines). The other items
  continue.
- Slow requests of several items run in parallel, and each group of items, such as those of one user, has only a few of
  them at once.
- Each kind of work has a share of the time, so that no kind takes the time of the next one.
"""

import logging
from collections import Counter, deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Generic, TypeVar

from shared.domain.errors import LeaseLostError
from shared.ports import Clock

log = logging.getLogger(__name__)
T = TypeVar("T")
R = TypeVar("R")
_LOOK_AHEAD = 10_000  # the number of items of busy groups kept in memory during the search for an item of another group


# -- one item


def _charge_nothing(error: Exception) -> None:
    """Charge nothing: the next run tries the item again."""


@contextmanager
def error_boundary(
    item_id: str,
    counts: Counter[str],
    charge: Callable[[Exception], object] = _charge_nothing,
    *,
    counted_as: str = "failed",
) -> Iterator[None]:
    """Keep the exceptions of an item from the other items: log, count and ``charge`` them to the item.

    A lost lease is not a failure: another run has just begun with the item.
    """
    try:
        yield
    except LeaseLostError:
        log.info("another run has this item", extra={"item_id": item_id})
    except Exception as error:
        log.exception("an item failed; the others continue", extra={"item_id": item_id})
        counts[counted_as] += 1
        try:
            charge(error)
        except Exception:
            log.warning("the failure of an item could not be recorded", extra={"item_id": item_id}, exc_info=True)


def do_each(items: Iterable[T], work: Callable[[T], object], *, id_of: Callable[[T], str]) -> None:
    """Do the work for every item, even if it fails for some of them; raise the first failure at the end."""
    first: Exception | None = None
    for item in items:
        try:
            work(item)
        except Exception as error:
            log.warning("an item failed; the others continue", extra={"item_id": id_of(item)}, exc_info=True)
            first = first or error
    if first is not None:
        raise first


def pages(ask: Callable[[T | None], Sequence[T]]) -> Iterator[T]:
    """Yield the items of every page; ``ask`` returns the page after an item, and the first page for None."""
    last: T | None = None
    while page := ask(last):
        yield from page
        last = page[-1]


# -- many items in parallel


@dataclass(frozen=True)
class Step(Generic[R]):
    """A slow request of an item. ``ask`` runs in a thread; ``then`` gets its result, and may return another step.

    ``then`` runs in the batch's own thread, the only thread that uses the database.
    """

    ask: Callable[[], R]
    then: Callable[[R], "Step[Any] | None"]


class _Queue(Generic[T]):
    """Hands out items: the groups take turns, and each group has at most ``per_group`` items at a time.

    The queue reads items only until it finds one of a group that may have another. An exception while reading ends the
    queue, and stays in ``failure``.
    """

    def __init__(self, items: Iterable[T], group_of: Callable[[T], Hashable], per_group: int) -> None:
        self.failure: Exception | None = None
        self._items = iter(items)
        self._group_of = group_of
        self._per_group = per_group
        self._waiting: dict[Hashable, deque[T]] = {}
        self._length = 0
        self._busy: Counter[Hashable] = Counter()

    def take(self) -> T | None:
        while True:
            for group in self._waiting:
                if self._busy[group] < self._per_group:
                    return self._take_from(group)
            if not self._read_next():
                return None

    def give_back(self, item: T) -> None:
        """Return an item whose work has ended."""
        self._busy[self._group_of(item)] -= 1

    def _take_from(self, group: Hashable) -> T:
        items = self._waiting.pop(group)
        item = items.popleft()
        if items:
            self._waiting[group] = items  # behind the other groups
        self._length -= 1
        self._busy[group] += 1
        return item

    def _read_next(self) -> bool:
        if self._length >= _LOOK_AHEAD:
            return False
        try:
            item = next(self._items)
        except StopIteration:
            return False
        except Exception as error:
            self.failure, self._items = error, iter(())
            return False
        self._waiting.setdefault(self._group_of(item), deque()).append(item)
        self._length += 1
        return True


def work_through(
    items: Iterable[T],
    begin: Callable[[T], Step[Any] | None],
    *,
    id_of: Callable[[T], str],
    counts: Counter[str],
    charge: Callable[[T, Exception], object],
    is_late: Callable[[], bool],
    at_once: int,
    counted_as: str = "failed",
    group_of: Callable[[T], Hashable] = lambda _: None,
    per_group: int | None = None,
) -> None:
    """Begin items until ``is_late``, and work on up to ``at_once`` of them in parallel, each step by step to its end.

    If reading ``items`` raises an exception, it is raised again after the end of every item that was begun.
    """
    queue = _Queue(items, group_of, at_once if per_group is None else per_group)
    running: dict[Future[Any], tuple[T, Step[Any]]] = {}
    with ThreadPoolExecutor(at_once) as threads:

        def take_step(item: T, next_step: Callable[[], Step[Any] | None]) -> None:
            started = False
            with error_boundary(id_of(item), counts, lambda error: charge(item, error), counted_as=counted_as):
                step = next_step()
                if step is not None:
                    # The copied context puts the invocation's id into the logs of the thread.
                    running[threads.submit(copy_context().run, step.ask)] = item, step
                    started = True
            if not started:
                queue.give_back(item)

        while True:
            while len(running) < at_once and not is_late() and (item := queue.take()) is not None:
                take_step(item, partial(begin, item))
            if not running:
                break
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                item, step = running.pop(future)
                take_step(item, partial(_finish, step, future))
    if is_late():
        log.warning("the time is over; the next run continues", extra={"counts": dict(counts)})
    if queue.failure is not None:
        raise queue.failure


def _finish(step: Step[Any], asked: "Future[Any]") -> Step[Any] | None:
    return step.then(asked.result())


# -- several kinds of work


@dataclass(frozen=True)
class Kind:
    """A kind of work: ``work`` gets the time at which it must stop, and returns counts of its results.

    ``share`` is how long it may take; None: as long as the others leave time.
    """

    name: str
    work: Callable[[datetime], dict[str, int]]
    share: timedelta | None = None


def do_kinds(kinds: Iterable[Kind], *, until: datetime, clock: Clock) -> dict[str, int]:
    """Do each kind of work in its share of the time, and return the sums of their counts.

    A failure of one kind does not stop the next kinds. It is raised at the end, so that Function Compute counts the
    invocation as failed.
    """
    counts: Counter[str] = Counter()

    def do(kind: Kind) -> None:
        share_ends = until if kind.share is None else clock.now() + kind.share
        counts.update(kind.work(min(until, share_ends)))

    try:
        do_each(kinds, do, id_of=lambda kind: kind.name)
    except Exception:
        log.error("a kind of work failed", extra={"counts": dict(counts)})
        raise
    return dict(counts)
