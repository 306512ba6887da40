"""Every route: what serves it, what it takes and what it answers."""

from collections.abc import Callable

from endpoints import deliveries, generate, jobs, service
from routing import Route
from schemas import DeliveriesJson, HealthJson, ImageRequest, Input, OutputsJson, VideoRequest
from shared.fc.http import Response
from shared.representations import JobJson


def _starting(path: str, endpoint: Callable[..., Response], body: type[Input]) -> Route:
    return Route(
        "POST",
        path,
        endpoint,
        {200: JobJson, 202: JobJson},
        (400, 413, 415, 422),
        body=body,
        headers=("Prefer", "Idempotency-Key"),
    )


ROUTES = (
    Route("GET", "/healthz", service.healthz, {200: HealthJson}, public=True),
    _starting("/ai/generate-image", generate.generate_image, ImageRequest),
    _starting("/ai/generate-video", generate.generate_video, VideoRequest),
    Route("GET", "/jobs/{jobId}", jobs.get_job, {200: JobJson}, (400, 404), headers=("Prefer",)),
    Route("GET", "/jobs/{jobId}/outputs", jobs.get_job_outputs, {200: OutputsJson}, (404,)),
    Route("GET", "/jobs/{jobId}/deliveries", deliveries.get_job_deliveries, {200: DeliveriesJson}, (404,)),
    Route("POST", "/jobs/{jobId}/cancel", jobs.cancel_job, {200: JobJson, 202: JobJson}, (404,)),
)
