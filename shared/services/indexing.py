"""Make the rows of ``job_outputs`` follow the objects in the bucket.

OSS tells of a change at least once and in any order, and perhaps not at all. So nothing is read from the event but
the key; what is true is asked of the bucket, and after each write it is asked again: whoever writes a row last has seen
the object that it speaks of, however many do it at once.

In the bucket it only asks (HEAD, GET of a range, list), and the trigger tells of objects written and deleted; what it
writes, it writes to the database. So it never triggers itself. Objects that come too late for a job that has failed are
removed by who put them, or by who ended the job (``follow_late_objects``), and not at an event.
"""

import io
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import BinaryIO, TypeGuard, cast
from urllib.parse import unquote

from shared.domain.errors import ValidationError, WrongMediaError
from shared.domain.jobs import Job, JobOutput, JobStatus, OutputIntent
from shared.domain.keys import ObjectKey, prefix_of_job
from shared.domain.media import SNIFF_BYTES, MediaFacts, sniff_format
from shared.ports import Clock, DeletionStore, JobStore, MediaProbe, ObjectStore, OutputStore, StoredObject
from shared.services.batches import do_each
from shared.services.storage import is_stored, make_output

log = logging.getLogger(__name__)
_END_BYTES = 1024 * 1024


@dataclass(frozen=True)
class IndexingPorts:
    """What rows are made to follow objects with."""

    store: ObjectStore
    outputs: OutputStore
    jobs: JobStore
    deletions: DeletionStore
    probe: MediaProbe
    clock: Clock


@dataclass(frozen=True)
class RowToPut:
    """A row that is missing, or says what is no longer true."""

    output: JobOutput


@dataclass(frozen=True)
class RowToRemove:
    """A row whose object is gone, or has become something else."""

    output_id: str


@dataclass(frozen=True)
class ObjectToRemove:
    """An object that an attempt at a job put, of which no row speaks, and which nobody waits for any more."""

    key: str


Change = RowToPut | RowToRemove | ObjectToRemove


def index_objects(keys: Sequence[str], *, ports: IndexingPorts) -> None:
    """Do ``index_object`` for each key, whatever it raises for another; raise the first failure at the end."""
    do_each(keys, lambda key: index_object(key, ports=ports), id_of=_id_of)


def index_object(key: str, *, ports: IndexingPorts) -> None:
    """Make the row of one object as it must be: there if the object is there, gone if it is gone.

    Whether OSS percent-encodes keys in events is stated nowhere, so both readings of ``key`` are looked after; asking
    for an object that is not there does no harm. Raises StorageUnavailableError, StorageRefusedError and
    DatabaseUnavailableError, after which the event is delivered again.
    """
    for reading in dict.fromkeys((key, unquote(key))):
        follow_object(reading, ports=ports, write=partial(write_change, outputs=ports.outputs))


def index_job(job_id: str, *, ports: IndexingPorts) -> int:
    """Do that for every object below the job's prefix and return their number; 0 for a job that is not known."""
    job = ports.jobs.get(job_id)
    if job is None:
        return 0
    # The whole list first: one that breaks off raises, and nothing has been done by half of it.
    found = [each.key for each in ports.store.list(job_prefix(job))]
    write = partial(write_change, outputs=ports.outputs)
    do_each(found, lambda key: follow_object(key, ports=ports, write=write), id_of=_id_of)
    return len(found)


def follow_late_objects(job: Job, *, ports: IndexingPorts) -> None:
    """Index what attempts at a job that has ended have put and could not say, and remove it if the job is unwanted.

    To be called by who ends the job, once that is written; for a job that is unwanted by each attempt, too, that was
    overtaken. The latter comes after the object and reads the job; the former comes after the end and looks for the
    object: so one of the two meets both. Raises what ``index_object`` raises.
    """
    keys = [intent.output.oss_path for intent in ports.outputs.intents_of_job(job.id)]
    write = partial(_write_or_remove, ports=ports)
    do_each(keys, lambda key: follow_object(key, ports=ports, write=write), id_of=_id_of)


def _write_or_remove(change: Change, *, ports: IndexingPorts) -> bool:
    if not isinstance(change, ObjectToRemove):
        return write_change(change, outputs=ports.outputs)
    log.info("an object that came too late is removed", extra={"job_id": _id_of(change.key)})
    ports.store.delete(change.key)
    return True


def _id_of(key: str) -> str:
    """Return what a log may hold of a key, which names its user."""
    return key.rpartition("/")[0].rpartition("/")[2]


def job_prefix(job: Job) -> str:
    """Return what the keys of a job's outputs begin with."""
    return prefix_of_job(job.user_id, job.id)


