"""The storage functions: temp file → OSS → row in ``job_outputs`` → removal of the temp file.

No image or video stays on a local disk, and the database keeps only a reference.
"""

import base64
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import chain
from typing import assert_never

from shared.domain.errors import (
    ChecksumMismatchError,
    MediaTooLargeError,
    ObjectExistsError,
    ProviderRefusedError,
    StorageUnavailableError,
    WrongMediaError,
)
from shared.domain.jobs import Job, JobOutput, OutputIntent, lease_from
from shared.domain.keys import ObjectKey, temp_name
from shared.domain.media import SNIFF_BYTES, MediaFacts, MediaFormat, MediaLimits, sniff_format
from shared.ports import (
    Clock,
    Downloads,
    MediaBase64,
    MediaProbe,
    MediaUrl,
    ObjectStore,
    OutputStore,
    RefusedResult,
    Result,
    StoredObject,
    TempFile,
    TempFiles,
)

TEMP_FILE_MAX_AGE = timedelta(hours=24)
_BASE64_SLICE = 256 * 1024  # a multiple of 4, so that every slice is valid base64


@dataclass(frozen=True)
class StoragePorts:
    """The ports that the storage functions use, and the limits of the media that they store."""

    store: ObjectStore
    outputs: OutputStore
    temp: TempFiles
    probe: MediaProbe
    downloads: Downloads
    clock: Clock
    limits: MediaLimits


def _nothing() -> None:
    """Do nothing for a chunk."""


def save_temp_file(
    job: Job,
    position: int,
    chunks: Iterable[bytes],
    *,
    ports: StoragePorts,
    on_chunk: Callable[[], None] = _nothing,
) -> tuple[TempFile, MediaFormat]:
    """Save the chunks as the temp file ``{jobId}.{ext}``, and return the file and its format.

    ``on_chunk`` is called for every chunk. The bytes decide about the extension. Raises WrongMediaError before the disk
    is touched (not an image or a video, or an image instead of a video), MediaTooLargeError and TempDiskFullError; no
    error leaves a file behind.
    """
    source = iter(chunks)
    head = _read_head(source)
    format_ = sniff_format(head)
    if format_.type is not job.type:
        raise WrongMediaError(f"expected {_article(job.type)}, got {format_.name}, which is {_article(format_.type)}")
    limited = _limit(chain([head], source), ports.limits.max_bytes[job.type], on_chunk)
    return ports.temp.write(temp_name(job.id, position, format_.ext), limited), format_


def upload_job_output(
    job: Job,
    position: int,
    file: TempFile,
    format_: MediaFormat,
    *,
    ports: StoragePorts,
    on_chunk: Callable[[], None] = _nothing,
) -> JobOutput:
    """Upload a temp file to OSS, verify the object and write its row.

    ``on_chunk`` is called before the probe reads the file, and for each block of the upload.

    A crash before or during the upload leaves a temp file and an intent without an object, because OSS shows no half
    objects. A crash after the upload leaves an object and its intent, from which the next attempt makes the row. A
    crash after the row leaves only the temp file. Raises WrongMediaError, MediaTooLargeError, StorageRefusedError,
    StorageUnavailableError, ChecksumMismatchError, LeaseLostError or DatabaseUnavailableError.
    """
    on_chunk()  # the probe cannot renew the lease; now two thirds of it are left, more than a probe may take
    facts = ports.probe.probe(file.path, format_.name)
    _check_pixels(facts, ports.limits.max_pixels)
    key = ObjectKey.for_output(
        user_id=job.user_id,
        job_id=job.id,
        type=job.type,
        created_at=job.created_at,
        position=position,
        ext=format_.ext,
    )
    output = make_output(key, file.size, facts.with_crc64(file.crc64), store=ports.store, now=ports.clock.now())
    intent = OutputIntent(output, position, job.attempt)
    ports.outputs.intend(intent, lease_expires_at=lease_from(ports.clock.now()))
    stored = _put(job, position, file, format_, key, ports=ports, on_chunk=on_chunk)
    if not is_stored(output, stored):
        raise ChecksumMismatchError("the object in OSS differs from the uploaded file in size or CRC-64")
    _commit(intent, ports=ports)
    return output


def _put(
    job: Job,
    position: int,
    file: TempFile,
    format_: MediaFormat,
    key: ObjectKey,
    *,
    ports: StoragePorts,
    on_chunk: Callable[[], None],
) -> StoredObject:
    """Upload the file, and return what OSS reports about the object."""
    try:
        return ports.store.put(
            str(key),
            file.path,
            content_type=format_.content_type,
            meta={"user": job.user_id, "job": job.id, "position": str(position)},
            on_block=on_chunk,
        )
    except (ObjectExistsError, StorageUnavailableError):
        # The object may exist nevertheless: from an earlier attempt, or from this one if OSS's answer was lost.
        stored = ports.store.head(str(key))
        if stored is None:
            raise
        return stored


