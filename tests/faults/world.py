"""The outside of the functions: OSS, the AI providers and Function Compute's API, on loopback and on one clock.

Nothing happens here automatically. Time passes when somebody waits for it or when the test says so; an accepted
dispatch and an OSS event lie in a list until the test does something with them.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import oss2
import pytest
from standardwebhooks import Webhook
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from devcloud.ai import AiEmulator, rendering
from devcloud.clock import Clock
from devcloud.credentials import AccessKey, Credentials
from devcloud.faults import Faults
from devcloud.oss import OssEmulator
from devcloud.serving import served_in_thread
from tests.faults.database import Database

BUCKET = "dream-factory-media"
REGION = "cn-hangzhou"
ACCOUNT = "1234567890123456"
KEY = AccessKey("LTAItest", "secret-of-the-test")
PROVIDER_KEY = "sk-test"
AUTH_SECRET = "a secret of the test, which has more than 32 bytes"
WEBHOOK_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
GENERATION_S = 1.0
_BETWEEN_POLLS_S = 0.6  # a task is pending, running and done at the first, second and third poll


class _ReadyClock(Clock):
    """A clock that is turned on to whatever somebody waits for."""

    async def sleep_until(self, deadline: float) -> None:
        self.advance(max(deadline - self.now(), 0))


@dataclass
class FunctionComputeApi:
    """InvokeFunction, as far as our functions use it: accepts a task id once and starts nothing."""

    accepted: list[tuple[str, str]] = field(default_factory=list)
    _task_ids: set[str] = field(default_factory=set)

    async def invoke(self, request: Request) -> Response:
        """Accept an asynchronous invocation."""
        function, task_id = request.path_params["function"], request.headers.get("x-fc-async-task-id")
        try:
            event = (await request.body()).decode()
        except ClientDisconnect:
            return Response(status_code=400)  # to nobody; a part of a request starts nothing
        if task_id in self._task_ids:
            return Response(status_code=409)
        if task_id is not None:
            self._task_ids.add(task_id)
        self.accepted.append((function, event))
        return Response(status_code=202)

    @property
    def routes(self) -> list[Route]:
        """What to serve."""
        return [Route("/2023-03-30/functions/{function}/invocations", self.invoke, methods=["POST"])]


@dataclass
class WebhookReceiver:
    """A user's own server: verifies every webhook and keeps which message it was, and what it said."""

    got: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    async def receive(self, request: Request) -> Response:
        """Take a webhook."""
        try:
            body = await request.body()
        except ClientDisconnect:
            return Response(status_code=400)  # to nobody
        payload = Webhook(WEBHOOK_SECRET).verify(body, dict(request.headers))
        self.got.append((request.headers["webhook-id"], payload))
        return Response(status_code=204)

    @property
    def routes(self) -> list[Route]:
        """What to serve."""
        return [Route("/hook", self.receive, methods=["POST"])]


