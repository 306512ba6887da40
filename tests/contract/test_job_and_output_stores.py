"""The tables jobs and job_outputs: the same contract in memory, on SQLite and on MariaDB."""

import itertools
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from shared.adapters.sql.jobs import SqlJobStore
from shared.adapters.sql.outputs import SqlOutputStore
from shared.domain.errors import DatabaseUnavailableError, LeaseLostError
from shared.domain.jobs import Job, JobError, JobStatus, OutputIntent
from shared.domain.keys import ObjectKey
from shared.domain.media_type import MediaType
from shared.ports import JobStore, OutputStore
from shared.services.batches import pages
from tests.contract.databases import database_url, open_database
from tests.contract.racing import race
from tests.fakes import NOW, make_job, make_output, make_video_job
from tests.mariadb import ROOT, MariaDb, migrate

RACERS = 8


FULL = make_video_job(
    prompt="一只猫 🐈‍⬛ \U0001f468‍\U0001f469‍\U0001f467 ' \" \\ % \n end",
    negative_prompt="不要狗 🐕",
    seed=2_147_483_647,
    count=1,
    image_url="https://example.com/" + "a" * 2000,
    webhook_url="https://example.com/hook?a=1&b=2",
    status=JobStatus.STORING,
    started_at=NOW + timedelta(milliseconds=1),
    finished_at=NOW + timedelta(milliseconds=2),
    error=JobError("provider_failed", "它坏了 💥", retryable=True),
    warnings=("第一 ⚠️", "second"),
    submitted_at=NOW + timedelta(milliseconds=3),
    provider_task_id="t" * 128,
    attempt=3,
    failures=2,
    lease_expires_at=NOW + timedelta(milliseconds=4),
    next_attempt_at=NOW + timedelta(milliseconds=5),
    cancel_requested_at=NOW + timedelta(milliseconds=6),
    legacy_url="https://old.example.com/图.png",
)


def test_a_job_is_read_back_unchanged(jobs: JobStore) -> None:
    for job in (make_job(id="bare"), replace(FULL, id="full")):
        assert jobs.add(job) == job
        assert jobs.get(job.id) == job


def test_a_job_is_found_by_its_exact_id_only(jobs: JobStore) -> None:
    jobs.add(make_job(id="abc"))
    assert [jobs.get(job_id) for job_id in ("ABC", "ab", "")] == [None] * 3


@pytest.mark.parametrize("length", [1, 4000])
def test_long_prompts_of_emoji_are_kept(jobs: JobStore, length: int) -> None:
    job = make_job(prompt="😀" * length, negative_prompt="湖" * length)
    jobs.add(job)
    assert jobs.get(job.id) == job


@pytest.mark.parametrize("user", ["u" * 255, "用" * 255, "😀" * 225, "a b+c@例え.jp", "' OR 1=1 --", "%", " a"])
def test_user_ids_with_any_characters_are_kept(jobs: JobStore, outputs: OutputStore, user: str) -> None:
    job = jobs.add(make_job(user_id=user))
    assert jobs.get("abc123") == job
    key = ObjectKey(user, "abc123", MediaType.IMAGE, 1703123456789, "png")
    output = make_output(id=key.output_id, user_id=user, oss_path=str(key))
    outputs.put(output)
    assert outputs.get(output.id) == output


@pytest.mark.parametrize(("first", "second"), [("A@example.com", "a@example.com"), ("é", "e"), ("ß", "ss")])
def test_user_ids_compare_character_by_character(jobs: JobStore, first: str, second: str) -> None:
    jobs.add(make_job(id="1", user_id=first))
    jobs.add(make_job(id="2", user_id=second))
    stored = jobs.get("1"), jobs.get("2")
    assert [job and job.user_id for job in stored] == [first, second]


