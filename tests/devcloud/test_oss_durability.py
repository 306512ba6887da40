"""Acknowledged writes survive ``kill -9``; other writes leave nothing behind."""

import os
import random
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import oss2
import pytest
from fastcrc import crc64
from fc_support import eventually
from oss2.exceptions import NoSuchKey, OssError, RequestError
from oss2.models import PartInfo
from oss_support import BUCKET, KEY, REGION, running_oss

PART = 100 * 1024
ROOT = Path(__file__).parents[2]


@contextmanager
def killable_oss(data_dir: Path) -> Iterator[tuple[subprocess.Popen[str], oss2.Bucket]]:
    environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{Path(__file__).parent}"}
    command = [sys.executable, str(Path(__file__).with_name("oss_server.py")), str(data_dir)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stdout is not None
            endpoint = f"http://127.0.0.1:{int(process.stdout.readline())}"
            auth = oss2.AuthV4(KEY.access_key_id, KEY.access_key_secret)
            yield process, oss2.Bucket(auth, endpoint, BUCKET, region=REGION)
        finally:
            process.kill()


def blobs(data_dir: Path) -> list[Path]:
    return [path for path in (data_dir / "blobs").rglob("*") if path.is_file()]


def test_acknowledged_writes_survive_a_kill(tmp_path: Path) -> None:
    """1,000 writes by four clients, killed in the middle."""
    acknowledged: dict[str, int] = {}
    enough = threading.Event()
    stop = random.randrange(60, 240)

    def write(bucket: oss2.Bucket, worker: int) -> None:
        for number in range(250):
            key, body = f"{worker}/{number % 50}", os.urandom(1000 + number % 10 * 50_000)
            try:
                bucket.put_object(key, body)
            except RequestError:
                acknowledged.pop(key, None)  # the answer was lost: either version may be stored
                return
            acknowledged[key] = crc64.xz(body)
            if number == stop:
                enough.set()

    with killable_oss(tmp_path) as (process, bucket):
        upload_id = bucket.init_multipart_upload("half").upload_id
        first = bucket.upload_part("half", upload_id, 1, b"a" * PART)
        workers = [threading.Thread(target=write, args=(bucket, worker)) for worker in range(4)]
        for worker in workers:
            worker.start()
        assert enough.wait(60)
        process.kill()
        for worker in workers:
            worker.join()
    assert len(acknowledged) >= 50
    with running_oss(tmp_path) as oss:
        bucket = oss.client()
        for key, checksum in acknowledged.items():
            answer = bucket.get_object(key)
            assert crc64.xz(answer.read()) == checksum == answer.server_crc
        listed = [entry.key for entry in oss2.ObjectIterator(bucket)]
        assert set(acknowledged) <= set(listed)
        for key in listed:
            answer = bucket.get_object(key)
            assert crc64.xz(answer.read()) == answer.server_crc
        assert len(blobs(tmp_path)) == len(listed) + 1  # and the part
        second = bucket.upload_part("half", upload_id, 2, b"b")
        bucket.complete_multipart_upload("half", upload_id, [PartInfo(1, first.etag), PartInfo(2, second.etag)])
        assert bucket.get_object("half").read() == b"a" * PART + b"b"


def test_replaced_and_deleted_objects_free_their_blobs(tmp_path: Path) -> None:
    with running_oss(tmp_path) as oss:
        bucket = oss.client()
        for body in (b"1", b"2"):
            bucket.put_object("a", body)
        assert len(blobs(tmp_path)) == 1
        bucket.copy_object(BUCKET, "a", "b")
        bucket.append_object("log", 0, b"1")
        bucket.append_object("log", 1, b"2")
        upload_id = bucket.init_multipart_upload("m").upload_id
        bucket.upload_part("m", upload_id, 1, b"1")
        bucket.upload_part("m", upload_id, 1, b"2")
        assert len(blobs(tmp_path)) == 5
        bucket.abort_multipart_upload("m", upload_id)
        bucket.put_object_acl("a", "private")
        bucket.batch_delete_objects(["a", "b", "log"])
        assert blobs(tmp_path) == []


def test_a_deleted_blob_stays_until_its_last_reader_closes(tmp_path: Path) -> None:
    with running_oss(tmp_path) as oss:
        bucket = oss.client()
        bucket.put_object("a", bytes(8 * 1024 * 1024))
        reader = bucket.get_object("a")
        reader.read(1)
        bucket.delete_object("a")
        with pytest.raises(NoSuchKey):
            bucket.get_object("a")
        assert len(blobs(tmp_path)) == 1
        assert len(reader.read()) == 8 * 1024 * 1024 - 1
        bucket.list_objects()  # on the same connection, so after the reply was done
        assert blobs(tmp_path) == []


def test_refused_and_broken_uploads_leave_no_blobs(tmp_path: Path) -> None:
    with running_oss(tmp_path) as oss:
        bucket = oss.client()
        bucket.put_object("a", b"1")
        upload_id = bucket.init_multipart_upload("m").upload_id
        wrong, forbid = {"Content-MD5": "AAAAAAAAAAAAAAAAAAAAAA=="}, {"x-oss-forbid-overwrite": "true"}
        writes: tuple[Callable[[], object], ...] = (
            lambda: bucket.put_object("b", b"2", headers=wrong),
            lambda: bucket.put_object("b", bytes(1024 * 1024), headers=wrong),
            lambda: bucket.put_object("a", b"2", headers=forbid),
            lambda: bucket.append_object("a", 0, b"2"),
            lambda: bucket.upload_part("m", upload_id, 1, b"2", headers=wrong),
        )
        for write in writes:
            with pytest.raises(OssError):
                write()
        url = bucket.sign_url("PUT", "c", 60).removeprefix(oss.endpoint)
        for half in (b"half", bytes(1024 * 1024)):
            with socket.create_connection(("127.0.0.1", oss.port)) as client:
                head = f"PUT {url} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {2 * len(half)}\r\n\r\n"
                client.sendall(head.encode() + half)
                client.shutdown(socket.SHUT_WR)
                assert client.recv(1) == b""
        # The server closes a connection before it has removed what came over it.
        eventually(lambda: len(blobs(tmp_path)) == 1)
