"""Jobs without rows: their outputs come from the stored URL, or from the objects in the bucket."""

from urllib.parse import quote

import pytest

from shared.adapters.output_urls import OutputUrls
from shared.domain.errors import ConfigurationError, DatabaseUnavailableError, DispatchError, DreamFactoryError
from shared.domain.jobs import Job, JobOutput, JobStatus
from shared.domain.keys import ObjectKey
from shared.domain.media import MediaFacts
from shared.services.indexing import index_job
from shared.services.legacy import LegacyOutput, OutputPorts, find_outputs
from shared.services.storage import make_output
from shared.settings import OssSettings
from tests.fakes import NOW, USER, FakeClock, HeldObject, World, make_job, make_png, make_video_job

KEY = f"users/{USER}/jobs/abc123/image-1703123456789.png"
URLS = OutputUrls(
    OssSettings(
        "media", "cn-hangzhou", "https://oss-cn-hangzhou-internal.aliyuncs.com", "https://media.example.com", None
    ),
    FakeClock(),
)
BASES = [
    "https://media.example.com",
    "https://media.oss-cn-hangzhou.aliyuncs.com",
    "http://media.oss-cn-hangzhou.aliyuncs.com",
    "https://media.oss-cn-hangzhou-internal.aliyuncs.com",
]
ELSEWHERE = "https://old.example.com/files/1.png?token=a%2Fb"


class Asked:
    """Index jobs and record their ids."""

    def __init__(self, world: World, error: DreamFactoryError | None = None) -> None:
        self.world = world
        self.error = error
        self.jobs: list[str] = []

    def __call__(self, job: Job) -> None:
        self.jobs.append(job.id)
        if self.error:
            raise self.error
        index_job(job.id, ports=self.world.indexing)


def find(world: World, job: Job, asked: Asked | None = None) -> list[JobOutput | LegacyOutput]:
    world.jobs.add(job)
    found = find_outputs(job, ports=OutputPorts(world.outputs, URLS.key_of, asked or Asked(world)))
    return list(found)


def old_job(legacy_url: str | None = None, **changes: object) -> Job:
    return make_job(status=JobStatus.SUCCEEDED, legacy_url=legacy_url, finished_at=NOW, **changes)


def hold(world: World, key: str = KEY) -> None:
    world.store.objects[key] = HeldObject(make_png())


def test_a_job_with_rows_returns_its_rows(world: World) -> None:
    row = make_output(ObjectKey.parse(KEY), 1, MediaFacts("png"), store=world.store, now=NOW)
    world.outputs.put(row)
    asked = Asked(world)
    assert find(world, old_job(ELSEWHERE), asked) == [row]
    assert asked.jobs == []


@pytest.mark.parametrize("status", [status for status in JobStatus if status is not JobStatus.SUCCEEDED], ids=str)
def test_only_a_succeeded_job_is_indexed(world: World, status: JobStatus) -> None:
    hold(world)
    asked = Asked(world)
    assert find(world, make_job(status=status, legacy_url=ELSEWHERE), asked) == []
    assert asked.jobs == []


@pytest.mark.parametrize("url", [ELSEWHERE, "http://10.0.0.1:8080/a.png", "https://media.example.com/old/a.png"])
def test_a_url_outside_the_bucket_is_returned_unchanged(world: World, url: str) -> None:
    asked = Asked(world)
    (found,) = find(world, old_job(url), asked)
    assert isinstance(found, LegacyOutput)
    assert (found.oss_url, found.job_id, found.user_id, found.created_at) == (url, "abc123", USER, NOW)
    assert (found.size, found.meta) == (None, {"width": None, "height": None, "format": None, "crc64": None})
    assert find(world, old_job(url), asked) == [found]
    assert asked.jobs == []


def test_a_video_has_the_fields_of_video_meta(world: World) -> None:
    (found,) = find(world, make_video_job(status=JobStatus.SUCCEEDED, legacy_url=ELSEWHERE))
    assert found.meta.keys() == {"width", "height", "format", "duration", "codec", "frameRate", "crc64"}
    assert set(found.meta.values()) == {None}


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("signed", ["", "?x-oss-signature=abc&x-oss-expires=1"])
def test_a_job_whose_url_is_its_own_object_is_indexed(world: World, base: str, signed: str) -> None:
    hold(world)
    asked = Asked(world)
    job = old_job(f"{base}/{quote(KEY)}{signed}")
    (found,) = find(world, job, asked)
    assert isinstance(found, JobOutput)
    assert (found.oss_path, found.size) == (KEY, len(make_png()))
    assert find(world, job, asked) == [found]
    assert asked.jobs == ["abc123"]  # the rows exist from now on


@pytest.mark.parametrize("other", ["users/other/jobs/abc123", f"users/{USER}/jobs/other"])
def test_a_url_of_another_jobs_object_is_not_indexed(world: World, other: str) -> None:
    url = f"{BASES[0]}/{other}/image-1703123456789.png"
    asked = Asked(world)
    assert [output.oss_url for output in find(world, old_job(url), asked)] == [url]
    assert asked.jobs == []


@pytest.mark.parametrize(
    "url",
    [
        *(
            None,
            "",
            "/tmp/dream-factory/abc.png",  # noqa: S108 - what a row may hold
            "file:///tmp/x.png",
            "x.png",
            "C:\\tmp\\x.png",
            "javascript:alert(1)",
        ),
        *("data:image/png;base64,AA==", "https://", "https:///tmp/x.png", "http://[::1", "//host/x.png"),
        *("https://user:password@host/x.png", "https://host/a\nb.png", "ftp://host/x.png"),
    ],
)
def test_a_job_without_a_web_address_is_indexed(world: World, url: str | None) -> None:
    asked = Asked(world)
    assert find(world, old_job(url), asked) == []
    hold(world)
    assert [output.oss_url for output in find(world, old_job(url), asked)] == [world.store.url(KEY)]
    assert asked.jobs == ["abc123"] * 2


@pytest.mark.parametrize("error", [DispatchError("no answer"), ConfigurationError("DISPATCH_ENDPOINT is not set")])
def test_the_result_is_empty_when_indexing_fails(
    world: World, error: DreamFactoryError, caplog: pytest.LogCaptureFixture
) -> None:
    hold(world)
    assert find(world, old_job(), Asked(world, error)) == []
    assert "could not be indexed" in caplog.text
    assert len(find(world, old_job())) == 1  # and the next read tries again


def test_an_unavailable_database_is_an_error(world: World) -> None:
    world.jobs.add(old_job())
    world.outputs.away = True
    with pytest.raises(DatabaseUnavailableError):
        find_outputs(old_job(), ports=OutputPorts(world.outputs, URLS.key_of, Asked(world)))
