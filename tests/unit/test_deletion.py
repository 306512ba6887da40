"""Deletions: they delete everything that was requested and nothing else, wherever they are interrupted."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from shared.domain.deletions import (
    AGAIN_AFTER,
    LONGEST_DELAY,
    MAX_FAILURES,
    SECOND_LOOK_AFTER,
    Deletion,
    DeletionScope,
    deletion_of_job,
    deletion_of_output,
    deletion_of_user,
)
from shared.domain.errors import ConflictError, DispatchError, NotFoundError, StorageError, StorageUnavailableError
from shared.domain.jobs import Job, JobOutput, JobStatus, OutputIntent
from shared.domain.keys import ObjectKey
from shared.domain.media_type import MediaType
from shared.ports import MultipartUpload
from shared.services.deletion import DeletionPorts, carry_out_deletion, resume_deletions
from shared.services.deletion_requests import delete_job, delete_output, delete_user_data
from shared.services.indexing import index_object
from shared.services.jobs import JobPorts
from tests.fakes import NOW, USER, HeldObject, InMemoryObjectStore, World, make_job, make_output, make_png

OTHER = "somebody.else@factory-buy.com"
DATA = make_png()
INSTANT = timedelta(microseconds=1)


# -- a world with things to delete


def hold(world: World, key: str) -> str:
    world.store.objects[key] = HeldObject(DATA, modified_at=world.clock.now())
    return key


def begin_upload(world: World, key: str) -> None:
    world.store.uploads[MultipartUpload(key, f"upload of {key}")] = world.clock.now()


def add_job(world: World, job_id: str, status: JobStatus = JobStatus.SUCCEEDED, **changes: Any) -> Job:
    created = {"created_at": world.clock.now(), "user_id": USER}
    return world.jobs.add(make_job(id=job_id, status=status, **{**created, **changes}))


def key_of(job: Job, position: int = 0) -> ObjectKey:
    return ObjectKey.for_output(
        user_id=job.user_id,
        job_id=job.id,
        type=MediaType.IMAGE,
        created_at=job.created_at,
        position=position,
        ext="png",
    )


def store(world: World, job: Job, position: int = 0) -> JobOutput:
    """Store an output: its object and its row."""
    key = key_of(job, position)
    hold(world, str(key))
    output = make_output(
        id=key.output_id, job_id=job.id, user_id=job.user_id, oss_path=str(key), created_at=world.clock.now()
    )
    world.outputs.put(output)
    return output


def full_job(world: World, job_id: str, user_id: str = USER) -> Job:
    """Add a job with two outputs, and everything else that may exist below its prefix."""
    job = add_job(world, job_id, JobStatus.STORING, user_id=user_id)
    store(world, job), store(world, job, 1)
    intent = OutputIntent(make_output(id=key_of(job, 2).output_id, job_id=job_id, user_id=user_id), 2, 0)
    world.outputs.intend(intent, lease_expires_at=world.clock.now())
    world.jobs.save(replace(job, status=JobStatus.SUCCEEDED))
    prefix = f"users/{user_id}/jobs/{job_id}/"
    hold(world, f"{prefix}image-1703120000000.png")
    hold(world, f"{prefix}deep/er.txt")
    begin_upload(world, f"{prefix}video-1703123456789.mp4")
    return world.job(job_id)


def left_of(world: World, user_id: str) -> list[str]:
    """Return all data of a user, except for the deletions."""
    prefix = f"users/{user_id}/"
    keys = [key for key in world.store.objects if key.startswith(prefix)]
    uploads = [upload.key for upload in world.store.uploads if upload.key.startswith(prefix)]
    jobs = [job.id for job in world.jobs.of_user(user_id, limit=1000)]
    rows = [row.oss_path for row in world.outputs.of_user(user_id, limit=1000)]
    intents = [each.output.id for each in world.outputs._intents.values() if each.output.user_id == user_id]
    return sorted([*keys, *uploads, *jobs, *rows, *intents])


def until(world: World, seconds: float = 1000) -> datetime:
    return world.clock.now() + timedelta(seconds=seconds)


def minute(world: World, ports: DeletionPorts | None = None) -> dict[str, int]:
    """Let a minute pass and the timer fire; return the counts that are not 0."""
    world.clock.advance(60)
    counts = resume_deletions(ports=ports or world.deletion, until=until(world, 50))
    return {name: number for name, number in counts.items() if number}


def online(world: World, ports: DeletionPorts | None = None) -> None:
    """Have clean-up carry out deletions when api requests it; its exceptions become errors of Function Compute."""

    def call(deletion_id: str) -> None:
        try:
            carry_out_deletion(deletion_id, ports=ports or world.deletion, until=until(world))
        except StorageError as error:
            raise DispatchError("clean-up failed") from error

    world.dispatcher.on_delete = call


def ask_job(world: World, job_id: str = "job", user_id: str = USER) -> None:
    delete_job(job_id, user_id, ports=world.deletion_requests)


def ask_output(world: World, output_id: str, user_id: str = USER) -> None:
    delete_output(output_id, user_id, ports=world.deletion_requests)


def ask_everything(world: World, user_id: str = USER) -> Deletion:
    return delete_user_data(user_id, ports=world.deletion_requests)


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(tmp_path / "dream-factory")
    online(made)
    return made


# -- a job


def test_a_job_is_deleted_with_its_objects_and_rows(world: World) -> None:
    full_job(world, "job")
    full_job(world, "job2")
    full_job(world, "strange", OTHER)
    others = left_of(world, OTHER)
    beside = [name for name in left_of(world, USER) if "job2" in name]
    ask_job(world)
    assert [name for name in left_of(world, USER) if "job2" not in name and "/" in name] == []
    assert [name for name in left_of(world, USER) if "job2" in name] == beside and left_of(world, OTHER) == others
    with pytest.raises(NotFoundError):
        ask_job(world)


def test_the_object_is_deleted_before_its_row(world: World) -> None:
    full_job(world, "job")
    rows = len(world.outputs.of_job("job"))
    removed: list[tuple[str, int]] = []
    delete = world.store.delete

    def record_and_delete(key: str) -> None:
        removed.append((key, len(world.outputs.of_job("job"))))
        delete(key)

    world.store.delete = record_and_delete
    ask_job(world)
    assert {left for _, left in removed} == {rows} and len(removed) == 4


@pytest.mark.parametrize("status", [JobStatus.QUEUED, JobStatus.RUNNING, JobStatus.STORING])
def test_a_running_job_is_not_deleted(world: World, status: JobStatus) -> None:
    job = add_job(world, "job", status)
    output = store(world, job)
    before = left_of(world, USER)
    asks: tuple[Callable[[], object], ...] = (lambda: ask_job(world), lambda: ask_output(world, output.id))
    for ask in asks:
        with pytest.raises(ConflictError) as caught:
            ask()
        assert caught.value.code == "job_running" and "cancel" in str(caught.value)
    minute(world)
    assert left_of(world, USER) == before


def test_jobs_and_outputs_of_other_users_are_not_found(world: World) -> None:
    job = add_job(world, "job")
    output = store(world, job)
    before = left_of(world, USER)
    asks: tuple[Callable[[], object], ...] = (
        lambda: ask_job(world, user_id=OTHER),
        lambda: ask_output(world, output.id, OTHER),
        lambda: ask_job(world, "none"),
        lambda: ask_output(world, "none"),
    )
    for ask in asks:
        with pytest.raises(NotFoundError):
            ask()
    ask_everything(world, OTHER)
    assert left_of(world, USER) == before


def test_while_oss_is_unavailable_the_deletion_waits_for_the_timer(world: World) -> None:
    full_job(world, "job")
    world.store.away = True
    for _ in range(2):
        with pytest.raises(StorageUnavailableError, match="continues in the background"):
            ask_job(world)
    assert minute(world) == {"failed": 1, "deletions_left": 1}  # one deletion for two requests
    world.store.away = False
    assert minute(world) == {"deletions_ended": 1}
    assert left_of(world, USER) == []


def test_the_timer_carries_out_a_deletion_that_could_not_be_dispatched(world: World) -> None:
    full_job(world, "job")
    world.dispatcher.failures = [DispatchError("HTTP 503")]
    with pytest.raises(StorageUnavailableError):
        ask_job(world)
    ask_job(world)  # the repeated request continues the deletion
    assert left_of(world, USER) == [] and minute(world) == {}


def test_an_object_that_oss_refuses_to_delete_blocks_nothing_else(world: World) -> None:
    for job_id in ("a", "b", "c"):
        full_job(world, job_id)
    delete = world.store.delete

    def refuse(key: str) -> None:
        if "/b/" in key:
            raise StorageUnavailableError("OSS answered 500")
        delete(key)

    world.store.delete = refuse
    assert ask_everything(world).finished_at is None
    assert [job.id for job in world.jobs.of_user(USER, limit=9)] == ["b"]
    world.store.delete = delete
    minute(world)
    assert left_of(world, USER) == [] and ask_everything(world).finished_at is not None


# -- an output


def test_an_output_is_deleted_without_its_siblings(world: World) -> None:
    job = add_job(world, "job")
    first, second = store(world, job), store(world, job, 1)
    ask_output(world, first.id)
    assert left_of(world, USER) == sorted(["job", second.oss_path, second.oss_path])
    with pytest.raises(NotFoundError):
        ask_output(world, first.id)


def test_a_repeated_request_continues_after_the_row_of_the_output_is_gone(world: World) -> None:
    output = store(world, add_job(world, "job"))
    world.store.away = True
    with pytest.raises(StorageUnavailableError):
        ask_output(world, output.id)
    world.store.away = False
    world.outputs.remove(output.id)  # its object was gone for a moment, and the event of this deletion arrived at once
    with pytest.raises(NotFoundError):
        ask_output(world, output.id, OTHER)
    ask_output(world, output.id)
    assert left_of(world, USER) == ["job"]


def test_an_output_without_a_job_is_deleted(world: World) -> None:
    output = store(world, make_job(id="unknown"))
    ask_output(world, output.id)
    assert left_of(world, USER) == []


# -- late uploads


@pytest.mark.parametrize("scope", list(DeletionScope))
def test_an_object_uploaded_after_the_deletion_gets_no_row_and_is_deleted_within_the_hour(
    world: World, scope: DeletionScope
) -> None:
    job = add_job(world, "job")
    output = store(world, job)
    match scope:
        case DeletionScope.OUTPUT:
            ask_output(world, output.id)
        case DeletionScope.JOB:
            ask_job(world)
        case DeletionScope.USER:
            ask_everything(world)
    world.clock.advance(30)
    key = hold(world, output.oss_path)  # the answer of a slow PUT
    index_object(key, ports=world.indexing)
    assert world.outputs.get(output.id) is None
    for _ in range(58):
        minute(world)
        index_object(key, ports=world.indexing)
    assert world.outputs.get(output.id) is None and key in world.store.objects
    for _ in range(3):
        minute(world)
    assert key not in world.store.objects
    # The deletion is forgotten: an object with the same key may be uploaded again.
    index_object(hold(world, key), ports=world.indexing)
    assert (world.outputs.get(output.id) is not None) and not world.deletions._rows


def test_the_second_run_is_repeated_while_oss_is_unavailable(world: World) -> None:
    add_job(world, "job")
    ask_job(world)
    key = hold(world, f"users/{USER}/jobs/job/image-1703123456789.png")
    world.clock.advance(3600)
    world.store.away = True
    minute(world)
    world.store.away = False
    assert key in world.store.objects
    minute(world)
    assert key not in world.store.objects


# -- everything


def test_everything_of_a_user_is_deleted_except_what_came_after_the_request(world: World) -> None:
    full_job(world, "old")
    add_job(world, "queued", JobStatus.QUEUED)
    hold(world, f"users/{USER}/jobs/unknown/image-1703123456789.png")
    store(world, make_job(id="indexed-alone"))
    hold(world, f"users/{USER}/notes.txt")
    begin_upload(world, f"users/{USER}/jobs/unknown/x")
    world.outputs.put(make_output(id="rowless", job_id="gone", oss_path=f"users/{USER}/jobs/gone/x"))
    world.store.away = True
    ask_everything(world)
    world.store.away = False
    world.clock.advance(5)
    new = full_job(world, "new")
    stay = [name for name in left_of(world, USER) if "new" in name or "/" not in name]
    minute(world)
    assert ask_everything(world).finished_at is not None
    left = left_of(world, USER)
    assert world.jobs.get("new") == new and len(world.outputs.of_job("new")) == 2
    assert [name for name in left if "/" in name and "/new/" not in name] == []
    assert [name for name in left if "new" in name] == [name for name in stay if "new" in name]


def ask_while_nothing_can_be_deleted(world: World) -> None:
    """Request the deletion of everything; five seconds later nothing is deleted yet."""
    world.dispatcher.failures = [DispatchError("HTTP 503")]
    ask_everything(world)
    world.clock.advance(5)


def test_an_object_without_a_job_that_came_after_the_request_stays(world: World) -> None:
    hold(world, f"users/{USER}/before.txt")
    begin_upload(world, f"users/{USER}/before.mp4")
    ask_while_nothing_can_be_deleted(world)
    later = hold(world, f"users/{USER}/after.txt")
    begin_upload(world, f"users/{USER}/after.mp4")
    minute(world)
    assert left_of(world, USER) == [f"users/{USER}/after.mp4", later]
    world.clock.advance(3600)
    minute(world)
    assert left_of(world, USER) == [f"users/{USER}/after.mp4", later] and not world.deletions._rows


def test_the_objects_of_a_newer_job_stay_whatever_their_age_is(world: World) -> None:
    ask_while_nothing_can_be_deleted(world)
    job = add_job(world, "new")
    output = store(world, job)
    world.store.objects[output.oss_path] = HeldObject(DATA, modified_at=world.clock.now() - timedelta(hours=1))
    world.store.uploads[MultipartUpload(f"users/{USER}/jobs/new/x", "1")] = world.clock.now() - timedelta(hours=1)
    before = left_of(world, USER)
    minute(world)
    assert ask_everything(world).finished_at is not None and left_of(world, USER) == before


def test_running_jobs_are_cancelled_and_deleted_after_their_end(world: World) -> None:
    running = add_job(world, "running", JobStatus.RUNNING, attempt=1, lease_expires_at=until(world))
    full_job(world, "ended")
    assert ask_everything(world).finished_at is None
    assert [job.id for job in world.jobs.of_user(USER, limit=9)] == ["running"]
    assert world.job("running").cancel_requested_at is not None
    minute(world)
    store(world, running)  # the attempt uploaded the object just before it saw the cancellation
    world.jobs.save(world.job("running").cancelled(world.clock.now()))
    minute(world)
    assert left_of(world, USER) == []
    assert ask_everything(world).finished_at is not None


def test_repeated_requests_do_not_delete_jobs_that_began_in_the_meantime(world: World) -> None:
    add_job(world, "running", JobStatus.RUNNING, attempt=1, lease_expires_at=until(world))
    first = ask_everything(world)
    world.clock.advance(5)
    full_job(world, "new")
    assert ask_everything(world).id == first.id
    world.jobs.save(world.job("running").cancelled(world.clock.now()))
    minute(world)  # the end comes between two requests
    told = ask_everything(world)
    assert told.id == first.id and told.finished_at is not None
    assert [job.id for job in world.jobs.of_user(USER, limit=9)] == ["new"]
    # The request above learned about the end of the first deletion; this request is a new deletion.
    assert ask_everything(world).finished_at is not None and left_of(world, USER) == []


def test_a_run_ends_in_time_and_the_next_run_continues(world: World) -> None:
    for number in range(9):
        full_job(world, f"job{number}")
    delete = world.store.delete

    def slowly(key: str) -> None:
        world.clock.advance(5)
        delete(key)

    world.store.delete = slowly
    world.dispatcher.failures = [DispatchError("HTTP 503")]
    ask_everything(world)
    sizes = [len(left_of(world, USER))]
    while sizes[-1]:
        began = world.clock.now()
        minute(world)
        assert world.clock.now() - began <= timedelta(seconds=60 + 50 + 5)
        sizes.append(len(left_of(world, USER)))
        assert sizes[-1] < sizes[-2]
    assert len(sizes) > 3


NASTY = ["a", "ab", "a.", "a%2F", "a%2Fjobs", "用户", "用", "x@y+z", "x@y", "x@y z", "A"]


@pytest.mark.parametrize("user", NASTY)
def test_a_deletion_does_not_touch_the_objects_of_other_users(world: World, user: str) -> None:
    for each in NASTY:
        full_job(world, f"job of {each}", each)
        hold(world, f"users/{each}/notes.txt")
    before = {each: left_of(world, each) for each in NASTY}
    world.clock.advance(5)
    assert ask_everything(world, user).finished_at is not None
    world.clock.advance(3600)
    minute(world)
    assert {each: left_of(world, each) for each in NASTY} == {**before, user: []}


def test_the_id_of_another_users_job_below_the_prefix_protects_nothing(world: World) -> None:
    add_job(world, "theirs", user_id=OTHER)
    hold(world, f"users/{USER}/jobs/theirs/image-1703123456789.png")
    ask_everything(world)
    assert left_of(world, USER) == [] and world.jobs.get("theirs") is not None


class _Confused(InMemoryObjectStore):
    """Lists the whole bucket for every prefix."""

    def list(self, prefix: str) -> Iterator[Any]:
        return super().list("")


def test_a_list_of_a_wrong_prefix_deletes_nothing(world: World) -> None:
    confused = _Confused(clock=world.clock)
    confused.objects = world.store.objects
    world.store = confused
    full_job(world, "job")
    full_job(world, "strange", OTHER)
    before = left_of(world, OTHER)
    ask_job(world)
    assert (left_of(world, USER), left_of(world, OTHER)) == ([], before)


# -- interrupted anywhere


def test_an_interrupted_deletion_is_due_at_once_but_behind_those_that_wait_already() -> None:
    minute = timedelta(minutes=1)
    interrupted = deletion_of_user(USER, NOW).interrupted(NOW + 2 * minute)
    waiting = deletion_of_user(OTHER, NOW + minute)
    assert interrupted.due(NOW + 2 * minute) and waiting.due_at < interrupted.due_at


def test_no_other_run_begins_with_a_deletion_whose_turn_has_just_begun() -> None:
    begun = deletion_of_user(USER, NOW).postponed(NOW)
    assert not begun.due(NOW + AGAIN_AFTER - INSTANT) and begun.due(NOW + AGAIN_AFTER)


def test_a_new_request_for_a_deletion_that_was_given_up_starts_it_again_at_once() -> None:
    given_up = replace(deletion_of_user(USER, NOW), failures=MAX_FAILURES - 1).failed(NOW)
    assert not given_up.due(NOW + LONGEST_DELAY)
    again = given_up.begun_again()
    assert again.due(NOW) and again.failures == 0


def test_a_finished_deletion_is_checked_again_after_an_hour() -> None:
    finished = replace(deletion_of_user(USER, NOW), finished_at=NOW)
    assert not finished.due(NOW + SECOND_LOOK_AFTER) and finished.due(NOW + SECOND_LOOK_AFTER + INSTANT)


class KilledError(BaseException):
    """The instance dies."""


@dataclass
class Fuse:
    """Counts the effects that are left to this instance; the instance dies after the last one."""

    left: float

    def burn(self) -> None:
        self.left -= 1
        if self.left <= 0:
            raise KilledError


_EFFECTS = {"add", "save", "request_cancel", "delete", "abort_upload", "finish", "remove", "tell", "dispatch"}


class Mortal:
    """A port whose caller dies after one of the port's effects."""

    def __init__(self, port: Any, fuse: Fuse) -> None:
        self._port = port
        self._fuse = fuse

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._port, name)
        if name not in _EFFECTS:
            return method

        def call(*arguments: Any, **options: Any) -> Any:
            result = method(*arguments, **options)
            self._fuse.burn()
            return result

        return call


