"""Each store works without the other stores, and on its own database beside another database."""

import importlib
import inspect
import multiprocessing
import pkgutil
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from shared.adapters import sql
from shared.adapters.sql.database import Database
from shared.adapters.sql.deletions import SqlDeletionStore
from shared.adapters.sql.jobs import SqlJobStore
from shared.adapters.sql.outputs import SqlOutputStore
from shared.adapters.sql.starts import SqlStartStore
from shared.domain.deletions import DeletionScope, deletion_of_job
from shared.domain.deliveries import Delivery
from shared.domain.idempotency import Answer, UsedKey
from shared.domain.jobs import OutputIntent
from shared.domain.usage import Usage
from tests.contract.databases import database_url, open_database
from tests.contract.racing import race
from tests.contract.released_statements import STORES, methods
from tests.fakes import NOW, PLENTY, USER, make_job, make_output

URL = "https://hooks.example.com/in"
LATER = NOW + timedelta(days=2)
JOB = make_job(next_attempt_at=NOW)
POLLED = make_job(id="polled", provider_task_id="task-1", next_attempt_at=NOW)
ENDED = make_job(id="ended", webhook_url=URL).succeeded(NOW)
NEW = make_job(id="new")
OUTPUT, OTHER = make_output(0), make_output(1)
INTENT = OutputIntent(OTHER, 1, 0)
KEY = UsedKey(USER, "key", "hash", "started", NOW)
ANSWER = Answer(202, {"Location": "/jobs/started"}, {"id": "started"})
DELETION = replace(deletion_of_job(make_job(id="deleted"), NOW), id="deletion")
DELIVERY = Delivery("delivery", "ended", USER, "job.succeeded", URL, NOW, next_attempt_at=NOW)
CLAIMED = DELIVERY.claimed(NOW)

Step = tuple[str, Callable[[Any], object], object]
# For each store: a method, a call of the method, and the result of the call on the rows that ``fill`` writes.
STEPS: dict[str, list[Step]] = {
    "SqlJobStore": [
        ("add", lambda jobs: jobs.add(NEW), NEW),
        ("get", lambda jobs: jobs.get("new"), NEW),
        ("save", lambda jobs: jobs.save(replace(NEW, webhook_url=URL).succeeded(NOW)), None),
        ("to_dispatch", lambda jobs: jobs.to_dispatch(NOW, limit=9), [JOB]),
        ("to_poll", lambda jobs: jobs.to_poll(NOW, limit=9), [POLLED]),
        ("postpone", lambda jobs: jobs.postpone(JOB, LATER), replace(JOB, next_attempt_at=LATER)),
        ("request_cancel", lambda jobs: jobs.request_cancel("polled", NOW), None),
        ("of_user", lambda jobs: [job.id for job in jobs.of_user(USER, limit=2)], ["started", "polled"]),
        ("recent", lambda jobs: [job.id for job in jobs.recent(NOW, limit=2)], ["abc123", "ended"]),
    ],
    "SqlOutputStore": [
        ("get", lambda outputs: outputs.get(OUTPUT.id), OUTPUT),
        ("of_job", lambda outputs: outputs.of_job("abc123"), [OUTPUT]),
        ("of_jobs", lambda outputs: outputs.of_jobs(["abc123", "ended"]), [OUTPUT]),
        ("intents_of_job", lambda outputs: outputs.intents_of_job("abc123"), [INTENT]),
        ("intents_before", lambda outputs: outputs.intents_before(LATER, limit=9), [INTENT]),
        ("remove_intent", lambda outputs: outputs.remove_intent(INTENT), None),
        ("intents_of_job", lambda outputs: outputs.intents_of_job("abc123"), []),
        ("intend", lambda outputs: outputs.intend(INTENT, lease_expires_at=LATER), None),
        ("commit", lambda outputs: outputs.commit(INTENT, lease_expires_at=LATER), None),
        ("put", lambda outputs: outputs.put(replace(OTHER, size=1)), None),
        ("remove", lambda outputs: outputs.remove(OUTPUT.id), None),
        ("of_user", lambda outputs: outputs.of_user(USER, limit=9), [replace(OTHER, size=1)]),
    ],
    "SqlStartStore": [
        ("find_key", lambda starts: starts.find_key(USER, "key"), KEY),
        ("keep_answer", lambda starts: starts.keep_answer(KEY, ANSWER), replace(KEY, answer=ANSWER)),
        ("start", lambda starts: starts.start(NEW, None, PLENTY), Usage(4, 2, OUTPUT.size)),
        ("usage_of", lambda starts: starts.usage_of(USER, NOW), Usage(4, 2, OUTPUT.size)),
        ("forget_keys", lambda starts: starts.forget_keys(LATER, limit=9), 1),
        ("forget_usage", lambda starts: starts.forget_usage(LATER, limit=9), 1),
    ],
    "SqlDeliveryStore": [
        ("of_job", lambda deliveries: deliveries.of_job("ended"), [DELIVERY]),
        ("due", lambda deliveries: deliveries.due(NOW, limit=9), [DELIVERY]),
        ("save", lambda deliveries: deliveries.save(CLAIMED, over_attempts=0), None),
        ("count_begun", lambda deliveries: deliveries.count_begun(USER, NOW), 1),
        ("disable", lambda deliveries: deliveries.disable(USER, URL, "gone"), None),
        ("is_disabled", lambda deliveries: deliveries.is_disabled(USER, URL), True),
        ("remove_before", lambda deliveries: deliveries.remove_before(LATER, limit=9), 1),
    ],
    "SqlDeletionStore": [
        ("get", lambda deletions: deletions.get("deletion"), DELETION),
        ("newest_of", lambda deletions: deletions.newest_of(DeletionScope.JOB, "deleted"), DELETION),
        ("concerns", lambda deletions: deletions.concerns(job_id="deleted", output_id="x"), True),
        ("due", lambda deletions: deletions.due(NOW, limit=9), [DELETION]),
        ("save", lambda deletions: deletions.save(DELETION.postponed(NOW), over=DELETION), None),
        ("finish", lambda deletions: deletions.finish(DELETION, NOW), None),
        ("finish", lambda deletions: deletions.finish(replace(DELETION, scope=DeletionScope.OUTPUT), NOW), None),
        ("tell", lambda deletions: deletions.tell("deletion", NOW), None),
        ("get", lambda deletions: deletions.get("deletion"), replace(DELETION, finished_at=NOW, told_at=NOW)),
        ("add", lambda deletions: deletions.add(replace(DELETION, id="another")), None),
        ("remove", lambda deletions: deletions.remove("deletion"), None),
        ("get", lambda deletions: deletions.get("deletion"), None),
    ],
}
BY_NAME: dict[str, Callable[[Database], object]] = {store.__name__: store for store in STORES}


