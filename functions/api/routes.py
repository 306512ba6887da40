"""Every route of the API: its endpoint, its input and its answers."""

from collections.abc import Callable

from api_models import (
    DeletionJson,
    DeliveriesJson,
    HealthJson,
    ImageRequest,
    Input,
    JobsPageJson,
    JobsQuery,
    OpenApiJson,
    OutputsJson,
    OutputsPageJson,
    OutputsQuery,
    UsageJson,
    VideoRequest,
)
from endpoints import about, account, deliveries, generate, jobs, outputs, usage
from routing import Route
from shared.fc.http import Response
from shared.presentation import JobJson


def _starting(path: str, endpoint: Callable[..., Response], body: type[Input]) -> Route:
    return Route(
        "POST",
        path,
        endpoint,
        {200: JobJson, 202: JobJson},
        (400, 409, 413, 415, 422, 429),
        body=body,
        headers=("Prefer", "Idempotency-Key"),
    )


ROUTES = (
    Route("GET", "/healthz", about.healthz, {200: HealthJson}, public=True),
    Route(
        "GET",
        "/openapi.json",
        about.openapi,
        {200: OpenApiJson, 304: None},
        headers=("If-None-Match",),
        public=True,
    ),
    _starting("/ai/generate-image", generate.generate_image, ImageRequest),
    _starting("/ai/generate-video", generate.generate_video, VideoRequest),
    Route("GET", "/jobs", jobs.get_jobs, {200: JobsPageJson}, (400, 422), query=JobsQuery),
    Route(
        "GET",
        "/jobs/{jobId}",
        jobs.get_job,
        {200: JobJson, 304: None},
        (400, 404),
        headers=("Prefer", "If-None-Match"),
    ),
    Route(
        "GET",
        "/jobs/{jobId}/outputs",
        jobs.get_job_outputs,
        {200: OutputsJson, 304: None},
        (404,),
        headers=("If-None-Match",),
    ),
    Route("GET", "/jobs/{jobId}/deliveries", deliveries.get_job_deliveries, {200: DeliveriesJson}, (404,)),
    Route("POST", "/jobs/{jobId}/cancel", jobs.cancel_job, {200: JobJson, 202: JobJson}, (404,)),
    Route("DELETE", "/jobs/{jobId}", jobs.delete_job, {204: None}, (404, 409)),
    Route("GET", "/outputs", outputs.get_outputs, {200: OutputsPageJson}, (400, 422), query=OutputsQuery),
    Route("DELETE", "/outputs/{outputId}", outputs.delete_output, {204: None}, (404, 409)),
    Route("DELETE", "/users/me/data", account.delete_data, {202: DeletionJson, 204: None}),
    Route("GET", "/usage", usage.get_usage, {200: UsageJson}),
)
