"""Read, cancel and delete jobs."""

from api_models import JobsQuery, NoInput
from api_responses import answer_response, job_answer, job_retry_after, page_response, to_json
from etags import conditional_json_response
from request_parsing import read_prefer
from routing import Request
from shared import bootstrap
from shared.domain.jobs import JobStatus
from shared.domain.media_type import MediaType
from shared.fc.http import Response
from shared.services import deletion_requests
from shared.services import jobs as jobs_service
from shared.services.reading import ListQuery, list_jobs, read_job


def get_jobs(request: Request[JobsQuery]) -> Response:
    """List the caller's jobs with their outputs, the newest first."""
    wanted = request.input
    query = ListQuery(
        user_id=request.user_id,
        limit=wanted.limit,
        cursor=wanted.cursor,
        type=MediaType(wanted.type) if wanted.type else None,
        status=JobStatus(wanted.status) if wanted.status else None,
    )
    page = list_jobs(query, ports=bootstrap.read_ports())
    return page_response(page, bootstrap.job_presenter().show_listed_job)


def get_job(request: Request[NoInput], job_id: str) -> Response:
    """Read one job, and wait for its end if the request prefers to wait."""
    wait_s, applied = read_prefer(request.event, default_s=0)
    job = read_job(job_id, request.user_id, wait_s=wait_s, ports=bootstrap.read_ports())
    shown = to_json(bootstrap.job_presenter().show_job(job))
    return conditional_json_response(request.event, shown, {**applied, **job_retry_after(job)})


def get_job_outputs(request: Request[NoInput], job_id: str) -> Response:
    """List the outputs of a job. Jobs from the previous system return only what is known about them."""
    job = read_job(job_id, request.user_id, ports=bootstrap.read_ports())
    data = [to_json(output) for output in bootstrap.job_presenter().show_outputs(job)]
    return conditional_json_response(request.event, {"data": data})


def cancel_job(request: Request[NoInput], job_id: str) -> Response:
    """Request the cancellation of a job. The job ends at its next step."""
    job = jobs_service.cancel_job(job_id, request.user_id, ports=bootstrap.job_ports())
    return answer_response(job_answer(job, {}))


def delete_job(request: Request[NoInput], job_id: str) -> Response:
    """Delete a job that has ended, with its objects and its rows."""
    deletion_requests.delete_job(job_id, request.user_id, ports=bootstrap.deletion_request_ports())
    return Response(204)
