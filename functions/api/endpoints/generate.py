"""Start jobs."""

import hashlib
import json
import uuid

from endpoints.limits import limit_headers, refuse
from endpoints.showing import accepted, show
from reading import read_idempotency_key, read_prefer
from routing import Request
from schemas import GenerateRequest, ImageRequest, VideoRequest
from shared import bootstrap
from shared.domain.errors import QuotaExceededError
from shared.domain.idempotency import Answer, UsedKey
from shared.domain.jobs import Job, JobStatus
from shared.domain.keys import MediaType
from shared.domain.models import DEFAULT_DURATION_S, Model, Size, choose_model
from shared.fc.http import Response, json_response
from shared.services import jobs as jobs_service
from shared.services import starting

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
            warnings=model.warnings(wanted.prompt, wanted.negative_prompt, wanted.seed),
        )
    )


def _start(request: Request[ImageRequest] | Request[VideoRequest], job: Job) -> Response:
    wait_s, applied = read_prefer(request.event, _DEFAULT_WAIT_S[job.type])
    starts, jobs = bootstrap.starts(), bootstrap.jobs()
    try:
        start = starting.start_job(
            job,
            _key_of(request, job),
            bootstrap.quotas(),
            starts=starts,
            jobs=jobs,
            dispatcher=bootstrap.dispatcher(),
        )
    except QuotaExceededError as error:
        return refuse(error, job.created_at)
    start = starting.wait_for_answer(start, wait_s, starts=starts, jobs=jobs, clock=bootstrap.clock())
    answer = accepted(start.job, applied) if start.key is None else _answer_once(start.key, start.job, applied)
    return answer if start.usage is None else answer.with_headers(limit_headers(start.usage, job.created_at))


def _key_of(request: Request[ImageRequest] | Request[VideoRequest], job: Job) -> UsedKey | None:
    key = read_idempotency_key(request.event)
    if key is None:
        return None
    # What was understood, not what was written: white space, order and defaults make no other request.
    understood = json.dumps([request.event.path, request.input.model_dump(exclude_defaults=True)], sort_keys=True)
    return UsedKey(job.user_id, key, hashlib.sha256(understood.encode()).hexdigest(), job.id, job.created_at)


def _answer_once(used: UsedKey, job: Job, applied: dict[str, str]) -> Response:
    """Answer as the key's first request was answered, which may be this one."""
    if used.answer is not None:
        return _replay(used.answer, job)
    response = accepted(job, applied)
    mine = Answer(response.status, response.headers, {**json.loads(response.body), "outputs": []})
    first, job = starting.keep_answer(used, job, mine, starts=bootstrap.starts(), jobs=bootstrap.jobs())
    return response if first == mine else _replay(first, job)


def _replay(answer: Answer, job: Job) -> Response:
    # Signed URLs are made anew; only what was answered as succeeded has outputs.
    outputs = show(job)["outputs"] if answer.body["status"] == JobStatus.SUCCEEDED else []
    return json_response(answer.status, {**answer.body, "outputs": outputs}, headers=answer.headers)
