"""Threads that do the same work at the same time."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier


def race(racers: int, work: Callable[[int], object], *, losing: type[Exception]) -> list[object]:
    """Run ``work(number)`` in threads at once; return the result of each, or the ``losing`` error that it raised."""
    barrier = Barrier(racers)

    def run(number: int) -> object:
        barrier.wait()
        try:
            return work(number)
        except losing as error:
            return error

    with ThreadPoolExecutor(racers) as pool:
        return list(pool.map(run, range(racers)))
