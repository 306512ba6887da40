"""Print the score of ``make mutants`` per module, and the mutants that no test has found."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / "mutants"
# mutmut records the exit code of pytest, or its own number. Any number that is not here ended the process of the test.
_RESULTS = {None: "not run", 0: "survived", 1: "killed", 3: "killed", 5: "no tests", 33: "no tests", 34: "skipped"}
_COLUMNS = ("killed", "timeout", "survived", "no tests", "not run")


def read_results(folder: Path) -> Iterator[tuple[str, str]]:
    """Return the name and the result of each mutant, which mutmut keeps in one file per module."""
    for path in sorted(folder.rglob("*.py.meta")):
        for name, code in json.loads(path.read_text(encoding="utf-8"))["exit_code_by_key"].items():
            yield name, _RESULTS.get(code, "timeout")


def score_of(counts: Counter[str]) -> str:
    """Return the share of the mutants that were run which a test has found; a mutant without an end counts as found."""
    run = counts.total() - counts["not run"] - counts["skipped"]
    return f"{100 * (counts['killed'] + counts['timeout']) / run:.1f} %" if run else "–"


def print_scores(folder: Path) -> None:
    """Print a table in Markdown with a line per module, and the names of the mutants that were not found."""
    counts: dict[str, Counter[str]] = {}
    missed = []
    for name, result in read_results(folder):
        module = name.rpartition(".")[0].removeprefix("shared.")
        counts.setdefault(module, Counter())[result] += 1
        if result in {"survived", "no tests"}:
            missed.append(f"{result}: {name}")
    print(f"| module | {' | '.join(_COLUMNS)} | score |", f"|---|{'---|' * (len(_COLUMNS) + 1)}", sep="\n")
    for module, of_module in [*counts.items(), ("all", sum(counts.values(), Counter[str]()))]:
        print(f"| {module} | {' | '.join(str(of_module[column]) for column in _COLUMNS)} | {score_of(of_module)} |")
    print("", *missed, sep="\n")


if __name__ == "__main__":
    print_scores(FOLDER)
