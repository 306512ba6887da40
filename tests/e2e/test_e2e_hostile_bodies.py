"""Hostile bodies at every route with a body: the answer is a small 4xx, at once, that repeats no text of the body."""

import base64
import json
import time

import pytest

from tests.api_routes import ROUTES, Route, path_of
from tests.e2e.job_support import check_problem
from tests.local_cloud import LocalCloud

USER = "test@factory-buy.com"
MARK = "never-repeated"
JSON_TYPE = {"Content-Type": "application/json"}
TAKING_BODIES = [route for route in ROUTES if route.body is not None]
GENERATING = ["/ai/generate-image", "/ai/generate-video"]


def nested(levels: int) -> bytes:
    return b'{"prompt": ' + b"[" * levels + b"]" * levels + b"}"


UNREADABLE = {
    "empty": b"",
    "white space": b" \n",
    "a form": b"prompt=x",
    "no end": b'{"prompt": "never-repeated',
    "two values": b'{"prompt": "x"} {"prompt": "never-repeated"}',
    "no UTF-8": b'{"prompt": "\xff\xfe"}',
    "overlong UTF-8": b'{"prompt": "\xc0\x80"}',
    "raw surrogate": b'{"prompt": "\xed\xa0\x80"}',
    "escaped surrogate": b'{"prompt": "never-repeated \\ud800"}',
    "escaped surrogate of a field without rules": b'{"prompt": "x", "model": "\\uDFFF"}',
    "escaped surrogate in a name": b'{"prompt": "x", "\\udc00": 1}',
    "byte order mark": b'\xef\xbb\xbf{"prompt": "x"}',
    "UTF-16": '{"prompt": "x"}'.encode("utf-16"),
    "UTF-16 without a mark": '{"prompt": "x"}'.encode("utf-16-le"),
    "UTF-32": '{"prompt": "x"}'.encode("utf-32"),
    "NaN": b'{"prompt": "x", "seed": NaN}',
    "Infinity": b'{"prompt": "x", "seed": Infinity}',
    "-Infinity": b'{"prompt": "x", "seed": -Infinity}',
    "1e999": b'{"prompt": "x", "seed": 1e999}',
    "5,000 digits": b'{"prompt": "x", "seed": ' + b"9" * 5000 + b"}",
    "raw NUL": b'{"prompt": "\x00"}',
    "100,000 levels of lists": nested(100_000),
    "40,000 levels of objects": b'{"a":' * 40_000 + b"1" + b"}" * 40_000,
    "100,000 levels that never end": b"[" * 100_000,
}
AGAINST_THE_RULES = {
    "a list": b'["never-repeated"]',
    "a text": b'"never-repeated"',
    "a number": b"1",
    "null": b"null",
    "a name twice": b'{"prompt": "a", "prompt": "never-repeated"}',
    "a name twice, once escaped": b'{"prompt": "a", "\\u0070rompt": "never-repeated"}',
    "a name twice, far inside": b'{"prompt": [[{"deep": {"prompt": 1, "prompt": 2}}]]}',
    "just below the reader's depth": nested(900),
    "8,000 members": json.dumps({f"m{n}": MARK for n in range(8_000)}).encode(),
    "a name of 200,000 characters": b'{"' + b"k" * 200_000 + b'": 1}',
    "a name of controls": b'{"\\u0000\\u001b[31m\\u0085\\u202e": 1}',
}


@pytest.mark.parametrize("route", TAKING_BODIES, ids=lambda route: route.path)
@pytest.mark.parametrize("name", [*UNREADABLE, *AGAINST_THE_RULES])
def test_a_hostile_body_is_a_small_4xx_at_once(cloud: LocalCloud, route: Route, name: str) -> None:
    body = (UNREADABLE | AGAINST_THE_RULES)[name]
    began = time.monotonic()
    answer = cloud.api(USER).request(route.method, path_of(route.path), content=body, headers=JSON_TYPE)
    problem = check_problem(answer, 400 if name in UNREADABLE else 422)
    assert time.monotonic() - began < 10 and len(answer.content) < 6000
    assert MARK not in answer.text
    assert all(each.isprintable() for error in problem.get("errors", []) for each in error["field"])


@pytest.mark.parametrize("body", [b'{"twice": 1, "twice": 2}', b'{"a": [{"twice": 1, "\\u0074wice": 1}]}'])
def test_a_duplicate_field_is_a_422_that_names_it(cloud: LocalCloud, body: bytes) -> None:
    answer = cloud.api(USER).post(GENERATING[0], content=body, headers=JSON_TYPE)
    check_problem(answer, 422, "twice")


