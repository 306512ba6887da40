"""HTTP requests to events and back."""

import json
from collections.abc import Iterator

import httpx
import pytest
from fc_support import LocalCloud, eventually, local_cloud, write_project

from devcloud.fc.http_trigger import BadResponseError, canonical_name, response_of


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    with local_cloud(write_project(tmp_path_factory.mktemp("gateway"))) as running:
        yield running


@pytest.fixture(autouse=True)
def _disarmed(cloud: LocalCloud) -> Iterator[None]:
    yield
    cloud.control.delete("/faults").raise_for_status()


def test_an_http_request_becomes_the_documented_event(cloud: LocalCloud) -> None:
    answer = cloud.api.post(
        "/api/a%2Fb%20c/ü?x=1&x=2&empty=&p=%C3%A9",
        headers=[
            ("x-my-header", "1"),
            ("X-MY-HEADER", "2"),
            ("X-Fc-Trace", "no"),
            ("content-type", "application/json"),
        ],
        content='{"ä": 1}'.encode(),
    )
    event = answer.json()
    assert (answer.status_code, answer.headers["x-mine"]) == (201, "1")
    assert (event["version"], event["rawPath"]) == ("v1", "/api/a%2Fb%20c/%C3%BC")
    assert (event["body"], event["isBase64Encoded"]) == ('{"ä": 1}', False)
    assert event["queryParameters"] == {"x": "1,2", "empty": "", "p": "é"}
    assert event["headers"]["X-My-Header"] == "1,2"
    assert event["headers"]["Content-Type"] == "application/json"
    assert not {"Connection", "X-Fc-Trace"} & event["headers"].keys()
    context = event["requestContext"]
    assert context["http"]["path"] == "/api/a/b c/ü"
    assert (context["http"]["method"], context["http"]["protocol"]) == ("POST", "HTTP/1.1")
    assert context["http"]["sourceIp"] == "127.0.0.1"
    assert context["accountId"] == "1234567890123456"
    assert context["timeEpoch"].isdigit()


@pytest.mark.parametrize("path", ["/a%0Ab", "/a%0A", "/%0D%0A"])
def test_a_line_break_in_a_path_reaches_the_function(cloud: LocalCloud, path: str) -> None:
    answer = cloud.api.post(path, headers={"content-type": "application/json"}, content="{}")
    assert (answer.status_code, answer.json()["rawPath"]) == (201, path)


@pytest.mark.parametrize("content_type", ["image/png", "application/json"])
def test_binary_bodies_reach_the_function_as_base64(cloud: LocalCloud, content_type: str) -> None:
    event = cloud.api.post("/", headers={"content-type": content_type}, content=b"\xff\xfe").json()
    assert (event["body"], event["isBase64Encoded"]) == ("//4=", True)


def test_a_base64_body_is_answered_as_bytes(cloud: LocalCloud) -> None:
    answer = cloud.api.get("/binary")
    assert (answer.content, answer.headers["content-type"]) == (bytes(range(256)), "image/png")


def test_a_result_without_status_code_becomes_the_body(cloud: LocalCloud) -> None:
    answer = cloud.api.get("/text")
    assert (answer.status_code, answer.text, answer.headers["content-type"]) == (200, "just text", "application/json")


def test_head_has_no_body(cloud: LocalCloud) -> None:
    answer = cloud.api.head("/")
    assert (answer.status_code, answer.content) == (201, b"")
    assert int(answer.headers["content-length"]) > 0


def test_a_method_outside_the_trigger_is_a_405(cloud: LocalCloud) -> None:
    answer = cloud.api.delete("/")
    assert (answer.status_code, answer.json()["Code"]) == (405, "MethodNotAllowed")


def test_exceptions_are_502_without_a_local_path(cloud: LocalCloud) -> None:
    answer = cloud.api.get("/raise")
    assert (answer.status_code, answer.json()["Code"]) == (502, "UnhandledInvocationError")
    assert str(cloud.data) not in answer.text
    log = (cloud.data / "logs" / "web.log").read_text()
    assert 'File "/code/index.py"' in log
    assert str(cloud.data) not in log
    assert f"FC Invoke End RequestId: {answer.headers['x-fc-request-id']}" in log


def test_forbidden_header_is_refused(cloud: LocalCloud) -> None:
    answer = cloud.api.get("/forbidden")
    assert (answer.status_code, answer.json()["Code"]) == (502, "BadResponse")


def test_a_request_over_a_limit_is_a_400(cloud: LocalCloud) -> None:
    assert cloud.api.get("/", headers={"x-long": "a" * 8200}).json()["Code"] == "InvalidArgument"
    assert cloud.api.get(f"/{'a' * 4100}").status_code == 400
    for size in ((32 << 20) + 1, 34 << 20):
        assert cloud.api.post("/", content=bytes(size)).json()["Code"] == "InvalidArgument"


def test_a_url_can_be_invoked_asynchronously(cloud: LocalCloud) -> None:
    answer = cloud.api.post("/later", headers={"x-fc-invocation-type": "Async"}, content=b"x")
    assert (answer.status_code, answer.content) == (202, b"")

    def done() -> bool:
        return any(
            (item["requestId"], item["kind"], item["status"])
            == (answer.headers["x-fc-request-id"], "async", "succeeded")
            for item in cloud.invocations("web")
        )

    eventually(done)


