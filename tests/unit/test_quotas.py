"""The rules of quotas."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from time import tzset

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.errors import QuotaExceededError
from shared.domain.media_type import MediaType
from shared.domain.quotas import DAY_S, Quotas, check_quotas, day_of, next_day_begins_at, rest_of_day_s
from shared.domain.usage import Usage

QUOTAS = Quotas(concurrent_jobs=2, jobs_per_day=3, stored_bytes=100)
LAST = Usage(concurrent_jobs=1, jobs_today=2, stored_bytes=99)
EVENING = datetime(2026, 11, 24, 23, 59, 0, tzinfo=UTC)
_TIMES = st.datetimes(datetime(2002, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))


@pytest.fixture
def far_from_utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the machine's own timezone be twelve hours ahead of UTC."""
    with monkeypatch.context() as context:
        context.setenv("TZ", "Etc/GMT-12")
        tzset()
        yield
    tzset()


def refusal(type: MediaType = MediaType.IMAGE, **usage: int) -> QuotaExceededError:
    with pytest.raises(QuotaExceededError) as caught:
        check_quotas(replace(LAST, **usage), QUOTAS, type, EVENING)
    return caught.value


def test_the_last_free_place_is_given() -> None:
    check_quotas(LAST, QUOTAS, MediaType.IMAGE, EVENING)
    assert LAST.with_one_job_more() == Usage(2, 3, 99)


@pytest.mark.parametrize("used", [2, 5])
def test_an_image_waits_shorter_than_a_video_for_the_end_of_a_job(used: int) -> None:
    assert refusal(concurrent_jobs=used).retry_after_s < refusal(MediaType.VIDEO, concurrent_jobs=used).retry_after_s
    assert f"{used} of 2 jobs are unfinished" in str(refusal(concurrent_jobs=used))


@pytest.mark.parametrize("used", [3, 9])
def test_the_daily_quota_is_full_again_at_midnight(used: int) -> None:
    assert refusal(jobs_today=used).retry_after_s == 60


@pytest.mark.parametrize("used", [100, 2**41])
def test_the_quota_of_bytes_asks_to_delete_outputs(used: int) -> None:
    error = refusal(stored_bytes=used)
    assert "delete" in str(error) and error.retry_after_s == 3600
    assert (error.status, error.code, error.usage.stored_bytes) == (429, "quota_exceeded", used)


@pytest.mark.parametrize("used", [{"concurrent_jobs": 2}, {"jobs_today": 3}, {"stored_bytes": 100}], ids=str)
def test_a_refusal_says_what_was_used_and_when(used: dict[str, int]) -> None:
    error = refusal(MediaType.IMAGE, **used)
    assert (error.usage, error.at) == (replace(LAST, **used), EVENING)


def test_the_quota_with_the_longest_wait_is_named() -> None:
    assert "bytes" in str(refusal(concurrent_jobs=2, jobs_today=3, stored_bytes=100))
    assert "today" in str(refusal(concurrent_jobs=2, jobs_today=3))


@pytest.mark.usefixtures("far_from_utc")
def test_days_begin_and_end_in_utc() -> None:
    in_hangzhou = datetime(2026, 11, 25, 7, 59, 59, 999000, tzinfo=timezone(timedelta(hours=8)))
    assert day_of(in_hangzhou) == "2026-11-24"
    assert next_day_begins_at(in_hangzhou) == datetime(2026, 11, 25, tzinfo=UTC)
    assert rest_of_day_s(in_hangzhou) == 1
    assert rest_of_day_s(datetime(2026, 11, 24, tzinfo=UTC)) == DAY_S


@given(_TIMES)
def test_the_rest_of_a_day_ends_in_the_first_second_of_the_next(moment: datetime) -> None:
    rest = timedelta(seconds=rest_of_day_s(moment))
    assert 0 < rest.total_seconds() <= DAY_S
    assert day_of(moment) < day_of(moment + rest) == day_of(next_day_begins_at(moment))
    assert day_of(moment + rest - timedelta(seconds=1)) == day_of(moment)
