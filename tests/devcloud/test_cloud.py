"""The local cloud as a program: its commands, its data folder, its end."""

import json
import re
import signal
import socket
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import jwt
import psutil
import pytest
from fc_support import LocalCloud, devcloud, eventually, is_gone, local_cloud, write_project

from devcloud.cloud import load_local_manifest


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return write_project(tmp_path / "project")


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    with local_cloud(write_project(tmp_path_factory.mktemp("cloud"))) as running:
        yield running


def test_env_prints_the_variables_of_the_local_cloud(cloud: LocalCloud) -> None:
    shown = devcloud("env", project=cloud.project)
    lines = dict(line.split("=", 1) for line in shown.stdout.splitlines())
    assert lines == cloud.variables
    assert list(lines) == [
        *("API_URL", "OSS_ENDPOINT", "OSS_BUCKET", "OSS_REGION", "OSS_ACCESS_KEY", "OSS_SECRET", "DATABASE_URL"),
        *("DASHSCOPE_BASE_URL", "DASHSCOPE_API_KEY", "OPENAI_BASE_URL", "OPENAI_API_KEY"),
        *("WEBHOOK_SECRET", "FC_ENDPOINT", "CONTROL_URL"),
    ]
    assert cloud.output[-1] == f"ready {lines['API_URL']}\n"


def test_token_prints_a_signed_token_of_the_user(cloud: LocalCloud) -> None:
    made = devcloud("token", "--user", "test@factory-buy.com", "--expires-in", "60", project=cloud.project)
    note = json.loads((cloud.data / "running.json").read_text())
    claims = jwt.decode(made.stdout.strip(), note["auth_secret"], ["HS256"], audience="dream-factory")
    assert (claims["sub"], claims["exp"] - claims["iat"]) == ("test@factory-buy.com", 60)
    assert claims["iss"] == "http://127.0.0.1/devcloud"


def test_invoke_prints_the_result_of_the_function(cloud: LocalCloud, tmp_path: Path) -> None:
    assert json.loads(devcloud("invoke", "work", "--event", '{"a": 1}', project=cloud.project).stdout) == {"a": 1}
    event_file = tmp_path / "event.json"
    event_file.write_text('{"b": 2}')
    shown = devcloud("invoke", "work", "--event-file", str(event_file), project=cloud.project)
    assert (shown.returncode, json.loads(shown.stdout)) == (0, {"b": 2})


def test_invoke_reports_errors_and_exits_with_1(cloud: LocalCloud) -> None:
    failed = devcloud("invoke", "work", "--event", '{"do": "raise"}', project=cloud.project)
    assert (failed.returncode, failed.stdout, "ValueError" in failed.stderr) == (1, "", True)
    unknown = devcloud("invoke", "nothing", project=cloud.project)
    assert (unknown.returncode, "FunctionNotFound" in unknown.stderr) == (1, True)
    assert devcloud("invoke", "work", "--event", "{", project=cloud.project).stderr.startswith("devcloud: --event")


def test_invoke_async_prints_the_request_id(cloud: LocalCloud) -> None:
    shown = devcloud("invoke", "work", "--async", "--event", '{"note": "later"}', project=cloud.project)
    assert eventually(lambda: cloud.lines("later")) == [shown.stdout.strip()]


def test_secrets_are_private(cloud: LocalCloud) -> None:
    note = cloud.project / ".devcloud" / "running" / f"{cloud.process.pid}.json"
    assert [oct(path.stat().st_mode)[-3:] for path in (note, cloud.data / "secrets.json", cloud.data)] == [
        *("600", "600", "700")
    ]


def test_commands_use_the_local_cloud_that_started_last(cloud: LocalCloud, tmp_path: Path) -> None:
    with local_cloud(cloud.project, "--data", str(tmp_path / "data")) as second:
        assert second.variables["API_URL"] in devcloud("env", project=cloud.project).stdout
        chosen = devcloud("env", "--data", str(cloud.data), project=cloud.project)
        assert cloud.variables["API_URL"] in chosen.stdout
    assert cloud.variables["API_URL"] in devcloud("env", project=cloud.project).stdout


def test_commands_fail_without_a_running_local_cloud(project: Path) -> None:
    for command in (["env"], ["token", "--user", "a"], ["invoke", "work"]):
        refused = devcloud(*command, project=project)
        assert (refused.returncode, refused.stdout, refused.stderr.count("\n")) == (1, "", 1)
        assert "no local cloud is running" in refused.stderr


def test_ports_and_data_in_use_are_refused(project: Path, tmp_path: Path) -> None:
    data = str(tmp_path / "data")
    with local_cloud(project, "--data", data):
        refused = devcloud("up", "--port", "0", "--data", data, project=project)
        assert (refused.returncode, "another local cloud runs on" in refused.stderr) == (1, True)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        refused = devcloud("up", "--port", str(port), project=project)
        assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
        assert f"port {port} cannot be used" in refused.stderr