def follow_object(key: str, *, ports: IndexingPorts, write: Callable[[Change], bool]) -> None:
    """Have ``write`` change what is not as it must be until everything is, or until ``write`` returns False."""
    try:
        parsed = ObjectKey.parse(key)
    except ValidationError:
        log.info("not the key of an output")
        return
    stored = ports.store.head(key)
    while (change := _find_change(parsed, stored, ports=ports)) and write(change):
        seen, stored = stored, ports.store.head(key)
        if stored == seen:
            return


def write_change(change: Change, *, outputs: OutputStore) -> bool:
    """Write the change of a row down; leave an object, and return False."""
    match change:
        case RowToPut(output):
            outputs.put(output)
        case RowToRemove(output_id):
            outputs.remove(output_id)
        case ObjectToRemove():
            return False
    return True


def is_same(output: JobOutput, stored: StoredObject) -> bool:
    """Tell whether the object is certainly the one that the row speaks of: of equal size and CRC-64."""
    return stored.crc64 is not None and is_stored(output, stored)


def is_unwanted(job: Job | None) -> TypeGuard[Job]:
    """Tell whether the job has ended without success, so that nobody waits for what it was about to store."""
    return job is not None and job.status in {JobStatus.FAILED, JobStatus.CANCELLED}


def _find_change(key: ObjectKey, stored: StoredObject | None, *, ports: IndexingPorts) -> Change | None:
    row = ports.outputs.get(key.output_id)
    if stored is None:
        # An intent that names the object stays: its attempt may be about to put it.
        return None if row is None else RowToRemove(row.id)
    if row is not None and is_same(row, stored):
        return None
    if ports.deletions.concerns(job_id=key.job_id, output_id=key.output_id):
        # It came too late, or is about to go. The deletion's second look takes it away.
        return None
    job = ports.jobs.get(key.job_id)
    if job is not None and not job.status.final:
        # While a job is at work its keys are its own; who ends it looks at them again.
        return None
    intent = _find_intent(key, outputs=ports.outputs)
    if intent is not None and is_unwanted(job):
        # The intent stays until it is an hour old: it proves whose an object is that comes later still.
        return ObjectToRemove(str(key)) if row is None and is_same(intent.output, stored) else None
    if intent is not None and is_same(intent.output, stored):
        # The function put it and could not say so. What it knew of the object need not be read again.
        return RowToPut(intent.output)
    facts = _read_facts(str(key), stored, ports=ports)
    if facts is not None:
        made = make_output(key, stored.size, facts, store=ports.store, now=ports.clock.now())
        # OSS keeps no checksum of very old objects; there the row is as good as it gets.
        return None if row is not None and (row.size, row.meta) == (made.size, made.meta) else RowToPut(made)
    return RowToRemove(row.id) if row is not None and row.size != stored.size else None


def _find_intent(key: ObjectKey, *, outputs: OutputStore) -> OutputIntent | None:
    return next((each for each in outputs.intents_of_job(key.job_id) if each.output.id == key.output_id), None)


def _read_facts(key: str, stored: StoredObject, *, ports: IndexingPorts) -> MediaFacts | None:
    """Return what the object's two ends tell, or None if it is no media."""
    ends = _ObjectEnds(stored.size, lambda start, size_bytes: ports.store.read_range(key, start, size_bytes))
    try:
        format_ = sniff_format(ends.read(SNIFF_BYTES))
        ends.seek(0)
        return ports.probe.probe(cast(BinaryIO, ends), format_.name).with_crc64(stored.crc64)
    except WrongMediaError as error:
        log.warning("an object under an output's key is no media", extra={"reason": str(error)})
        return None


class _ObjectEnds(io.RawIOBase):
    """An object as a file that ends within its first megabyte, unless it is read in its last one.

    Formats keep what the probe asks for at the start; MP4 may keep it at the end (``moov`` behind ``mdat``), and the
    probe leaps there. Each end is fetched when it is first read, so an object costs one request, at most two, and never
    more than two megabytes.
    """

    def __init__(self, size: int, read_range: Callable[[int, int], bytes]) -> None:
        self._size = size
        self._read_range = read_range
        self._position = 0
        self._ends: dict[int, bytes] = {}

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._position = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        return self._position

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # any buffer will do
        data = self._read_end(len(buffer))
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)

    def _read_end(self, size_bytes: int) -> bytes:
        tail = max(self._size - _END_BYTES, 0)
        if self._position >= self._size:
            return b""
        start = 0 if self._position < _END_BYTES else tail
        if self._position < start:
            return b""
        if start not in self._ends:
            self._ends[start] = self._read_range(start, min(_END_BYTES, self._size))
        at = self._position - start
        return self._ends[start][at : at + size_bytes]
