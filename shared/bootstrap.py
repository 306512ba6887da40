"""The one place that builds adapters. Imports are lazy: a function loads only what it uses.

What is built lives as long as the instance; credentials are read anew at every use.
"""

from functools import cache
from typing import TYPE_CHECKING

from shared import settings
from shared.domain.errors import ProviderRefusedError
from shared.domain.models import MODELS, ProviderName
from shared.domain.quotas import Quotas
from shared.ports import Limits

if TYPE_CHECKING:
    import httpx

    from shared.adapters.invoker import FunctionInvoker
    from shared.adapters.media_info import MediaInfoProbe
    from shared.adapters.object_store import OssObjectStore
    from shared.adapters.output_urls import OutputUrls
    from shared.adapters.public_web import PublicWeb
    from shared.adapters.sql.database import Database
    from shared.adapters.sql.deletions import SqlDeletionStore
    from shared.adapters.sql.deliveries import SqlDeliveryStore
    from shared.adapters.sql.jobs import SqlJobStore
    from shared.adapters.sql.outputs import SqlOutputStore
    from shared.adapters.sql.starts import SqlStartStore
    from shared.adapters.system_clock import SystemClock
    from shared.adapters.temp_folder import TempFolder
    from shared.adapters.tokens import TokenVerifier
    from shared.domain.jobs import Job
    from shared.domain.web_addresses import WebPolicy
    from shared.ports import Provider
    from shared.presentation import JobPresenter
    from shared.services.access import AccessPorts
    from shared.services.deletion import DeletionService
    from shared.services.deletion_requests import DeletionRequestPorts
    from shared.services.generation import GenerationService
    from shared.services.indexing import IndexingService
    from shared.services.jobs import JobPorts
    from shared.services.reading import ReadPorts
    from shared.services.revival import RevivalService
    from shared.services.starting import StartPorts
    from shared.services.storage import StorageService
    from shared.services.upkeep import UpkeepService
    from shared.services.webhooks import WebhookService


@cache
def clock() -> "SystemClock":
    from shared.adapters.system_clock import SystemClock

    return SystemClock()


@cache
def _database() -> "Database":
    from shared.adapters.sql.database import Database

    return Database(settings.DatabaseSettings.read())


@cache
def jobs() -> "SqlJobStore":
    from shared.adapters.sql.jobs import SqlJobStore

    return SqlJobStore(_database())


@cache
def starts() -> "SqlStartStore":
    from shared.adapters.sql.starts import SqlStartStore

    return SqlStartStore(_database())


@cache
def quotas() -> Quotas:
    wanted = settings.QuotaSettings.read()
    return Quotas(wanted.concurrent_jobs, wanted.jobs_per_day, wanted.stored_bytes)


@cache
def outputs() -> "SqlOutputStore":
    from shared.adapters.sql.outputs import SqlOutputStore

    return SqlOutputStore(_database())


@cache
def deletions() -> "SqlDeletionStore":
    from shared.adapters.sql.deletions import SqlDeletionStore

    return SqlDeletionStore(_database())


@cache
def object_store() -> "OssObjectStore":
    from shared.adapters.object_store import OssObjectStore

    return OssObjectStore(settings.OssSettings.read())


@cache
def output_urls() -> "OutputUrls":
    from shared.adapters.output_urls import OutputUrls

    return OutputUrls(settings.OssSettings.read(), clock())


@cache
def temp_files() -> "TempFolder":
    from shared.adapters.temp_folder import TempFolder

    return TempFolder(settings.RuntimeSettings.read().temp_dir)


@cache
def media_probe() -> "MediaInfoProbe":
    from shared.adapters.media_info import MediaInfoProbe

    return MediaInfoProbe()


def cors_origins() -> tuple[str, ...]:
    return settings.RuntimeSettings.read().cors_origins


def function_version() -> str:
    return settings.RuntimeSettings.read().version


@cache
def web_policy() -> "WebPolicy":
    return settings.read_web_policy()


def webhooks_are_enabled() -> bool:
    return settings.webhooks_are_enabled()


@cache
def access_ports() -> "AccessPorts":
    from shared.services.access import AccessPorts

    return AccessPorts(caller_of=_token_verifier().caller_of)


@cache
def start_ports() -> "StartPorts":
    from shared.services.starting import StartPorts

    return StartPorts(starts=starts(), jobs=jobs(), dispatcher=dispatcher(), clock=clock(), quotas=quotas())


@cache
def job_ports() -> "JobPorts":
    from shared.services.jobs import JobPorts

    return JobPorts(jobs=jobs(), dispatcher=dispatcher(), clock=clock())


@cache
def read_ports() -> "ReadPorts":
    from shared.services.reading import ReadPorts

    return ReadPorts(
        jobs=jobs(),
        outputs=outputs(),
        deliveries=deliveries(),
        starts=starts(),
        quotas=quotas(),
        key_of=output_urls().key_of,
        clock=clock(),
    )


