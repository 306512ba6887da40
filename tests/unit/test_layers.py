"""The table of layers in CONTRIBUTING.md, and the rules on imports that import-linter cannot express."""

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PLACES = re.findall(r"^\| `([^`]+)` \|[^|]+\|[^|]+\|$", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"), re.M)
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
DEPLOYED = sorted(path for folder in ("functions", "shared") for path in (ROOT / folder).rglob("*.py"))


def test_the_table_has_every_place() -> None:
    assert len(PLACES) >= 15


@pytest.mark.parametrize("place", PLACES)
def test_each_line_of_the_table_is_a_contract(place: str) -> None:
    assert any(place in contract["name"].partition(":")[0].split(", ") for contract in CONTRACTS)


def reads_of_the_environment(path: Path) -> Iterator[int]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = {alias.name for alias in node.names} if isinstance(node, ast.ImportFrom) and node.module == "os" else ()
        attribute = node.attr if isinstance(node, ast.Attribute) else None
        if {"environ", "environb", "getenv", "getenvb"} & {attribute, *names}:
            yield node.lineno  # type: ignore[attr-defined]  # both kinds of node have a line


@pytest.mark.parametrize("path", DEPLOYED, ids=lambda path: str(path.relative_to(ROOT)))
def test_only_the_settings_read_the_environment(path: Path) -> None:
    if path != ROOT / "shared" / "settings.py":
        assert list(reads_of_the_environment(path)) == []


def test_reads_of_the_environment_are_found() -> None:
    assert list(reads_of_the_environment(ROOT / "shared" / "settings.py"))
