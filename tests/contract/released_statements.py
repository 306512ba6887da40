"""The statements that the released code sends to the database: recorded at each release, replayed on newer schemas.

During a deployment, the code of the release before works on the new schema. ``make statements`` calls every method of
every store and writes the statements to ``released_statements/``, one file of JSON lines for each kind of database.
"""

import json
import logging
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from shared.adapters.sql.database import Database
from shared.adapters.sql.deletions import SqlDeletionStore
from shared.adapters.sql.deliveries import SqlDeliveryStore
from shared.adapters.sql.jobs import SqlJobStore
from shared.adapters.sql.outputs import SqlOutputStore
from shared.adapters.sql.starts import SqlStartStore
from shared.domain.cursors import Place
from shared.domain.deletions import deletion_of_job, deletion_of_output, deletion_of_user
from shared.domain.idempotency import Answer, UsedKey
from shared.domain.jobs import JobError, JobStatus, OutputIntent
from shared.domain.media_type import MediaType
from shared.domain.quotas import Quotas
from shared.settings import DatabaseSettings
from tests.fakes import NOW, USER, make_job, make_output, make_video_job
from tests.mariadb import MariaDb, migrate

FOLDER = Path(__file__).with_suffix("")
STORES = (SqlJobStore, SqlOutputStore, SqlStartStore, SqlDeliveryStore, SqlDeletionStore)
_WEBHOOK = "https://hooks.example.com/in"
_LATER = NOW + timedelta(days=2)


class Watched:
    """The stores on one database; ``called`` contains the methods that were used, like ``SqlJobStore.add``."""

    def __init__(self, database: Database) -> None:
        self.called: set[str] = set()
        self.jobs, self.outputs, self.starts, self.deliveries, self.deletions = (
            _WatchedStore(store(database), self.called) for store in STORES
        )


class _WatchedStore:
    def __init__(self, store: object, called: set[str]) -> None:
        self._store, self._called = store, called

    def __getattr__(self, name: str) -> Any:
        self._called.add(f"{type(self._store).__name__}.{name}")
        return getattr(self._store, name)


def methods() -> set[str]:
    """Return the public methods of all stores, like ``SqlJobStore.add``."""
    return {f"{store.__name__}.{name}" for store in STORES for name in vars(store) if not name.startswith("_")}


def drive(stores: Watched) -> None:
    """Call every method of every store; the tables must be empty before."""
    job = _begin(stores)
    _work(stores, job.claimed(NOW))
    _list(stores)
    _deliver(stores)
    _delete(stores)


def _begin(stores: Watched) -> Any:
    key = UsedKey(USER, "key", "hash", "abc123", NOW)
    job = make_job(webhook_url=_WEBHOOK, negative_prompt="fog", seed=7, image_url="https://example.com/a.png")
    for each, used in ((job, key), (make_video_job(id="video"), None)):
        stores.starts.start(each, used, Quotas(9, 9, 9))
    stores.starts.find_key(USER, "key")
    stores.starts.keep_answer(key, Answer(202, {"Location": "/jobs/abc123"}, {"id": "abc123"}))
    stores.starts.usage_of(USER, NOW)
    stores.jobs.add(make_job(id="legacy", status=JobStatus.SUCCEEDED, legacy_url="/gone"))
    stores.jobs.get("abc123")
    stores.jobs.request_cancel("video", NOW)
    return job


def _work(stores: Watched, claimed: Any) -> None:
    stores.jobs.save(claimed, over_attempt=0)
    for position in range(3):
        intent = OutputIntent(make_output(position), position, claimed.attempt)
        stores.outputs.intend(intent, lease_expires_at=_LATER)
        if position == 0:
            stores.outputs.commit(intent, lease_expires_at=_LATER)
    stores.outputs.put(make_output(1))
    stores.outputs.put(replace(make_output(1), size=1))
    stores.outputs.intents_of_job("abc123")
    stores.outputs.intents_before(_LATER, limit=9)
    stores.outputs.intents_before(_LATER, limit=9, after=intent)
    stores.outputs.remove_intent(intent)
    stores.jobs.save(claimed.succeeded(NOW, ("a warning",)))
    video = stores.jobs.get("video").claimed(NOW)
    stores.jobs.save(video, over_attempt=0)
    stores.jobs.save(video.failed(JobError("provider_refused", "it broke", retryable=False), NOW))