def is_stored(output: JobOutput, stored: StoredObject) -> bool:
    """Return whether the object in OSS has the size of ``output``, and its CRC-64 where OSS has a checksum."""
    return stored.size == output.size and (stored.crc64 is None or str(stored.crc64) == output.meta.get("crc64"))


def _commit(intent: OutputIntent, *, ports: StoragePorts) -> None:
    """Write the row of an intent whose object is in OSS. Raises LeaseLostError or DatabaseUnavailableError."""
    ports.outputs.commit(intent, lease_expires_at=lease_from(ports.clock.now()))


def commit_earlier_uploads(job: Job, *, ports: StoragePorts) -> None:
    """Write the rows of objects that an earlier attempt uploaded before it died.

    Raises StorageRefusedError, StorageUnavailableError, LeaseLostError or DatabaseUnavailableError.
    """
    for intent in ports.outputs.intents_of_job(job.id):
        stored = ports.store.head(intent.output.oss_path)
        if stored is not None and is_stored(intent.output, stored):
            _commit(replace(intent, attempt=job.attempt), ports=ports)


def upload_job_output_from_source(
    job: Job,
    position: int,
    source: Result,
    *,
    ports: StoragePorts,
    on_chunk: Callable[[], None] = _nothing,
) -> JobOutput:
    """Store one result of the provider: one at a URL, or one inside the provider's answer.

    Raises the errors of ``save_temp_file``, ``upload_job_output`` and the download; ProviderRefusedError: the provider
    refused to deliver this result.
    """
    match source:
        case MediaUrl(url):
            chunks: Iterable[bytes] = ports.downloads.stream(url, max_bytes=ports.limits.max_bytes[job.type])
        case MediaBase64(text):
            chunks = _decode(text)
        case RefusedResult(reason):
            raise ProviderRefusedError(reason)
        case _:
            assert_never(source)
    file, format_ = save_temp_file(job, position, chunks, ports=ports, on_chunk=on_chunk)
    return upload_job_output(job, position, file, format_, ports=ports, on_chunk=on_chunk)


def get_job_outputs(job_id: str, *, outputs: OutputStore) -> Sequence[JobOutput]:
    """Return all outputs of a job, ordered by position; jobs of the previous system may have no rows."""
    return outputs.of_job(job_id)


def cleanup_job_temp_files(job_id: str, *, temp: TempFiles) -> int:
    """Remove a job's temp files and return their number. Never raises, so a failed clean-up blocks nothing."""
    return temp.remove_of_job(job_id)


def cleanup_old_temp_files(*, temp: TempFiles, now: datetime, max_age: timedelta = TEMP_FILE_MAX_AGE) -> int:
    """Remove temp files older than 24 hours and return their number."""
    return temp.remove_older(max_age, now)


def make_output(key: ObjectKey, size: int, facts: MediaFacts, *, store: ObjectStore, now: datetime) -> JobOutput:
    """Return the row of an object that is in OSS."""
    return JobOutput(
        id=key.output_id,
        job_id=key.job_id,
        user_id=key.user_id,
        type=key.type,
        oss_url=store.url(str(key)),
        oss_path=str(key),
        size=size,
        meta=facts.to_meta(key.type),
        created_at=now,
    )


def _read_head(source: Iterator[bytes]) -> bytes:
    head = b""
    for chunk in source:
        head += chunk
        if len(head) >= SNIFF_BYTES:
            break
    return head


def _limit(chunks: Iterable[bytes], max_bytes: int, on_chunk: Callable[[], None]) -> Iterator[bytes]:
    size = 0
    for chunk in chunks:
        on_chunk()
        size += len(chunk)
        if size > max_bytes:
            raise MediaTooLargeError(f"the file is larger than {max_bytes} bytes")
        yield chunk


def _decode(text: str) -> Iterator[bytes]:
    for start in range(0, len(text), _BASE64_SLICE):
        try:
            yield base64.b64decode(text[start : start + _BASE64_SLICE], validate=True)
        except ValueError as error:
            raise WrongMediaError("the image in the provider's answer is not valid base64") from error


def _check_pixels(facts: MediaFacts, max_pixels: int) -> None:
    if facts.width and facts.height and facts.width * facts.height > max_pixels:
        raise MediaTooLargeError(f"{facts.width}x{facts.height} exceeds the limit of {max_pixels} pixels")


def _article(type_: str) -> str:
    return "an image" if type_ == "image" else "a video"