def test_fresh_empties_only_a_data_folder(project: Path, tmp_path: Path) -> None:
    data, foreign = tmp_path / "data", tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "letter").touch()
    refused = devcloud("up", "--port", "0", "--data", str(foreign), "--fresh", project=project)
    assert (refused.returncode, (foreign / "letter").exists()) == (1, True)
    with local_cloud(project, "--data", str(data)) as first:
        key = first.variables["OSS_ACCESS_KEY"]
    with local_cloud(project, "--data", str(data)) as again:
        assert again.variables["OSS_ACCESS_KEY"] == key
    with local_cloud(project, "--data", str(data), "--fresh") as fresh:
        assert fresh.variables["OSS_ACCESS_KEY"] != key


def test_a_mistake_in_the_manifest_is_one_line(project: Path) -> None:
    manifest = project / "s.yaml"
    manifest.write_text(manifest.read_text().replace("${env('AUTH_HS256_SECRET')}", "${env('MISSING')}"))
    refused = devcloud("up", "--port", "0", project=project)
    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
    assert "cannot resolve ${env('MISSING')}" in refused.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopping_leaves_no_process_and_no_file(project: Path, number: signal.Signals) -> None:
    cloud = LocalCloud(project)
    assert devcloud("invoke", "slow-job", "--event", '{"quick": true}', project=project).stdout == "done\n"
    assert devcloud("invoke", "slow-job", "--async", "--event", '{"note": "busy"}', project=project).returncode == 0
    eventually(lambda: cloud.lines("busy"))
    assert devcloud("invoke", "work", project=project).returncode == 0
    assert devcloud("invoke", "slow-job", "--event", '{"quick": true}', project=project).stdout == "done\n"
    children = psutil.Process(cloud.process.pid).children(recursive=True)
    assert len(children) == 3
    assert cloud.end(number) == 0
    assert all(is_gone(child.pid) for child in children)
    assert (cloud.notes / "initialized").exists()
    assert (cloud.notes / "pre-stopped").exists()
    assert not cloud.data.exists()
    assert not list((project / ".devcloud" / "running").iterdir())
    assert "Traceback" not in "".join(cloud.output)


def test_a_killed_local_cloud_continues_after_a_restart(project: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    cloud = LocalCloud(project, "--data", str(data))
    for note in ("first", "second"):
        devcloud("invoke", "slow-job", "--async", "--event", json.dumps({"note": note}), project=project)
        eventually(partial(cloud.lines, note))
    cloud.arm("fc", {"throttle": True}, times=100, function="work")
    queued = devcloud("invoke", "work", "--async", "--event", '{"note": "queued"}', project=project).stdout.strip()
    children = psutil.Process(cloud.process.pid).children(recursive=True)
    cloud.end(signal.SIGKILL)
    eventually(lambda: all(is_gone(child.pid) for child in children))
    assert not cloud.lines("queued")
    with local_cloud(project, "--data", str(data)) as again:
        assert eventually(lambda: again.lines("queued")) == [queued]
        eventually(lambda: len(again.lines("first")) == 2 and len(again.lines("second")) == 2)
        ended = eventually(lambda: [item for item in again.invocations("slow-job") if item["status"] == "succeeded"])
        assert ended[0]["attempt"] == 2
        assert "lost" in [item["status"] for item in again.invocations("slow-job")]
        assert len(list((data / "instances").iterdir())) == len(again.control.get("/instances").json())


def test_the_data_of_a_killed_local_cloud_is_removed(project: Path) -> None:
    killed = LocalCloud(project)
    killed.end(signal.SIGKILL)
    assert killed.data.exists()
    with local_cloud(project) as cloud:
        assert not killed.data.exists()
        assert [path.name for path in (project / ".devcloud" / "running").iterdir()] == [f"{cloud.process.pid}.json"]


def test_package_builds_a_folder_for_each_named_function(project: Path, tmp_path: Path) -> None:
    built = devcloud("package", "--into", str(tmp_path / "dist"), "work", "slow-job", project=project)
    assert built.returncode == 0, built.stderr
    assert re.findall(r"([\w-]+)  \d+\.\d MB", built.stdout) == ["work", "slow-job"]
    assert {"index.py", "shared"} <= {path.name for path in (tmp_path / "dist" / "work").iterdir()}
    assert devcloud("package", "--into", str(tmp_path / "dist"), "nothing", project=project).returncode == 1


def test_the_manifest_can_be_read_without_a_cloud(project: Path) -> None:
    assert load_local_manifest(project).functions["slow-job"].folder == "slow_job"
