"""The only place that builds adapters and bundles of ports. Imports are lazy: a function loads only what it uses.

Everything here lives as long as the instance; credentials are read again at every use.
"""

from functools import cache
from typing import TYPE_CHECKING

from shared import settings
from shared.domain.errors import ProviderRefusedError
from shared.domain.models import MODELS, ProviderName

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
    from shared.domain.quotas import Quotas
    from shared.domain.web_addresses import WebPolicy
    from shared.ports import Provider
    from shared.presentation import JobPresenter
    from shared.services.access import AccessPorts
    from shared.services.deletion import DeletionPorts
    from shared.services.deletion_requests import DeletionRequestPorts
    from shared.services.expiry import ExpiryPorts
    from shared.services.generation import GenerationPorts
    from shared.services.indexing import IndexingPorts
    from shared.services.job_endings import JobEndingPorts
    from shared.services.jobs import JobPorts
    from shared.services.reading import ReadPorts
    from shared.services.revival import RevivalPorts
    from shared.services.starting import StartPorts
    from shared.services.storage import StoragePorts
    from shared.services.sweeping import SweepingPorts
    from shared.services.upkeep import UpkeepPorts
    from shared.services.webhooks import WebhookPorts


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
def quotas() -> "Quotas":
    from shared.domain.quotas import Quotas

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

    return MediaInfoProbe(settings.interpreter_environment())


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
    # The first token pays for the import of the HTTP client, not the start.
    from shared.adapters.key_fetching import fetch_key_set

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


def _index(job: "Job") -> None:
    # Only a job without rows pays for the HTTP client.
    dispatcher().index(job)


@cache
def deliveries() -> "SqlDeliveryStore":
    from shared.adapters.sql.deliveries import SqlDeliveryStore

    return SqlDeliveryStore(_database())


# -- the ports of the use cases


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
def storage_ports() -> "StoragePorts":
    from shared.adapters.downloads import GuardedDownloads
    from shared.services.storage import StoragePorts

    return StoragePorts(
        store=object_store(),
        outputs=outputs(),
        temp=temp_files(),
        probe=media_probe(),
        downloads=GuardedDownloads(settings.DownloadSettings.read(), public_web()),
        clock=clock(),
        limits=settings.read_media_limits(),
    )


@cache
def job_ending_ports() -> "JobEndingPorts":
    from shared.services.job_endings import JobEndingPorts

    return JobEndingPorts(jobs=jobs(), outputs=outputs(), temp=temp_files(), clock=clock())


@cache
def indexing_ports() -> "IndexingPorts":
    from shared.services.indexing import IndexingPorts

    return IndexingPorts(
        store=object_store(),
        outputs=outputs(),
        jobs=jobs(),
        deletions=deletions(),
        probe=media_probe(),
        clock=clock(),
    )


@cache
def generation_ports() -> "GenerationPorts":
    from shared.services.generation import GenerationPorts

    return GenerationPorts(
        jobs=jobs(),
        provider_of=provider_of,
        dispatcher=dispatcher(),
        clock=clock(),
        storage=storage_ports(),
        endings=job_ending_ports(),
        indexing=indexing_ports(),
        patience_s=settings.RuntimeSettings.read().patience_s,
    )


@cache
def revival_ports() -> "RevivalPorts":
    from shared.services.revival import RevivalPorts

    return RevivalPorts(
        jobs=jobs(),
        provider_of=provider_of,
        dispatcher=dispatcher(),
        clock=clock(),
        endings=job_ending_ports(),
        indexing=indexing_ports(),
    )


@cache
def deletion_ports() -> "DeletionPorts":
    from shared.services.deletion import DeletionPorts

    return DeletionPorts(
        store=object_store(),
        jobs=jobs(),
        outputs=outputs(),
        deletions=deletions(),
        clock=clock(),
        cancelling=job_ports(),
    )


@cache
def expiry_ports() -> "ExpiryPorts":
    from shared.services.expiry import ExpiryPorts

    return ExpiryPorts(starts=starts(), deliveries=deliveries(), clock=clock())


@cache
def webhook_ports() -> "WebhookPorts":
    from shared.adapters.webhook_sender import StandardWebhookSender
    from shared.services.webhooks import WebhookPorts

    return WebhookPorts(
        jobs=jobs(),
        deliveries=deliveries(),
        sender=StandardWebhookSender(settings.WebhookSettings.read(), public_web()),
        show=lambda job: job_presenter().show_ended_job(job).model_dump(by_alias=True),
        clock=clock(),
    )


@cache
def upkeep_ports() -> "UpkeepPorts":
    from shared.services.upkeep import UpkeepPorts

    return UpkeepPorts(
        temp=temp_files(),
        clock=clock(),
        revival=revival_ports(),
        deletion=deletion_ports(),
        expiry=expiry_ports(),
    )


# -- the temp folder of this instance


@cache
def sweeping_ports() -> "SweepingPorts":
    from shared.services.sweeping import SweepingPorts

    return SweepingPorts(temp=temp_files(), clock=clock())


def sweep_temp_folder() -> int:
    from shared.services.sweeping import sweep_temp_files

    return sweep_temp_files(ports=sweeping_ports())


def empty_temp_folder() -> int:
    from shared.services.sweeping import empty_temp_folder

    return empty_temp_folder(ports=sweeping_ports())
