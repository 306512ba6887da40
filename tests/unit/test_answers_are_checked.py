"""The checker of answers finds every internal text, and every answer of the API in the tests passes through it."""

import json
import re
from pathlib import Path

import httpx
import pytest

from tests.answer_checker import FORBIDDEN_HEADERS, AnswerChecker

TESTS = Path(__file__).resolve().parents[1]
KEY = "users/test@factory-buy.com/jobs/abc123/image-1703123456789.png"
CHECKER = AnswerChecker([], {"OSS_SECRET": "the-secret-of-oss"})
SIGNED = AnswerChecker([], {}, signed_urls=True)
URL = f"https://cdn.example.com/{KEY.replace('@', '%40')}"


def answer(body: str, headers: dict[str, str] | None = None) -> httpx.Response:
    return httpx.Response(200, text=body, headers=headers, request=httpx.Request("GET", "https://api.example.com/x"))


@pytest.mark.parametrize(
    "told",
    [
        "/tmp/dream-factory/abc.png",  # noqa: S108 - must not be in an answer
        "the-secret-of-oss",
        "Traceback (most recent call last):",
        '{"ossPath": "x"}',
        "oss_path",
        KEY,
        "LTAI5tAbCdEfGhIjKlMn",
        "STS.NUgYrLnoC37mZZCNnAbez",
        "securityToken",
        "x-oss-credential",
        "(1064, 'near SELECT id FROM jobs')",
        "INSERT INTO jobs",
        "<class 'pydantic.BaseModel'>",
        "<Job object at 0x7fd3c8a1b2c0>",
        "RuntimeError('boom')",
        "pymysql.err.OperationalError",
        "rm-abc.mysql.rds.aliyuncs.com",
        "https://oss-cn-hangzhou-internal.aliyuncs.com/x",
        "100.100.100.200",
        "sk-0123456789abcdef",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ0ZXN0In0.c2ln",
    ],
)
def test_an_internal_text_is_found_anywhere_in_an_answer(told: str) -> None:
    for body, headers in (
        (told, None),
        (json.dumps({"detail": f"it is {told}."}), None),
        (json.dumps({"data": [{"meta": {"x": told}}]}), None),
        ("{}", {"X-Told": told}),
    ):
        with pytest.raises(AssertionError, match="contains"):
            CHECKER.check(answer(body, headers))
        with pytest.raises(AssertionError, match="contains"):
            CHECKER.check_result(json.dumps({"statusCode": 200, "headers": headers or {}, "body": body}).encode())


def test_only_urls_of_objects_may_contain_keys_and_signatures() -> None:
    CHECKER.check(answer(json.dumps({"outputs": [{"ossUrl": URL, "thumbnailUrl": f"{URL}?x-oss-process=image"}]})))
    signed = f"{URL}?x-oss-credential=STS.NUgYrLnoC37mZZCN%2F20240101&x-oss-security-token=CAIS&x-oss-signature=0"
    SIGNED.check(answer(json.dumps({"ossUrl": signed})))
    told = ({"detail": f"see {signed}"}, {"ossUrl": KEY}, [KEY], {KEY: 1})
    for checker, body in ((CHECKER, {"ossUrl": signed}), *((SIGNED, each) for each in told)):
        for text in (json.dumps(body), json.dumps(body).replace("/", "\\/")):
            with pytest.raises(AssertionError, match="contains"):
                checker.check(answer(text))


def test_an_ordinary_answer_passes() -> None:
    problem = {
        "title": "Not Found",
        "detail": "this job does not exist",
        "code": "not_found",
        "requestId": "1-64f6cd87",
    }
    CHECKER.check(answer(json.dumps(problem), {"Location": "/jobs/abc123", "ETag": '"0123456789abcdef"'}))


@pytest.mark.parametrize("name", sorted({*FORBIDDEN_HEADERS, "X-Fc-Request-Id", "Server"}))
def test_a_header_that_only_the_platform_may_set_is_found(name: str) -> None:
    result = {"statusCode": 200, "headers": {name: "1"}, "body": ""}
    with pytest.raises(AssertionError, match="refuses"):
        CHECKER.check_result(json.dumps(result).encode())


# How a test could get an answer of the API: over HTTP, by the platform's invocation, or in its own process.
WAYS = re.compile(r"API_URL|\bhttp_entrypoint\(|(?<!def )\bhandler\(|\.invoke\(\s*[\"']api[\"']")
ALLOWED = {
    "e2e/test_e2e_readme.py": "curl sends the requests, and the test checks the printed answers",
    "e2e/test_e2e_typescript.py": "a client in Node sends the requests, and the test checks the printed answers",
    "fuzz/test_api_schema.py": "schemathesis sends the requests, and the test checks each answer",
    "local_cloud.py": "makes the clients whose answers the checker sees",
    "devcloud/fc_support.py": "another project's function, by which the gateway itself is tested",
    "devcloud/test_fc_http_trigger.py": "asks each server under foreign names, before any function is reached",
    "devcloud/test_cloud.py": "looks at the addresses that are printed",
    "e2e/test_e2e_command_line.py": "looks at the names of the variables that are printed",
    "e2e/api_in_process.py": "checks what the handler returned",
    "e2e/test_e2e_http.py": "hands an absolute address to a checked client",
    "e2e/test_e2e_database.py": "has a connection for each of many requests, and checks each answer",
    "faults/function_compute.py": "checks what the invocation returned",
    "faults/function_process.py": "runs functions that answer no HTTP",
    "unit/test_entrypoints.py": "the mapping of errors itself, with secrets planted to be looked for",
    "unit/test_answers_are_checked.py": "names the ways",
}


def test_every_answer_in_the_tests_passes_through_the_checker() -> None:
    found = {str(path.relative_to(TESTS)) for path in TESTS.rglob("*.py") if WAYS.search(path.read_text("utf-8"))}
    assert found == ALLOWED.keys(), found ^ ALLOWED.keys()


def test_the_clients_of_the_local_cloud_are_checked() -> None:
    text = (TESTS / "local_cloud.py").read_text("utf-8")
    assert re.findall(r".*API_URL.*", text) == [
        '        return self._client(self.variables["API_URL"], headers=headers, checked=True)'
    ]
