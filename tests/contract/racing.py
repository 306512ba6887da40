"""Threads that do the same at the same time."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier


def race(racers: int, work: Callable[[int], object], *, losing: type[Exception]) -> list[object]:
    """Have each of so many threads do its work at once; return what each returns, or the ``losing`` error it raises."""
    barrier = Barrier(racers)

    def run(number: int) -> object:
        barrier.wait()
        try:
            return work(number)
        except losing as error:
            return error

    with ThreadPoolExecutor(racers) as pool:
        return list(pool.map(run, range(racers)))