def test_faults_refuse_drop_and_kill_a_call(cloud: LocalCloud) -> None:
    cloud.arm("fc", {"status": 429}, function="web", kind="http")
    answer = cloud.api.get("/")
    assert (answer.status_code, answer.json()["Code"]) == (429, "ResourceThrottled")
    cloud.arm("fc", {"drop": True}, function="web")
    with pytest.raises(httpx.RemoteProtocolError):
        cloud.api.get("/")
    cloud.arm("fc", {"kill": True}, function="web")
    assert cloud.api.get("/").status_code == 502
    assert cloud.api.get("/").status_code == 201


def test_a_missing_studio_page_is_not_found(cloud: LocalCloud) -> None:
    assert cloud.api.get("/studio/").status_code == 404


@pytest.mark.parametrize(
    ("server", "path"),
    [
        *(("API_URL", "/"), ("API_URL", "/studio/"), ("FC_ENDPOINT", "/2023-03-30/functions")),
        *(("CONTROL_URL", "/instances"), ("DASHSCOPE_BASE_URL", "/tasks/x"), ("OPENAI_BASE_URL", "/models")),
    ],
)
def test_other_hosts_are_refused(cloud: LocalCloud, server: str, path: str) -> None:
    url = cloud.variables[server] + path
    answer = cloud.api.get(url, headers={"host": "rebound.example:9002"})
    assert (answer.status_code, answer.json()["Code"]) == (403, "AccessDenied")
    assert "'rebound.example:9002'" in answer.json()["Message"]
    assert cloud.api.get(url, headers={"host": "app.localhost:9002"}).text != answer.text


def test_control_refuses_requests_of_web_pages(cloud: LocalCloud) -> None:
    assert cloud.control.get("/instances", headers={"origin": "https://example.com"}).status_code == 403


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/clock", {"advanceSeconds": -1}),
        ("/clock", {"advanceSeconds": "1"}),
        ("/clock", []),
        ("/faults", {"target": "moon", "effect": {"kill": True}}),
        ("/faults", {"target": "fc", "effect": {}}),
        ("/faults", {"target": "fc", "effect": {"explode": True}}),
        ("/faults", {"target": "fc", "effect": {"kill": True}, "times": 0}),
        ("/faults", {"target": "fc", "effect": {"status": "429"}}),
        ("/faults", {"target": "events", "effect": {"lose": True}, "often": 1}),
    ],
)
def test_control_names_the_mistake(cloud: LocalCloud, path: str, body: object) -> None:
    answer = cloud.control.post(path, json=body)
    assert answer.status_code == 400
    assert answer.json()["message"]


def test_control_refuses_invalid_json_and_times(cloud: LocalCloud) -> None:
    assert cloud.control.post("/faults", content=b"{").status_code == 400
    assert cloud.control.get("/invocations", params={"since": "yesterday"}).status_code == 400
    assert cloud.control.get("/invocations", params={"since": "2999-01-01T00:00:00Z"}).json() == []


def test_an_edited_function_is_served_at_once(cloud: LocalCloud) -> None:
    source = cloud.project / "functions" / "web" / "index.py"
    assert cloud.api.get("/").status_code == 201
    before = cloud.instances("web")[0]["pid"]
    source.write_text(source.read_text().replace("201", "203"))
    assert cloud.api.get("/").status_code == 203
    assert before not in [item["pid"] for item in eventually(lambda: cloud.instances("web"))]
    source.write_text(source.read_text().replace("203", "201"))


def test_an_answer_without_content_has_no_body() -> None:
    assert response_of(json.dumps({"statusCode": 204, "body": "lost"}).encode()).body == b""


def test_header_names_are_written_as_go_does() -> None:
    assert canonical_name("x-MY-header") == "X-My-Header"


@pytest.mark.parametrize(
    "returned",
    [
        {"statusCode": "200"},
        {"statusCode": 101},
        {"statusCode": 200, "headers": {"X-A": "1\r\nSet-Cookie: a=b"}},
        {"statusCode": 200, "headers": {"X-A": "会"}},
        {"statusCode": 200, "headers": {"X A": "1"}},
        {"statusCode": 200, "body": {"a": 1}},
        {"statusCode": 200, "body": "%", "isBase64Encoded": True},
        {"statusCode": 200, "headers": {"X-A": 1}},
        {"statusCode": 200, "headers": {"X-Fc-A": "1"}},
        {"statusCode": 200, "headers": {"Server": "mine"}},
        {"statusCode": 200, "headers": {"date": "Thu, 01 Jan 1970 00:00:00 GMT"}},
        {"statusCode": 200, "headers": {"Content-Length": "0"}},
        {"statusCode": 200, "headers": {"Connection": "close"}},
        {"statusCode": 200, "headers": {"Keep-Alive": "timeout=5"}},
        {"statusCode": 200, "headers": {"Upgrade": "h2c"}},
        {"statusCode": 200, "headers": {"Content-Disposition": "attachment; filename=a.png"}},
        {"statusCode": 200, "headers": {"X-A": "a" * 9000}},
    ],
)
def test_an_invalid_answer_of_a_function_is_refused(returned: object) -> None:
    with pytest.raises(BadResponseError):
        response_of(json.dumps(returned).encode())
