"""Rows, intents and objects that tests create and read directly."""

import io
import json
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from fastcrc import crc64
from PIL import Image

from shared.domain.keys import ObjectKey
from tests.local_cloud import LocalCloud, eventually

USER = "test@factory-buy.com"
LONG_AGO = datetime.now(UTC) - timedelta(hours=3)


def picture(width: int, height: int, format_: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), (200, 90, 30)).save(buffer, format_)
    return buffer.getvalue()


PICTURE = picture(64, 48)


def new_key(user: str = USER, job: str | None = None, name: str = "image-1703123456789.png") -> str:
    return f"users/{user}/jobs/{job or uuid.uuid4()}/{name}"


def row_of(cloud: LocalCloud, key: str) -> dict[str, Any] | None:
    rows = cloud.rows("SELECT * FROM job_outputs WHERE oss_path = ?", key)
    assert len(rows) <= 1
    return {**rows[0], "meta": json.loads(rows[0]["meta"])} if rows else None


def row_appears(cloud: LocalCloud, key: str) -> dict[str, Any]:
    row = eventually(lambda: row_of(cloud, key))
    assert row is not None
    return row


def settle(cloud: LocalCloud, more: int, before: int) -> None:
    """Wait until ``more`` invocations of index-outputs have come after the first ``before``, and have succeeded."""

    def settled() -> bool:
        found = cloud.invocations("index-outputs")
        return len(found) >= before + more and all(each["status"] == "succeeded" for each in found[before:])

    eventually(settled)


def count(cloud: LocalCloud) -> int:
    return len(cloud.invocations("index-outputs"))


def add_job(cloud: LocalCloud, status: str = "succeeded", **columns: object) -> str:
    """Insert the row of a job created three hours ago and return its id."""
    values = {
        "id": str(uuid.uuid4()),
        "user_id": USER,
        "type": "image",
        "status": status,
        "prompt": "a lake",
        "model": "wan2.2-t2i-flash",
        "size": "64x48",
        "count": 1,
        "warnings": "[]",
        "attempt": 1,
        "failures": 0,
        "created_at": LONG_AGO.strftime("%Y-%m-%d %H:%M:%S"),
        **columns,
    }
    insert(cloud, "jobs", values)
    return str(values["id"])


def insert(cloud: LocalCloud, table: str, values: Mapping[str, object]) -> None:
    places = ", ".join("?" * len(values))
    cloud.execute(f"INSERT INTO {table} ({', '.join(values)}) VALUES ({places})", *values.values())


def key_of(job_id: str, position: int = 0) -> str:
    return f"users/{USER}/jobs/{job_id}/image-{1703123456789 + position}.png"


def add_output(cloud: LocalCloud, job_id: str, *, table: str = "job_outputs", **columns: object) -> str:
    """Insert the row, or the intent, of an output with PICTURE as its content and return the output's key."""
    key = key_of(job_id)
    meta = {"width": 64, "height": 48, "format": "png", "crc64": str(crc64.xz(PICTURE))}
    values = {
        "id": ObjectKey.parse(key).output_id,
        "job_id": job_id,
        "user_id": USER,
        "type": "image",
        "oss_url": f"{cloud.variables['OSS_ENDPOINT']}/{key}",
        "oss_path": key,
        "size": len(PICTURE),
        "meta": json.dumps(meta),
        "created_at": LONG_AGO.strftime("%Y-%m-%d %H:%M:%S"),
        **columns,
    }
    insert(cloud, table, values)
    return key


def add_intent(cloud: LocalCloud, job_id: str) -> str:
    return add_output(cloud, job_id, table="output_intents", position=0, attempt=1)


def intents(cloud: LocalCloud, job_id: str) -> int:
    return len(cloud.rows("SELECT id FROM output_intents WHERE job_id = ?", job_id))


def is_there(cloud: LocalCloud, key: str) -> bool:
    return bool(cloud.oss2_bucket().object_exists(key))
