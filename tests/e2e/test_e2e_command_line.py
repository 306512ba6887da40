"""The local cloud's commands, as a person types them."""

import json
import subprocess
from urllib.parse import quote

import pytest

from tests.e2e.job_support import Case, check_succeeded
from tests.local_cloud import LocalCloud

USER = "test@factory-buy.com"
VARIABLES = {
    *("API_URL", "OSS_ENDPOINT", "OSS_BUCKET", "OSS_REGION", "OSS_ACCESS_KEY", "OSS_SECRET", "DATABASE_URL"),
    *("DASHSCOPE_BASE_URL", "DASHSCOPE_API_KEY", "OPENAI_BASE_URL", "OPENAI_API_KEY"),
    *("WEBHOOK_SECRET", "FC_ENDPOINT", "CONTROL_URL"),
}


def test_env_prints_all_variables(cloud: LocalCloud) -> None:
    printed = dict(line.split("=", 1) for line in cloud.command("env").stdout.splitlines())
    assert printed == cloud.variables and printed.keys() == VARIABLES


def test_a_printed_token_is_valid_for_its_user(cloud: LocalCloud, prompt: str) -> None:
    token = cloud.command("token", "--user", USER).stdout.strip()
    headers = {"Authorization": f"Bearer {token}"}
    body = {"prompt": prompt, "size": "512x512"}
    answer = cloud.api(None).post("/ai/generate-image", json=body, headers=headers)
    check_succeeded(cloud, USER, answer.json(), Case("", "", {}, (512, 512), "wan2.2-t2i-flash"))


def test_a_printed_service_token_acts_for_a_user(cloud: LocalCloud, prompt: str) -> None:
    for arguments in (("--service",), ("--service", "--user", "front-end", "--expires-in", "60")):
        token = cloud.command("token", *arguments).stdout.strip()
        headers = {"Authorization": f"Bearer {token}", "On-Behalf-Of": quote(USER), "Prefer": "respond-async"}
        answer = cloud.api(None).post("/ai/generate-image", json={"prompt": prompt}, headers=headers)
        assert cloud.finish(cloud.api(USER), answer.json()["id"])["status"] == "succeeded"


def test_token_without_a_user_is_refused(cloud: LocalCloud) -> None:
    with pytest.raises(subprocess.CalledProcessError) as refused:
        cloud.command("token")
    assert refused.value.returncode == 2 and "--user" in refused.value.stderr


def test_invoke_runs_a_function(cloud: LocalCloud) -> None:
    event = {"rawPath": "/healthz", "requestContext": {"http": {"method": "GET"}}}
    printed = cloud.command("invoke", "api", "--event", json.dumps(event)).stdout
    returned = cloud.checker.check_result(printed.encode())
    assert returned["statusCode"] == 200


def test_a_second_local_cloud_on_the_same_data_is_refused(cloud: LocalCloud) -> None:
    with pytest.raises(subprocess.CalledProcessError) as refused:
        cloud.command("up", "--port", "0")
    assert "another local cloud runs" in refused.value.stderr
