"""Start jobs."""

import hashlib
import json
import uuid

from endpoints.showing import accepted
from reading import read_idempotency_key, read_prefer
from routing import Request
from schemas import GenerateRequest, ImageRequest, VideoRequest
from shared import bootstrap
from shared.domain.jobs import Job
from shared.domain.keys import MediaType
from shared.domain.models import DEFAULT_DURATION_S, Model, Size, choose_model
from shared.fc.http import Response
from shared.services import jobs as jobs_service

_DEFAULT_WAIT_S = {MediaType.IMAGE: 30, MediaType.VIDEO: 0}


def generate_image(request: Request[ImageRequest]) -> Response:
    """Start an image job."""
    model = choose_model(request.input.model, MediaType.IMAGE, from_image=False)
    return _start(request, _new_job(request, model, count=request.input.count))


def generate_video(request: Request[VideoRequest]) -> Response:
    """Start a video job."""
    wanted = request.input
    model = choose_model(wanted.model, MediaType.VIDEO, from_image=wanted.image_url is not None)
    duration = DEFAULT_DURATION_S if wanted.duration is None else wanted.duration
    model.check_duration(duration)
    return _start(request, _new_job(request, model, duration=duration, image_url=wanted.image_url))


def _new_job(
    request: Request[ImageRequest] | Request[VideoRequest],
    model: Model,
    *,
    count: int = 1,
    duration: int | None = None,
    image_url: str | None = None,
) -> Job:
    wanted: GenerateRequest = request.input
    size = model.default_size if wanted.size is None else Size.parse(wanted.size)
    model.sizes.check(size)
    body = json.dumps([request.event.path, wanted.model_dump(exclude_unset=True)], sort_keys=True)
    return jobs_service.first_attempt_due(
        Job(
            id=str(uuid.uuid4()),
            user_id=request.user_id,
            type=model.type,
            prompt=wanted.prompt,
            model=model.name,
            size=str(size),
            created_at=bootstrap.clock().now(),
            negative_prompt=wanted.negative_prompt,
            seed=wanted.seed,
            count=count,
            duration=duration,
            image_url=image_url,
            webhook_url=wanted.webhook_url,
            idempotency_key=read_idempotency_key(request.event),
            request_hash=hashlib.sha256(body.encode()).hexdigest(),
            warnings=model.warnings(wanted.prompt, wanted.negative_prompt, wanted.seed),
        )
    )


def _start(request: Request[ImageRequest] | Request[VideoRequest], job: Job) -> Response:
    wait_s, applied = read_prefer(request.event, _DEFAULT_WAIT_S[job.type])
    job = jobs_service.start_job(job, jobs=bootstrap.jobs(), dispatcher=bootstrap.dispatcher())
    job = jobs_service.wait_for_end(job, wait_s, jobs=bootstrap.jobs(), clock=bootstrap.clock())
    return accepted(job, applied)
