"""Invocations of our own functions through Function Compute's API InvokeFunction."""

import json
import secrets
from datetime import UTC, datetime
from urllib.parse import urlsplit

import httpx

from shared import settings
from shared.adapters.acs3 import sign_request
from shared.domain.errors import DispatchError
from shared.domain.jobs import Job

_TIMEOUT_S = 30.0
_INDEXING_TIMEOUT_S = 10.0  # a user waits for the answer
_DELETION_TIMEOUT_S = 30.0  # a user waits here too; after that the minute timer continues the deletion
_FUNCTIONS = {"image": "generate-image", "video": "generate-video"}


class FunctionInvoker:
    """Starts the functions that advance a job and deliver its webhook, and calls those that index and delete objects.

    The task id is made from the job and its attempt. Function Compute accepts an id once and answers 409 after that, so
    that a repeated dispatch starts nothing twice.
    Source: https://www.alibabacloud.com/help/en/functioncompute/fc/developer-reference/api-fc-2023-03-30-invokefunction
    """

    def __init__(self, config: settings.DispatchSettings, client: httpx.Client) -> None:
        self._endpoint = config.endpoint
        self._client = client

    def dispatch(self, job: Job) -> None:
        """Start the function that advances the job. Raises DispatchError."""
        asynchronous = {"x-fc-invocation-type": "Async", "x-fc-async-task-id": job.task_id}
        response = self._invoke(_FUNCTIONS[job.type], {"jobId": job.id}, asynchronous)
        if response.status_code not in {202, 409}:
            raise DispatchError(f"Function Compute answered HTTP {response.status_code}")

    def announce(self, job: Job) -> None:
        """Start the delivery of the webhook of a job that has ended. Raises DispatchError."""
        response = self._invoke("deliver-webhooks", {"jobId": job.id}, {"x-fc-invocation-type": "Async"})
        if response.status_code != 202:
            raise DispatchError(f"Function Compute answered HTTP {response.status_code}")

    def index(self, job: Job) -> None:
        """Index the objects below the job's prefix, and wait. Raises DispatchError: it failed or is not finished."""
        self._call("index-outputs", {"jobId": job.id}, timeout_s=_INDEXING_TIMEOUT_S)

    def delete(self, deletion_id: str) -> None:
        """Carry out a deletion, and wait. Raises DispatchError: it failed, or takes longer than 30 seconds."""
        task = json.dumps({"task": "delete", "deletionId": deletion_id})
        self._call("clean-up", {"payload": task}, timeout_s=_DELETION_TIMEOUT_S)

    def _call(self, function: str, event: dict[str, str], *, timeout_s: float) -> None:
        response = self._invoke(function, event, {}, timeout_s=timeout_s)
        if response.status_code != 200:
            raise DispatchError(f"Function Compute answered HTTP {response.status_code}")
        if error := response.headers.get("x-fc-error-type"):
            raise DispatchError(f"{function} failed ({error})")

    def _invoke(
        self,
        function: str,
        event: dict[str, str],
        special: dict[str, str],
        timeout_s: float = _TIMEOUT_S,
    ) -> httpx.Response:
        credentials = settings.role_credentials()
        path = f"/2023-03-30/functions/{function}/invocations"
        query = {"qualifier": "LATEST"}
        body = json.dumps(event).encode()
        headers = {
            "host": urlsplit(self._endpoint).netloc,
            "content-type": "application/octet-stream",
            "x-acs-action": "InvokeFunction",
            "x-acs-version": "2023-03-30",
            "x-acs-date": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "x-acs-signature-nonce": secrets.token_hex(16),
            **special,
        }
        if credentials.security_token:
            headers["x-acs-security-token"] = credentials.security_token.get_secret_value()
        signed = sign_request(
            "POST",
            path,
            query,
            headers,
            body,
            access_key_id=credentials.access_key_id,
            access_key_secret=credentials.access_key_secret.get_secret_value(),
        )
        try:
            return self._client.post(
                self._endpoint + path, params=query, content=body, headers=signed, timeout=timeout_s
            )
        except httpx.HTTPError as error:
            raise DispatchError(f"Function Compute did not answer ({type(error).__name__})") from error
