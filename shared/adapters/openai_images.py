"""Any OpenAI-compatible images API: synchronous, the images come as base64 in the answer."""

from typing import Any

import httpx

from shared.adapters.provider_answers import delivered, object_in, odd, read_each, read_part, text_at
from shared.adapters.provider_http import Answer, ProviderHttp
from shared.domain.errors import (
    ProviderError,
    ProviderRefusedError,
    ProviderUnavailableError,
    ResultLostError,
    SubmissionUnknownError,
)
from shared.domain.jobs import Job
from shared.domain.texts import bounded
from shared.ports import Finished, MediaBase64, MediaUrl, Pending, RefusedResult, Result
from shared.settings import ProviderSettings


class OpenAiImages:
    """One account; threads may share it."""

    BASE_URL = "https://api.openai.com/v1"

    def __init__(self, config: ProviderSettings, client: httpx.Client) -> None:
        self.poll_interval_s = config.poll_interval_s
        self._http = ProviderHttp("the images API", config, client)

    def submit(self, job: Job) -> Pending | Finished:
        """Generate and return the images at once."""
        body = {"model": job.model, "prompt": job.prompt, "n": job.count, "size": job.size}
        answer = self._http.submit("/images/generations", body)
        if not answer.good or answer.body is None:
            raise _error(answer)
        return delivered("the images API", read_part(_read_data, answer.body, "the answer"))

    def poll(self, task_id: str) -> Pending | Finished:
        """There are no tasks here: whatever was not stored in the attempt that asked for it is gone."""
        raise ResultLostError("the images API keeps no results")

    def cancel(self, task_id: str) -> bool:
        """There are no tasks here: what was asked for has been drawn."""
        return False


def _read_data(value: Any, path: str) -> list[Result]:
    if value.get("data") is None and "error" in value:
        return [RefusedResult(_detail(value))]
    return read_each(_read_image, value.get("data"), "data")


def _read_image(value: Any, path: str) -> list[Result]:
    item = object_in(value, path)
    if text := text_at(item, "b64_json"):
        return [MediaBase64(text)]
    if url := text_at(item, "url"):
        return [MediaUrl(url)]
    if "error" in item:
        return [RefusedResult(_detail(item))]
    raise odd(f"{path}.b64_json", item.get("b64_json"), "base64")


def _detail(value: dict[str, Any] | None) -> str:
    return bounded(text_at(value, "error", "message") or text_at(value, "error") or "no message")


def _error(answer: Answer) -> ProviderError:
    """Return what became of a request that brought no images. What is not documented tells nothing."""
    status, detail = answer.status, _detail(answer.body)
    if status == 401:
        # The provider's own message quotes the key.
        return ProviderRefusedError("the images API refused the configured API key")
    passing = status in {408, 409, 429}
    if answer.text("error", "code") == "insufficient_quota" or (400 <= status < 500 and not passing):
        return ProviderRefusedError(f"the images API refused: {detail}")
    if passing or (status in {500, 503} and answer.text("error", "message")):
        return ProviderUnavailableError(f"the images API did not take the request: HTTP {status}, {detail}")
    return SubmissionUnknownError(
        f"the images API's answer is not as documented: HTTP {status}; whether it was at work is not known"
    )
