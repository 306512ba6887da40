"""The answers that several endpoints share."""

from collections.abc import Callable
from typing import TypeVar
from urllib.parse import quote

from pydantic import BaseModel

from shared import bootstrap
from shared.domain.idempotency import Answer
from shared.domain.jobs import Job
from shared.domain.media_type import MediaType
from shared.fc.http import Response, json_response
from shared.services.reading import Page

T = TypeVar("T")

# When to repeat a request about an unfinished job or an unfinished deletion.
_JOB_RETRY_AFTER_S = {MediaType.IMAGE: 2, MediaType.VIDEO: 10}
_DELETION_RETRY_AFTER_S = 10


def page_response(page: Page[T], show_row: Callable[[T], BaseModel]) -> Response:
    """Return a page of a list."""
    return json_response(200, {"data": [to_json(show_row(row)) for row in page.rows], "nextCursor": page.next_cursor})


def job_answer(job: Job, applied: dict[str, str]) -> Answer:
    """Return the answer to a request that changes a job: 200 if the job has ended, otherwise 202.

    ``applied`` is the header ``Preference-Applied``, if the request had preferences.
    """
    headers = {"Location": f"/jobs/{quote(job.id, safe='')}", **applied, **job_retry_after(job)}
    return Answer(200 if job.status.final else 202, headers, to_json(bootstrap.job_presenter().show_job(job)))


def answer_response(answer: Answer) -> Response:
    """Return an answer about a job as an HTTP response."""
    return json_response(answer.status, answer.body, headers=answer.headers)


def deletion_response(body: BaseModel) -> Response:
    """Return the 202 of a deletion that has not ended."""
    return json_response(202, to_json(body), headers={"Retry-After": str(_DELETION_RETRY_AFTER_S)})


def job_retry_after(job: Job) -> dict[str, str]:
    """Return the header that says when to ask for a job again; no header if the job has ended."""
    return {} if job.status.final else {"Retry-After": str(_JOB_RETRY_AFTER_S[job.type])}


def to_json(body: BaseModel) -> dict[str, object]:
    """Return a model as JSON values with the names of the API."""
    return body.model_dump(by_alias=True, mode="json")
