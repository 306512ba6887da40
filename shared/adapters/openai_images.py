"""Any OpenAI-compatible images API: synchronous, the images come as base64 in the answer."""

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
from shared.ports import Finished, MediaBase64, MediaUrl, Pending, Result
from shared.settings import ProviderSettings


class OpenAiImages:
    """One account."""

    def __init__(self, config: ProviderSettings, client: httpx.Client) -> None:
        self.poll_interval_s = config.poll_interval_s
        self._http = ProviderHttp("the images API", config, client)

    def submit(self, job: Job) -> Pending | Finished:
        """Generate and return the images at once."""
        body = {"model": job.model, "prompt": job.prompt, "n": job.count, "size": job.size}
        status, answer = self._http.submit("/images/generations", body)
        if status != 200:
            raise _error(status, answer)
        results = tuple(_result(item) for item in answer.get("data") or () if isinstance(item, dict))
        if not results:
            raise ProviderFailedError("the images API reports success and delivers nothing")
        return Finished(results)

    def poll(self, task_id: str) -> Pending | Finished:
        """There are no tasks here: whatever was not stored in the attempt that asked for it is gone."""
        raise ResultLostError("the images API keeps no results")

    def cancel(self, task_id: str) -> bool:
        """There are no tasks here: what was asked for has been drawn."""
        return False


def _result(item: dict[str, Any]) -> Result:
    if isinstance(text := item.get("b64_json"), str):
        return MediaBase64(text)
    if isinstance(url := item.get("url"), str):
        return MediaUrl(url)
    raise ProviderFailedError("the images API delivered neither b64_json nor url")


def _error(status: int, answer: dict[str, Any]) -> ProviderError:
    error = answer.get("error")
    detail = error.get("message", "no message") if isinstance(error, dict) else "no message"
    code = error.get("code") if isinstance(error, dict) else None
    if status == 401:
        # The provider's own message quotes the key.
        return ProviderRefusedError("the images API refused the configured API key")
    if code == "insufficient_quota" or (400 <= status < 500 and status not in {408, 409, 429}):
        return ProviderRefusedError(f"the images API refused: {detail}")
    if not isinstance(error, dict) and status >= 500:
        return SubmissionUnknownError(f"the images API answered HTTP {status}; whether it was at work is not known")
    return ProviderUnavailableError(f"the images API did not take the request: HTTP {status}, {detail}")