def mortal(world: World, fuse: Fuse) -> DeletionPorts:
    jobs = Mortal(world.jobs, fuse)
    return DeletionPorts(
        store=Mortal(world.store, fuse),
        jobs=jobs,
        outputs=Mortal(world.outputs, fuse),
        deletions=Mortal(world.deletions, fuse),
        clock=world.clock,
        cancelling=JobPorts(jobs, Mortal(world.dispatcher, fuse), world.clock),
    )


def record(world: World, scope: DeletionScope) -> None:
    """Let api record the deletion, and do nothing else."""
    match scope:
        case DeletionScope.OUTPUT:
            for output in world.outputs.of_job("job"):
                world.deletions.add(deletion_of_output(output, world.clock.now()))
        case DeletionScope.JOB:
            world.deletions.add(deletion_of_job(world.job("job"), world.clock.now()))
        case DeletionScope.USER:
            world.dispatcher.failures = [DispatchError("HTTP 503")]
            ask_everything(world)


def end_what_is_cancelled(world: World) -> None:
    for job in world.jobs.of_user(USER, limit=99):
        if job.cancel_requested_at is not None and not job.status.final:
            world.jobs.save(job.cancelled(world.clock.now()))


def set_up(folder: Path) -> World:
    world = World(folder)
    full_job(world, "job")
    full_job(world, "job2")
    add_job(world, "queued", JobStatus.QUEUED)
    add_job(world, "running", JobStatus.RUNNING, attempt=1, submitted_at=world.clock.now(), provider_task_id="task")
    store(world, make_job(id="indexed-alone"))
    hold(world, f"users/{USER}/notes.txt")
    begin_upload(world, f"users/{USER}/x")
    full_job(world, "strange", OTHER)
    return world


