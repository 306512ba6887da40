"""Runs the benchmarks: ``make bench``, or ``python -m bench imports`` for one of them."""

import argparse
from collections.abc import Callable

from bench.handler_imports import bench_imports
from bench.oss import bench_oss
from bench.output_transfer import bench_transfer

BENCHMARKS: dict[str, tuple[Callable[[], None], str]] = {
    "imports": (bench_imports, "the imports of each handler, against a bare interpreter"),
    "transfer": (bench_transfer, "a provider's URL through the temp folder into OSS, against curl"),
    "oss": (bench_oss, "the OSS emulator, against moto's S3 server; its memory and its lists"),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Measures costs as ratios against a peer in the same run: absolute times differ between machines.",
        epilog="benchmarks:\n" + "\n".join(f"  {name:10}{text}" for name, (_, text) in BENCHMARKS.items()),
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="a benchmark of the list below; default: all")
    names = parser.parse_args().names or list(BENCHMARKS)
    if unknown := [name for name in names if name not in BENCHMARKS]:
        parser.error(f"unknown benchmark {unknown[0]!r}; the benchmarks are: {', '.join(BENCHMARKS)}")
    for name in names:
        BENCHMARKS[name][0]()


if __name__ == "__main__":
    main()
