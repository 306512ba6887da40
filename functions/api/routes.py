"""Every route: read the request, call one use case, show its result."""

import hashlib
import json
import re
import uuid
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import pydantic

import schemas
from shared import bootstrap
from shared.domain.errors import (
    BadRequestError,
    BodyTooLargeError,
    NotFoundError,
    UnsupportedTypeError,
    ValidationError,
)
from shared.domain.jobs import Job, JobOutput, JobStatus
from shared.domain.keys import MediaType
from shared.domain.models import DEFAULT_DURATION_S, Model, Size, choose_model
from shared.fc.events import HttpEvent
from shared.fc.http import Response, json_response, problem
from shared.observability import request_id
from shared.services import jobs as jobs_service
from shared.services.legacy import find_outputs
from shared.settings import RuntimeSettings

B = TypeVar("B", bound=pydantic.BaseModel)
VERSION = "0.1.0"
MAX_BODY_BYTES = 256 * 1024
MAX_WAIT_S = 60
_RETRY_AFTER_S = {MediaType.IMAGE: 2, MediaType.VIDEO: 10}
_DEFAULT_WAIT_S = {MediaType.IMAGE: 30, MediaType.VIDEO: 0}
_METHODS_ALLOWED = "GET, HEAD, POST, OPTIONS"
_IDEMPOTENCY_KEY = re.compile(r"[\x20-\x7e]{1,255}")


def answer(event: HttpEvent) -> Response:
    """Route one request."""
    if event.method == "OPTIONS":
        return Response(204, headers={"Allow": _METHODS_ALLOWED})
    for pattern, methods in _ROUTES:
        if match := re.fullmatch(pattern, event.path):
            method = "GET" if event.method == "HEAD" else event.method
            if handler := methods.get(method):
                return handler(event, *match.groups())
            return _refuse_method(event, methods)
    raise NotFoundError("there is no such route")


def _refuse_method(event: HttpEvent, methods: Iterable[str]) -> Response:
    allowed = [*methods, "OPTIONS", *(["HEAD"] if "GET" in methods else [])]
    detail = f"{event.method} is not allowed here"
    return problem(405, "method_not_allowed", detail, request_id.get(), headers={"Allow": ", ".join(allowed)})


def cors_headers(event: HttpEvent) -> dict[str, str]:
    """Return what lets a page of a configured origin read the answer; an error's answer too."""
    origin = event.headers.get("origin")
    if origin is None or origin not in RuntimeSettings.read().cors_origins:
        return {}
    return {
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Allow-Methods": _METHODS_ALLOWED,
        "Access-Control-Allow-Headers": "Authorization, Content-Type, Idempotency-Key, Prefer",
        "Access-Control-Expose-Headers": "Location, Preference-Applied, Retry-After",
        "Access-Control-Max-Age": "600",
        "Vary": "Origin",
    }


def healthz(event: HttpEvent) -> Response:
    """Say that the function runs, and which version of it."""
    return json_response(200, {"status": "ok", "version": VERSION, "functionVersion": RuntimeSettings.read().version})


def generate_image(event: HttpEvent) -> Response:
    """Start an image job."""
    user_id = _authenticate(event)
    request = _read_body(event, schemas.ImageRequest)
    model = choose_model(request.model, MediaType.IMAGE, from_image=False)
    return _start(event, _new_job(event, user_id, request, model, count=request.count))


def generate_video(event: HttpEvent) -> Response:
    """Start a video job."""
    user_id = _authenticate(event)
    request = _read_body(event, schemas.VideoRequest)
    model = choose_model(request.model, MediaType.VIDEO, from_image=request.image_url is not None)
    duration = DEFAULT_DURATION_S if request.duration is None else request.duration
    model.check_duration(duration)
    return _start(event, _new_job(event, user_id, request, model, duration=duration, image_url=request.image_url))


def get_job(event: HttpEvent, job_id: str) -> Response:
    """Show one job, waiting for its end when asked to."""
    user_id = _authenticate(event)
    wait_s, applied = _read_prefer(event, 0)
    job = jobs_service.get_job(job_id, user_id, jobs=bootstrap.jobs())
    job = jobs_service.wait_for_end(job, wait_s, jobs=bootstrap.jobs(), clock=bootstrap.clock())
    pending = {} if job.status.final else {"Retry-After": str(_RETRY_AFTER_S[job.type])}
    return json_response(200, _show(job), headers={"Cache-Control": "no-store", **applied, **pending})


def get_outputs(event: HttpEvent, job_id: str) -> Response:
    """Show the outputs of a job; one from before there were rows has what is known of it."""
    user_id = _authenticate(event)
    job = jobs_service.get_job(job_id, user_id, jobs=bootstrap.jobs())
    data = [output.model_dump(by_alias=True) for output in _show_outputs(job)]
    return json_response(200, {"data": data}, headers={"Cache-Control": "no-store"})


def cancel_job(event: HttpEvent, job_id: str) -> Response:
    """Ask for a job to be cancelled, which happens at its next step."""
    user_id = _authenticate(event)
    job = jobs_service.cancel_job(
        job_id, user_id, jobs=bootstrap.jobs(), dispatcher=bootstrap.dispatcher(), clock=bootstrap.clock()
    )
    headers = {"Cache-Control": "no-store", "Location": f"/jobs/{job.id}"}
    if job.status.final:
        return json_response(200, _show(job), headers=headers)
    return json_response(202, _show(job), headers={**headers, "Retry-After": str(_RETRY_AFTER_S[job.type])})


