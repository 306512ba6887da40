"""Any OpenAI-compatible images API. It is synchronous: the answer contains the images in base64."""

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
        """Generate the images and return them."""
        body = {"model": job.model, "prompt": job.prompt, "n": job.count, "size": job.size}
        answer = self._http.submit("/images/generations", body)
        if not answer.good or answer.body is None:
            raise _error(answer)
        return delivered("the images API", read_part(_read_data, answer.body, "the answer"))

    def poll(self, task_id: str) -> Pending | Finished:
        """Raise ResultLostError: the API has no tasks, so images that the submitting attempt did not store are lost."""
        raise ResultLostError("the images API does not keep results; the images came with an answer that was lost")

    def cancel(self, task_id: str) -> bool:
        """Return False: the API has no tasks, and the images have been generated."""
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
    """Return the error for an answer without images. Only a documented answer shows that nothing was generated."""
    status, detail = answer.status, _detail(answer.body)
    if status == 401:
        # The provider's own message contains the key.
        return ProviderRefusedError("the images API refused the configured API key")
    passing = status in {408, 409, 429}
    if answer.text("error", "code") == "insufficient_quota" or (400 <= status < 500 and not passing):
        return ProviderRefusedError(f"the images API refused the request: {detail}")
    if passing or (status in {500, 503} and answer.text("error", "message")):
        return ProviderUnavailableError(f"the images API did not accept the request: HTTP {status}, {detail}")
    return SubmissionUnknownError(
        f"the images API may have accepted the request, because its answer is not as documented: HTTP {status}"
    )
