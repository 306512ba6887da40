"""HTTP to a provider, so that one thing is always known: whether it can have accepted the task."""

from collections.abc import Mapping
from typing import Any

import httpx

from shared.domain.errors import ProviderUnavailableError, SubmissionUnknownError
from shared.settings import ProviderSettings

_MAX_ANSWER_BYTES = 64 * 1024 * 1024  # four large images in base64 fit, and so does this in 512 MB of memory


class ProviderHttp:
    """One provider's API. ``name`` is for messages."""

    def __init__(self, name: str, config: ProviderSettings, client: httpx.Client) -> None:
        self._name = name
        self._base_url = config.base_url
        self._headers = {"Authorization": f"Bearer {config.api_key.get_secret_value()}"}
        self._client = client

    def submit(
        self, path: str, body: dict[str, Any], *, headers: Mapping[str, str] | None = None
    ) -> tuple[int, dict[str, Any]]:
        """POST a task; return the status and the JSON answer.

        Raises ProviderUnavailableError when no connection came about (nothing was sent), SubmissionUnknownError when
        anything else went wrong: the provider may be at work.
        """
        try:
            return self._send("POST", path, json=body, headers=headers)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise ProviderUnavailableError(f"{self._name} cannot be reached") from error
        except httpx.HTTPError as error:
            raise SubmissionUnknownError(
                f"{self._name} was asked and its answer was lost ({type(error).__name__}); "
                "it is not asked again, because that may cost twice"
            ) from error

    def get(self, path: str) -> tuple[int, dict[str, Any]]:
        """GET; return the status and the JSON answer. Raises ProviderUnavailableError."""
        return self._ask("GET", path)

    def post(self, path: str) -> tuple[int, dict[str, Any]]:
        """POST nothing, as often as needed; return the status and the JSON answer. Raises ProviderUnavailableError."""
        return self._ask("POST", path)

    def _ask(self, method: str, path: str) -> tuple[int, dict[str, Any]]:
        try:
            return self._send(method, path)
        except httpx.HTTPError as error:
            raise ProviderUnavailableError(f"{self._name} did not answer ({type(error).__name__})") from error

    def _send(
        self, method: str, path: str, *, json: object = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, dict[str, Any]]:
        url = self._base_url + path
        with self._client.stream(method, url, json=json, headers={**self._headers, **(headers or {})}) as response:
            body = bytearray()
            for chunk in response.iter_bytes():
                body += chunk
                if len(body) > _MAX_ANSWER_BYTES:
                    raise httpx.DecodingError(f"more than {_MAX_ANSWER_BYTES} bytes", request=response.request)
        try:
            answer = httpx.Response(response.status_code, content=bytes(body)).json()
        except ValueError:
            answer = {}
        return response.status_code, answer if isinstance(answer, dict) else {}