def test_times_are_kept_in_utc_to_the_millisecond(jobs: JobStore, outputs: OutputStore) -> None:
    at = datetime(2024, 2, 29, 23, 59, 59, 999000, tzinfo=timezone(timedelta(hours=8)))
    jobs.add(make_job(created_at=at))
    outputs.put(make_output(created_at=at))
    job, output = jobs.get("abc123"), outputs.get(make_output().id)
    for stored in (job and job.created_at, output and output.created_at):
        assert stored == at
    for millisecond in (0, 1, 499, 500, 999):
        exact = datetime(2038, 1, 19, 3, 14, 8, millisecond * 1000, tzinfo=UTC)
        jobs.save(make_job(lease_expires_at=exact))
        job = jobs.get("abc123")
        assert job is not None
        assert job.lease_expires_at == exact
        assert job.lease_expires_at.tzinfo is not None


def test_adding_the_same_job_again_returns_it(jobs: JobStore) -> None:
    jobs.add(make_job(id="earlier"))
    job = make_job(id="mine")
    assert jobs.add(job) == job
    # A driver that reconnects may send an INSERT twice.
    assert jobs.add(job) == job


def test_a_save_of_the_current_attempt_is_written(jobs: JobStore) -> None:
    job = jobs.add(make_job())
    claimed = job.claimed(NOW)
    jobs.save(claimed, over_attempt=0)
    stored = claimed.submitting(NOW).submitted("task-1", NOW)
    jobs.save(stored)
    assert jobs.get(job.id) == stored
    jobs.save(stored)  # a save that changes no value still finds its row
    done = stored.succeeded(NOW, ("w",))
    jobs.save(done)
    assert jobs.get(job.id) == done


@pytest.mark.parametrize("attempt", [0, 1, 3])
def test_a_save_of_another_attempt_is_refused(jobs: JobStore, attempt: int) -> None:
    held = jobs.add(make_job(attempt=2))
    with pytest.raises(LeaseLostError):
        jobs.save(replace(held, attempt=attempt, prompt="stale"))
    with pytest.raises(LeaseLostError):
        jobs.save(replace(held, attempt=9, prompt="stale"), over_attempt=attempt)
    assert jobs.get(held.id) == held


@pytest.mark.parametrize("status", [JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED])
def test_a_final_state_is_never_overwritten(jobs: JobStore, status: JobStatus) -> None:
    ended = jobs.add(make_job(status=status))
    with pytest.raises(LeaseLostError):
        jobs.save(make_job(status=JobStatus.RUNNING))
    assert jobs.get(ended.id) == ended


def test_a_job_without_a_row_cannot_be_saved(jobs: JobStore) -> None:
    with pytest.raises(LeaseLostError):
        jobs.save(make_job())


SECOND = timedelta(seconds=1)


def all_pages(ask: Callable[..., Sequence[Job]], limit: int) -> list[str]:
    return [job.id for job in pages(lambda last: ask(NOW, limit=limit, after=last))]


@pytest.mark.parametrize("limit", [1, 2, 100])
def test_jobs_to_dispatch_are_due_and_free_the_longest_due_first(jobs: JobStore, limit: int) -> None:
    claimed = make_job().claimed(NOW - timedelta(hours=1))
    waiting = make_job(provider_task_id="task-1", next_attempt_at=NOW - 4 * SECOND)
    hour = timedelta(hours=1)
    rows = {
        "due": make_job(next_attempt_at=NOW),
        "due-too": make_job(next_attempt_at=NOW),
        "not-yet": make_job(next_attempt_at=NOW + SECOND / 1000),
        "dead-lease": replace(claimed, lease_expires_at=NOW - SECOND),
        "lease-ends-now": replace(claimed, lease_expires_at=NOW),
        "living-lease": replace(claimed, lease_expires_at=NOW + SECOND / 1000),
        "storing": replace(claimed, status=JobStatus.STORING, lease_expires_at=NOW - 2 * SECOND),
        "succeeded": make_job(status=JobStatus.SUCCEEDED, next_attempt_at=NOW - SECOND),
        "failed": make_job(status=JobStatus.FAILED, lease_expires_at=NOW - SECOND),
        "cancelled": make_job(status=JobStatus.CANCELLED, next_attempt_at=NOW - SECOND),
        "neither": make_job(),
        "waits-for-its-task": waiting,
        "to-be-cancelled": replace(waiting, cancel_requested_at=NOW),
        "late": replace(waiting, created_at=NOW - hour),
        "video-late": replace(
            waiting, type=MediaType.VIDEO, created_at=NOW - 6 * hour, next_attempt_at=NOW - SECOND / 2
        ),
        "video-not-late": replace(waiting, type=MediaType.VIDEO, created_at=NOW - 6 * hour + SECOND / 1000),
        "a-millisecond-before-late": replace(waiting, created_at=NOW - hour + SECOND / 1000),
    }
    for job_id, job in rows.items():
        jobs.add(replace(job, id=job_id))
    assert all_pages(jobs.to_dispatch, limit) == [
        *("late", "to-be-cancelled"),
        *("storing", "dead-lease", "video-late"),
        *("due", "due-too", "lease-ends-now"),
    ]
    awaiting = ["a-millisecond-before-late", "video-not-late", "waits-for-its-task"]
    assert all_pages(jobs.to_poll, limit) == awaiting
    found = jobs.to_dispatch(NOW, limit=100)
    assert all(jobs.get(job.id) == job and not job.awaits_task(NOW) for job in found)
    assert all(jobs.get(job.id) == job and job.awaits_task(NOW) for job in jobs.to_poll(NOW, limit=100))


