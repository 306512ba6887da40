"""The examples of docs/oss-emulator.md work."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from oss_process import serving
from test_oss_clients import NODE, node  # noqa: F401 - a fixture

ROOT = Path(__file__).parents[2]
SNIPPETS = re.findall(r"```(python|js)\n(.*?)```", (ROOT / "docs/oss-emulator.md").read_text(), re.DOTALL)


@pytest.mark.parametrize("number", [n for n, (language, code) in enumerate(SNIPPETS) if not code.startswith("# ")])
@pytest.mark.xdist_group("ali-oss")
def test_each_example_of_the_documentation_runs(number: int, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    language, code = SNIPPETS[number]
    with serving(tmp_path) as (_, endpoint):
        code = code.replace("9001", endpoint.rpartition(":")[2])
        if language == "js":
            request.getfixturevalue("node")
            command = ["node", "--input-type=module", "-e", code]
        else:
            command = [sys.executable, "-c", code]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(command, cwd=NODE, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
