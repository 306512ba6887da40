"""The options of the random tests."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--fuzz-minutes", type=int, help="continue with random data for this number of minutes, and print the progress"
    )
    parser.addoption("--fuzz-seed", type=int, help="the seed with which to make the same mutants of media files again")
