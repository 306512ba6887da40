"""Faults on demand."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import oss2
import pytest
from oss2.exceptions import InconsistentError, OssError, RequestError
from oss_support import BUCKET
from requests.exceptions import ChunkedEncodingError

from devcloud.faults import Fault
from devcloud.oss.testing import EmulatedOss

pytest_plugins = ["devcloud.oss.pytest_plugin"]


@pytest.fixture
def oss(shared_oss_emulator: EmulatedOss) -> Iterator[EmulatedOss]:
    shared_oss_emulator.events.clear()
    yield shared_oss_emulator
    assert shared_oss_emulator.faults.armed == []


def arm(oss: EmulatedOss, effect: dict[str, Any], times: int = 1, **match: str) -> None:
    oss.faults.arm(Fault("oss", match, effect, times))


def test_an_error_fault_prevents_the_request(oss: EmulatedOss) -> None:
    bucket = oss.client()
    effect = {"status": 503, "code": "ServiceUnavailable", "message": "Please reduce your rate."}
    arm(oss, effect, times=2, operation="PutObject", key="broken/*")
    bucket.put_object("whole", b"x")
    for _ in range(2):
        with pytest.raises(OssError) as error:
            bucket.put_object("broken/1", b"x")
        assert (error.value.status, error.value.code) == (503, "ServiceUnavailable")
        assert error.value.message == effect["message"]
    assert not bucket.object_exists("broken/1")
    bucket.put_object("broken/1", b"x")


def test_requests_with_a_wrong_signature_do_not_use_faults(oss: EmulatedOss) -> None:
    arm(oss, {"status": 500, "code": "InternalError"}, method="GET", bucket=BUCKET, key="signed")
    oss.client().put_object("signed", b"x")
    with pytest.raises(OssError) as error:
        oss2.Bucket(oss2.Auth("LTAItest", "wrong"), oss.endpoint, BUCKET).get_object("signed")
    assert error.value.code == "SignatureDoesNotMatch"
    with pytest.raises(OssError) as error:
        oss.client().get_object("signed")
    assert error.value.code == "InternalError"


def test_a_drop_fault_executes_the_request_without_an_answer(oss: EmulatedOss) -> None:
    arm(oss, {"drop": True}, operation="PutObject")
    with pytest.raises(RequestError):
        oss.client().put_object("dropped", b"stored")
    assert oss.client().get_object("dropped").read() == b"stored"
    assert [event["oss"]["object"]["key"] for event in oss.events] == ["dropped"]


@pytest.mark.parametrize("size", [0, 10, 1_000_000])
def test_a_truncate_fault_ends_the_body_early_once(oss: EmulatedOss, size: int) -> None:
    bucket = oss.client()
    data = bytes(3_000_000)
    bucket.put_object("cut", data)
    arm(oss, {"truncateBytes": size}, operation="GetObject")
    answer = bucket.get_object("cut")
    assert answer.content_length == len(data)
    received = bytearray()
    with pytest.raises(ChunkedEncodingError):
        while chunk := answer.read(1000):
            received += chunk
    assert size - 1000 < len(received) <= size
    assert bucket.get_object("cut").read() == data


def test_a_delay_fault_waits_for_the_emulators_clock(oss: EmulatedOss) -> None:
    oss.client().put_object("late", b"x")
    arm(oss, {"delayS": 3600}, operation="GetObject")
    bodies: list[bytes] = []
    reader = threading.Thread(target=lambda: bodies.append(oss.client().get_object("late").read()))
    reader.start()
    while oss.faults.armed:  # the fault is taken when the request has arrived
        reader.join(0.01)
    assert bodies == []
    # The request may not be sleeping yet: turn the clock until the answer arrives.
    while reader.is_alive():
        oss.advance(3600)
        reader.join(0.05)
    assert bodies == [b"x"]


def test_a_checksum_fault_is_noticed_by_the_sdk(oss: EmulatedOss, tmp_path: Path) -> None:
    arm(oss, {"crc": "wrong"}, operation="PutObject")
    with pytest.raises(InconsistentError):
        oss.client().put_object("checked", b"x")
    arm(oss, {"crc": "wrong"}, operation="GetObject")
    with pytest.raises(InconsistentError):
        oss.client().get_object_to_file("checked", str(tmp_path / "checked"))
    assert oss.client().get_object("checked").read() == b"x"
