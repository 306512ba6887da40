"""What endpoints show of a job."""

from collections.abc import Callable, Sequence
from typing import TypeVar
from urllib.parse import quote

from pydantic import BaseModel

from shared import bootstrap
from shared.domain.jobs import Job, JobOutput
from shared.domain.keys import MediaType
from shared.fc.http import Response, json_response
from shared.representations import OutputJson, find_and_show_job, find_and_show_outputs, show_outputs
from shared.services.legacy import LegacyOutput
from shared.services.lists import Page

T = TypeVar("T")

_RETRY_AFTER_S = {MediaType.IMAGE: 2, MediaType.VIDEO: 10}


def show_job_outputs(job: Job) -> Sequence[OutputJson]:
    """Return the outputs of a job with the URLs at which they can be read now."""
    return find_and_show_outputs(job, outputs=bootstrap.outputs(), urls=bootstrap.output_urls(), index=bootstrap.index)


def show_found(found: Sequence[JobOutput | LegacyOutput]) -> Sequence[OutputJson]:
    """Return outputs with the URLs at which they can be read now."""
    return show_outputs(found, urls=bootstrap.output_urls())


def show(job: Job) -> dict[str, object]:
    """Return the JSON of a job."""
    return find_and_show_job(job, outputs=bootstrap.outputs(), urls=bootstrap.output_urls(), index=bootstrap.index)


def show_page(page: Page[T], show_row: Callable[[T], BaseModel]) -> Response:
    """Answer with a page of a list."""
    data = [show_row(row).model_dump(by_alias=True) for row in page.rows]
    return json_response(200, {"data": data, "nextCursor": page.next_cursor})


def retry_after(job: Job) -> dict[str, str]:
    """Return the header that says when to ask for a job again; none for one that has ended."""
    return {} if job.status.final else {"Retry-After": str(_RETRY_AFTER_S[job.type])}


def accepted(job: Job, applied: dict[str, str]) -> Response:
    """Answer a request that concerns a job: 200 when the job has ended, else 202."""
    headers = {"Location": f"/jobs/{quote(job.id, safe='')}", **applied, **retry_after(job)}
    return json_response(200 if job.status.final else 202, show(job), headers=headers)
