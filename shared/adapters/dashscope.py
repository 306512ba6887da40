"""DashScope (Model Studio): text to image, text to video, image to video, all asynchronous.

Source: https://www.alibabacloud.com/help/en/model-studio/text-to-image-v2-api-reference,
.../text-to-video-api-reference and .../manage-asynchronous-tasks. The base URL belongs to the key: keys are bound
to a region.
"""

from typing import Any

import httpx

from shared.adapters.provider_http import ProviderHttp
from shared.domain.errors import (
    ProviderError,
    ProviderFailedError,
    ProviderRefusedError,
    ProviderUnavailableError,
    ResultLostError,
    SubmissionUnknownError,
)
from shared.domain.jobs import Job
from shared.domain.models import MODELS, Form, Size
from shared.ports import Finished, MediaUrl, Pending, RefusedResult, Result
from shared.settings import ProviderSettings

_PATHS = {
    Form.TEXT_TO_IMAGE: "/services/aigc/text2image/image-synthesis",
    Form.MESSAGES_TO_IMAGE: "/services/aigc/image-generation/generation",
    Form.TEXT_TO_VIDEO: "/services/aigc/video-generation/video-synthesis",
    Form.IMAGE_TO_VIDEO: "/services/aigc/video-generation/video-synthesis",
}
# 429 with one of these says that the account cannot pay: asking again does not help.
_BILLING = {"CommodityNotPurchased", "PrepaidBillOverdue", "PostpaidBillOverdue", "Arrearage"}


class DashScope:
    """One account in one region."""

    def __init__(self, config: ProviderSettings, client: httpx.Client) -> None:
        self.poll_interval_s = config.poll_interval_s
        self._http = ProviderHttp("DashScope", config, client)

    def submit(self, job: Job) -> Pending | Finished:
        """Create the task. DashScope knows no idempotency key: an answer that is lost stays unknown."""
        form = MODELS[job.model].form
        status, body = self._http.submit(_PATHS[form], _request(job, form), headers={"X-DashScope-Async": "enable"})
        if status != 200 or "code" in body:
            raise _submit_error(status, body)
        task_id = _output(body).get("task_id")
        if not isinstance(task_id, str) or not task_id:
            raise SubmissionUnknownError("DashScope accepted the task and named no task id")
        return Pending(task_id)

    def poll(self, task_id: str) -> Pending | Finished:
        """Read the task. A status that nobody knows counts as pending: the job's own deadline ends it."""
        status, body = self._http.get(f"/tasks/{task_id}")
        if status != 200:
            raise ProviderUnavailableError(f"DashScope answered HTTP {status} ({body.get('code', 'no code')})")
        output = _output(body)
        match output.get("task_status"):
            case "SUCCEEDED":
                return Finished(_results(output))
            case "FAILED":
                raise ProviderFailedError(f"DashScope failed: {_reason(output)}", retryable=_may_pass(output))
            case "CANCELED":
                raise ProviderFailedError("the task was cancelled at DashScope")
            case "UNKNOWN":
                raise ResultLostError("DashScope no longer knows the task: it keeps tasks and results for 24 hours")
            case _:
                return Pending(task_id)

    def cancel(self, task_id: str) -> bool:
        """Cancel the task, which DashScope does only while it is PENDING."""
        status, _ = self._http.post(f"/tasks/{task_id}/cancel")
        return status == 200


def _request(job: Job, form: Form) -> dict[str, Any]:
    size = Size.parse(job.size)
    parameters: dict[str, Any] = {"prompt_extend": True, "watermark": False}
    if job.seed is not None:
        parameters["seed"] = job.seed
    inputs: dict[str, Any] = {"prompt": job.prompt}
    if form in {Form.TEXT_TO_IMAGE, Form.MESSAGES_TO_IMAGE}:
        parameters |= {"size": f"{size.width}*{size.height}", "n": job.count}
    elif form is Form.TEXT_TO_VIDEO:
        parameters |= {"size": f"{size.width}*{size.height}", "duration": job.duration}
    else:
        inputs["img_url"] = job.image_url
        parameters |= {"resolution": _resolution(size), "duration": job.duration}
    if form is Form.MESSAGES_TO_IMAGE:
        inputs = {"messages": [{"role": "user", "content": [{"text": job.prompt}]}]}
        if job.negative_prompt:
            parameters["negative_prompt"] = job.negative_prompt
    elif job.negative_prompt:
        inputs["negative_prompt"] = job.negative_prompt
    return {"model": job.model, "input": inputs, "parameters": parameters}


def _resolution(size: Size) -> str:
    """Return the smallest resolution class that holds the size's short side."""
    short = min(size.width, size.height)
    return "480P" if short <= 480 else "720P" if short <= 720 else "1080P"


def _output(body: dict[str, Any]) -> dict[str, Any]:
    output = body.get("output")
    return output if isinstance(output, dict) else {}


def _results(output: dict[str, Any]) -> tuple[Result, ...]:
    """Read the three forms in which results come: ``video_url``, ``results[]`` and ``choices[]``."""
    found: list[Result] = []
    if isinstance(url := output.get("video_url"), str):
        found.append(MediaUrl(url))
    items = output.get("results") or ()
    found.extend(MediaUrl(item["url"]) if item.get("url") else RefusedResult(_reason(item)) for item in items)
    for choice in output.get("choices") or ():
        content = (choice.get("message") or {}).get("content") or ()
        found.extend(
            MediaUrl(part["image"]) if part.get("image") else RefusedResult(_reason(part))
            for part in content
            if part.get("image") or part.get("code")
        )
    if not any(isinstance(result, MediaUrl) for result in found):
        raise ProviderFailedError("DashScope reports success and delivers nothing")
    return tuple(found)


def _reason(body: dict[str, Any]) -> str:
    return f"{body.get('code', 'no code')}: {body.get('message', 'no message')}"


def _may_pass(body: dict[str, Any]) -> bool:
    """Whether the same request may succeed another time, for the user to know; we never repeat a failed task."""
    return str(body.get("code", "")).startswith(("InternalError", "SystemError", "Throttling", "ModelServ"))


def _submit_error(status: int, body: dict[str, Any]) -> ProviderError:
    code = str(body.get("code", ""))
    if status == 401:
        return ProviderRefusedError("DashScope refused the configured API key")
    if code in _BILLING or (400 <= status < 500 and status not in {408, 429}):
        return ProviderRefusedError(f"DashScope refused: {_reason(body)}")
    if not code and status >= 500:
        return SubmissionUnknownError(f"DashScope answered HTTP {status}; whether it took the task is not known")
    return ProviderUnavailableError(f"DashScope did not accept the task: HTTP {status}, {_reason(body)}")
