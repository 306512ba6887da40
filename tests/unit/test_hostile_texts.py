"""Texts that are constructed to be slow to parse: the time grows with their length, not with its square."""

import time
from collections.abc import Callable
from contextlib import suppress
from itertools import product

import pytest
from pydantic import SecretStr

from shared.adapters.tokens import TokenVerifier
from shared.domain.callers import ServiceCaller
from shared.domain.cursors import read_cursor
from shared.domain.errors import CallerError, WebError
from shared.domain.keys import ObjectKey
from shared.domain.models import Size
from shared.domain.web_addresses import WebPolicy, read_web_address
from shared.fc.events import HttpEvent
from shared.services.access import choose_user
from shared.settings import AuthSettings
from tests.api_routes import ROUTES

from etags import conditional_json_response  # isort: skip - found beside the routes
from json_parsing import parse_json  # isort: skip
from request_parsing import read_body, read_idempotency_key, read_prefer  # isort: skip
from api_models import ImageRequest, UrlRules  # isort: skip

assert ROUTES
LENGTH = 50_000
# A pattern that tries every way to share 50,000 spaces takes 50 s; the parsers here take a hundredth of a second.
MOST_CPU_S = 5.0
BEGINNINGS = ("", "a=", '"', "users/a/jobs/", "https://example.com")
REPEATED = (
    " ",
    "\t",
    "a",
    "1",
    ".",
    "-",
    "/",
    ",",
    "=",
    ";",
    '"',
    "\\",
    "%41",
    'a"',
    "a ",
    "a,",
    "a.",
    ":",
    "W/",
    "ß.",
)
ENDS = ('"', "\x00")

RULES = UrlRules(WebPolicy(), webhooks_enabled=False)
verifier = TokenVerifier(
    AuthSettings(None, None, SecretStr("a secret of at least thirty-two bytes"), None, None, "sub", "act-for-user"),
    fetch_keys=lambda url: None,
)


def header(name: str, text: str) -> HttpEvent:
    return HttpEvent(headers={name: text})


READERS: dict[str, Callable[[str], object]] = {
    "Authorization": lambda text: verifier.caller_of(f"Bearer {text}"),
    "body": lambda text: parse_json(text.encode()),
    "Content-Type": lambda text: read_body(header("content-type", text), ImageRequest, RULES),
    "cursor": lambda text: read_cursor(text, of="jobs"),
    "Idempotency-Key": lambda text: read_idempotency_key(header("idempotency-key", text)),
    "If-None-Match": lambda text: conditional_json_response(header("if-none-match", text), {}),
    "object key": ObjectKey.parse,
    "On-Behalf-Of": lambda text: choose_user(ServiceCaller("back-end"), text),
    "Prefer": lambda text: read_prefer(header("prefer", text), 30),
    "size": Size.parse,
    "web address": lambda text: read_web_address(text[:8192], WebPolicy()),
}


@pytest.mark.parametrize("reader", READERS)
def test_the_time_of_a_parser_grows_no_faster_than_the_text(reader: str) -> None:
    for beginning, repeated, end in product(BEGINNINGS, REPEATED, ENDS):
        text = beginning + repeated * (LENGTH // len(repeated)) + end
        began = time.process_time()
        with suppress(CallerError, WebError):
            READERS[reader](text)
        assert time.process_time() - began < MOST_CPU_S, (beginning, repeated, end)
