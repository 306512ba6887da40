"""Each line of the table "Where is what" in CONTRIBUTING.md leads to a file that contains the name."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
_SIGN = "<!-- tests/unit/test_where_is_what.py reads this table -->"
_TABLE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").partition(_SIGN)[2].strip().partition("\n\n")[0]
LINES = re.findall(r"^\| (.+\?) \| `(.+)` \| `(.+)` \|$", _TABLE, re.M)


def test_table_answers_a_dozen_questions_and_more() -> None:
    assert len(LINES) == len(_TABLE.splitlines()) - 2 >= 12


@pytest.mark.parametrize(("question", "file", "name"), LINES, ids=[line[0] for line in LINES])
def test_file_exists_and_contains_the_name(question: str, file: str, name: str) -> None:
    assert re.search(rf"(?<!\w){re.escape(name)}(?!\w)", (ROOT / file).read_text(encoding="utf-8")), question
