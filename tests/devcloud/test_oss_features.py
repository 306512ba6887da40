"""What surrounds objects: restoration, compression, speed, callbacks, encryption, who pays, live channels."""

import base64
import gzip
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import oss2
import pytest
import requests
from oss2.exceptions import OssError
from oss2.models import LiveChannelInfo, LiveChannelInfoTarget, RestoreConfiguration, RestoreJobParameters
from oss_support import BUCKET, KEY, OTHER_KEY, RunningOss, running_oss

DAY_S = 24 * 3600


@pytest.fixture
def oss(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningOss]:
    with running_oss(tmp_path_factory.mktemp("oss")) as running:
        yield running


@contextmanager
def application(status: int) -> Iterator[tuple[str, list[str]]]:
    """Serve an application that answers callbacks; yield its address and the bodies that it got."""
    bodies: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(b'{"saved": true}')

        def log_message(self, *_args: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/saved", bodies
        server.shutdown()
        thread.join()


def encoded(fields: dict[str, str]) -> str:
    return base64.b64encode(json.dumps(fields).encode()).decode()


def callback(url: str, body: str, body_type: str = "application/json") -> dict[str, str]:
    fields = {"callbackUrl": url, "callbackBody": body, "callbackBodyType": body_type}
    return {"x-oss-callback": encoded(fields), "x-oss-callback-var": encoded({"x:job": "4 2"})}


def refusal(error: pytest.ExceptionInfo[OssError]) -> tuple[int, str]:
    return error.value.status, error.value.code


def test_an_archived_object_is_restored_for_a_while(oss: RunningOss) -> None:
    bucket = oss.bucket()
    bucket.put_object("cold", b"x", headers={"x-oss-storage-class": "Archive"})
    with pytest.raises(OssError) as error:
        bucket.get_object("cold")
    assert refusal(error) == (403, "InvalidObjectState")
    assert bucket.restore_object("cold").status == 202
    assert 'ongoing-request="true"' in bucket.list_objects().object_list[0].restore_info
    with pytest.raises(oss2.exceptions.RestoreAlreadyInProgress):
        bucket.restore_object("cold")
    oss.clock.advance(61)
    assert bucket.head_object("cold").headers["x-oss-restore"].startswith('ongoing-request="false", expiry-date="')
    assert bucket.get_object("cold").read() == b"x"
    assert bucket.restore_object("cold").status == 200
    oss.clock.advance(DAY_S + 61)
    with pytest.raises(OssError):
        bucket.get_object("cold")


def test_terms_of_a_restoration(oss: RunningOss) -> None:
    bucket = oss.bucket()
    bucket.put_object("warm", b"x")
    with pytest.raises(oss2.exceptions.OperationNotSupported):
        bucket.restore_object("warm")
    bucket.put_object("cold", b"x", headers={"x-oss-storage-class": "ColdArchive"})
    with pytest.raises(oss2.exceptions.InvalidArgument):
        bucket.restore_object("cold", input=RestoreConfiguration(366))
    answer = bucket.restore_object("cold", input=RestoreConfiguration(2, RestoreJobParameters("Bulk")))
    assert answer.headers["x-oss-object-restore-priority"] == "Bulk"


def test_text_is_compressed_for_those_who_take_it(oss: RunningOss) -> None:
    bucket, text = oss.bucket(), b"hello " * 100_000
    bucket.put_object("a.txt", text, headers={"Content-Type": "text/plain"})
    answer = requests.get(bucket.sign_url("GET", "a.txt", 60), stream=True, timeout=10)
    assert (answer.headers["content-encoding"], "content-length" in answer.headers) == ("gzip", False)
    assert gzip.decompress(answer.raw.read()) == text
    assert "content-encoding" not in bucket.get_object("a.txt").headers
    ranged = bucket.get_object("a.txt", byte_range=(0, 4), headers={"Accept-Encoding": "gzip"})
    assert (ranged.read(), "content-encoding" in ranged.headers) == (b"hello", False)


def test_speed_is_limited_by_the_emulators_clock(oss: RunningOss) -> None:
    bucket, done = oss.bucket(), threading.Event()
    headers = {"x-oss-traffic-limit": "819200"}

    def upload() -> None:
        bucket.put_object("slow", b"x" * 1024 * 1024, headers=headers)
        done.set()

    thread = threading.Thread(target=upload)
    thread.start()
    assert not done.wait(0.2)
    while not done.wait(0.01):
        oss.turn_clock(1)
    thread.join()
    for limit in ("819199", "838860801", "fast"):
        with pytest.raises(oss2.exceptions.InvalidArgument):
            bucket.put_object("slow", b"x", headers={"x-oss-traffic-limit": limit})


def test_an_application_answers_in_place_of_oss(oss: RunningOss) -> None:
    with application(200) as (url, bodies):
        headers = callback(url, '{"key": ${object}, "size": ${size}, "job": ${x:job}}')
        answer = oss.bucket().put_object("图", b"hello", headers=headers)
        assert json.loads(answer.resp.read()) == {"saved": True}
        form = callback(url, "key=${object}&job=${x:job}", "application/x-www-form-urlencoded")
        oss.bucket().put_object("图", b"hello", headers=form)
    assert json.loads(bodies[0]) == {"key": "图", "size": 5, "job": "4 2"}
    assert bodies[1] == "key=%E5%9B%BE&job=4%202"


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/", "http://192.0.2.1/", "ftp://127.0.0.1/"])
def test_an_application_that_cannot_be_told(oss: RunningOss, url: str) -> None:
    address = oss.bucket().sign_url("PUT", "k", 60)
    headers = callback(url, "b")
    signed = oss.bucket().sign_url("PUT", "k", 60, headers=headers)
    assert address != signed
    answer = requests.put(signed, data=b"x", headers=headers, timeout=10)
    assert (answer.status_code, "<Code>CallbackFailed</Code>" in answer.text) == (203, True)
    assert oss.bucket().get_object("k").read() == b"x"


def test_an_application_that_fails(oss: RunningOss) -> None:
    with application(500) as (url, _):
        headers = callback(url, "b")
        answer = requests.put(
            oss.bucket().sign_url("PUT", "k", 60, headers=headers), data=b"x", headers=headers, timeout=10
        )
    assert answer.status_code == 203


def test_encryption_is_told(oss: RunningOss) -> None:
    bucket = oss.bucket()
    name = "x-oss-server-side-encryption"
    bucket.put_object("k", b"x", headers={name: "KMS"})
    head = bucket.head_object("k").headers
    assert (head[name], f"{name}-key-id" in head) == ("KMS", True)
    bucket.put_bucket_encryption(oss2.models.ServerSideEncryptionRule("SM4"))
    assert bucket.put_object("k", b"x").headers[name] == "SM4"
    with pytest.raises(OssError) as error:
        bucket.put_object("k", b"x", headers={name: "DES"})
    assert refusal(error) == (400, "InvalidEncryptionAlgorithmError")


def test_another_account_needs_leave_and_pays(oss: RunningOss) -> None:
    owner, other = oss.bucket(), oss.bucket(key=OTHER_KEY)
    owner.put_object("k", b"x")
    with pytest.raises(oss2.exceptions.AccessDenied):
        other.get_object("k")
    statement = {
        "Effect": "Allow",
        "Action": ["oss:GetObject"],
        "Principal": [OTHER_KEY.account_id],
        "Resource": [f"acs:oss:*:*:{BUCKET}/*"],
    }
    owner.put_bucket_policy(json.dumps({"Version": "1", "Statement": [statement]}))
    assert other.get_object("k").read() == b"x"
    with pytest.raises(oss2.exceptions.AccessDenied):
        other.put_object("k", b"y")
    owner.put_bucket_request_payment("Requester")
    with pytest.raises(oss2.exceptions.AccessDenied):
        other.get_object("k")
    assert other.get_object("k", headers={"x-oss-request-payer": "requester"}).read() == b"x"
    assert owner.get_object("k").read() == b"x"


def test_live_channels(oss: RunningOss) -> None:
    bucket = oss.bucket(key=KEY)
    info = LiveChannelInfo(target=LiveChannelInfoTarget(playlist_name="list.m3u8"))
    assert bucket.create_live_channel("one", info).play_url.endswith("/one/list.m3u8")
    bucket.create_live_channel("two", info)
    assert [channel.name for channel in oss2.LiveChannelIterator(bucket, max_keys=1)] == ["one", "two"]
    bucket.put_live_channel_status("one", "disabled")
    assert bucket.get_live_channel("one").status == "disabled"
    assert bucket.get_live_channel_stat("two").status == "Idle"
    now = int(oss.clock.now())
    with pytest.raises(oss2.exceptions.InvalidArgument):
        bucket.post_vod_playlist("two", "vod.m3u8", now - 60, now + 60)
    bucket.put_object("two/1.ts", b"x")
    bucket.post_vod_playlist("two", "vod.m3u8", now - 60, now + 60)
    assert b"1.ts" in bucket.get_object("two/vod.m3u8").read()
    bucket.delete_live_channel("two")
    with pytest.raises(oss2.exceptions.NoSuchLiveChannel):
        bucket.get_live_channel("two")
