"""Timing shared by the benchmarks."""

import subprocess
import time
from collections.abc import Callable


def measure(work: Callable[[], object]) -> float:
    """Return the seconds that ``work`` takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def run(command: list[str], environment: dict[str, str]) -> None:
    """Run a command without its output. Raises ``CalledProcessError`` when it fails."""
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