def _list(stores: Watched) -> None:
    for wanted in ({}, {"type": MediaType.IMAGE}, {"before": Place(NOW, "b")}):
        stores.jobs.of_user(USER, limit=9, status=JobStatus.SUCCEEDED, **wanted)
        stores.jobs.of_user(USER, limit=9, **wanted)
        stores.outputs.of_user(USER, limit=9, **wanted)
    for due in (stores.jobs.to_dispatch, stores.jobs.to_poll):
        due(NOW, limit=9)
        due(NOW, limit=9, after=make_job(next_attempt_at=NOW))
    stores.jobs.postpone(stores.jobs.add(make_job(id="waiting", next_attempt_at=NOW)), _LATER)
    stores.jobs.recent(NOW, limit=9)
    stores.jobs.recent(NOW, limit=9, after=make_job())
    stores.outputs.of_job("abc123")
    stores.outputs.of_jobs(["abc123", "video"])
    stores.outputs.get(make_output().id)


def _deliver(stores: Watched) -> None:
    (delivery,) = stores.deliveries.of_job("abc123")
    stores.deliveries.due(_LATER, limit=9)
    stores.deliveries.due(_LATER, limit=9, after=delivery)
    stores.deliveries.count_begun(USER, NOW)
    stores.deliveries.is_disabled(USER, _WEBHOOK)
    stores.deliveries.save(claimed := delivery.claimed(NOW), over_attempts=0)
    stores.deliveries.save(claimed.answered(500).postponed("the receiver answered HTTP 500", NOW))
    stores.deliveries.disable(USER, _WEBHOOK, "gone")


def _delete(stores: Watched) -> None:
    requested = deletion_of_output(make_output(), NOW), deletion_of_job(make_job(), NOW), deletion_of_user(USER, NOW)
    for number, each in enumerate(requested):
        deletion = replace(each, id=str(number))
        stores.deletions.add(deletion)
        stores.deletions.newest_of(deletion.scope, deletion.target_id)
        stores.deletions.due(_LATER, limit=9, after=deletion)
        stores.deletions.save(deletion.postponed(NOW), over=deletion)
        stores.deletions.finish(deletion, NOW)
    stores.deletions.get("0")
    stores.deletions.concerns(job_id="abc123", output_id=make_output().id)
    stores.deletions.due(_LATER, limit=9)
    stores.deletions.tell("2", NOW)
    stores.deletions.remove("2")
    stores.outputs.remove(make_output().id)
    stores.deliveries.remove_before(_LATER, limit=9)
    stores.starts.forget_keys(_LATER, limit=9)
    stores.starts.forget_usage(_LATER, limit=9)


@contextmanager
def recorded() -> Iterator[list[tuple[str, list[Any]]]]:
    """Record the statements that reach the database inside the block, and their values."""
    statements: list[tuple[str, list[Any]]] = []
    recorder = logging.Handler()
    recorder.emit = lambda record: statements.append(record.msg)  # type: ignore[method-assign, arg-type]  # by peewee
    logger = logging.getLogger("peewee")
    logger.addHandler(recorder)
    logger.setLevel(logging.DEBUG)
    yield statements
    logger.removeHandler(recorder)
    logger.setLevel(logging.NOTSET)


def record(kind: str, url: str) -> None:
    """Write the statements of the present stores to the file of this kind of database."""
    database = Database(DatabaseSettings(SecretStr(url)))
    with closing(database.peewee), recorded() as statements:
        drive(Watched(database))
    lines = [
        json.dumps({"sql": sql, "values": values}, ensure_ascii=False, default=str)
        for sql, values in statements
        if sql.startswith(("SELECT", "INSERT", "REPLACE", "UPDATE", "DELETE"))
    ]
    (FOLDER / f"{kind}.jsonl").write_text("\n".join([*lines, ""]), encoding="utf-8")


def main() -> None:
    """Record on both kinds of database, each with the newest schema."""
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        migrate(url := f"sqlite:///{folder}/jobs.db")
        record("sqlite", url)
    with closing(MariaDb()) as server:
        server.start()
        record("mariadb", server.create_database())


if __name__ == "__main__":
    main()
