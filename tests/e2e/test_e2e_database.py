"""Jobs on MariaDB, also while the database is unavailable."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import httpx
import pytest

from tests.e2e.job_support import Case, check_main_job, check_problem, check_succeeded, generate, run
from tests.local_cloud import TLS, LocalCloud, download, eventually
from tests.mariadb import MariaDb

# These tests share one server and one local cloud, so they run in one process.
pytestmark = pytest.mark.xdist_group("e2e-database")

USER = "test@factory-buy.com"
IMAGE, VIDEO = "/ai/generate-image", "/ai/generate-video"
SMALL = Case("small", IMAGE, {"size": "512x512"}, (512, 512), "wan2.2-t2i-flash")
CASES = (
    Case("four images", IMAGE, {"count": 4, "size": "512x768"}, (512, 768), "wan2.2-t2i-flash", count=4),
    Case("base64", IMAGE, {"model": "gpt-image-1"}, (1024, 1024), "gpt-image-1"),
    Case("video", VIDEO, {"duration": 2, "size": "832x480"}, (832, 480), "wan2.6-t2v", 1, 2, "mp4"),
)


@pytest.fixture(scope="module")
def running_cloud(own_mariadb: MariaDb, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    folder = tmp_path_factory.mktemp("cloud")
    running = LocalCloud(folder / "data", database_url=own_mariadb.create_database()).start()
    yield running
    running.stop()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_job_succeeds_on_mariadb(cloud: LocalCloud, prompt: str, case: Case) -> None:
    check_main_job(cloud, "用户 test@factory-buy.com", f"{prompt} 灯塔 🌅", case)


def test_users_differ_by_case_and_accents(cloud: LocalCloud, prompt: str) -> None:
    job = run(cloud, "a@example.com", prompt, **SMALL.body)
    for other in ("A@example.com", "á@example.com"):
        check_problem(cloud.api(other).get(f"/jobs/{job['id']}"), 404)


def test_a_hundred_requests_with_one_key_are_one_job_one_charge_and_one_answer(cloud: LocalCloud, prompt: str) -> None:
    headers = {**cloud.api(USER).headers, "Idempotency-Key": prompt, "Prefer": "respond-async"}
    url, body, together = cloud.variables["API_URL"] + IMAGE, {"prompt": prompt, **SMALL.body}, Barrier(100)

    def post(_: int) -> httpx.Response:
        together.wait()  # one connection each, because the pool of a client would send them one after the other
        answer = httpx.post(url, json=body, headers=headers, timeout=100, trust_env=False, verify=TLS)
        cloud.checker.check(answer)
        return answer

    with ThreadPoolExecutor(100) as threads:
        answers = list(threads.map(post, range(100)))
    told = {(each.status_code, each.text, each.headers["location"], each.headers["retry-after"]) for each in answers}
    assert len(told) == 1, told
    assert answers[0].status_code == 202
    assert sum("ratelimit" in each.headers for each in answers) == 1, "one of them took a place"
    (job,) = cloud.rows("SELECT id FROM jobs WHERE prompt = ?", prompt)
    check_succeeded(cloud, USER, cloud.finish(cloud.api(USER), job["id"]), SMALL)
    assert len(cloud.charges(prompt)) == 1


def test_while_the_database_is_unavailable_no_job_begins(cloud: LocalCloud, own_mariadb: MariaDb, prompt: str) -> None:
    api, body = cloud.api(USER), {"prompt": prompt, **SMALL.body}
    known = run(cloud, USER, f"{prompt} before", **SMALL.body)
    own_mariadb.stop()
    try:
        refused = api.post(IMAGE, json=body, headers={"Idempotency-Key": prompt})
        problem = check_problem(refused, 503)
        assert problem["code"] == "database_unavailable" and int(refused.headers["retry-after"]) > 0
        check_problem(api.get(f"/jobs/{known['id']}"), 503)
        assert api.get("/healthz").status_code == 200
    finally:
        own_mariadb.start()
    assert cloud.charges(prompt) == [] and cloud.rows("SELECT id FROM jobs WHERE prompt = ?", prompt) == []
    assert api.get(f"/jobs/{known['id']}").json() == known
    done = api.post(IMAGE, json=body, headers={"Idempotency-Key": prompt})
    check_succeeded(cloud, USER, done.json(), SMALL)
    assert len(cloud.charges(prompt)) == 1


def test_a_job_continues_when_the_database_is_available_again(
    cloud: LocalCloud, own_mariadb: MariaDb, prompt: str
) -> None:
    api, slow = cloud.api(USER), f"[slow] {prompt}"
    job = generate(api, slow, **SMALL.body)
    eventually(lambda: cloud.rows("SELECT provider_task_id FROM jobs WHERE id = ?", job["id"])[0]["provider_task_id"])
    own_mariadb.stop()
    try:
        cloud.advance(61)
        # The provider has finished, and no function can record that.
        eventually(lambda: not any(each["busy"] for each in cloud.instances("generate-image")))
    finally:
        own_mariadb.start()
    cloud.age(job["id"])
    check_succeeded(cloud, USER, cloud.finish(api, job["id"]), SMALL)
    assert len(cloud.charges(slow)) == 1


def test_the_functions_reconnect_after_a_restart_of_the_database(
    cloud: LocalCloud, own_mariadb: MariaDb, prompt: str
) -> None:
    own_mariadb.restart()
    check_main_job(cloud, USER, prompt, SMALL)


def test_a_killed_local_cloud_has_all_its_data_in_mariadb_after_a_restart(
    start_cloud: Callable[..., LocalCloud], own_mariadb: MariaDb, tmp_path: Path, prompt: str
) -> None:
    url = own_mariadb.create_database()
    first = start_cloud(tmp_path / "data", database_url=url)
    job = run(first, USER, prompt, **SMALL.body)
    first.kill()
    second = start_cloud(tmp_path / "data", database_url=url)
    found = second.api(USER).get(f"/jobs/{job['id']}").json()
    addresses = ("ossUrl", "thumbnailUrl")
    for output, earlier in zip(found["outputs"], job["outputs"], strict=True):
        # The bucket may now have another port, and URLs contain the port.
        assert len(download(output["ossUrl"]).content) == earlier["size"]
        earlier |= {name: output[name] for name in addresses}
    assert found == job
    assert [found.key for found in second.objects(USER, job["id"])] == [
        row["oss_path"] for row in second.output_rows(job["id"])
    ]
