"""Limits: memory does not grow with an object, nor a page of a list with the bucket; and reads during overwrites."""

import sys
from pathlib import Path
from typing import Any

import oss2
import pytest
from oss_process import PROCESSES, fill, peak_memory, stress

from devcloud.oss.testing import EmulatedOss

pytest_plugins = ["devcloud.oss.pytest_plugin"]

BODY_BYTES = 256 * 1024**2
MEMORY_BYTES = 64 * 1024**2
STRESS_S = 5.0


# Memory


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_does_not_grow_with_the_object(tmp_path: Path) -> None:
    assert peak_memory(tmp_path, BODY_BYTES) <= MEMORY_BYTES


# Lists


@pytest.fixture(scope="module")
def filled(shared_oss_emulator: EmulatedOss) -> EmulatedOss:
    """1,000 objects in one bucket, 100,000 in another."""
    for name, count in (("small", 1_000), ("large", 100_000)):
        fill(shared_oss_emulator, name, count)
    return shared_oss_emulator


def steps(oss: EmulatedOss, name: str, **options: Any) -> int:
    """Return how many steps SQLite's machine takes for one page."""
    database = oss.emulator._storage._db  # type: ignore[attr-defined]  # the disk storage's
    taken = 0

    def count() -> int:
        nonlocal taken
        taken += 1
        return 0

    database.set_progress_handler(count, 1)
    try:
        oss.client(name).list_objects(prefix="p/", max_keys=1000, **options)
    finally:
        database.set_progress_handler(None, 1)
    return taken


@pytest.mark.parametrize("marker", ["", "p/000500", "p/050000", "p/099000", "p/100000"])
def test_a_page_costs_the_same_from_any_marker(filled: EmulatedOss, marker: str) -> None:
    assert steps(filled, "large", marker=marker) <= 1.5 * steps(filled, "small", marker="")


def test_the_cost_of_a_common_prefix_does_not_grow_with_its_keys(filled: EmulatedOss) -> None:
    page = filled.client("large").list_objects(delimiter="/")
    assert (page.prefix_list, page.is_truncated) == (["p/"], False)
    database = filled.emulator._storage._db  # type: ignore[attr-defined]  # the disk storage's
    taken: list[int] = []
    database.set_progress_handler(lambda: taken.append(1), 1)
    try:
        filled.client("large").list_objects(delimiter="/")
    finally:
        database.set_progress_handler(None, 1)
    assert len(taken) < 1000


def test_all_pages_together_contain_all_objects(filled: EmulatedOss) -> None:
    found = [
        entry.key for entry in oss2.ObjectIteratorV2(filled.client("large"), max_keys=1000, start_after="p/095000")
    ]
    assert found == [f"p/{number:06d}" for number in range(95_001, 100_000)] + ["p/seed"]


# Reads during overwrites


def test_every_read_returns_one_complete_version(tmp_path: Path) -> None:
    reads, writes, faults = stress(tmp_path, STRESS_S)
    assert faults == []
    assert min(reads, writes) > PROCESSES