@cache
def deletion_request_ports() -> "DeletionRequestPorts":
    from shared.services.deletion_requests import DeletionRequestPorts

    return DeletionRequestPorts(
        jobs=jobs(), outputs=outputs(), deletions=deletions(), dispatcher=dispatcher(), clock=clock()
    )


@cache
def job_presenter() -> "JobPresenter":
    from shared.presentation import JobPresenter
    from shared.services.legacy import OutputPorts

    ports = OutputPorts(outputs=outputs(), key_of=output_urls().key_of, index=_index)
    return JobPresenter(ports=ports, urls=output_urls())


@cache
def _token_verifier() -> "TokenVerifier":
    from shared.adapters.tokens import TokenVerifier

    return TokenVerifier(settings.AuthSettings.read(), fetch_keys=_fetch_keys)


def _fetch_keys(url: str) -> object:
    from shared.adapters.key_fetching import fetch_key_set  # the first token pays for the HTTP client, not the start

    return fetch_key_set(url, _http_client())


@cache
def dispatcher() -> "FunctionInvoker":
    from shared.adapters.invoker import FunctionInvoker

    return FunctionInvoker(settings.DispatchSettings.read(), _http_client())


@cache
def _http_client() -> "httpx.Client":
    import httpx

    # One client per process: each builds a TLS context, which costs 25 to 36 ms. Adapters state their own time limits.
    return httpx.Client(trust_env=False)


@cache
def public_web() -> "PublicWeb":
    from shared.adapters.public_web import PublicWeb

    return PublicWeb(web_policy())


def provider_of(model: str) -> "Provider":
    if model not in MODELS:
        raise ProviderRefusedError(f"this release does not serve the model {model}")
    return _provider(MODELS[model].provider)


@cache
def _provider(name: ProviderName) -> "Provider":
    match name:
        case ProviderName.DASHSCOPE:
            from shared.adapters.dashscope import DashScope

            return DashScope(settings.ProviderSettings.read(name, DashScope.BASE_URL), _http_client())
        case ProviderName.OPENAI:
            from shared.adapters.openai_images import OpenAiImages

            return OpenAiImages(settings.ProviderSettings.read(name, OpenAiImages.BASE_URL), _http_client())


@cache
def generation_service() -> "GenerationService":
    from shared.services.generation import GenerationService

    return GenerationService(
        jobs=jobs(),
        provider_of=provider_of,
        storage=storage_service(),
        indexing=indexing_service(),
        dispatcher=dispatcher(),
        patience_s=settings.RuntimeSettings.read().patience_s,
    )


def _index(job: "Job") -> None:
    # Only a job without rows pays for the HTTP client.
    dispatcher().index(job)


@cache
def deliveries() -> "SqlDeliveryStore":
    from shared.adapters.sql.deliveries import SqlDeliveryStore

    return SqlDeliveryStore(_database())


@cache
def webhook_service() -> "WebhookService":
    from shared.adapters.webhook_sender import StandardWebhookSender
    from shared.services.webhooks import WebhookService

    return WebhookService(
        jobs=jobs(),
        deliveries=deliveries(),
        sender=StandardWebhookSender(settings.WebhookSettings.read(), public_web()),
        show=lambda job: job_presenter().show_ended_job(job).model_dump(by_alias=True),
        clock=clock(),
    )


@cache
def upkeep_service() -> "UpkeepService":
    from shared.services.upkeep import UpkeepService

    return UpkeepService(
        revival=revival_service(),
        deletion=deletion_service(),
        starts=starts(),
        deliveries=deliveries(),
        temp=temp_files(),
        clock=clock(),
    )


@cache
def revival_service() -> "RevivalService":
    from shared.services.revival import RevivalService

    return RevivalService(
        jobs=jobs(),
        outputs=outputs(),
        temp=temp_files(),
        provider_of=provider_of,
        dispatcher=dispatcher(),
        indexing=indexing_service(),
        clock=clock(),
    )


@cache
def indexing_service() -> "IndexingService":
    from shared.services.indexing import IndexingService

    return IndexingService(
        store=object_store(),
        outputs=outputs(),
        jobs=jobs(),
        deletions=deletions(),
        probe=media_probe(),
        clock=clock(),
    )


@cache
def deletion_service() -> "DeletionService":
    from shared.services.deletion import DeletionService

    return DeletionService(
        store=object_store(),
        jobs=jobs(),
        outputs=outputs(),
        deletions=deletions(),
        dispatcher=dispatcher(),
        clock=clock(),
    )


@cache
def storage_service() -> "StorageService":
    from shared.adapters.downloads import GuardedDownloads
    from shared.services.storage import StorageService

    downloads = settings.DownloadSettings.read()
    return StorageService(
        store=object_store(),
        outputs=outputs(),
        temp=temp_files(),
        probe=media_probe(),
        downloads=GuardedDownloads(downloads, public_web()),
        limits=Limits(downloads.max_bytes, downloads.max_pixels),
        clock=clock(),
    )
