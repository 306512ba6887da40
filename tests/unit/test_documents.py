"""The documents name only files, targets and pages that exist."""

import re
import tomllib
from pathlib import Path

import pytest

from shared.version import VERSION

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / ".github").rglob("*.md")])
DECISIONS = sorted((ROOT / "docs" / "decisions").glob("*.md"))
ADDED_BY_OPERATORS = {"shared/ApsaraDB-CA-Chain.pem"}
_PATH = re.compile(r"`((?:\.?[\w-]+/)+[\w.-]*|[\w-]+\.(?:py|yml|yaml|toml|md))`")
_HEADINGS = ["## Decision", "## Reasons", "## Measurements", "## Alternatives"]
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def anchor_of(heading: str) -> str:
    """Return the fragment that GitHub gives to a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@each_page
def test_links_lead_to_pages_and_headings(page: Path) -> None:
    for target, fragment in re.findall(r"\]\((?!https?:)([^)#]*)(?:#([^)]+))?\)", page.read_text(encoding="utf-8")):
        file = (page.parent / target).resolve() if target else page
        assert file.exists(), target
        if fragment:
            headings = re.findall(r"^#+ (.+)$", file.read_text(encoding="utf-8"), re.M)
            assert fragment in map(anchor_of, headings), f"{target}#{fragment}"


@each_page
def test_paths_in_backticks_exist(page: Path) -> None:
    folders = {path.name for path in ROOT.iterdir() if path.name not in {"dist", ".venv", ".devcloud"}}
    names = {path.name for path in ROOT.rglob("*.*") if ".venv" not in path.parts}
    for path in set(_PATH.findall(page.read_text(encoding="utf-8"))) - ADDED_BY_OPERATORS:
        first, slash, _ = path.partition("/")
        # Other texts with a slash are keys, routes and types of content.
        assert (ROOT / path).exists() if slash and first in folders else slash or path in names, path


@each_page
def test_targets_of_make_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
    named = re.findall(r"(?:`|^ *)make ([a-z]+)", page.read_text(encoding="utf-8"), re.M)
    assert set(named) <= targets


@pytest.mark.parametrize("page", [page for page in DECISIONS if page.name != "README.md"], ids=lambda page: page.stem)
def test_decision_has_its_frame_and_its_line_in_the_index(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert re.findall(r"^## .+$", text, re.M) == _HEADINGS
    title = text.splitlines()[0].removeprefix("# ")
    assert f"[{title}]({page.name})" in (page.parent / "README.md").read_text(encoding="utf-8")


def test_index_of_the_documents_names_each_page() -> None:
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    assert [page.name for page in (ROOT / "docs").iterdir() if page.is_file() and f"({page.name})" not in index] == [
        "README.md"
    ]


def test_changelog_describes_the_released_version() -> None:
    assert re.search(rf"^## \[?{re.escape(VERSION)}\]? - \d{{4}}-\d\d-\d\d$", (ROOT / "CHANGELOG.md").read_text(), re.M)


def test_package_is_built_by_the_pinned_setuptools() -> None:
    build = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["build-system"]["requires"]
    pinned = re.findall(r"^(setuptools==\S+)", (ROOT / "requirements" / "build.txt").read_text(encoding="utf-8"), re.M)
    assert build == pinned
