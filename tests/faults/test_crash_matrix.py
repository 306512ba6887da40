"""Every step of a function's process is the last one once; the job ends all the same, stored once and paid once."""

from collections.abc import Callable

import pytest

from tests.faults import matrix
from tests.faults.function_compute import Platform
from tests.faults.plan import Plan
from tests.faults.scenarios import ALL, Scenario

DATABASES = ("sqlite", "on_mariadb")
SHARES = 4


@pytest.mark.parametrize("platform", DATABASES, indirect=True)
@pytest.mark.parametrize("scenario", ALL, ids=str)
@pytest.mark.parametrize("share", range(SHARES))
def test_killed_at_any_step(
    platform: Platform, scenario: Scenario, share: int, tally: Callable[[str, int, int], None]
) -> None:
    tried, found = matrix.strike(platform, scenario, "kill", Plan(), first=share + 1, stride=SHARES)
    tally(f"killed  {scenario}", tried, found)