def fill(url: str) -> None:
    """Write a row to every table."""
    database = open_database(url)
    jobs, outputs = SqlJobStore(database), SqlOutputStore(database)
    for job in (JOB, POLLED, replace(make_job(id="ended"), webhook_url=URL)):
        jobs.add(job)
    jobs.save(ENDED)
    SqlStartStore(database).start(make_job(id="started"), KEY, PLENTY)
    outputs.put(OUTPUT)
    outputs.intend(INTENT, lease_expires_at=NOW)
    SqlDeletionStore(database).add(DELETION)
    database.peewee.execute_sql("UPDATE webhook_deliveries SET id = 'delivery'")
    database.peewee.execute_sql("UPDATE jobs SET lease_expires_at = NULL")
    database.peewee.close()


def results_of(name: str, store: object) -> list[object]:
    """Return the results of a store's steps."""
    return [call(store) for _, call, _ in STEPS[name]]


def results_alone(name: str, url: str) -> list[object]:
    """Build one store, and no other store, and return the results of its steps."""
    with closing((database := open_database(url)).peewee):
        return results_of(name, BY_NAME[name](database))


def expected_of(name: str) -> list[object]:
    return [result for _, _, result in STEPS[name]]


def test_steps_call_every_method_of_every_store() -> None:
    assert {f"{name}.{method}" for name, steps in STEPS.items() for method, _, _ in steps} == methods()


def test_every_store_of_the_package_is_listed() -> None:
    modules = [importlib.import_module(f"{sql.__name__}.{each.name}") for each in pkgutil.iter_modules(sql.__path__)]
    found = {name for module in modules for name, _ in inspect.getmembers(module, inspect.isclass)}
    assert {name for name in found if name.endswith("Store")} == set(BY_NAME)


@pytest.mark.parametrize("name", STEPS)
def test_a_store_works_in_a_process_without_the_other_stores(name: str, request: pytest.FixtureRequest) -> None:
    fill(url := database_url("sqlite", request))
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        assert process.submit(results_alone, name, url).result(timeout=60) == expected_of(name)


@pytest.fixture(params=[("sqlite", "sqlite"), ("sqlite", "mariadb")], ids="-and-".join)
def two_urls(request: pytest.FixtureRequest, tmp_path: Path) -> list[str]:
    """The URLs of two databases with the same rows."""
    urls = []
    for number, kind in enumerate(request.param):
        (folder := tmp_path / str(number)).mkdir()
        fill(url := database_url(kind, request, folder=folder))
        urls.append(url)
    return urls


@pytest.mark.parametrize("name", STEPS)
def test_stores_on_two_databases_keep_their_own_rows(name: str, two_urls: list[str]) -> None:
    databases = [open_database(url) for url in two_urls]
    stores = [BY_NAME[name](database) for database in databases]
    for store, database in zip(stores, databases, strict=True):
        with closing(database.peewee):
            assert results_of(name, store) == expected_of(name)


def test_stores_on_two_databases_work_in_threads(two_urls: list[str]) -> None:
    databases = [open_database(url) for url in two_urls]
    stores = [SqlJobStore(database) for database in databases]

    def work(racer: int) -> None:
        for number in range(20):
            job = make_job(id=f"{racer}-{number}")
            stores[racer % 2].add(job)
            assert stores[racer % 2].get(job.id) == job
        databases[racer % 2].peewee.close()

    race(4, work, losing=ZeroDivisionError)
    for own, url in enumerate(two_urls):
        with closing((database := open_database(url)).peewee):
            found = {job.id for job in SqlJobStore(database).of_user(USER, limit=999)}
        assert found - {"abc123", "polled", "ended", "started"} == {
            f"{racer}-{number}" for racer in (own, own + 2) for number in range(20)
        }


def test_transactions_of_two_databases_may_overlap(two_urls: list[str]) -> None:
    first, second = (open_database(url) for url in two_urls)
    stores = SqlJobStore(first), SqlJobStore(second)
    with closing(first.peewee), closing(second.peewee):
        with pytest.raises(ZeroDivisionError), first.transaction():
            for store in stores:
                store.add(NEW)
            raise ZeroDivisionError
        assert [store.get("new") for store in stores] == [None, NEW]
