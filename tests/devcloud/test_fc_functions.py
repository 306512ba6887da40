"""Instances, the queue and the API, through the official SDK."""

import base64
import io
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alibabacloud_fc20230330 import models
from alibabacloud_fc20230330.client import Client
from alibabacloud_tea_openapi.exceptions import ClientException
from alibabacloud_tea_openapi.models import Config
from darabonba.runtime import RuntimeOptions
from fc_support import REPOSITORY, LocalCloud, eventually, is_gone, local_cloud, write_project

DISK_BYTES = 1 << 20


class Functions:
    """The SDK on one local cloud."""

    def __init__(self, cloud: LocalCloud, **other: str) -> None:
        config = {
            "access_key_id": cloud.variables["OSS_ACCESS_KEY"],
            "access_key_secret": cloud.variables["OSS_SECRET"],
            "endpoint": cloud.variables["FC_ENDPOINT"].removeprefix("http://"),
            "protocol": "http",
            "region_id": "cn-hangzhou",
        }
        self.client = Client(Config(**{**config, **other}))

    def invoke(self, function: str, event: object, **headers: str) -> Any:
        request = models.InvokeFunctionRequest(body=io.BytesIO(json.dumps(event).encode()), qualifier="LATEST")
        answer = self.client.invoke_function_with_options(
            function, request, models.InvokeFunctionHeaders(**headers), RuntimeOptions()
        )
        answer.payload = answer.body.read()
        return answer

    def accept(self, function: str, event: object, task_id: str) -> Any:
        return self.invoke(function, event, x_fc_invocation_type="Async", x_fc_async_task_id=task_id)

    def task(self, function: str, task_id: str) -> Any:
        return self.client.get_async_task(function, task_id, models.GetAsyncTaskRequest(qualifier="LATEST")).body

    def ended(self, function: str, task_id: str, status: str) -> Any:
        def look() -> Any:
            task = self.task(function, task_id)
            return task if task.status == status else None

        return eventually(look)


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    with local_cloud(write_project(tmp_path_factory.mktemp("functions"))) as running:
        yield running


@pytest.fixture(scope="module")
def functions(cloud: LocalCloud) -> Functions:
    return Functions(cloud)


@pytest.fixture(autouse=True)
def _disarmed(cloud: LocalCloud) -> Iterator[None]:
    yield
    cloud.control.delete("/faults").raise_for_status()


def test_a_synchronous_invocation_returns_the_result_and_the_log(functions: Functions) -> None:
    answer = functions.invoke("work", {"do": "echo", "ä": [1]}, x_fc_log_type="Tail")
    assert (answer.status_code, json.loads(answer.payload)) == (200, {"do": "echo", "ä": [1]})
    assert {"x-fc-request-id", "x-fc-instance-id", "x-fc-invocation-duration"} <= answer.headers.keys()
    assert 0 < int(answer.headers["x-fc-max-memory-usage"]) < 128
    log = base64.b64decode(answer.headers["x-fc-log-result"]).decode().splitlines()
    request_id = answer.headers["x-fc-request-id"]
    assert log == [
        f"FC Invoke Start RequestId: {request_id}",
        "doing echo in /tmp",
        f"FC Invoke End RequestId: {request_id}",
    ]


def test_a_function_sees_only_its_own_environment(cloud: LocalCloud, functions: Functions) -> None:
    seen = json.loads(functions.invoke("work", {"do": "look"}).payload)
    instance = cloud.instances("work")[0]
    environment = seen["env"]
    assert seen["greeting"] == "hello"
    assert seen["context"] == ["work", 5, "cn-hangzhou", "1234567890123456"]
    assert seen["oddities"] == [False, False]
    assert seen["pid"] == instance["pid"]
    assert environment["TEMP_DIR"] == instance["tempDir"]
    assert environment["FC_FUNCTION_NAME"] == "work"
    assert environment["ALIBABA_CLOUD_SECURITY_TOKEN"]
    assert "VIRTUAL_ENV" not in environment
    assert "PYTEST_CURRENT_TEST" not in environment
    assert str(REPOSITORY) not in seen["path"]
    assert not any((Path(place) / "devcloud").exists() for place in seen["path"])