def test_only_one_reader_of_a_job_can_postpone_it(jobs: JobStore) -> None:
    parked = jobs.add(make_job(provider_task_id="task-1", next_attempt_at=NOW))
    dead = jobs.add(replace(make_job(id="dead").claimed(NOW), lease_expires_at=NOW))
    for job in (parked, dead):
        postponed = jobs.postpone(job, LATER)
        assert jobs.get(job.id) == postponed == job.parked(LATER)
        for stale in (job, replace(postponed, attempt=job.attempt + 1), replace(postponed, id="none")):
            with pytest.raises(LeaseLostError):
                jobs.postpone(stale, LATER + SECOND)
        jobs.request_cancel(job.id, NOW)
        jobs.postpone(postponed, LATER + SECOND)
        stored = jobs.get(job.id)
        assert stored == replace(postponed, next_attempt_at=LATER + SECOND, cancel_requested_at=NOW)
        jobs.save(stored.cancelled(NOW))
        with pytest.raises(LeaseLostError):
            jobs.postpone(stored, LATER)


def test_a_claim_has_one_winner(jobs: JobStore) -> None:
    for round_ in range(5):
        job = jobs.add(make_job(id=f"job-{round_}"))

        def claim(number: int, job: Job = job) -> int:
            jobs.save(replace(job.claimed(NOW), provider_task_id=str(number)), over_attempt=job.attempt)
            return number

        won = [result for result in race(RACERS, claim, losing=LeaseLostError) if isinstance(result, int)]
        stored = jobs.get(job.id)
        assert stored is not None
        assert (len(won), stored.attempt, stored.provider_task_id) == (1, 1, str(won[0]))


_CLAIM = """
import json, sys
from pydantic import SecretStr
from shared.adapters.sql.database import Database
from shared.adapters.sql.jobs import SqlJobStore
from shared.domain.errors import LeaseLostError
from shared.settings import DatabaseSettings
jobs = SqlJobStore(Database(DatabaseSettings(SecretStr(sys.argv[1]))))
seen = [jobs.get(f"job-{n}") for n in range(20)]
print("ready", flush=True)
sys.stdin.readline()
won = []
for job in seen:
    try:
        jobs.save(job.claimed(job.created_at), over_attempt=job.attempt)
        won.append(job.id)
    except LeaseLostError:
        pass
print(json.dumps(won))
"""


@pytest.mark.parametrize("kind", ["sqlite", "mariadb"])
def test_a_claim_has_one_winner_among_processes(kind: str, request: pytest.FixtureRequest) -> None:
    url = database_url(kind, request)
    database = open_database(url)
    jobs = SqlJobStore(database)
    for number in range(20):
        jobs.add(make_job(id=f"job-{number}"))
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "cwd": ROOT, "text": True}
    racers = [subprocess.Popen([sys.executable, "-c", _CLAIM, url], **pipes) for _ in range(3)]  # type: ignore[call-overload]  # options by name
    for racer in racers:
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        racer.stdin.write("go\n")
        racer.stdin.flush()
    won = [json.loads(racer.communicate(timeout=30)[0]) for racer in racers]
    assert sorted(itertools.chain(*won)) == sorted(f"job-{number}" for number in range(20))
    database.peewee.close()