@dataclass
class World:
    """The outside, and what a looker-on can know of it."""

    database: Database
    clock: Clock
    ai: AiEmulator
    fc: FunctionComputeApi
    receiver: WebhookReceiver
    events: list[dict[str, Any]]
    oss_url: str
    provider_url: str
    fc_url: str
    receiver_url: str

    @property
    def peers(self) -> dict[str, str]:
        """The names of the ports."""
        urls = {
            "oss": self.oss_url,
            "provider": self.provider_url,
            "fc": self.fc_url,
            "receiver": self.receiver_url,
            "database": self.database.url,
        }
        return {str(urlsplit(url).port): name for name, url in urls.items()}

    @property
    def environment(self) -> dict[str, str]:
        """What an operator would export before a deployment."""
        return {
            "OSS_BUCKET": BUCKET,
            "OSS_REGION": f"oss-{REGION}",
            "OSS_ENDPOINT": self.oss_url,
            "DATABASE_URL": self.database.url,
            "DASHSCOPE_BASE_URL": f"{self.provider_url}/api/v1",
            "DASHSCOPE_API_KEY": PROVIDER_KEY,
            "OPENAI_BASE_URL": f"{self.provider_url}/v1",
            "OPENAI_API_KEY": PROVIDER_KEY,
            "DISPATCH_ENDPOINT": self.fc_url,
            "AUTH_HS256_SECRET": AUTH_SECRET,
            "WEBHOOK_SECRET": WEBHOOK_SECRET,
            "DOWNLOAD_ALLOW_HTTP": "true",
            "DOWNLOAD_ALLOW_NETWORKS": "127.0.0.0/8",
            "POLL_INTERVAL_S": "0.001",
            "OSS_URL_TTL_S": "",
        }

    @property
    def role(self) -> dict[str, str]:
        """The credentials that the platform gives to a function."""
        return {
            "ALIBABA_CLOUD_ACCESS_KEY_ID": KEY.access_key_id,
            "ALIBABA_CLOUD_ACCESS_KEY_SECRET": KEY.access_key_secret,
        }

    @cached_property
    def bucket(self) -> Any:
        """The bucket, through the official SDK."""
        auth = oss2.AuthV4(KEY.access_key_id, KEY.access_key_secret)
        return oss2.Bucket(auth, self.oss_url, BUCKET, region=REGION)

    def objects(self, prefix: str = "users/") -> dict[str, dict[str, Any]]:
        """Return the objects below a prefix: size, CRC-64 and content type by key."""
        found = {}
        for item in oss2.ObjectIterator(self.bucket, prefix=prefix):
            head = self.bucket.head_object(item.key)
            found[item.key] = {"size": head.content_length, "crc64": str(head.server_crc), "type": head.content_type}
        return found

    def charges(self) -> list[dict[str, Any]]:
        """Return what the providers have billed since the world began, with every task at its end."""
        self.clock.advance(2 * GENERATION_S)
        return self.ai.charges()


@contextmanager
def running_world(folder: Path, database: Database) -> Iterator[World]:
    """Serve a world until the block ends."""
    clock, faults, events = _ReadyClock(), Faults(), list[dict[str, Any]]()
    with ExitStack() as stack:
        stack.enter_context(_pictures_drawn_once())
        ai = AiEmulator(
            folder / "ai",
            clock=clock,
            faults=faults,
            api_key=PROVIDER_KEY,
            image_after_s=GENERATION_S,
            video_after_s=GENERATION_S,
        )
        stack.callback(ai.close)
        oss = OssEmulator(
            folder / "oss",
            credentials=Credentials(KEY),
            clock=clock,
            faults=faults,
            region=REGION,
            account_id=ACCOUNT,
            on_event=events.append,
        )
        stack.callback(oss.close)
        oss.create_bucket(BUCKET, acl="public-read")
        fc, receiver = FunctionComputeApi(), WebhookReceiver()
        providers = _time_passes_between_polls(Starlette(routes=ai.routes), clock)
        apps = (oss.app, providers, Starlette(routes=fc.routes), Starlette(routes=receiver.routes))
        ports = [stack.enter_context(served_in_thread(app))[0] for app in apps]
        yield World(database, clock, ai, fc, receiver, events, *(f"http://127.0.0.1:{port}" for port in ports))


def _time_passes_between_polls(app: ASGIApp, clock: Clock) -> ASGIApp:
    async def polled(scope: Scope, receive: Receive, send: Send) -> None:
        await app(scope, receive, send)
        if "/tasks/" in scope.get("path", ""):
            clock.advance(_BETWEEN_POLLS_S)

    return polled


@contextmanager
def _pictures_drawn_once() -> Iterator[None]:
    """Draw what looks the same once: the same few orders are placed hundreds of times."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("render_image", "render_video"):
            patch.setattr(rendering, name, _drawn_once(getattr(rendering, name)))
        yield


def _drawn_once(render: Callable[..., None]) -> Callable[..., None]:
    drawn: dict[tuple[Any, ...], bytes] = {}

    def render_once(subject: Any, *args: Any) -> None:
        (path,) = (each for each in args if isinstance(each, Path))
        look = (subject, path.suffix, *(each for each in args if isinstance(each, int)))
        if look in drawn:
            path.write_bytes(drawn[look])
            return
        render(subject, *args)
        drawn[look] = path.read_bytes()

    return render_once
