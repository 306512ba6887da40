"""Read, cancel and delete jobs."""

from conditional import conditional_response
from endpoints.showing import accepted, retry_after, show, show_found, show_job_outputs, show_page
from reading import read_prefer
from routing import Request
from schemas import JobsQuery, NoInput
from shared import bootstrap
from shared.domain.jobs import JobStatus
from shared.domain.keys import MediaType
from shared.fc.http import Response
from shared.representations import show_job
from shared.services import deletion
from shared.services import jobs as jobs_service
from shared.services.lists import ListQuery, list_jobs


def get_jobs(request: Request[JobsQuery]) -> Response:
    """List the caller's jobs, the newest first, with their outputs."""
    wanted = request.input
    query = ListQuery(
        user_id=request.user_id,
        limit=wanted.limit,
        cursor=wanted.cursor,
        type=MediaType(wanted.type) if wanted.type else None,
        status=JobStatus(wanted.status) if wanted.status else None,
    )
    page = list_jobs(query, jobs=bootstrap.jobs(), outputs=bootstrap.outputs(), key_of=bootstrap.output_urls().key_of)
    return show_page(page, lambda listed: show_job(listed.job, show_found(listed.outputs)))


def get_job(request: Request[NoInput], job_id: str) -> Response:
    """Show one job, waiting for its end when asked to."""
    wait_s, applied = read_prefer(request.event, 0)
    job = jobs_service.get_job(job_id, request.user_id, jobs=bootstrap.jobs())
    job = jobs_service.wait_for_end(job, wait_s, jobs=bootstrap.jobs(), clock=bootstrap.clock())
    return conditional_response(request.event, show(job), {**applied, **retry_after(job)})


def get_job_outputs(request: Request[NoInput], job_id: str) -> Response:
    """Show the outputs of a job; one from before there were rows has what is known of it."""
    job = jobs_service.get_job(job_id, request.user_id, jobs=bootstrap.jobs())
    data = [output.model_dump(by_alias=True) for output in show_job_outputs(job)]
    return conditional_response(request.event, {"data": data})


def cancel_job(request: Request[NoInput], job_id: str) -> Response:
    """Ask for a job to be cancelled, which happens at its next step."""
    job = jobs_service.cancel_job(
        job_id, request.user_id, jobs=bootstrap.jobs(), dispatcher=bootstrap.dispatcher(), clock=bootstrap.clock()
    )
    return accepted(job, {})


def delete_job(request: Request[NoInput], job_id: str) -> Response:
    """Delete a job that has ended, with its objects and its rows."""
    deletion.delete_job(
        job_id,
        request.user_id,
        jobs=bootstrap.jobs(),
        deletions=bootstrap.deletions(),
        dispatcher=bootstrap.dispatcher(),
        clock=bootstrap.clock(),
    )
    return Response(204)