def test_an_output_is_read_back_unchanged(outputs: OutputStore) -> None:
    meta = {
        "width": 4,
        "duration": 5.042,
        "format": "mp4",
        "note": "夜 🌃 \" ' \\ \n",
        "none": None,
        "deep": [{"a": []}],
    }
    output = make_output(meta=meta, size=5 * 1024**3, type=MediaType.VIDEO)
    outputs.put(output)
    assert outputs.get(output.id) == output
    assert list(outputs.of_job("abc123")) == [output]


def test_putting_the_same_output_again_changes_nothing(outputs: OutputStore) -> None:
    output = make_output()
    outputs.put(output)
    outputs.put(output)
    assert list(outputs.of_job("abc123")) == [output]


def test_a_second_put_updates_the_row_and_keeps_created_at(outputs: OutputStore) -> None:
    output = make_output()
    outputs.put(output)
    newer = replace(output, size=1, meta={"a": 1}, oss_url="https://cdn.example.com/x", created_at=NOW + timedelta(1))
    outputs.put(newer)
    assert outputs.get(output.id) == replace(newer, created_at=output.created_at)


def test_outputs_are_ordered_by_position(outputs: OutputStore) -> None:
    rows = [make_output(position) for position in range(4)]
    for row in (rows[2], rows[0], rows[3], rows[1]):
        outputs.put(row)
    outputs.put(replace(make_output(), id="other", job_id="ABC123", oss_path="other"))
    assert list(outputs.of_job("abc123")) == rows


def test_an_output_can_be_removed_twice(outputs: OutputStore) -> None:
    outputs.put(make_output())
    outputs.put(make_output(1))
    for _ in range(2):
        outputs.remove(make_output().id)
        assert outputs.get(make_output().id) is None
    assert len(outputs.of_job("abc123")) == 1
    assert list(outputs.of_job("nothing")) == []


def test_concurrent_puts_of_one_output_make_one_row(outputs: OutputStore) -> None:
    race(RACERS, lambda number: outputs.put(make_output(meta={"by": number})), losing=LeaseLostError)
    assert len(outputs.of_job("abc123")) == 1


LATER = NOW + timedelta(minutes=5)


def intend(outputs: OutputStore, position: int = 0, attempt: int = 0, **changes: object) -> OutputIntent:
    intent = OutputIntent(make_output(position, **changes), position, attempt)
    outputs.intend(intent, lease_expires_at=LATER)
    return intent


def test_an_intent_is_read_back_unchanged_and_renews_the_lease(jobs: JobStore, outputs: OutputStore) -> None:
    job = jobs.add(make_job(attempt=2))
    second, first = intend(outputs, 1, 2), intend(outputs, 0, 2)
    assert list(outputs.intents_of_job("abc123")) == [first, second]
    assert (list(outputs.intents_of_job("ABC123")), list(outputs.of_job("abc123"))) == ([], [])
    assert jobs.get("abc123") == replace(job, lease_expires_at=LATER)


def test_an_intent_replaces_the_earlier_intent_of_its_position(jobs: JobStore, outputs: OutputStore) -> None:
    jobs.add(make_job())
    intend(outputs)
    newer = intend(outputs, size=1, id="another", oss_path="another.webp")
    assert list(outputs.intents_of_job("abc123")) == [newer]


def test_a_commit_replaces_the_intent_with_the_row(jobs: JobStore, outputs: OutputStore) -> None:
    job = jobs.add(make_job())
    intent, other = intend(outputs), intend(outputs, 1)
    outputs.commit(intent, lease_expires_at=LATER + timedelta(1))
    assert list(outputs.of_job("abc123")) == [intent.output]
    assert list(outputs.intents_of_job("abc123")) == [other]
    assert jobs.get("abc123") == replace(job, lease_expires_at=LATER + timedelta(1))
    outputs.commit(intent, lease_expires_at=LATER)
    assert list(outputs.of_job("abc123")) == [intent.output]


