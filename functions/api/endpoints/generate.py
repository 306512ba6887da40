"""Start jobs."""

from functools import partial

from api_models import ImageRequest, VideoRequest
from api_responses import answer_response, job_answer
from quota_headers import quota_headers, quota_problem
from request_parsing import DEFAULT_WAIT_S, read_idempotency_key, read_prefer
from routing import Request
from shared import bootstrap
from shared.domain.errors import QuotaExceededError
from shared.domain.media_type import MediaType
from shared.fc.http import Response
from shared.services.starting import JobOrder, StartCommand, start_job


def generate_image(request: Request[ImageRequest]) -> Response:
    """Start an image job."""
    return _start(request, JobOrder(MediaType.IMAGE, **request.input.model_dump()))


def generate_video(request: Request[VideoRequest]) -> Response:
    """Start a video job."""
    return _start(request, JobOrder(MediaType.VIDEO, **request.input.model_dump()))


def _start(request: Request[ImageRequest] | Request[VideoRequest], order: JobOrder) -> Response:
    wait_s, applied = read_prefer(request.event, DEFAULT_WAIT_S[order.type])
    command = StartCommand(request.user_id, order, wait_s, read_idempotency_key(request.event))
    try:
        started = start_job(command, partial(job_answer, applied=applied), ports=bootstrap.start_ports())
    except QuotaExceededError as error:
        return quota_problem(error, bootstrap.quotas())
    response = answer_response(started.answer)
    return response if started.quota is None else response.with_headers(quota_headers(started.quota))
