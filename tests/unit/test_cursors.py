"""Cursors: only written cursors are read."""

import base64
import contextlib
import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.cursors import Place, read_cursor, write_cursor
from shared.domain.errors import BadRequestError

PLACE = Place(datetime(2023, 12, 21, 1, 50, 56, 789000, tzinfo=UTC), "0cf63189-f805-4fcf-8109-592dfa3c8a3d")
LIST = "jobs?type=&status="


def encode(content: object) -> str:
    text = content if isinstance(content, str) else json.dumps(content, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def refused(cursor: str, of: str = LIST) -> None:
    with pytest.raises(BadRequestError) as caught:
        read_cursor(cursor, of=of)
    assert caught.value.code == "bad_cursor"


@given(
    st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC)),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=64),
)
def test_a_written_cursor_is_read_back(created_at: datetime, row_id: str) -> None:
    place = Place(created_at, row_id)
    cursor = write_cursor(place, of=LIST)
    assert read_cursor(cursor, of=LIST) == place
    assert set(cursor) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


def test_a_cursor_has_at_most_512_characters() -> None:
    rest = len(json.dumps([1, LIST, 0, ""], separators=(",", ":")))
    longest = Place(datetime(1970, 1, 1, tzinfo=UTC), "x" * (512 * 3 // 4 - rest))
    cursor = write_cursor(longest, of=LIST)
    assert len(cursor) == 512 and read_cursor(cursor, of=LIST) == longest
    refused(write_cursor(Place(longest.created_at, longest.id + "x"), of=LIST))


@given(st.text(max_size=600) | st.binary(max_size=400).map(lambda data: base64.urlsafe_b64encode(data).decode()))
def test_any_text_is_refused_or_reads_as_the_cursor_that_it_is(text: str) -> None:
    try:
        assert write_cursor(read_cursor(text, of=LIST), of=LIST) == text
    except BadRequestError as error:
        assert error.code == "bad_cursor"


@given(st.data())
def test_a_cursor_with_one_changed_character_never_names_the_same_place(data: st.DataObject) -> None:
    cursor = write_cursor(PLACE, of=LIST)
    at = data.draw(st.integers(0, len(cursor) - 1))
    changed = cursor[:at] + data.draw(st.characters()) + cursor[at + 1 :]
    if changed != cursor:
        with contextlib.suppress(BadRequestError):
            assert read_cursor(changed, of=LIST) != PLACE


@pytest.mark.parametrize(
    "of",
    ["outputs?type=&status=", "jobs?type=image&status=", "jobs?type=&status=failed", "jobs", ""],
)
def test_a_cursor_of_another_list_or_filter_is_refused(of: str) -> None:
    refused(write_cursor(PLACE, of=LIST), of)


@pytest.mark.parametrize(
    "cursor",
    [
        pytest.param("", id="empty"),
        "x",
        pytest.param("é", id="not ASCII"),
        "=",
        "A" * 100_000,
        encode("[" * 383),
        encode([1, LIST, 0]),
        encode([2, LIST, 0, "id"]),
        encode([1, LIST, 0, 5]),
        encode([1, LIST, 0, None]),
        encode([1, LIST, 0.0, "id"]),
        encode([1, LIST, True, "id"]),
        encode([1, LIST, "0", "id"]),
        encode([1, LIST, 10**30, "id"]),
        encode([1, LIST, -(10**18), "id"]),
        encode(f'[1,"{LIST}",NaN,"id"]'),
        encode(f'[1,"{LIST}",0,"\\ud800"]'),
        encode(f'[1, "{LIST}", 0, "id"]'),
        encode({"a": 1}),
        encode("null"),
        write_cursor(PLACE, of=LIST) + "=",
        write_cursor(PLACE, of=LIST) + "\n",
        " " + write_cursor(PLACE, of=LIST),
    ],
    ids=lambda cursor: cursor[:20],
)
def test_an_invalid_cursor_is_refused(cursor: str) -> None:
    refused(cursor)