@pytest.mark.parametrize("change", [{"attempt": 3}, {"status": JobStatus.FAILED}, {"id": "another"}])
def test_a_stale_attempt_can_neither_intend_nor_commit(
    jobs: JobStore, outputs: OutputStore, change: dict[str, Any]
) -> None:
    job = jobs.add(replace(make_job(attempt=2), **change))
    intent = OutputIntent(make_output(), 0, 2)
    for write in (outputs.intend, outputs.commit):
        with pytest.raises(LeaseLostError):
            write(intent, lease_expires_at=LATER)
    assert (list(outputs.intents_of_job("abc123")), list(outputs.of_job("abc123"))) == ([], [])
    assert jobs.get(job.id) == job


def test_putting_a_row_removes_its_intent(jobs: JobStore, outputs: OutputStore) -> None:
    jobs.add(make_job())
    intent, other = intend(outputs), intend(outputs, 1)
    outputs.put(intent.output)
    assert list(outputs.intents_of_job("abc123")) == [other]


def test_old_intents_are_listed_oldest_first(jobs: JobStore, outputs: OutputStore) -> None:
    jobs.add(make_job())
    ages = {0: 2, 1: 3, 2: 1, 3: 0}
    made = {n: intend(outputs, n, created_at=NOW - timedelta(hours=age)) for n, age in ages.items()}
    assert list(outputs.intents_before(NOW, limit=9)) == [made[1], made[0], made[2]]
    assert list(outputs.intents_before(NOW, limit=1)) == [made[1]]
    assert list(pages(lambda last: outputs.intents_before(NOW, limit=1, after=last))) == [made[1], made[0], made[2]]


def test_an_intent_is_removed_only_for_its_own_attempt(jobs: JobStore, outputs: OutputStore) -> None:
    jobs.add(make_job())
    intent = intend(outputs)
    outputs.remove_intent(replace(intent, attempt=1))
    outputs.remove_intent(replace(intent, position=1))
    assert list(outputs.intents_of_job("abc123")) == [intent]
    for _ in range(2):
        outputs.remove_intent(intent)
        assert list(outputs.intents_of_job("abc123")) == []


def test_a_save_does_not_overwrite_a_request_to_cancel(jobs: JobStore) -> None:
    job = jobs.add(make_job())
    jobs.request_cancel("abc123", NOW)
    jobs.request_cancel("abc123", LATER)
    jobs.request_cancel("another", NOW)
    claimed = job.claimed(NOW)
    jobs.save(claimed, over_attempt=0)
    assert jobs.get("abc123") == replace(claimed, cancel_requested_at=NOW)


def test_an_ended_job_accepts_no_request_to_cancel(jobs: JobStore) -> None:
    job = jobs.add(make_job(status=JobStatus.SUCCEEDED))
    jobs.request_cancel("abc123", NOW)
    assert jobs.get("abc123") == job


def test_database_outages_are_reported_and_survived(own_mariadb: MariaDb) -> None:
    database = open_database(own_mariadb.create_database())
    jobs, outputs = SqlJobStore(database), SqlOutputStore(database)
    job = jobs.add(make_job())
    # After a restart of the server, the next call works, or it reports the outage and the call after it works.
    own_mariadb.restart()
    assert _works_at_the_second_try(lambda: jobs.get(job.id)) == job
    own_mariadb.kill()
    own_mariadb.start()
    assert _works_at_the_second_try(lambda: jobs.save(job.claimed(NOW), over_attempt=0)) is None
    own_mariadb.stop()
    calls: list[Callable[[], object]] = [
        lambda: jobs.add(make_job(id="new")),
        lambda: jobs.get(job.id),
        lambda: jobs.save(job),
        lambda: jobs.to_dispatch(NOW, limit=1),
        lambda: jobs.to_poll(NOW, limit=1),
        lambda: jobs.postpone(job, NOW),
        lambda: outputs.put(make_output()),
        lambda: outputs.get("x"),
        lambda: outputs.of_job("x"),
        lambda: outputs.remove("x"),
        lambda: outputs.intend(OutputIntent(make_output(), 0, 1), lease_expires_at=NOW),
        lambda: outputs.commit(OutputIntent(make_output(), 0, 1), lease_expires_at=NOW),
        lambda: outputs.intents_of_job("x"),
        lambda: outputs.intents_before(NOW, limit=1),
        lambda: outputs.remove_intent(OutputIntent(make_output(), 0, 1)),
        lambda: jobs.request_cancel("x", NOW),
    ]
    for call in calls:
        with pytest.raises(DatabaseUnavailableError) as caught:
            call()
        assert own_mariadb.password not in repr(caught.value)
    own_mariadb.start()
    stored = jobs.get(job.id)
    assert stored is not None
    assert stored.attempt == 1


