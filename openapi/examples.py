"""Examples of requests and answers."""

from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel

from shared.version import VERSION

_JOB_ID = "0cf63189-f805-4fcf-8109-592dfa3c8a3d"
_URL = "https://dream-factory-media.oss-cn-hangzhou.aliyuncs.com/users/test%40factory-buy.com"
_OUTPUT = {
    "id": "7c0e2a55-6d5c-5b0e-9d0b-6f4c5b1f8a11",
    "jobId": _JOB_ID,
    "userId": "test@factory-buy.com",
    "type": "image",
    "ossUrl": f"{_URL}/jobs/{_JOB_ID}/image-1795499477249.png",
    "thumbnailUrl": f"{_URL}/jobs/{_JOB_ID}/image-1795499477249.png?x-oss-process=image%2Fresize%2Cw_512",
    "size": 133623,
    "meta": {"width": 1024, "height": 1024, "format": "png", "crc64": "14086676193763641137"},
    "createdAt": "2026-11-24T05:51:19.873Z",
}
_JOB = {
    "id": _JOB_ID,
    "type": "image",
    "status": "succeeded",
    "prompt": "a paper boat on a quiet lake",
    "model": "wan2.2-t2i-flash",
    "createdAt": "2026-11-24T05:51:17.249Z",
    "startedAt": "2026-11-24T05:51:17.402Z",
    "finishedAt": "2026-11-24T05:51:19.911Z",
    "error": None,
    "warnings": [],
    "outputs": [_OUTPUT],
}
_RUNNING = {**_JOB, "status": "running", "finishedAt": None, "outputs": []}
_FAILED = {
    **_JOB,
    "status": "failed",
    "error": {"code": "provider_refused", "message": "the provider refused the prompt", "retryable": False},
    "outputs": [],
}
_DELIVERY = {
    "id": "msg_2b6d1f0e9c7a4b53",
    "event": "job.succeeded",
    "url": "https://example.com/hooks/media",
    "status": "pending",
    "attempts": 1,
    "createdAt": "2026-11-24T05:51:19.911Z",
    "lastAttemptAt": "2026-11-24T05:51:20.102Z",
    "nextAttemptAt": "2026-11-24T05:51:50.102Z",
    "responseStatus": 500,
    "error": "the receiver answered 500",
}
_USAGE = {
    "concurrentJobs": {"used": 1, "limit": 20},
    "jobsToday": {"used": 12, "limit": 1000, "resetsAt": "2026-11-25T00:00:00.000Z"},
    "storedBytes": {"used": 1603596, "limit": 107374182400},
}
_EXAMPLES: dict[str, dict[str, Any]] = {
    "ImageRequest": {
        "promptOnly": {"prompt": "a paper boat on a quiet lake"},
        "twoImagesOfOneSize": {"prompt": "a paper boat on a quiet lake", "size": "1024x1024", "count": 2, "seed": 7},
    },
    "VideoRequest": {
        "fromText": {"prompt": "a paper boat on a quiet lake", "duration": 5, "size": "1280x720"},
        "fromAnImage": {"prompt": "the boat drifts away", "imageUrl": "https://example.com/boat.png"},
    },
    "JobJson": {"succeeded": _JOB, "failed": _FAILED},
    "OutputsJson": {"oneImage": {"data": [_OUTPUT]}},
    "JobsPageJson": {"lastPage": {"data": [_JOB], "nextCursor": None}},
    "OutputsPageJson": {"lastPage": {"data": [_OUTPUT], "nextCursor": None}},
    "DeliveriesJson": {"oneFailedAttempt": {"data": [_DELIVERY]}},
    "UsageJson": {"oneJob": _USAGE},
    "OpenApiJson": {"beginning": {"openapi": "3.1.1"}},
    "HealthJson": {"alive": {"status": "ok", "version": VERSION, "functionVersion": "LATEST"}},
}

_UNFINISHED: dict[str, dict[str, Any]] = {
    "JobJson": {"running": _RUNNING},
    "DeletionJson": {"inProgress": {"status": "deleting", "requestedAt": "2026-11-24T05:52:03.530Z"}},
}


def component_examples(models: Iterable[type[BaseModel]]) -> dict[str, Any]:
    """Return every example of the models, by name."""
    names = {model.__name__ for model in models}
    found = {
        f"{model}.{name}": {"value": value}
        for table in (_EXAMPLES, _UNFINISHED)
        for model, named in table.items()
        for name, value in named.items()
        if model in names
    }
    return dict(sorted(found.items()))


def examples(model: type[BaseModel], *, status: int = 200) -> dict[str, Any]:
    """Return references to the examples of a model in an answer with this ``status``."""
    names = (_UNFINISHED if status == 202 else _EXAMPLES).get(model.__name__, {})
    return {name: {"$ref": f"#/components/examples/{model.__name__}.{name}"} for name in names}
