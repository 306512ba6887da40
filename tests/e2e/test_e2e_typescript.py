"""The client in docs/typescript.md, unchanged: type-checked against the description, and run."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.answer_checker import ROOT
from tests.e2e.job_support import Case, check_succeeded
from tests.local_cloud import LocalCloud
from tests.node_packages import install

PAGE = (ROOT / "docs" / "typescript.md").read_text(encoding="utf-8")
BIN = Path(__file__).with_name("typescript") / "node_modules" / ".bin"
USER = "test@factory-buy.com"
# What a caller writes: it has to pass the compiler, too.
MAIN = """
import { ApiError, generateImage, type Job } from "./client.js";
declare const process: { argv: string[] };
const [api, token, wanted] = process.argv.slice(2) as [string, string, string];
try {
  const job: Job = await generateImage(api, token, JSON.parse(wanted));
  console.log(JSON.stringify({ job }));
} catch (error) {
  if (!(error instanceof ApiError)) throw error;
  const { code, errors } = error.problem;
  console.log(JSON.stringify({ code, fields: errors?.map(({ field }) => field) ?? [] }));
}
"""
COMPILER_OPTIONS = (
    *("--strict", "--target", "es2022", "--module", "es2022", "--moduleResolution", "bundler"),
    *("--lib", "es2022,dom"),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the types and the client."""
    install(BIN.parents[1])
    folder = tmp_path_factory.mktemp("typescript")
    (command,) = re.findall(r"^npx openapi-typescript (\S+) (.*)$", PAGE, re.MULTILINE)
    description = str(ROOT / "functions" / "api" / "openapi.json")
    subprocess.run([BIN / "openapi-typescript", description, *command[1].split()], cwd=folder, check=True)
    (client,) = re.findall(r"```ts\n// client\.ts\n(.*?)```", PAGE, re.DOTALL)
    (folder / "client.ts").write_text(client, encoding="utf-8")
    (folder / "package.json").write_text('{"type": "module"}')
    return folder


def compile_(folder: Path, main: str) -> str:
    (folder / "main.ts").write_text(main, encoding="utf-8")
    done = subprocess.run(
        [BIN / "tsc", *COMPILER_OPTIONS, "main.ts"], cwd=folder, capture_output=True, text=True, check=False
    )
    return done.stdout


def run(cloud: LocalCloud, folder: Path, **wanted: object) -> dict[str, Any]:
    arguments = [cloud.variables["API_URL"], cloud.token(USER), json.dumps(wanted)]
    done = subprocess.run(
        ["node", "main.js", *arguments], cwd=folder, capture_output=True, text=True, timeout=90, check=False
    )
    assert done.returncode == 0, done.stderr
    cloud.checker.check_text("what the client printed", done.stdout)
    printed: dict[str, Any] = json.loads(done.stdout)
    return printed


def test_the_client_is_strictly_typed_and_starts_jobs_waits_and_reports_problems(
    cloud: LocalCloud, folder: Path, prompt: str
) -> None:
    assert compile_(folder, MAIN) == ""
    job = run(cloud, folder, prompt=prompt, size="512x512")["job"]
    check_succeeded(cloud, USER, job, Case("", "", {}, (512, 512), "wan2.2-t2i-flash"))
    assert run(cloud, folder, prompt="", count=9) == {"code": "validation_failed", "fields": ["prompt", "count"]}


@pytest.mark.parametrize(
    ("request_", "complaint"),
    [
        ('{ prompt: "x", surprise: 1 }', "'surprise' does not exist"),
        ('{ prompt: "x", model: "gpt-9" }', "is not assignable"),
        ("{ count: 2 }", "'prompt' is missing"),
    ],
)
def test_the_types_refuse_invalid_requests(folder: Path, request_: str, complaint: str) -> None:
    main = f'import {{ generateImage }} from "./client.js";\nawait generateImage("", "", {request_});\n'
    assert complaint in compile_(folder, main)
