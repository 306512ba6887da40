"""DashScope (Model Studio): text to image, text to video, image to video, all asynchronous.

Source: https://www.alibabacloud.com/help/en/model-studio/text-to-image-v2-api-reference,
.../text-to-video-api-reference and .../manage-asynchronous-tasks. The base URL must be that of the key's
region.
"""

from typing import Any
from urllib.parse import quote

import httpx

from shared.adapters.provider_answers import delivered, object_in, odd, read_each, read_part, reason_in, text_at
from shared.adapters.provider_http import Answer, ProviderHttp
from shared.domain.errors import (
    ProviderError,
    ProviderFailedError,
    ProviderRefusedError,
    ProviderUnavailableError,
    ResultLostError,
    SubmissionUnknownError,
)
from shared.domain.jobs import MAX_TASK_ID_CHARACTERS, Job
from shared.domain.models import MODELS, Form, Size
from shared.domain.texts import bounded
from shared.ports import Finished, MediaUrl, Pending, RefusedResult, Result
from shared.settings import ProviderSettings

_PATHS = {
    Form.TEXT_TO_IMAGE: "/services/aigc/text2image/image-synthesis",
    Form.MESSAGES_TO_IMAGE: "/services/aigc/image-generation/generation",
    Form.TEXT_TO_VIDEO: "/services/aigc/video-generation/video-synthesis",
    Form.IMAGE_TO_VIDEO: "/services/aigc/video-generation/video-synthesis",
}
# 429 with one of these codes means that the account cannot pay: repeating the request does not help.
_BILLING = {"CommodityNotPurchased", "PrepaidBillOverdue", "PostpaidBillOverdue", "Arrearage"}


class DashScope:
    """One account in one region; threads may share it. The base URL of another region is in DASHSCOPE_BASE_URL."""

    BASE_URL = "https://dashscope.aliyuncs.com/api/v1"

    def __init__(self, config: ProviderSettings, client: httpx.Client) -> None:
        self.poll_interval_s = config.poll_interval_s
        self._http = ProviderHttp("DashScope", config, client)

    def submit(self, job: Job) -> Pending | Finished:
        """Create the task. DashScope has no idempotency keys, so the result of a lost answer stays unknown."""
        form = MODELS[job.model].form
        answer = self._http.submit(_PATHS[form], _request(job, form), headers={"X-DashScope-Async": "enable"})
        # The id comes before any code: a task with an id is running, whatever else the answer says.
        task_id = answer.text("output", "task_id") if answer.good else None
        if task_id is None:
            raise _submit_error(answer)
        return Pending(_check_task_id(task_id))

    def poll(self, task_id: str) -> Pending | Finished:
        """Read the task. An unknown status counts as pending; the job's own deadline ends the job."""
        answer = self._http.get(_task_path(task_id))
        status = answer.text("output", "task_status") if answer.status == 200 else None
        if answer.body is None or status is None:
            # Without a status, the answer says nothing about the task, which has been paid for.
            raise ProviderUnavailableError(
                f"DashScope did not report the task's state: HTTP {answer.status}, {reason_in(answer.body)}"
            )
        output = answer.body["output"]
        match status:
            case "SUCCEEDED":
                return delivered("DashScope", _results(output))
            case "FAILED":
                raise ProviderFailedError(
                    f"the task failed at DashScope: {reason_in(output)}", retryable=_may_pass(output)
                )
            case "CANCELED":
                raise ProviderFailedError("the task was cancelled at DashScope")
            case "UNKNOWN":
                raise ResultLostError("DashScope no longer has the task: it keeps tasks and results for 24 hours")
            case _:
                return Pending(task_id)

    def cancel(self, task_id: str) -> bool:
        """Cancel the task, which DashScope does only while it is PENDING."""
        return self._http.post(f"{_task_path(task_id)}/cancel").status == 200


def _check_task_id(task_id: str) -> str:
    """Return ``task_id`` if it can be stored and polled. Raises SubmissionUnknownError: the task cannot be followed."""
    if len(task_id) > MAX_TASK_ID_CHARACTERS or not task_id.isprintable() or task_id in {".", ".."}:
        raise SubmissionUnknownError(
            "DashScope accepted the task, but its task id is not valid: "
            f"expected 1 to {MAX_TASK_ID_CHARACTERS} printable characters, got {len(task_id)}: {bounded(task_id, 100)}"
        )
    return task_id


def _task_path(task_id: str) -> str:
    return f"/tasks/{quote(task_id, safe='')}"


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
    """Return the smallest resolution class that is at least as large as the short side."""
    short = min(size.width, size.height)
    return "480P" if short <= 480 else "720P" if short <= 720 else "1080P"


def _results(output: dict[str, Any]) -> list[Result]:
    """Read the three forms of results: ``video_url``, ``results[]`` and ``choices[]``."""
    return [
        result
        for name, read in (("video_url", _read_video), ("results", _read_items), ("choices", _read_choices))
        if output.get(name) is not None
        for result in read_part(read, output[name], f"output.{name}")
    ]


def _read_video(value: Any, path: str) -> list[Result]:
    if not isinstance(value, str) or not value:
        raise odd(path, value, "a URL")
    return [MediaUrl(value)]


def _read_items(value: Any, path: str) -> list[Result]:
    return read_each(lambda item, at: [_media("url", item, at)], value, path)


def _read_choices(value: Any, path: str) -> list[Result]:
    return read_each(_read_choice, value, path)


def _read_choice(value: Any, path: str) -> list[Result]:
    message = object_in(object_in(value, path).get("message"), f"{path}.message")
    return read_each(_read_content, message.get("content"), f"{path}.message.content")


def _read_content(value: Any, path: str) -> list[Result]:
    # A message may contain text in addition to images.
    is_text = isinstance(value, dict) and "text" in value and "image" not in value
    return [] if is_text else [_media("image", value, path)]


def _media(name: str, value: Any, path: str) -> Result:
    item = object_in(value, path)
    if url := text_at(item, name):
        return MediaUrl(url)
    if text_at(item, "code"):
        return RefusedResult(reason_in(item))
    raise odd(f"{path}.{name}", item.get(name), "a URL")


def _may_pass(error: dict[str, Any] | None) -> bool:
    """Whether the same request may succeed later. The user is told; a failed task is never repeated automatically."""
    return (text_at(error, "code") or "").startswith(("InternalError", "SystemError", "Throttling", "ModelServ"))


def _submit_error(answer: Answer) -> ProviderError:
    """Return the error for a submit whose answer has no task id.

    Only a documented status and form show that the task was not accepted.
    """
    status, code, reason = answer.status, answer.text("code"), reason_in(answer.body)
    if status == 401:
        return ProviderRefusedError("DashScope refused the configured API key")
    if code in _BILLING or (400 <= status < 500 and status not in {408, 429}):
        return ProviderRefusedError(f"DashScope refused the request: {reason}")
    documented = status in {408, 429} or (code is not None and (answer.good or status in {500, 503}))
    if not documented or (answer.body or {}).get("output"):
        return SubmissionUnknownError(
            f"DashScope may have accepted the task, because its answer is not as documented: HTTP {status}, {reason}"
        )
    if answer.good and not _may_pass(answer.body):
        return ProviderRefusedError(f"DashScope refused the request: {reason}")
    return ProviderUnavailableError(f"DashScope did not accept the task: HTTP {status}, {reason}")
