"""The folder of each function: a short handler, and only the imports that its work needs."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HANDLERS = sorted((ROOT / "functions").glob("*/index.py"))
ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "OSS_BUCKET": "media",
    "OSS_REGION": "oss-cn-hangzhou",
    "OSS_ACCESS_KEY": "LTAItest",
    "OSS_SECRET": "secret",
    "DATABASE_URL": "mysql+pymysql://user:password@127.0.0.1:1/media",
    "DASHSCOPE_API_KEY": "sk-test",
    "OPENAI_API_KEY": "sk-test",
    "AUTH_HS256_SECRET": "a secret of at least thirty-two bytes",
    "DISPATCH_ENDPOINT": "http://127.0.0.1:1",
    "WEBHOOK_SECRET": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
}
_LOADED = "import json, sys; import index; print(json.dumps(sorted({n.split('.')[0] for n in sys.modules})))"


def run(folder: str, code: str, environment: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    path = os.pathsep.join([str(ROOT / "functions" / folder), str(ROOT)])
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**environment, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def loaded(folder: str) -> set[str]:
    result = run(folder, _LOADED, ENVIRONMENT)
    assert result.returncode == 0, result.stderr
    return set(json.loads(result.stdout.splitlines()[-1]))


def test_there_are_six_functions() -> None:
    names = {path.parent.name for path in HANDLERS}
    assert names >= {"api", "generate_image", "generate_video", "index_outputs", "clean_up", "deliver_webhooks"}


@pytest.mark.parametrize("path", HANDLERS, ids=lambda path: path.parent.name)
def test_a_handler_is_short(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 30


@pytest.mark.parametrize("path", HANDLERS, ids=lambda path: path.parent.name)
def test_a_handler_does_not_load_the_local_cloud(path: Path) -> None:
    modules = loaded(path.parent.name)
    assert "shared" in modules
    assert not modules & {"devcloud", "moto", "boto3", "alembic", "sqlalchemy", "starlette", "uvicorn", "tests"}
    assert "pymediainfo" not in modules


def test_functions_reach_settings_and_adapters_only_through_bootstrap() -> None:
    sources = {path: path.read_text(encoding="utf-8") for path in (ROOT / "functions").rglob("*.py")}
    assert len(sources) > 10
    assert [path for path, text in sources.items() if re.search(r"shared(\.| import )(settings|adapters)", text)] == []


def test_the_api_does_not_load_the_work_of_other_functions() -> None:
    names = ("batches", "deletion", "generation", "indexing", "reconcile", "revival", "upkeep", "webhooks")
    code = "import sys; import index; print(sorted(sys.modules))"
    result = run("api", code, ENVIRONMENT)
    assert result.returncode == 0, result.stderr
    assert "'shared.services.starting'" in result.stdout
    assert [name for name in names if f"'shared.services.{name}'" in result.stdout] == []


def test_the_api_loads_no_heavy_library() -> None:
    heavy = {"oss2", "requests", "pymediainfo", "sqlalchemy", "alembic", "crcmod", "aliyunsdkcore", "fastcrc"}
    assert not loaded("api") & heavy


def test_the_api_does_not_start_without_keys_for_tokens() -> None:
    environment = {name: value for name, value in ENVIRONMENT.items() if name != "AUTH_HS256_SECRET"}
    result = run("api", "import index", environment)
    assert result.returncode == 1
    last = result.stderr.strip().splitlines()[-1]
    assert "AUTH_HS256_SECRET" in last
    assert "ConfigurationError" in last


def test_the_api_does_not_start_with_unusable_keys_for_tokens() -> None:
    secret = '{"keys": [{"kty": "oct", "k": "YSBzZWNyZXQgb2YgYXQgbGVhc3QgdGhpcnR5LXR3byBieXRlcw"}]}'
    environment = {**ENVIRONMENT, "AUTH_HS256_SECRET": "", "AUTH_JWKS": secret, "AUTH_AUDIENCE": "media"}
    result = run("api", "import index", environment)
    assert result.returncode == 1
    last = result.stderr.strip().splitlines()[-1]
    assert "AUTH_JWKS" in last
    assert "ConfigurationError" in last