def _authenticate(event: HttpEvent) -> str:
    return bootstrap.token_verifier().user_of(event.headers.get("authorization"))


def _read_body(event: HttpEvent, model: type[B]) -> B:
    content_type = event.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type != "application/json":
        raise UnsupportedTypeError(f"the body must be application/json, not {content_type or 'of no type'}")
    try:
        body = event.body_bytes
    except ValueError as error:
        raise BadRequestError(str(error)) from error
    if len(body) > MAX_BODY_BYTES:
        raise BodyTooLargeError(f"the body has {len(body)} bytes, more than {MAX_BODY_BYTES}")
    try:
        return model.model_validate_json(body)
    except pydantic.ValidationError as error:
        problems = error.errors(include_url=False, include_context=False, include_input=False)
        if problems[0]["type"] == "json_invalid":
            raise BadRequestError(f"the body is no JSON: {problems[0]['msg']}") from error
        fields = [{"field": ".".join(map(str, item["loc"])) or "body", "message": item["msg"]} for item in problems]
        named = "; ".join(f"{item['field']}: {item['message']}" for item in fields)
        raise ValidationError(f"the request breaks a rule: {named}", errors=fields) from error


def _new_job(
    event: HttpEvent,
    user_id: str,
    request: schemas.GenerateRequest,
    model: Model,
    *,
    count: int = 1,
    duration: int | None = None,
    image_url: str | None = None,
) -> Job:
    size = model.default_size if request.size is None else Size.parse(request.size)
    model.sizes.check(size)
    body = json.dumps([event.path, request.model_dump(exclude_unset=True)], sort_keys=True)
    return jobs_service.first_attempt_due(
        Job(
            id=str(uuid.uuid4()),
            user_id=user_id,
            type=model.type,
            prompt=request.prompt,
            model=model.name,
            size=str(size),
            created_at=bootstrap.clock().now(),
            negative_prompt=request.negative_prompt,
            seed=request.seed,
            count=count,
            duration=duration,
            image_url=image_url,
            webhook_url=request.webhook_url,
            idempotency_key=_read_idempotency_key(event),
            request_hash=hashlib.sha256(body.encode()).hexdigest(),
            warnings=model.warnings(request.prompt, request.negative_prompt, request.seed),
        )
    )


def _start(event: HttpEvent, job: Job) -> Response:
    wait_s, applied = _read_prefer(event, _DEFAULT_WAIT_S[job.type])
    job = jobs_service.start_job(job, jobs=bootstrap.jobs(), dispatcher=bootstrap.dispatcher())
    job = jobs_service.wait_for_end(job, wait_s, jobs=bootstrap.jobs(), clock=bootstrap.clock())
    headers = {"Cache-Control": "no-store", "Location": f"/jobs/{job.id}", **applied}
    if job.status.final:
        return json_response(200, _show(job), headers=headers)
    return json_response(202, _show(job), headers={**headers, "Retry-After": str(_RETRY_AFTER_S[job.type])})


def _read_prefer(event: HttpEvent, default_s: int) -> tuple[int, dict[str, str]]:
    """Return how long to wait, and the header that says which preference was honoured (RFC 7240)."""
    for preference in re.split(r"[,;]", event.headers.get("prefer", "")):
        name, _, value = (part.strip() for part in preference.partition("="))
        if name.lower() == "respond-async":
            return 0, {"Preference-Applied": "respond-async"}
        if name.lower() == "wait":
            number = value.strip('"')
            if not re.fullmatch(r"\d{1,6}", number):
                raise BadRequestError("Prefer: wait must be a whole number of seconds, like wait=30")
            wait_s = min(int(number), MAX_WAIT_S)
            return wait_s, {"Preference-Applied": f"wait={wait_s}"}
    return default_s, {}


def _read_idempotency_key(event: HttpEvent) -> str | None:
    key = event.headers.get("idempotency-key")
    if key is not None and not _IDEMPOTENCY_KEY.fullmatch(key):
        raise BadRequestError("Idempotency-Key must have 1 to 255 printable ASCII characters")
    return key


def _show_outputs(job: Job) -> Sequence[schemas.OutputJson]:
    urls = bootstrap.output_urls()
    found = find_outputs(
        job,
        outputs=bootstrap.outputs(),
        key_of=urls.key_of,
        index=lambda job: bootstrap.dispatcher().index(job),  # only a job without rows pays for the HTTP client
    )
    return [
        schemas.show_output(output, urls.url_of(output) if isinstance(output, JobOutput) else output.oss_url)
        for output in found
    ]


def _show(job: Job) -> dict[str, object]:
    # While a job is at work its rows come one by one; they are shown when it is done.
    outputs = _show_outputs(job) if job.status is JobStatus.SUCCEEDED else ()
    return schemas.show_job(job, outputs).model_dump(by_alias=True)


_ROUTES: list[tuple[str, dict[str, Callable[..., Response]]]] = [
    (r"/healthz", {"GET": healthz}),
    (r"/ai/generate-image", {"POST": generate_image}),
    (r"/ai/generate-video", {"POST": generate_video}),
    (r"/jobs/([^/]+)", {"GET": get_job}),
    (r"/jobs/([^/]+)/outputs", {"GET": get_outputs}),
    (r"/jobs/([^/]+)/cancel", {"POST": cancel_job}),
]
