"""Make the rows of ``job_outputs`` follow the objects in the bucket.

OSS tells of a change at least once and in any order, and perhaps not at all. So nothing is read from the event but
the key; what is true is asked of the bucket, and repeating it all changes nothing.
"""

import logging
from io import BytesIO
from urllib.parse import unquote

from shared.domain.errors import ValidationError, WrongMediaError
from shared.domain.jobs import JobStatus
from shared.domain.keys import ObjectKey
from shared.domain.media import SNIFF_BYTES, MediaFacts, sniff_format
from shared.ports import Clock, JobStore, MediaProbe, ObjectStore, OutputStore, StoredObject
from shared.services.storage import make_output

log = logging.getLogger(__name__)
_HEADER_BYTES = 1024 * 1024


def index_object(
    key: str, *, store: ObjectStore, outputs: OutputStore, jobs: JobStore, probe: MediaProbe, clock: Clock
) -> None:
    """Make the row of one object as it must be: there if the object is there, gone if it is gone.

    A job that is known writes its rows itself, and one that failed has none; only what was put or replaced after a
    job's success, or belongs to no known job, is added here. Whether OSS percent-encodes keys in events is stated
    nowhere, so both readings of ``key`` are looked after; asking for an object that is not there does no harm.
    Raises StorageUnavailableError and DatabaseUnavailableError, after which the event is delivered again.
    """
    for reading in dict.fromkeys((key, unquote(key))):
        _index(reading, store=store, outputs=outputs, jobs=jobs, probe=probe, clock=clock)


def _index(
    key: str, *, store: ObjectStore, outputs: OutputStore, jobs: JobStore, probe: MediaProbe, clock: Clock
) -> None:
    try:
        parsed = ObjectKey.parse(key)
    except ValidationError:
        log.info("not the key of an output")
        return
    stored = store.head(key)
    if stored is None:
        outputs.remove(parsed.output_id)
        return
    row = outputs.get(parsed.output_id)
    if row is not None and row.size == stored.size and row.meta.get("crc64") == str(stored.crc64):
        return
    job = jobs.get(parsed.job_id)
    if job is not None and job.status is not JobStatus.SUCCEEDED:
        return
    facts = _read_facts(key, stored, store=store, probe=probe)
    if facts is not None:
        outputs.put(make_output(parsed, stored.size, facts, store=store, now=clock.now()))
    elif row is not None and row.size != stored.size:
        outputs.remove(parsed.output_id)  # the media that it spoke of has been replaced by something else


def _read_facts(key: str, stored: StoredObject, *, store: ObjectStore, probe: MediaProbe) -> MediaFacts | None:
    """Return what the object's first megabyte tells, or None if it is no media."""
    head = store.read_start(key, _HEADER_BYTES)
    try:
        format_ = sniff_format(head[:SNIFF_BYTES])
        return probe.probe(BytesIO(head), format_.name).with_crc64(stored.crc64)
    except WrongMediaError as error:
        log.warning("an object under an output's key is no media", extra={"reason": str(error)})
        return None
