"""The object key: its form, and the values that it refuses."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.errors import ValidationError
from shared.domain.keys import MAX_KEY_BYTES, MAX_USER_ID_BYTES, ObjectKey, check_job_id, check_user_id, temp_name
from shared.domain.media_type import MediaType
from tests.fakes import NOW, USER

_SAFE = st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"], exclude_characters="/\\")
_USER_IDS = st.text(_SAFE, min_size=1, max_size=200).filter(lambda text: text not in {".", ".."} and text[-1] != " ")
_JOB_IDS = st.text(st.characters(categories=["L", "N"], max_codepoint=0x2FF), min_size=1, max_size=64)
_TIMES = st.datetimes(datetime(2002, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))
_EXTS = st.sampled_from(["png", "jpg", "webp", "avif", "heic", "gif", "mp4", "mov", "webm"])


def key(user_id: str = USER, job_id: str = "abc123", ext: str = "jpg", position: int = 0) -> ObjectKey:
    return ObjectKey.for_output(
        user_id=user_id, job_id=job_id, type=MediaType.IMAGE, created_at=NOW, position=position, ext=ext
    )


def test_key_has_the_required_form() -> None:
    made = ObjectKey.for_output(
        user_id="test@factory-buy.com",
        job_id="abc123",
        type=MediaType.IMAGE,
        created_at=datetime.fromtimestamp(1703123456.789, UTC),
        position=0,
        ext="jpg",
    )
    assert str(made) == "users/test@factory-buy.com/jobs/abc123/image-1703123456789.jpg"


@given(_USER_IDS, _JOB_IDS, st.sampled_from(MediaType), _TIMES, st.integers(0, 3), _EXTS)
def test_parse_is_the_inverse_of_str(
    user_id: str, job_id: str, type: MediaType, at: datetime, position: int, ext: str
) -> None:
    made = ObjectKey.for_output(user_id=user_id, job_id=job_id, type=type, created_at=at, position=position, ext=ext)
    assert ObjectKey.parse(str(made)) == made
    assert str(ObjectKey.parse(str(made))) == str(made)


@given(_TIMES, _EXTS)
def test_each_position_has_its_own_key_and_a_repetition_the_same_key(at: datetime, ext: str) -> None:
    def names() -> list[str]:
        return [
            str(
                ObjectKey.for_output(user_id=USER, job_id="j", type=MediaType.IMAGE, created_at=at, position=n, ext=ext)
            )
            for n in range(4)
        ]

    assert len(set(names())) == 4
    assert names() == names()


@given(st.text())
def test_a_parsed_key_is_written_unchanged(text: str) -> None:
    for candidate in (text, f"users/{text}/jobs/j/image-1703123456789.png", f"users/u/jobs/j/image-{text}.png"):
        try:
            parsed = ObjectKey.parse(candidate)
        except ValidationError:
            continue
        assert str(parsed) == candidate


def test_digits_of_other_scripts_are_refused_in_a_timestamp() -> None:
    with pytest.raises(ValidationError):
        ObjectKey.parse("users/u/jobs/j/image-" + "١" * 13 + ".png")


@pytest.mark.parametrize(
    "bad",
    [
        "",
        ".",
        "..",
        "a/b",
        "../other",
        "a\\b",
        "..\\other",
        "a\0b",
        "a\nb",
        "a\rb",
        "a\tb",
        "a\x7fb",
        "a\x85b",
        "a\u2028b",
        "a\u2029b",
        "a\ud800b",
        "x" * 256,
        "a ",
        " ",
    ],
)
def test_ids_that_could_leave_their_folder_are_refused(bad: str) -> None:
    with pytest.raises(ValidationError, match="userId must") as caught:
        check_user_id(bad)
    (error,) = caught.value.errors
    assert str(caught.value) == f"{error['field']} {error['message']}"
    with pytest.raises(ValidationError, match="userId must"):
        key(user_id=bad)
    with pytest.raises(ValidationError, match="jobId must"):
        check_job_id(bad)
    with pytest.raises(ValidationError, match="jobId must"):
        key(job_id=bad)
    with pytest.raises(ValidationError, match="jobId must"):
        temp_name(bad, 0, "png")


@pytest.mark.parametrize("good", [USER, "a+b@example.com", "用户", "..a", "a..", "...", " a", "%2e%2e%2f", "a b", "😀"])
def test_unusual_but_safe_user_ids_are_accepted(good: str) -> None:
    assert check_user_id(good) == good
    assert ObjectKey.parse(str(key(user_id=good))).user_id == good


def test_a_user_id_has_a_limit_in_bytes_too() -> None:
    longest = "😀" * (MAX_USER_ID_BYTES // 4) + "x" * (MAX_USER_ID_BYTES % 4)
    assert check_user_id(longest) == longest
    with pytest.raises(ValidationError, match=r"^userId must .* bytes"):
        check_user_id(longest + "x")


@given(st.text(_SAFE, min_size=1, max_size=255).filter(lambda text: text not in {".", ".."} and text[-1] != " "))
def test_every_accepted_user_id_leaves_room_for_its_outputs(user_id: str) -> None:
    try:
        check_user_id(user_id)
    except ValidationError:
        return
    longest = ObjectKey(user_id, "j" * 64, MediaType.VIDEO, 1703123456789, "webm")
    assert len(str(longest).encode()) <= MAX_KEY_BYTES


@pytest.mark.parametrize("ext", ["", "p", "toolong", "PNG", "p/g", "..", "p g"])
def test_an_extension_is_two_to_five_small_letters(ext: str) -> None:
    with pytest.raises(ValidationError):
        key(ext=ext)


@pytest.mark.parametrize("at", [datetime(1999, 1, 1, tzinfo=UTC), datetime(2300, 1, 1, tzinfo=UTC)])
def test_a_timestamp_has_thirteen_digits(at: datetime) -> None:
    with pytest.raises(ValidationError):
        ObjectKey.for_output(user_id=USER, job_id="j", type=MediaType.IMAGE, created_at=at, position=0, ext="png")


@pytest.mark.parametrize(
    "other",
    [
        "",
        "users/",
        "users/u/jobs/j/",
        "users/u/jobs/j/image-1703123456789",
        "users/u/jobs/j/image-170312345678.png",
        "users/u/jobs/j/audio-1703123456789.mp3",
        "users/u/jobs/j/thumbs/image-1703123456789.png",
        "users/../jobs/j/image-1703123456789.png",
        "/users/u/jobs/j/image-1703123456789.png",
        "users/u/jobs/j/image-1703123456789.png\n",
        "users//jobs/j/image-1703123456789.png",
    ],
)
def test_other_keys_are_not_outputs(other: str) -> None:
    with pytest.raises(ValidationError):
        ObjectKey.parse(other)


def test_an_output_id_is_derived_from_its_key() -> None:
    assert key().output_id == key().output_id
    assert len({key(position=n).output_id for n in range(4)} | {key(user_id="other").output_id}) == 5


def test_the_timestamp_is_exact_to_the_millisecond() -> None:
    for millisecond in range(1000):
        at = datetime(2023, 12, 21, tzinfo=UTC) + timedelta(milliseconds=millisecond)
        made = ObjectKey.for_output(user_id="u", job_id="j", type=MediaType.IMAGE, created_at=at, position=0, ext="png")
        assert made.timestamp_ms % 1000 == millisecond


def test_temp_names_are_numbered_from_the_second() -> None:
    assert [temp_name("abc123", n, "png") for n in range(3)] == ["abc123.png", "abc123-2.png", "abc123-3.png"]
