"""In-memory implementations of the ports, one module per port, and the jobs and media that tests use."""

from tests.fakes.clock import FakeClock
from tests.fakes.deletion_store import InMemoryDeletionStore
from tests.fakes.delivery_store import InMemoryDeliveryStore
from tests.fakes.dispatcher import RecordingDispatcher
from tests.fakes.downloads import Chunk, FakeDownloads
from tests.fakes.examples import MP4_HEAD, NOW, PLENTY, USER, make_job, make_output, make_png, make_video_job
from tests.fakes.job_store import InMemoryJobStore
from tests.fakes.media_probe import StubProbe
from tests.fakes.object_store import HeldObject, InMemoryObjectStore
from tests.fakes.output_store import InMemoryOutputStore
from tests.fakes.provider import FakeProvider
from tests.fakes.start_store import InMemoryStartStore
from tests.fakes.webhook_sender import FakeWebhookSender
from tests.fakes.world import World

__all__ = [
    "MP4_HEAD",
    "NOW",
    "PLENTY",
    "USER",
    "Chunk",
    "FakeClock",
    "FakeDownloads",
    "FakeProvider",
    "FakeWebhookSender",
    "HeldObject",
    "InMemoryDeletionStore",
    "InMemoryDeliveryStore",
    "InMemoryJobStore",
    "InMemoryObjectStore",
    "InMemoryOutputStore",
    "InMemoryStartStore",
    "RecordingDispatcher",
    "StubProbe",
    "World",
    "make_job",
    "make_output",
    "make_png",
    "make_video_job",
]
