"""Make the rows of ``job_outputs`` follow the objects in the bucket.

OSS reports a change at least once and in any order, and perhaps not at all. So the key is the only part of an event
that is used. The bucket is asked for the object's state, and it is asked again after every write: the last writer of a
row has seen the object of that row, even if many write at once.

Indexing only reads the bucket (HEAD, GET of a range, list), and writes only to the database. The trigger reports
objects that are written or deleted, so indexing never triggers itself. Objects that arrive too late for a job that has
failed are removed by the attempt that uploaded them, or by the code that ended the job (``follow_late_objects``), but
not at an event.
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
    """The ports that make rows follow objects."""

    store: ObjectStore
    outputs: OutputStore
    jobs: JobStore
    deletions: DeletionStore
    probe: MediaProbe
    clock: Clock


@dataclass(frozen=True)
class RowToPut:
    """A row that is missing or out of date."""

    output: JobOutput


@dataclass(frozen=True)
class RowToRemove:
    """A row whose object does not exist any more, or has other content."""

    output_id: str


@dataclass(frozen=True)
class ObjectToRemove:
    """An object without a row that an attempt uploaded, for a job that has ended without success."""

    key: str


Change = RowToPut | RowToRemove | ObjectToRemove


def index_objects(keys: Sequence[str], *, ports: IndexingPorts) -> None:
    """Index every object, even if this fails for some of them; raise the first failure at the end."""
    do_each(keys, lambda key: index_object(key, ports=ports), id_of=_id_of)


def index_object(key: str, *, ports: IndexingPorts) -> None:
    """Write the row of an object that exists, and remove the row of an object that does not exist.

    The documentation does not say whether OSS percent-encodes keys in events. So both readings of ``key`` are indexed;
    the wrong one names no object, which does no harm. Raises StorageUnavailableError, StorageRefusedError and
    DatabaseUnavailableError; then the event is delivered again.
    """
    for reading in dict.fromkeys((key, unquote(key))):
        follow_object(reading, ports=ports, write=partial(write_change, outputs=ports.outputs))


def index_job(job_id: str, *, ports: IndexingPorts) -> int:
    """Index every object below the job's prefix and return their number; 0 if the job does not exist."""
    job = ports.jobs.get(job_id)
    if job is None:
        return 0
    # The whole list comes first: if it breaks off, it raises before anything is done.
    found = [each.key for each in ports.store.list(job_prefix(job))]
    write = partial(write_change, outputs=ports.outputs)
    do_each(found, lambda key: follow_object(key, ports=ports, write=write), id_of=_id_of)
    return len(found)


def follow_late_objects(job: Job, *, ports: IndexingPorts) -> None:
    """Index the objects that attempts have uploaded but not recorded; if the job is unwanted, remove these objects.

    Two callers must call this: the code that ends a job, after the end is written; and every attempt that lost its
    lease on a job that is unwanted. The attempt uploads its object and then reads the job; the code that ends the job
    writes the end and then looks for the object. So at least one of them sees both. Raises the errors of
    ``index_object``.
    """
    keys = [intent.output.oss_path for intent in ports.outputs.intents_of_job(job.id)]
    write = partial(_write_or_remove, ports=ports)
    do_each(keys, lambda key: follow_object(key, ports=ports, write=write), id_of=_id_of)


def _write_or_remove(change: Change, *, ports: IndexingPorts) -> bool:
    if not isinstance(change, ObjectToRemove):
        return write_change(change, outputs=ports.outputs)
    log.info("an object that arrived too late is removed", extra={"job_id": _id_of(change.key)})
    ports.store.delete(change.key)
    return True


def _id_of(key: str) -> str:
    """Return the job's id. Logs must not contain the whole key, because the user's id is part of it."""
    return key.rpartition("/")[0].rpartition("/")[2]


def job_prefix(job: Job) -> str:
    """Return the prefix of the keys of a job's outputs."""
    return prefix_of_job(job.user_id, job.id)