def expected_after(scope: DeletionScope, before: list[str], outputs: list[str]) -> list[str]:
    match scope:
        case DeletionScope.OUTPUT:
            return [name for name in before if name not in outputs]
        case DeletionScope.JOB:
            gone = "/jobs/job/"
            return [name for name in before if gone not in name and name != "job"]
        case DeletionScope.USER:
            return []


@pytest.mark.parametrize("scope", list(DeletionScope))
def test_the_timer_ends_a_deletion_that_was_killed_after_any_effect(tmp_path: Path, scope: DeletionScope) -> None:
    deaths = 0
    for effects in count(1):
        world = set_up(tmp_path / str(effects))
        strangers, before = left_of(world, OTHER), left_of(world, USER)
        paths = [output.oss_path for output in world.outputs.of_job("job")]
        intents = [each.output.id for each in world.outputs.intents_of_job("job")]
        record(world, scope)
        died = _dies(partial(minute, world, mortal(world, Fuse(effects))))
        end_what_is_cancelled(world)
        for _ in range(3):
            minute(world)
            end_what_is_cancelled(world)
        expected = expected_after(scope, before, paths)
        assert [name for name in left_of(world, USER) if name not in intents] == [
            name for name in expected if name not in intents
        ]
        # The second run, killed at the same place; then the deletion is forgotten.
        world.clock.advance(3600)
        died |= _dies(partial(minute, world, mortal(world, Fuse(effects))))
        for _ in range(3):
            minute(world)
        assert world.deletions._rows == {} and left_of(world, OTHER) == strangers
        if not died:
            break
        deaths += 1
    assert deaths >= {DeletionScope.OUTPUT: 5, DeletionScope.JOB: 6, DeletionScope.USER: 25}[scope]


def _dies(work: Callable[[], object]) -> bool:
    try:
        work()
    except KilledError:
        return True
    return False


def fail_at(store: InMemoryObjectStore, call: int) -> None:
    """Let one request fail: the first one after this number of requests."""
    answer, number = store._answer, count()

    def answer_or_fail() -> None:
        if next(number) == call:
            raise StorageUnavailableError("OSS answered 500")
        answer()

    store._answer = answer_or_fail


@pytest.mark.parametrize("scope", list(DeletionScope))
def test_the_timer_ends_a_deletion_after_any_failed_request_to_oss(tmp_path: Path, scope: DeletionScope) -> None:
    for calls in range(30):
        world = set_up(tmp_path / str(calls))
        strangers = left_of(world, OTHER)
        record(world, scope)
        fail_at(world.store, calls)
        for _ in range(4):
            minute(world)
            end_what_is_cancelled(world)
        assert all(row.finished_at for row in world.deletions._rows.values())
        assert left_of(world, OTHER) == strangers
        if scope is DeletionScope.USER:
            assert left_of(world, USER) == []
