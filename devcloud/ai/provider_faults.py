"""Applies the armed faults of the AI providers to requests."""

from collections import defaultdict, deque
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.responses import Response

from devcloud.ai.provider_error import ProviderError
from devcloud.broken_responses import DroppedResponse
from devcloud.clock import Clock
from devcloud.faults import Faults

Effect = dict[str, Any]


class ProviderFaults:
    """Runs the operations of the providers under the armed faults."""

    def __init__(self, faults: Faults, clock: Clock) -> None:
        self._faults = faults
        self._clock = clock
        self._recent: defaultdict[str, deque[float]] = defaultdict(deque)

    async def run(
        self, operation: str, facts: dict[str, object], work: Callable[[Effect], Awaitable[Response]]
    ) -> Response:
        """Run ``work`` under the effect of the first matching fault; ``work`` applies its own part of the effect."""
        effect = self._faults.take("provider", operation=operation, **facts) or {}
        try:
            if "requestsPerSecond" in effect:
                self._count(operation, effect["requestsPerSecond"])
            if "status" in effect:
                raise ProviderError(
                    effect["status"], effect.get("code"), effect.get("message", "An armed fault refuses this request.")
                )
            response = await work(effect)
        except ProviderError:
            await self._delay(effect)
            raise
        # After the work: a client that stops waiting has been served, as with a slow network.
        await self._delay(effect)
        return DroppedResponse() if effect.get("drop") else response

    async def _delay(self, effect: Effect) -> None:
        await self._clock.sleep_until(self._clock.now() + effect.get("delayS", 0))

    def _count(self, operation: str, most: int) -> None:
        now, recent = self._clock.now(), self._recent[operation]
        while recent and recent[0] <= now - 1:
            recent.popleft()
        if len(recent) >= most:
            raise ProviderError(429, None, "Requests rate limit exceeded, please try again later.")
        recent.append(now)