def follow_object(key: str, *, ports: IndexingPorts, write: Callable[[Change], bool]) -> None:
    """Call ``write`` with the necessary changes until none is left, or until ``write`` returns False."""
    try:
        parsed = ObjectKey.parse(key)
    except ValidationError:
        log.info("the key is not the key of an output")
        return
    stored = ports.store.head(key)
    while (change := _find_change(parsed, stored, ports=ports)) and write(change):
        seen, stored = stored, ports.store.head(key)
        if stored == seen:
            return


def write_change(change: Change, *, outputs: OutputStore) -> bool:
    """Write the change of a row and return True; for a change of an object, do nothing and return False."""
    match change:
        case RowToPut(output):
            outputs.put(output)
        case RowToRemove(output_id):
            outputs.remove(output_id)
        case ObjectToRemove():
            return False
    return True


def is_same(output: JobOutput, stored: StoredObject) -> bool:
    """Return whether the object certainly is the object of the row: its size and CRC-64 are equal."""
    return stored.crc64 is not None and is_stored(output, stored)


def is_unwanted(job: Job | None) -> TypeGuard[Job]:
    """Return whether the job has ended without success, so that nobody needs its outputs."""
    return job is not None and job.status in {JobStatus.FAILED, JobStatus.CANCELLED}


def _find_change(key: ObjectKey, stored: StoredObject | None, *, ports: IndexingPorts) -> Change | None:
    row = ports.outputs.get(key.output_id)
    if stored is None:
        # An intent of the object stays: its attempt may be about to upload the object.
        return None if row is None else RowToRemove(row.id)
    if row is not None and is_same(row, stored):
        return None
    if ports.deletions.concerns(job_id=key.job_id, output_id=key.output_id):
        # The object arrived too late, or is about to be deleted. The second run of the deletion deletes it.
        return None
    job = ports.jobs.get(key.job_id)
    if job is not None and not job.status.final:
        # An unfinished job owns its keys; the code that ends the job looks at them again.
        return None
    intent = _find_intent(key, outputs=ports.outputs)
    if intent is not None and is_unwanted(job):
        # The intent stays until it is an hour old: it proves the origin of an object that arrives even later.
        return ObjectToRemove(str(key)) if row is None and is_same(intent.output, stored) else None
    if intent is not None and is_same(intent.output, stored):
        # The function uploaded the object but could not record it. The intent has the facts already.
        return RowToPut(intent.output)
    facts = _read_facts(str(key), stored, ports=ports)
    if facts is not None:
        made = make_output(key, stored.size, facts, store=ports.store, now=ports.clock.now())
        # OSS has no checksum of very old objects: then an equal row is good enough.
        return None if row is not None and (row.size, row.meta) == (made.size, made.meta) else RowToPut(made)
    return RowToRemove(row.id) if row is not None and row.size != stored.size else None


def _find_intent(key: ObjectKey, *, outputs: OutputStore) -> OutputIntent | None:
    return next((each for each in outputs.intents_of_job(key.job_id) if each.output.id == key.output_id), None)


def _read_facts(key: str, stored: StoredObject, *, ports: IndexingPorts) -> MediaFacts | None:
    """Return the facts in the two ends of the object, or None if the object is not an image or a video."""
    ends = _ObjectEnds(stored.size, lambda start, size_bytes: ports.store.read_range(key, start, size_bytes))
    try:
        format_ = sniff_format(ends.read(SNIFF_BYTES))
        ends.seek(0)
        return ports.probe.probe(cast(BinaryIO, ends), format_.name).with_crc64(stored.crc64)
    except WrongMediaError as error:
        log.warning("an object with the key of an output is not an image or a video", extra={"reason": str(error)})
        return None


class _ObjectEnds(io.RawIOBase):
    """An object that is read like a file, and of which only the first and the last mebibyte are readable.

    Formats have their headers at the start; MP4 may have them at the end (``moov`` behind ``mdat``), and the probe
    seeks there. Each end is fetched at its first read, so an object costs one or two requests, and at most two
    mebibytes.
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

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # any buffer works
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
