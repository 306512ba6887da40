"""Messages, documents, comments, docstrings and names of tests avoid the idioms below."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
_SUFFIXES = {".in", ".ini", ".json", ".md", ".mjs", ".py", ".svg", ".toml", ".yaml", ".yml"}
_FOLDERS = [path for path in ROOT.iterdir() if path.is_dir() and (path.name == ".github" or path.name[0] != ".")]
_FOUND = {*ROOT.glob("*"), *(path for folder in _FOLDERS for path in folder.rglob("*"))}
_GENERATED = {"dist", "node_modules", "package-lock.json"}
_LEFT_OUT = {Path(__file__)}
_FILES = [ROOT / "Makefile", ROOT / ".ci" / "run"] + [
    path
    for path in sorted(_FOUND - _LEFT_OUT)
    if path.suffix in _SUFFIXES and not _GENERATED & {*path.relative_to(ROOT).parts}
]
# The list in CONTRIBUTING.md quotes the idioms that it forbids.
_HOUSE_STYLE = re.compile(r"(?<=\n)## House style for prose\n.*?(?=\n## )", re.S)

# Each idiom, as a regular expression whose spaces also match line breaks, and what to write in its place.
IDIOMS = {
    r"\b(is|are|was|were) no\b(?! longer\b)": '"is not a …", "does not exist", "without …"',
    r"\b(holds?|holding|held|has|have|had) none\b": '"is empty", "without …"',
    r"\bthere (is|are|was|were) none\b": '"does not exist", "without …"',
    r"\b(who ever|whoever)\b": '"the caller", "anyone who"',
    r"\bwish(e[sd]|ing)?\b": '"request"',
    r"\bheed(s|ed|ing)?\b": '"use", "respect", "read"',
    r"\banew\b": '"again", "new"',
    r"\bof (its|his|their) own\b": '"its own …", "separate"',
    r"\bby (it|them)sel(f|ves)\b": '"automatically", "alone"',
    r"\bmeanwhile\b": '"in the meantime"',
    r"\bin vain\b": '"without success"',
    r"\bnobody's\b": '"of no user"',
    r"\b(go|goes|going|went|gone) on\b": '"continue"',
    r"\b(hears?|heard|tells?|told|speaks?) of\b": '"learn about", "report"',
    r"\bwr(ite|ites|iting|itten|ote) down\b": '"record", "store"',
    r"\b(take|takes|taking|taken|took) up\b(?! to\b)": '"start", "use"',
    r"\b(come|comes|coming|came) (about|of)\b": '"happen", "result from"',
    r"\b(become|becomes|became) of\b": '"happen to"',
    r"\bthe like\b": '"similar …"',
    r"\bsave for\b": '"except"',
    r"\b(ere|thereof|therein|whereof|nought|naught)\b": "a word that is still in use",
    r"\bsuch an?\b": '"this …", "a … like this"',
    r"\bwhat (was|is|were) asked\b": '"the request"',
    r", for (it|they|there|we|nobody|nothing|otherwise)\b(?! in\b)": '", because …"',
    r", for (the|an?)( (?!that\b|which\b|whose\b)\w+){1,4} (is|are|was|were|has|have|can|may)\b": '", because …"',
}
_PATTERNS = {idiom: (re.compile(idiom.replace(" ", r"\s+"), re.IGNORECASE), better) for idiom, better in IDIOMS.items()}
# What separates the words of a text that continues on the next line, or in a name: comment signs, quotes, underscores.
_BETWEEN_WORDS = re.compile(r'^[ \t]*(#+|//|>|[bfr]{0,2}")|"$|_', re.M)


def idioms_in(text: str, file: str = "file") -> Iterator[str]:
    """Yield a message with file, line, words, idiom and a better expression for each idiom in ``text``."""
    words = _BETWEEN_WORDS.sub(lambda found: " " * len(found[0]), text)
    for idiom, (pattern, better) in _PATTERNS.items():
        for found in pattern.finditer(words):
            line = words.count("\n", 0, found.start()) + 1
            context = " ".join(text[max(found.start() - 40, 0) : found.end() + 40].split())
            yield f"{file}:{line}: …{context}… matches {idiom}; write {better}"


@pytest.mark.parametrize("path", _FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_file_is_in_plain_english(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    # The lines of the list stay, so that the lines after it keep their numbers.
    text = _HOUSE_STYLE.sub(lambda section: "\n" * section[0].count("\n"), text)
    found = list(idioms_in(text, str(path.relative_to(ROOT))))
    assert not found, "\n".join(found)


def test_files_of_every_kind_are_read() -> None:
    read = {str(path.relative_to(ROOT)) for path in _FILES}
    assert {"Makefile", "README.md", "docs/decisions/lists.md", "functions/api/openapi.json", "s.yaml"} <= read
    assert {"shared/domain/errors.py", "migrations/env.py", "devcloud/__main__.py", "openapi/schemas.py"} <= read
    assert {
        ".ci/run",
        ".github/workflows/ci.yml",
        "tests/e2e/job_support.py",
        "tests/devcloud/node/operations.mjs",
    } <= read


@pytest.mark.parametrize(
    "text",
    [
        'raise InvalidRequestError("the body is no JSON")\n',
        'raise InvalidRequestError(f"{name!r} is "\n    f"no number of {unit}")\n',
        'log.info("the batch goes on", extra={"items": 3})\n',
        'parser.add_argument("--port", help="the port to use, for there are several")\n',
        '"""Return the row.\n\nThere is\nnone without a job.\n"""\n',
        "    # The instance ends by\n    # itself after a minute.\n",
        "def test_a_body_that_is_no_json_is_refused() -> None:\n",
        "1. The caller repeats the\n   request anew.\n",
        '{"summary": "Tells of a job\'s end"}\n',
        "up: ## run the local cloud in a process of its own\n",
        "  # whoever invokes the function\n",
    ],
)
def test_idiom_is_found_in_each_kind_of_text(text: str) -> None:
    assert len(list(idioms_in(text))) == 1


@pytest.mark.parametrize(
    "text",
    [
        "the job is no longer there",
        "a value takes up to 16,000 bytes",
        "for it in items:",
        "[it.id for it in items], for the lists of jobs",
        "It is not in the list.",
        "heedless wishbone",
    ],
)
def test_plain_text_has_no_idiom(text: str) -> None:
    assert list(idioms_in(text)) == []
