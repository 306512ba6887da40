"""Texts from outside are cut and cleaned."""

import json

from hypothesis import given
from hypothesis import strategies as st

from shared.domain.deliveries import delivery_of
from shared.domain.errors import ProviderFailedError
from shared.domain.jobs import MAX_WARNINGS, JobError
from shared.domain.texts import MAX_MESSAGE_BYTES, bounded
from tests.fakes import NOW, make_job

ANY_TEXT = st.text(st.characters(exclude_categories=[]))  # halves of surrogate pairs among them
TEXT_BYTES = 65_535  # MySQL's TEXT


@given(ANY_TEXT, st.integers(3, 40))
def test_bounded_text_fits_in_bytes_and_in_json(text: str, max_bytes: int) -> None:
    kept = bounded(text, max_bytes)
    assert len(kept.encode()) <= max_bytes
    assert len(json.dumps(kept, ensure_ascii=False).encode()) <= 2 * max_bytes + 2
    assert bounded(kept, max_bytes) == kept


@given(ANY_TEXT)
def test_only_text_that_is_too_long_is_cut(text: str) -> None:
    clean, kept = bounded(text, 10_000), bounded(text, 20)
    assert len(clean) == len(text)
    if len(clean.encode()) <= 20:
        assert kept == clean
    else:
        assert clean.startswith(kept.removesuffix("…"))
        assert len(kept.encode()) > 20 - 4


def test_text_is_cut_between_characters_and_cleaned() -> None:
    assert bounded("它坏了" * 4, 12) == "它坏了…"
    assert bounded("它坏了它", 12) == "它坏了它"
    assert bounded("一😀", 6) == "一…"
    assert bounded("a\x00b\nc\x9bd \ud800 e") == "a b c d ? e"


def test_every_error_of_a_job_fits_its_column() -> None:
    error = JobError.of(ProviderFailedError("X: " + '"\\\x00' * 30_000))
    assert len(error.message.encode()) <= MAX_MESSAGE_BYTES
    assert error.message.startswith("X: ")


def test_all_warnings_of_a_job_fit_their_column() -> None:
    done = make_job(warnings=("first",)).claimed(NOW).succeeded(NOW, ('"' * 80_000,) * 100)
    assert len(done.warnings) == MAX_WARNINGS
    assert done.warnings[0] == "first"
    # The first answer of an idempotency key is kept with them and a prompt, which takes up to 16,000 bytes.
    assert len(json.dumps(done.warnings, ensure_ascii=False).encode()) < TEXT_BYTES - 40_000


def test_the_error_of_a_delivery_is_bounded() -> None:
    ended = make_job(webhook_url="https://hooks.example.com/").claimed(NOW).succeeded(NOW)
    delivery = delivery_of(ended)
    assert delivery is not None
    claimed = delivery.claimed(NOW)
    for settled in (claimed.failed("x" * 80_000), claimed.disabled("x" * 80_000), claimed.postponed("x" * 80_000, NOW)):
        assert settled.error == bounded("x" * 80_000)
    assert claimed.delivered().error is None


def test_a_text_that_just_fits_stays_whole() -> None:
    assert (bounded("x" * 10, 10), bounded("x" * 11, 10)) == ("x" * 10, "x" * 7 + "…")
