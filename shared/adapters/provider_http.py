"""HTTP to a provider. Its errors always show whether the provider can have accepted the task."""

import json
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from threading import Thread
from typing import Any, TypeVar

import httpx

from shared.adapters.provider_answers import text_at
from shared.domain.errors import ProviderUnavailableError, SubmissionUnknownError
from shared.settings import ProviderSettings

T = TypeVar("T")
# A synchronous images API is silent while it draws. All of a submit ends within SUBMIT_WITHIN_S, which is shorter than
# the lease of a submitting job (``jobs.SUBMIT_LEASE_S``).
_SUBMIT_SILENCE = httpx.Timeout(180.0, connect=10.0)
SUBMIT_WITHIN_S = 200.0
ASK_WITHIN_S = 10.0
_MAX_RESULTS_BYTES = 64 * 1024 * 1024  # enough for four large images in base64, and little enough for 512 MB of memory
_MAX_STATE_BYTES = 1024 * 1024  # JSON takes up to 30 times its size in memory
# httpx parses redirects that it does not follow, and raises these errors for hosts that it cannot parse.
_LOST = (httpx.HTTPError, httpx.InvalidURL, UnicodeError, TimeoutError)
_NOTHING_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)


@dataclass(frozen=True)
class Answer:
    """An HTTP status and a JSON body; ``body`` is None if the body is not a JSON object."""

    status: int
    body: dict[str, Any] | None

    @property
    def good(self) -> bool:
        """Whether the status is 2xx."""
        return 200 <= self.status < 300

    def text(self, *path: str) -> str | None:
        """Return the text at a path of names, or None."""
        return text_at(self.body, *path)


class ProviderHttp:
    """One provider's API; threads may share it. ``name`` is for messages.

    A submit ends after ``submit_within_s``, any other request after ``ask_within_s``. The limits cover the whole
    request, from the name server to the last byte.
    """

    def __init__(
        self,
        name: str,
        config: ProviderSettings,
        client: httpx.Client,
        *,
        submit_within_s: float = SUBMIT_WITHIN_S,
        ask_within_s: float = ASK_WITHIN_S,
    ) -> None:
        self._name = name
        self._base_url = config.base_url
        self._headers = {"Authorization": f"Bearer {config.api_key.get_secret_value()}"}
        self._client = client
        self._submit_within_s = submit_within_s
        self._ask_within_s = ask_within_s

    def submit(self, path: str, body: dict[str, Any], *, headers: Mapping[str, str] | None = None) -> Answer:
        """POST a task.

        Raises ProviderUnavailableError if the connection failed, so that nothing was sent. Raises
        SubmissionUnknownError for any other failure, because the provider may have accepted the task.
        """
        request = self._client.build_request(
            "POST",
            self._base_url + path,
            json=body,
            headers={**self._headers, **(headers or {})},
            timeout=_SUBMIT_SILENCE,
        )
        try:
            return self._send(request, self._submit_within_s, _MAX_RESULTS_BYTES)
        except _NOTHING_SENT as error:
            raise ProviderUnavailableError(f"{self._name} cannot be reached") from error
        except _LOST as error:
            raise SubmissionUnknownError(
                f"the request was sent to {self._name}, but the answer was lost ({type(error).__name__}); "
                "it is not repeated, because that may cost twice"
            ) from error

    def get(self, path: str) -> Answer:
        """GET. Raises ProviderUnavailableError."""
        return self._ask("GET", path)

    def post(self, path: str) -> Answer:
        """POST without a body; repeating the request is safe. Raises ProviderUnavailableError."""
        return self._ask("POST", path)

    def _ask(self, method: str, path: str) -> Answer:
        request = self._client.build_request(
            method, self._base_url + path, headers=self._headers, timeout=self._ask_within_s
        )
        try:
            return self._send(request, self._ask_within_s, _MAX_STATE_BYTES)
        except _LOST as error:
            raise ProviderUnavailableError(f"{self._name} did not answer ({type(error).__name__})") from error

    def _send(self, request: httpx.Request, within_s: float, max_bytes: int) -> Answer:
        return _within(within_s, lambda: self._exchange(request, time.monotonic() + within_s, max_bytes))

    def _exchange(self, request: httpx.Request, ends_at: float, max_bytes: int) -> Answer:
        response = self._client.send(request, stream=True)
        try:
            body = bytearray()
            for chunk in response.iter_bytes():
                body += chunk
                if len(body) > max_bytes:
                    raise httpx.DecodingError(f"more than {max_bytes} bytes", request=request)
                if time.monotonic() >= ends_at:
                    raise httpx.ReadTimeout("the answer took too long", request=request)
        finally:
            response.close()
        return Answer(response.status_code, _parse(body))


def _within(seconds: float, action: Callable[[], T]) -> T:
    """Return the result of ``action``. Raises TimeoutError after ``seconds``; the action's thread then continues alone.

    httpx's own limits apply to each silence between two bytes and to each address of a host, not to the name server.
    """
    outcome: Future[T] = Future()

    def run() -> None:
        try:
            outcome.set_result(action())
        except BaseException as error:
            outcome.set_exception(error)

    Thread(target=run, name="provider-http", daemon=True).start()
    return outcome.result(seconds)


def _parse(body: bytearray) -> dict[str, Any] | None:
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError):  # RecursionError: nested too deeply
        return None
    return parsed if isinstance(parsed, dict) else None
