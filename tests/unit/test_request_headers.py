"""The request headers and queries that the API reads."""

import pytest

from shared.domain.errors import BadRequestError, ValidationError
from shared.fc.events import HttpEvent
from tests.api_routes import ROUTES

from etags import conditional_json_response  # isort: skip - found beside the routes
from request_parsing import read_prefer, read_query  # isort: skip
from api_models import PageQuery  # isort: skip

assert ROUTES
BODY = {"id": "湖", "outputs": []}


def event(**headers: str) -> HttpEvent:
    return HttpEvent(headers={name.replace("_", "-"): value for name, value in headers.items()})


@pytest.mark.parametrize(
    ("header", "wait_s", "applied"),
    [
        ("", 30, None),
        (", ,", 30, None),
        ("handling=lenient", 30, None),
        ("wait=5", 5, "wait=5"),
        ("WAIT=5", 5, "wait=5"),
        ('wait="7"', 7, "wait=7"),
        ("wait = 5", 5, "wait=5"),
        ("wait=600", 60, "wait=60"),
        ("wait=5, wait=9", 5, "wait=5"),
        ("wait=5;exactly=yes", 5, "wait=5"),
        ('note="a, wait=3"; wait=9, wait=4', 4, "wait=4"),
        ("respond-async", 0, "respond-async"),
        ("Respond-Async;wait=3", 0, "respond-async"),
        ("wait=5,respond-async", 5, "respond-async, wait=5"),
        ("respond-async, wait=5", 5, "respond-async, wait=5"),
        ('respond-async="no"', 30, None),
    ],
)
def test_preferences_are_read_and_applied(header: str, wait_s: int, applied: str | None) -> None:
    said = {} if applied is None else {"Preference-Applied": applied}
    assert read_prefer(event(prefer=header), 30) == (wait_s, said)


@pytest.mark.parametrize("header", ["wait", "wait=", "wait=-1", "wait=1.5", "wait=٣", 'wait="5', "wait=5 5", '"', "=5"])
def test_an_invalid_wait_is_refused(header: str) -> None:
    with pytest.raises(BadRequestError, match="Prefer"):
        read_prefer(event(prefer=header), 30)


@pytest.mark.parametrize("limit", ["1", "100", "007"])
def test_a_limit_is_an_integer(limit: str) -> None:
    assert read_query({"limit": limit}, PageQuery).limit == int(limit)


@pytest.mark.parametrize(
    "limit", ["", "0", "101", "9" * 5000, "١٠", "１０", "+5", "-5", " 5", "5\n", "5_0", "5.0", "0x5", "1e1"]
)
def test_a_limit_in_other_digits_or_with_signs_is_refused(limit: str) -> None:
    with pytest.raises(ValidationError, match="limit"):
        read_query({"limit": limit}, PageQuery)


def etag() -> str:
    return conditional_json_response(event(), BODY).headers["ETag"]


def test_equal_bodies_have_the_same_strong_etag() -> None:
    assert etag() == etag() and etag().startswith('"') and etag().endswith('"')
    assert conditional_json_response(event(), {**BODY, "id": "x"}).headers["ETag"] != etag()


@pytest.mark.parametrize("form", ["{}", "W/{}", '"x", {}', 'W/"a,b" ,W/{},', "*", " * "])
def test_a_known_etag_is_a_304(form: str) -> None:
    answer = conditional_json_response(event(if_none_match=form.format(etag())), BODY, {"Retry-After": "2"})
    assert (answer.status, answer.body) == (304, "")
    assert answer.headers.keys() == {"ETag", "Cache-Control", "Vary", "Retry-After"}


@pytest.mark.parametrize("form", ["", '"x"', "{}", '"*"', "x, *"])
def test_an_unknown_etag_is_a_200_with_the_body(form: str) -> None:
    answer = conditional_json_response(event(if_none_match=form.format(etag().strip('"'))), BODY)
    assert answer.status == 200 and answer.body and answer.headers["ETag"] == etag()