@pytest.mark.parametrize("path", GENERATING)
@pytest.mark.parametrize("field", ["prompt", "negativePrompt"])
@pytest.mark.parametrize("character", ["\x00", "\x08", "\x1b", "\x7f", "\x85", "\x9b"], ids=ascii)
def test_control_characters_in_a_prompt_are_a_422_that_names_the_field(
    cloud: LocalCloud, path: str, field: str, character: str
) -> None:
    answer = cloud.api(USER).post(path, json={"prompt": "x", field: f"{MARK}{character}"})
    check_problem(answer, 422, field)
    assert MARK not in answer.text


@pytest.mark.parametrize("number", ["1.0", "1e0", "1.5", "-0.0", "9" * 400, "true", '"1"', "[]"])
def test_a_number_that_is_not_an_integer_is_a_422_that_names_the_field(cloud: LocalCloud, number: str) -> None:
    body = f'{{"prompt": "x", "count": {number}}}'
    check_problem(cloud.api(USER).post(GENERATING[0], content=body, headers=JSON_TYPE), 422, "count")


def test_marks_of_direction_and_emoji_are_accepted(cloud: LocalCloud, prompt: str) -> None:
    text = f"{prompt} \u202eשלום\u202c \u2066نور\u2069 👩\u200d🚀"
    answer = cloud.api(USER).post(GENERATING[0], json={"prompt": text, "size": "512x512"})
    assert (answer.status_code, answer.json()["prompt"]) == (200, text)


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Encoding": "gzip"},
        {"Content-Encoding": "identity, gzip"},
        {"Content-Type": "application/json; charset=utf-16"},
        {"Content-Type": "application/json; charset=utf-8; charset=latin-1"},
        {"Content-Type": "application/json, application/json"},
        {"Content-Type": "application/json, text/plain"},
        {"Content-Type": "application/jsonp"},
        {"Content-Type": "application/problem+json"},
        {"Content-Type": ""},
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "multipart/form-data"},
    ],
    ids=str,
)
@pytest.mark.parametrize("route", TAKING_BODIES, ids=lambda route: route.path)
def test_a_body_that_is_not_plain_json_is_a_415(cloud: LocalCloud, route: Route, headers: dict[str, str]) -> None:
    body = b'{"prompt": "x"}'
    answer = cloud.api(USER).request(route.method, path_of(route.path), content=body, headers={**JSON_TYPE, **headers})
    check_problem(answer, 415)


def test_a_body_without_a_content_type_is_a_415(cloud: LocalCloud) -> None:
    check_problem(cloud.api(USER).post(GENERATING[0], content=b'{"prompt": "x"}'), 415)


def test_the_content_type_may_have_upper_case_letters(cloud: LocalCloud) -> None:
    headers = {"Content-Type": "Application/JSON"}
    check_problem(cloud.api(USER).post(GENERATING[0], content=b"{}", headers=headers), 422, "prompt")


def test_the_charset_utf_8_is_accepted(cloud: LocalCloud) -> None:
    for charset in ("utf-8", '"UTF-8"'):
        headers = {"Content-Type": f"application/json ; Charset={charset}", "Content-Encoding": "identity"}
        check_problem(cloud.api(USER).post(GENERATING[0], content=b"{}", headers=headers), 422, "prompt")


def test_a_body_of_31_mb_is_a_413_and_the_platform_refuses_33_mb(cloud: LocalCloud) -> None:
    api, began = cloud.api(USER), time.monotonic()
    for type_ in ("application/json", "application/octet-stream"):
        answer = api.post(GENERATING[0], content=b"x" * (31 << 20), headers={"Content-Type": type_})
        check_problem(answer, 413 if type_ == "application/json" else 415)
    refused = api.post(GENERATING[0], content=b"x" * (33 << 20), headers=JSON_TYPE)
    assert (refused.status_code, refused.json()["Code"]) == (400, "InvalidArgument")
    assert time.monotonic() - began < 30


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("{", 400),
        ("%%%%", 400),
        ("eyJ", 400),
        ("湖", 400),
        (base64.b64encode(b"{}").decode(), 422),
        (base64.b64encode(b"\xff").decode(), 400),
        (base64.b64encode(b"x" * 300_000).decode(), 413),
        ("%" * 400_000, 413),
    ],
    ids=lambda value: str(value)[:12],
)
def test_a_body_in_base64_is_decoded(cloud: LocalCloud, body: str, status: int) -> None:
    event = {
        "rawPath": GENERATING[0],
        "body": body,
        "isBase64Encoded": True,
        "headers": {"Authorization": f"Bearer {cloud.token(USER)}", "content-TYPE": "application/json"},
        "requestContext": {"http": {"method": "POST"}},
    }
    assert cloud.answer_of("api", event)["statusCode"] == status