def test_the_role_of_a_function_may_call_functions(cloud: LocalCloud, functions: Functions) -> None:
    environment = json.loads(functions.invoke("work", {"do": "look"}).payload)["env"]
    role = Functions(
        cloud,
        access_key_id=environment["ALIBABA_CLOUD_ACCESS_KEY_ID"],
        access_key_secret=environment["ALIBABA_CLOUD_ACCESS_KEY_SECRET"],
        security_token=environment["ALIBABA_CLOUD_SECURITY_TOKEN"],
    )
    assert role.invoke("work", {}).status_code == 200


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"access_key_secret": "wrong"}, "SignatureDoesNotMatch"),
        ({"access_key_id": "nobody"}, "InvalidAccessKeyId"),
        ({"security_token": "made-up"}, "InvalidSecurityToken"),
    ],
)
def test_a_wrong_key_or_signature_is_refused(cloud: LocalCloud, wrong: dict[str, str], code: str) -> None:
    with pytest.raises(ClientException) as refused:
        Functions(cloud, **wrong).invoke("work", {})
    assert (refused.value.status_code, refused.value.code) == (403, code)


def test_an_unknown_function_is_not_found(functions: Functions) -> None:
    with pytest.raises(ClientException) as refused:
        functions.invoke("nothing", {})
    assert (refused.value.status_code, refused.value.code) == (404, "FunctionNotFound")


def test_functions_are_described(functions: Functions) -> None:
    listed = functions.client.list_functions(models.ListFunctionsRequest()).body.functions
    assert [item.function_name for item in listed] == ["web", "work", "slow-job", "seen", "tick"]
    one = functions.client.get_function("work", models.GetFunctionRequest()).body
    assert (one.runtime, one.timeout, one.memory_size) == ("python3.12", 5, 128)


def test_an_exception_is_reported_without_local_paths(cloud: LocalCloud, functions: Functions) -> None:
    answer = functions.invoke("work", {"do": "raise"})
    error = json.loads(answer.payload)
    assert (answer.status_code, answer.headers["x-fc-error-type"]) == (200, "UnhandledInvocationError")
    assert (error["errorType"], error["errorMessage"]) == ("ValueError", "no good: /code/index.py /tmp/x")
    assert error["stackTrace"][0][:3] == ['File "/code/index.py"', "line 13", "in handler"]
    assert str(cloud.data) not in answer.payload.decode()


@pytest.mark.parametrize(
    ("do", "message"),
    [
        ("exit", "Process exited unexpectedly before completing request"),
        ("sleep", "Function time out after 5 seconds"),
        ("memory", "exceeded its memory limit of 128 MB"),
    ],
)
def test_an_instance_that_ends_is_reported_and_replaced(
    cloud: LocalCloud, functions: Functions, do: str, message: str
) -> None:
    functions.invoke("work", {})
    instance = cloud.instances("work")[-1]
    answer = functions.invoke("work", {"do": do})
    assert answer.headers["x-fc-error-type"] == "UnhandledInvocationError"
    assert message in json.loads(answer.payload)["errorMessage"]
    eventually(lambda: is_gone(instance["pid"]) and not Path(instance["tempDir"]).exists())
    assert functions.invoke("work", {}).status_code == 200


def test_each_instance_keeps_its_own_temp_folder(cloud: LocalCloud, functions: Functions) -> None:
    functions.invoke("work", {"do": "keep"})
    assert "kept" in json.loads(functions.invoke("work", {"do": "look"}).payload)["temp"]
    instance = cloud.instances("work")[0]
    assert (Path(instance["tempDir"]) / "kept").exists()
    functions.invoke("slow-job", {"quick": True})
    assert cloud.instances("slow-job")[0]["tempDir"] != instance["tempDir"]
    cloud.control.post("/clock", json={"advanceSeconds": 301}).raise_for_status()
    eventually(lambda: not Path(instance["tempDir"]).exists())
    assert json.loads(functions.invoke("work", {"do": "look"}).payload)["temp"] == []


