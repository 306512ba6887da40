"""Slow name servers: how long a request waits for a look-up, and how many look-ups run at once."""

from collections.abc import Callable, Iterator
from threading import Event
from typing import Any

import pytest

from shared.adapters.public_web import PublicWeb
from shared.domain.errors import DownloadInterruptedError, HostUnavailableError
from shared.domain.web_addresses import WebPolicy
from tests.contract.test_ssrf import PUBLIC, ask_for_image, fetch_result, send_webhook

AT_ONCE = 128


class SlowResolver:
    """Answers at once, except that names that begin with "slow" wait until ``let_go`` is set."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.let_go = Event()

    def __call__(self, name: str, port: int) -> list[str]:
        self.asked.append(name)
        if name.startswith("slow"):
            self.let_go.wait()
        return [PUBLIC]


@pytest.fixture
def resolver() -> Iterator[SlowResolver]:
    resolver = SlowResolver()
    yield resolver
    resolver.let_go.set()


@pytest.fixture
def web(resolver: SlowResolver) -> PublicWeb:
    return PublicWeb(WebPolicy(), resolver=resolver)


def leave_hanging(web: PublicWeb, number: int = 0) -> None:
    with web.open("GET", f"https://slow-{number}.example.com/x", within_s=0.001):
        pass


@pytest.mark.parametrize(
    ("place", "error"), [(fetch_result, DownloadInterruptedError), (send_webhook, HostUnavailableError)]
)
def test_the_look_up_of_a_name_ends_at_the_timeout(
    place: Callable[[str, PublicWeb], None], error: type[Exception], resolver: SlowResolver, no_connections: list[Any]
) -> None:
    web = PublicWeb(WebPolicy(), resolver=resolver, lookup_timeout_s=0.01)
    with pytest.raises(error, match="was not resolved in time"):
        place("https://slow.example.com/x", web)
    assert (resolver.asked, no_connections) == (["slow.example.com"], [])


def test_an_input_image_with_a_slow_name_server_is_left_to_the_provider(resolver: SlowResolver) -> None:
    ask_for_image("https://slow.example.com/x", PublicWeb(WebPolicy(), resolver=resolver, lookup_timeout_s=0.01))
    assert resolver.asked == ["slow.example.com"]


def test_the_timeout_of_a_request_includes_its_look_up(web: PublicWeb) -> None:
    with pytest.raises(HostUnavailableError, match="was not resolved in time"):
        leave_hanging(web)


def test_hanging_look_ups_do_not_delay_other_look_ups(web: PublicWeb) -> None:
    for number in range(AT_ONCE - 1):
        with pytest.raises(HostUnavailableError, match="was not resolved in time"):
            leave_hanging(web, number)
    web.check("https://example.com/x")


def test_the_number_of_concurrent_look_ups_is_limited(web: PublicWeb, resolver: SlowResolver) -> None:
    for number in range(AT_ONCE):
        with pytest.raises(HostUnavailableError, match="was not resolved in time"):
            leave_hanging(web, number)
    with pytest.raises(HostUnavailableError, match="too many look-ups"):
        leave_hanging(web, AT_ONCE)
    assert len(resolver.asked) == AT_ONCE
    resolver.let_go.set()
    web.check("https://example.com/x")


@pytest.mark.parametrize("error", [OSError("no"), UnicodeError("no"), TimeoutError("no")])
def test_every_resolver_error_becomes_host_unavailable(error: Exception) -> None:
    def failing(name: str, port: int) -> list[str]:
        raise error

    with pytest.raises(HostUnavailableError):
        PublicWeb(WebPolicy(), resolver=failing).check("https://example.com/x")
