"""All fakes together, as the bundles of ports that the use cases take."""

from pathlib import Path

from fastcrc import crc64

from shared.adapters.temp_folder import TempFolder
from shared.domain.jobs import LEASE_S, Job, OutputIntent
from shared.domain.media import MediaLimits
from shared.domain.media_type import MediaType
from shared.domain.quotas import Quotas
from shared.services.deletion import DeletionPorts
from shared.services.deletion_requests import DeletionRequestPorts
from shared.services.expiry import ExpiryPorts
from shared.services.generation import GenerationPorts
from shared.services.indexing import IndexingPorts
from shared.services.job_endings import JobEndingPorts
from shared.services.jobs import JobPorts
from shared.services.legacy import KeyOf
from shared.services.reading import ReadPorts
from shared.services.revival import RevivalPorts
from shared.services.starting import StartPorts
from shared.services.storage import StoragePorts
from shared.services.upkeep import UpkeepPorts
from shared.services.webhooks import WebhookPorts
from tests.fakes.clock import FakeClock
from tests.fakes.deletion_store import InMemoryDeletionStore
from tests.fakes.dispatcher import RecordingDispatcher
from tests.fakes.downloads import FakeDownloads
from tests.fakes.examples import NOW, PLENTY, make_job, make_output, make_png
from tests.fakes.job_store import InMemoryJobStore
from tests.fakes.media_probe import StubProbe
from tests.fakes.object_store import InMemoryObjectStore
from tests.fakes.output_store import InMemoryOutputStore
from tests.fakes.provider import FakeProvider
from tests.fakes.start_store import InMemoryStartStore
from tests.fakes.webhook_sender import FakeWebhookSender


class World:
    """Every port of the services in memory, with the temp folder in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = FakeClock()
        self.jobs = InMemoryJobStore()
        self.outputs = InMemoryOutputStore(self.jobs)
        self.starts = InMemoryStartStore(self.jobs, self.outputs)
        self.deletions = InMemoryDeletionStore(self.jobs, self.outputs)
        self.store = InMemoryObjectStore(clock=self.clock)
        self.temp = TempFolder(str(folder))
        self.probe = StubProbe()
        self.downloads = FakeDownloads()
        self.dispatcher = RecordingDispatcher()
        self.patience_s = 3600.0
        self.limits = MediaLimits({MediaType.IMAGE: 10_000, MediaType.VIDEO: 20_000}, max_pixels=1_000_000)

    @property
    def storage(self) -> StoragePorts:
        return StoragePorts(
            store=self.store,
            outputs=self.outputs,
            temp=self.temp,
            probe=self.probe,
            downloads=self.downloads,
            clock=self.clock,
            limits=self.limits,
        )

    @property
    def indexing(self) -> IndexingPorts:
        return IndexingPorts(
            store=self.store,
            outputs=self.outputs,
            jobs=self.jobs,
            deletions=self.deletions,
            probe=self.probe,
            clock=self.clock,
        )

    @property
    def endings(self) -> JobEndingPorts:
        return JobEndingPorts(jobs=self.jobs, outputs=self.outputs, temp=self.temp, clock=self.clock)

    @property
    def expiry(self) -> ExpiryPorts:
        return ExpiryPorts(starts=self.starts, deliveries=self.jobs.deliveries, clock=self.clock)

    @property
    def deletion(self) -> DeletionPorts:
        return DeletionPorts(
            store=self.store,
            jobs=self.jobs,
            outputs=self.outputs,
            deletions=self.deletions,
            clock=self.clock,
            cancelling=self.job_requests,
        )

    @property
    def deletion_requests(self) -> DeletionRequestPorts:
        return DeletionRequestPorts(self.jobs, self.outputs, self.deletions, self.dispatcher, self.clock)

    @property
    def job_requests(self) -> JobPorts:
        return JobPorts(self.jobs, self.dispatcher, self.clock)

    def starting(self, quotas: Quotas = PLENTY) -> StartPorts:
        return StartPorts(self.starts, self.jobs, self.dispatcher, self.clock, quotas)

    def reading(self, key_of: KeyOf = lambda _: None) -> ReadPorts:
        deliveries = self.jobs.deliveries
        return ReadPorts(self.jobs, self.outputs, deliveries, self.starts, PLENTY, key_of, self.clock)

    def generation(self, provider: FakeProvider) -> GenerationPorts:
        return GenerationPorts(
            jobs=self.jobs,
            provider_of=lambda _: provider,
            dispatcher=self.dispatcher,
            clock=self.clock,
            storage=self.storage,
            endings=self.endings,
            indexing=self.indexing,
            patience_s=self.patience_s,
        )

    def webhooks(self, sender: FakeWebhookSender, *, factor: float = 1.0) -> WebhookPorts:
        return WebhookPorts(
            jobs=self.jobs,
            deliveries=self.jobs.deliveries,
            sender=sender,
            show=lambda job: {"id": job.id, "status": job.status.value, "finishedAt": "2023-12-21T01:50:56.789Z"},
            clock=self.clock,
            jitter=lambda: factor,
        )

    def revival(self, provider: FakeProvider) -> RevivalPorts:
        return RevivalPorts(
            jobs=self.jobs,
            provider_of=lambda _: provider,
            dispatcher=self.dispatcher,
            clock=self.clock,
            endings=self.endings,
            indexing=self.indexing,
        )

    def leave_an_intent(self) -> OutputIntent:
        """Act as an attempt that got ``make_png()`` inside the answer, recorded its intent and died."""
        job = make_job().claimed(NOW).submitting(NOW).storing(NOW)
        self.jobs.add(job)
        output = make_output(size=len(make_png()), meta={"crc64": str(crc64.xz(make_png()))})
        intent = OutputIntent(output, 0, job.attempt)
        self.outputs.intend(intent, lease_expires_at=NOW)
        self.clock.advance(LEASE_S)
        return intent

    def upkeep(self, provider: FakeProvider) -> UpkeepPorts:
        return UpkeepPorts(
            temp=self.temp,
            clock=self.clock,
            revival=self.revival(provider),
            deletion=self.deletion,
            expiry=self.expiry,
        )

    def temp_files(self) -> list[str]:
        """Return the names of the files in the temp folder."""
        return sorted(path.name for path in self.folder.iterdir()) if self.folder.exists() else []

    def job(self, job_id: str = "abc123") -> Job:
        """Return the recorded state of the job."""
        job = self.jobs.get(job_id)
        assert job is not None
        return job
