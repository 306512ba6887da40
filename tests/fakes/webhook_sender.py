"""The port ``WebhookSender``, with scripted answers."""

import threading

from shared.ports import WebhookMessage, WebhookReply


class FakeWebhookSender:
    """Records the messages, and answers with the next of ``answers``; the last answer is repeated forever."""

    def __init__(self, *answers: int | WebhookReply | Exception) -> None:
        self.messages: list[WebhookMessage] = []
        self._answers = list(answers)
        self._lock = threading.Lock()

    def send(self, message: WebhookMessage) -> WebhookReply:
        with self._lock:
            self.messages.append(message)
            answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return WebhookReply(answer, 0.0) if isinstance(answer, int) else answer
