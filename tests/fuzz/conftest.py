"""How long to go on."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fuzz-minutes", type=int, help="go on for so long, at random, and show it")
    parser.addoption("--fuzz-seed", type=int, help="make the same mutants of media files again")
