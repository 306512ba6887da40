"""The emulator of the AI providers as a whole."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from starlette.routing import BaseRoute

from devcloud.ai.dashscope_api import DashScopeApi
from devcloud.ai.openai_api import OpenAiApi
from devcloud.ai.provider_faults import ProviderFaults
from devcloud.ai.rendering import Gallery
from devcloud.ai.result_links import Results
from devcloud.ai.task_runner import TaskRunner
from devcloud.ai.task_store import TaskStore
from devcloud.clock import Clock
from devcloud.faults import Faults


class AiEmulator:
    """DashScope and OpenAI's image API over one data folder.

    ``routes`` are the routes to serve. A generation takes ``image_after_s`` or ``video_after_s`` seconds of ``clock``.
    All state except the clock and the armed faults is in ``data_dir`` and survives a restart.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        clock: Clock,
        faults: Faults,
        api_key: str,
        image_after_s: float = 1.0,
        video_after_s: float = 2.0,
    ) -> None:
        data_dir.mkdir(parents=True, exist_ok=True)
        self._clock = clock
        self._gallery = Gallery(data_dir / "media")
        self._store = TaskStore(data_dir / "tasks.db")
        provider_faults = ProviderFaults(faults, clock)
        runner = TaskRunner(self._store, self._gallery, clock, {"image": image_after_s, "video": video_after_s})
        results = Results(self._store, runner, clock, provider_faults, secret=api_key)
        dashscope = DashScopeApi(self._store, runner, results, clock, provider_faults, api_key)
        openai = OpenAiApi(runner, provider_faults, api_key)
        self.routes: list[BaseRoute] = [*dashscope.routes, *openai.routes, *results.routes]

    def charges(self) -> list[dict[str, Any]]:
        """Return the generations that real providers would have billed by now, the first one first.

        A generation is billed when it succeeds, even if no client has read the result. Failed and canceled tasks
        and single results with an error are not billed. ``taskId`` is the request id where the API has no tasks.
        """
        return [
            {
                "taskId": task.task_id,
                "type": task.order.type,
                "model": task.order.model,
                "prompt": task.order.prompt,
                "count": task.delivered,
                "at": datetime.fromtimestamp(task.ends_at, UTC)
                .isoformat(timespec="milliseconds")
                .replace("+00:00", "Z"),
            }
            for task in self._store.succeeded(self._clock.now())
        ]

    def close(self) -> None:
        """Stop rendering and close the database."""
        self._gallery.close()
        self._store.close()