def _works_at_the_second_try(call: Callable[[], object]) -> object:
    try:
        return call()
    except DatabaseUnavailableError:
        return call()


def at(hours: float) -> datetime:
    return NOW + timedelta(hours=hours)


def test_recent_jobs_are_those_created_or_finished_since(jobs: JobStore) -> None:
    ended = JobStatus.SUCCEEDED
    for job in (
        make_job(id="old", created_at=at(-9), status=ended, finished_at=at(-8)),
        make_job(id="stuck", created_at=at(-9)),
        make_job(id="finished", created_at=at(-9), status=ended, finished_at=at(0)),
        make_job(id="created", created_at=at(0)),
        make_job(id="both", created_at=at(1), status=JobStatus.FAILED, finished_at=at(2)),
    ):
        jobs.add(job)
    assert [job.id for job in jobs.recent(NOW, limit=10)] == ["finished", "created", "both"]
    assert jobs.recent(at(0), limit=1) == [jobs.get("finished")]
    assert list(jobs.recent(at(3), limit=10)) == []


def test_recent_jobs_are_paged_oldest_first(jobs: JobStore) -> None:
    # Jobs of the same millisecond are ordered by their ids, compared byte by byte.
    ids = ["B", "a", "b", "é", "c", "z"]
    for number, job_id in enumerate(ids):
        jobs.add(make_job(id=job_id, created_at=at(number // 3)))
    jobs.add(make_job(id="A", created_at=at(-1), finished_at=at(5), status=JobStatus.SUCCEEDED))
    seen, last = [], None
    while page := jobs.recent(NOW, limit=2, after=last):
        assert len(page) <= 2
        seen += [job.id for job in page]
        last = page[-1]
    assert seen == ["A", "B", "a", "b", "c", "z", "é"]


def test_the_error_for_a_wrong_password_does_not_show_it(own_mariadb: MariaDb) -> None:
    url = own_mariadb.create_database().replace(own_mariadb.password, "another")
    with pytest.raises(DatabaseUnavailableError) as caught:
        SqlJobStore(open_database(url)).get("x")
    assert "another" not in str(caught.value)


def test_a_user_and_a_password_may_have_special_characters(own_mariadb: MariaDb) -> None:
    path = own_mariadb.create_database().rpartition("/")[2]
    own_mariadb.execute(
        "CREATE USER IF NOT EXISTS 'o@dd:user'@'127.0.0.1' IDENTIFIED BY 'p@ss/w:rd%?#'",
        "GRANT ALL ON *.* TO 'o@dd:user'@'127.0.0.1'",
    )
    url = f"mysql+pymysql://o%40dd%3Auser:p%40ss%2Fw%3Ard%25%3F%23@127.0.0.1:{own_mariadb.port}/{path}"
    assert SqlJobStore(open_database(url)).get("x") is None


def test_sqlite_without_tables_is_reported_as_unavailable(tmp_path: Path) -> None:
    with pytest.raises(DatabaseUnavailableError):
        SqlJobStore(open_database(f"sqlite:///{tmp_path / 'empty.db'}")).get("x")


def test_migrating_twice_changes_nothing(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'x.db'}"
    migrate(url)
    migrate(url)
