"""What endpoints show of a job."""

from collections.abc import Callable, Sequence
from typing import TypeVar
from urllib.parse import quote

from pydantic import BaseModel

from shared import bootstrap
from shared.domain.jobs import Job, JobOutput, JobStatus
from shared.domain.keys import MediaType
from shared.fc.http import Response, json_response
from shared.representations import OutputJson, show_job, show_output
from shared.services.legacy import LegacyOutput, find_outputs
from shared.services.lists import Page

T = TypeVar("T")

_RETRY_AFTER_S = {MediaType.IMAGE: 2, MediaType.VIDEO: 10}


def show_outputs(job: Job) -> Sequence[OutputJson]:
    """Return the outputs of a job."""
    found = find_outputs(
        job,
        outputs=bootstrap.outputs(),
        key_of=bootstrap.output_urls().key_of,
        index=lambda job: bootstrap.dispatcher().index(job),  # only a job without rows pays for the HTTP client
    )
    return show_found(found)


def show_found(found: Sequence[JobOutput | LegacyOutput]) -> Sequence[OutputJson]:
    """Return outputs with the URLs at which they can be read now."""
    return [_show_output(output) for output in found]


def _show_output(output: JobOutput | LegacyOutput) -> OutputJson:
    if isinstance(output, JobOutput):
        urls = bootstrap.output_urls()
        return show_output(output, urls.url_of(output), urls.thumbnail_of(output))
    return show_output(output, output.oss_url, None)


def show(job: Job) -> dict[str, object]:
    """Return the JSON of a job."""
    # While a job is at work its rows come one by one; they are shown when it is done.
    outputs = show_outputs(job) if job.status is JobStatus.SUCCEEDED else ()
    return show_job(job, outputs).model_dump(by_alias=True)


def show_page(page: Page[T], show_row: Callable[[T], BaseModel]) -> Response:
    """Answer with a page of a list."""
    data = [show_row(row).model_dump(by_alias=True) for row in page.rows]
    return json_response(200, {"data": data, "nextCursor": page.next_cursor}, headers={"Cache-Control": "no-store"})


def retry_after(job: Job) -> dict[str, str]:
    """Return the header that says when to ask for a job again; none for one that has ended."""
    return {} if job.status.final else {"Retry-After": str(_RETRY_AFTER_S[job.type])}


def accepted(job: Job, applied: dict[str, str]) -> Response:
    """Answer a request that concerns a job: 200 when the job has ended, else 202."""
    headers = {"Location": f"/jobs/{quote(job.id, safe='')}", **applied, **retry_after(job)}
    return json_response(200 if job.status.final else 202, show(job), headers=headers)
