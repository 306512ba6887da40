"""What endpoints show of a job."""

from collections.abc import Sequence

from shared import bootstrap
from shared.domain.jobs import Job
from shared.domain.keys import MediaType
from shared.fc.http import Response, json_response
from shared.representations import OutputJson, find_and_show_job, find_and_show_outputs

_RETRY_AFTER_S = {MediaType.IMAGE: 2, MediaType.VIDEO: 10}


def show_outputs(job: Job) -> Sequence[OutputJson]:
    """Return the outputs of a job with the URLs at which they can be read now."""
    return find_and_show_outputs(job, outputs=bootstrap.outputs(), urls=bootstrap.output_urls(), index=bootstrap.index)


def show(job: Job) -> dict[str, object]:
    """Return the JSON of a job."""
    return find_and_show_job(job, outputs=bootstrap.outputs(), urls=bootstrap.output_urls(), index=bootstrap.index)


def retry_after(job: Job) -> dict[str, str]:
    """Return the header that says when to ask for a job again; none for one that has ended."""
    return {} if job.status.final else {"Retry-After": str(_RETRY_AFTER_S[job.type])}


def accepted(job: Job, applied: dict[str, str]) -> Response:
    """Answer a request that concerns a job: 200 when the job has ended, else 202."""
    headers = {"Cache-Control": "no-store", "Location": f"/jobs/{job.id}", **applied, **retry_after(job)}
    return json_response(200 if job.status.final else 202, show(job), headers=headers)
