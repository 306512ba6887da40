"""Sends webhooks as Standard Webhooks specifies: signed, and to public hosts only."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx
from standardwebhooks import Webhook

from shared.adapters.public_web import PublicWeb
from shared.ports import WebhookMessage, WebhookReply
from shared.settings import WebhookSettings

TIMEOUT_S = 10.0
_MAX_BODY_BYTES = 64 * 1024
_MAX_RETRY_AFTER_S = 86_400.0


class StandardWebhookSender:
    """Posts messages and gives up after ``timeout_s``; threads may share it.

    Every configured secret signs, so that a receiver needs only one of the secrets.
    Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
    """

    def __init__(self, config: WebhookSettings, web: PublicWeb, *, timeout_s: float = TIMEOUT_S) -> None:
        self._signers = [Webhook(secret.get_secret_value()) for secret in config.secrets]
        self._web = web
        self._timeout_s = timeout_s

    def send(self, message: WebhookMessage) -> WebhookReply:
        """Post the message and return the answer. Redirects are not followed.

        Raises AddressRefusedError (no host was contacted) or HostUnavailableError.
        """
        signatures = [signer.sign(message.id, message.sent_at, message.body) for signer in self._signers]
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "dream-factory-webhooks/1",
            "webhook-id": message.id,
            "webhook-timestamp": str(int(message.sent_at.timestamp())),
            "webhook-signature": " ".join(signatures),
        }
        content = message.body.encode()
        with self._web.open(
            "POST", message.url, within_s=self._timeout_s, headers=headers, content=content
        ) as response:
            _discard_body(response)
            return WebhookReply(
                response.status_code, _retry_after_s(response.headers.get("retry-after"), message.sent_at)
            )


def _discard_body(response: httpx.Response) -> None:
    """Read a short body, so that the receiver can finish its answer. The body is not used: only the status counts."""
    received = 0
    try:
        for chunk in response.iter_raw():
            received += len(chunk)
            if received > _MAX_BODY_BYTES:
                return
    except httpx.HTTPError:
        return


def _retry_after_s(text: str | None, now: datetime) -> float:
    """Return the seconds in the header Retry-After, at most a day (RFC 9110 § 10.2.3).

    The result is 0 if the header is missing or cannot be read.
    """
    if text is None or not text.isascii():
        return 0.0
    wanted_s = float(text) if text.isdecimal() else _seconds_until(text, now)
    return min(max(wanted_s, 0.0), _MAX_RETRY_AFTER_S)


def _seconds_until(date: str, now: datetime) -> float:
    try:
        until = parsedate_to_datetime(date)
    except (ValueError, OverflowError):  # OverflowError: a year of many digits
        return 0.0
    return (until.replace(tzinfo=until.tzinfo or UTC) - now).total_seconds()
