"""The imports of each function's handler, against a bare interpreter: most of a cold start."""

import os
import statistics
import sys
from functools import partial
from pathlib import Path

from bench.timing import measure, run

ROOT = Path(__file__).resolve().parent.parent
ROUNDS = 7
FUNCTIONS = ("api", "clean_up", "generate_image", "index_outputs")


def bench_imports() -> None:
    print(f"\nimports over a bare interpreter (median of {ROUNDS}, interleaved)")
    environment = {"PATH": os.environ["PATH"], "AUTH_HS256_SECRET": "x" * 32}
    commands = {"bare": "pass"} | {
        name: f"import sys; sys.path[:0] = [{str(ROOT / 'functions' / name)!r}, {str(ROOT)!r}]; import index"
        for name in FUNCTIONS
    }
    times: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(ROUNDS):
        for name, code in commands.items():
            times[name].append(measure(partial(run, [sys.executable, "-c", code], environment)))
    bare = statistics.median(times["bare"])
    for name, taken in times.items():
        median = statistics.median(taken)
        print(f"  {name:15} {median * 1000:6.0f} ms  {median / bare:5.1f} x")


if __name__ == "__main__":
    bench_imports()
