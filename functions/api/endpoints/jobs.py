"""Read and cancel jobs."""

from conditional import conditional_response
from endpoints.showing import accepted, retry_after, show, show_outputs
from reading import read_prefer
from routing import Request
from schemas import NoInput
from shared import bootstrap
from shared.fc.http import Response
from shared.services import jobs as jobs_service


def get_job(request: Request[NoInput], job_id: str) -> Response:
    """Show one job, waiting for its end when asked to."""
    wait_s, applied = read_prefer(request.event, 0)
    job = jobs_service.get_job(job_id, request.user_id, jobs=bootstrap.jobs())
    job = jobs_service.wait_for_end(job, wait_s, jobs=bootstrap.jobs(), clock=bootstrap.clock())
    return conditional_response(request.event, show(job), {**applied, **retry_after(job)})


def get_job_outputs(request: Request[NoInput], job_id: str) -> Response:
    """Show the outputs of a job; one from before there were rows has what is known of it."""
    job = jobs_service.get_job(job_id, request.user_id, jobs=bootstrap.jobs())
    data = [output.model_dump(by_alias=True) for output in show_outputs(job)]
    return conditional_response(request.event, {"data": data})


def cancel_job(request: Request[NoInput], job_id: str) -> Response:
    """Ask for a job to be cancelled, which happens at its next step."""
    job = jobs_service.cancel_job(
        job_id, request.user_id, jobs=bootstrap.jobs(), dispatcher=bootstrap.dispatcher(), clock=bootstrap.clock()
    )
    return accepted(job, {})