def test_simultaneous_requests_get_separate_instances(cloud: LocalCloud, functions: Functions) -> None:
    for number in range(12):
        functions.accept("slow-job", {"note": f"together-{number}"}, f"together-{number}")
    eventually(lambda: len([item for item in cloud.instances("slow-job") if item["busy"]]) == 10)
    eventually(lambda: sum(bool(cloud.lines(f"together-{number}")) for number in range(12)) == 10)
    assert len(cloud.instances("slow-job")) == 10
    assert functions.task("slow-job", "together-11").status == "Enqueued"
    for number in reversed(range(12)):
        functions.client.stop_async_task("slow-job", f"together-{number}", models.StopAsyncTaskRequest())
    for number in range(12):
        functions.ended("slow-job", f"together-{number}", "Stopped")
    assert not cloud.lines("together-11")


def test_an_asynchronous_task_runs_once_within_a_week(cloud: LocalCloud, functions: Functions) -> None:
    answer = functions.accept("work", {"note": "once"}, "task-1")
    assert (answer.status_code, answer.payload) == (202, b"")
    assert answer.headers["x-fc-async-task-id"] == "task-1"
    task = functions.ended("work", "task-1", "Succeeded")
    assert task.request_id == answer.headers["x-fc-request-id"]
    assert json.loads(task.task_payload) == {"note": "once"}
    with pytest.raises(ClientException) as refused:
        functions.accept("work", {"note": "once"}, "task-1")
    assert (refused.value.status_code, refused.value.code) == (409, "AsyncTaskAlreadyExists")
    assert len(cloud.lines("once")) == 1
    cloud.control.post("/clock", json={"advanceSeconds": 8 * 86400}).raise_for_status()
    assert functions.accept("work", {"note": "once"}, "task-1").status_code == 202
    functions.ended("work", "task-1", "Succeeded")


def test_task_ids_need_async_task_and_a_form(functions: Functions) -> None:
    for function, task_id in (("seen", "fine"), ("work", "1-not")):
        with pytest.raises(ClientException) as refused:
            functions.accept(function, {}, task_id)
        assert refused.value.status_code == 400
    with pytest.raises(ClientException) as refused:
        functions.task("work", "unheard-of")
    assert (refused.value.status_code, refused.value.code) == (404, "AsyncTaskNotFound")


def test_an_asynchronous_payload_over_128_kb_is_refused(functions: Functions) -> None:
    with pytest.raises(ClientException) as refused:
        functions.accept("work", "a" * (128 << 10), "too-large")
    assert refused.value.code == "InvalidArgument"


def test_tasks_are_listed_in_pages(functions: Functions) -> None:
    for number in range(3):
        functions.accept("work", {}, f"page-{number}")
    for number in range(3):
        functions.ended("work", f"page-{number}", "Succeeded")

    def page(**query: Any) -> Any:
        request = models.ListAsyncTasksRequest(prefix="page-", limit=2, **query)
        return functions.client.list_async_tasks("work", request).body

    first = page()
    second = page(next_token=first.next_token)
    assert [task.task_id for task in first.tasks + second.tasks] == ["page-2", "page-1", "page-0"]
    assert not second.next_token
    assert page(status="Failed").tasks == []
    assert page(sort_order_by_time="asc").tasks[0].task_id == "page-0"


def test_retries_end_in_success(cloud: LocalCloud, functions: Functions) -> None:
    functions.accept("work", {"do": "fail twice", "note": "twice"}, "twice")
    task = functions.ended("work", "twice", "Succeeded")
    assert task.already_retried_times == 2
    ran = [item for item in cloud.invocations("work") if item["requestId"] == task.request_id]
    assert [(item["attempt"], item["status"]) for item in ran] == [(1, "failed"), (2, "failed"), (3, "succeeded")]
    assert len(set(cloud.lines("twice"))) == 1


