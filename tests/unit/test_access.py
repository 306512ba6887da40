"""The user of a request: the user of the token, or the user that a service names."""

import logging
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.callers import ServiceCaller, UserCaller
from shared.domain.errors import BadRequestError, ForbiddenError, ValidationError
from shared.domain.keys import check_user_id
from shared.services.access import choose_user
from tests.fakes import USER

SERVICE = ServiceCaller("back-end")


def test_a_users_token_acts_for_this_user() -> None:
    assert choose_user(UserCaller(USER), None) == USER


@pytest.mark.parametrize("header", ["", USER, "other%40example.com", "%"])
def test_a_users_token_must_not_name_a_user(header: str) -> None:
    with pytest.raises(ForbiddenError):
        choose_user(UserCaller(USER), header)


@pytest.mark.parametrize(
    ("header", "user"),
    [
        ("test%40factory-buy.com", USER),
        (USER, USER),
        ("%E7%94%A8%E6%88%B7", "用户"),
        ("a%20b%2Cc", "a b,c"),
        ("a+b", "a+b"),
    ],
)
def test_a_service_acts_for_the_user_that_it_names(header: str, user: str) -> None:
    assert choose_user(SERVICE, header) == user


def test_a_service_must_name_a_user() -> None:
    with pytest.raises(BadRequestError, match="On-Behalf-Of"):
        choose_user(SERVICE, None)


@pytest.mark.parametrize(
    "header",
    [
        *(
            "",
            " ",
            "a b",
            "a,b",
            "用户",
            "%zz",
            "50%",
            "%E7%94",
            "%ff",
            "%00",
            "a%2Fb",
            "..",
            "%2E%2E",
            "a%20",
            "a%0Ab",
        ),
        "x" * 256,
    ],
)
def test_an_invalid_user_id_in_the_header_is_a_bad_request(header: str) -> None:
    with pytest.raises(BadRequestError, match="On-Behalf-Of") as caught:
        choose_user(SERVICE, header)
    assert caught.value.status == 400


def test_a_service_does_not_act_for_itself() -> None:
    with pytest.raises(ForbiddenError):
        choose_user(SERVICE, "back%2Dend")


def test_the_log_names_the_service_and_the_user(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        choose_user(SERVICE, quote(USER))
    (record,) = caplog.records
    assert vars(record) | {"service": "back-end", "user_id": USER} == vars(record)


@given(st.text(max_size=300))
def test_the_header_carries_every_valid_user_id_and_no_other_text(text: str) -> None:
    try:
        user = check_user_id(text)
    except ValidationError:
        with pytest.raises(BadRequestError):
            choose_user(SERVICE, quote(text, safe="", errors="surrogatepass"))
    else:
        assert choose_user(SERVICE, quote(user, safe="")) == user