def test_retries_end_in_failure(cloud: LocalCloud, functions: Functions) -> None:
    functions.accept("work", {"do": "raise", "note": "never"}, "never")
    eventually(lambda: functions.task("work", "never").status == "Retrying")
    cloud.control.post("/clock", json={"advanceSeconds": 2}).raise_for_status()
    task = functions.ended("work", "never", "Failed")
    assert "no good" in task.task_error_message
    assert len(cloud.lines("never")) == 3


def test_an_invocation_that_is_too_old_expires(cloud: LocalCloud, functions: Functions) -> None:
    cloud.arm("fc", {"throttle": True}, times=20, function="work")
    functions.accept("work", {"note": "old"}, "old")
    eventually(lambda: functions.task("work", "old").status == "Retrying")
    cloud.control.post("/clock", json={"advanceSeconds": 3601}).raise_for_status()
    functions.ended("work", "old", "Expired")
    assert not cloud.lines("old")


def test_a_throttled_invocation_does_not_count_as_an_attempt(functions: Functions, cloud: LocalCloud) -> None:
    cloud.arm("fc", {"throttle": True}, function="work", kind="async")
    functions.accept("work", {}, "throttled")
    assert functions.ended("work", "throttled", "Succeeded").already_retried_times == 0


def test_a_running_task_can_be_stopped(cloud: LocalCloud, functions: Functions) -> None:
    functions.accept("slow-job", {"note": "stopped"}, "stopped")
    pid = int(eventually(lambda: cloud.lines("stopped"))[0])
    functions.client.stop_async_task("slow-job", "stopped", models.StopAsyncTaskRequest())
    functions.ended("slow-job", "stopped", "Stopped")
    eventually(lambda: is_gone(pid))


def test_fault_refuses_and_drops_calls(cloud: LocalCloud, functions: Functions) -> None:
    cloud.arm("fc", {"status": 429, "code": "TooMuch", "message": "later"}, function="work", kind="async")
    with pytest.raises(ClientException) as refused:
        functions.accept("work", {}, "refused")
    assert (refused.value.status_code, refused.value.code) == (429, "TooMuch")
    cloud.arm("fc", {"drop": True}, function="work")
    with pytest.raises(Exception, match=r"(?i)connection|aborted"):
        functions.accept("work", {}, "dropped")
    functions.ended("work", "dropped", "Succeeded")


def test_fault_kills_after_the_request_was_handed_over(cloud: LocalCloud, functions: Functions) -> None:
    cloud.arm("fc", {"kill": True}, function="work", attempt="1")
    functions.accept("work", {}, "killed")
    assert functions.ended("work", "killed", "Succeeded").already_retried_times == 1


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="mounting takes root")
def test_fault_makes_the_disk_small(cloud: LocalCloud, functions: Functions) -> None:
    functions.invoke("work", {"do": "exit"})
    armed = cloud.control.post(
        "/faults", json={"target": "fc", "match": {"function": "work"}, "effect": {"diskBytes": DISK_BYTES}}
    )
    if armed.status_code == 400:
        pytest.skip(armed.json()["message"])
    error = json.loads(functions.invoke("work", {"do": "fill", "size": DISK_BYTES * 2}).payload)
    assert "No space left" in error["errorMessage"]
    folder = Path(cloud.instances("work")[0]["tempDir"]).parent
    assert folder.is_mount()
    functions.invoke("work", {"do": "exit"})
    eventually(lambda: not folder.exists())


def test_a_function_that_cannot_be_imported_is_reported(cloud: LocalCloud, functions: Functions) -> None:
    source = cloud.project / "functions" / "seen" / "index.py"
    kept = source.read_text()
    source.write_text("import nowhere\n")
    error = json.loads(functions.invoke("seen", {}).payload)
    assert (error["errorType"], "nowhere" in error["errorMessage"]) == ("ImportModuleError", True)
    source.write_text(kept)
