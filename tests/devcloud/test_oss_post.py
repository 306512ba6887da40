"""PostObject: uploads by a browser's form, and the conditions of its policy."""

import base64
import hashlib
import hmac
import json
import time
from datetime import UTC, datetime
from typing import Any

import pytest
import requests
from oss_support import BUCKET, KEY, REGION

from devcloud.oss.testing import EmulatedOss

pytest_plugins = ["devcloud.oss.pytest_plugin"]


@pytest.fixture(scope="module")
def oss(shared_oss_emulator: EmulatedOss) -> EmulatedOss:
    return shared_oss_emulator


def policy(*conditions: Any, lifetime_s: float = 60) -> str:
    expiration = datetime.fromtimestamp(time.time() + lifetime_s, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    return base64.b64encode(json.dumps({"expiration": expiration, "conditions": conditions}).encode()).decode()


def signed_v1(text: str) -> dict[str, str]:
    digest = hmac.digest(KEY.access_key_secret.encode(), text.encode(), "sha1")
    return {"OSSAccessKeyId": KEY.access_key_id, "policy": text, "Signature": base64.b64encode(digest).decode()}


def signed_v4(text: str) -> dict[str, str]:
    date = datetime.now(UTC).strftime("%Y%m%d")
    key = f"aliyun_v4{KEY.access_key_secret}".encode()
    for step in (date, REGION, "oss", "aliyun_v4_request"):
        key = hmac.digest(key, step.encode(), "sha256")
    return {
        "x-oss-signature-version": "OSS4-HMAC-SHA256",
        "x-oss-credential": f"{KEY.access_key_id}/{date}/{REGION}/oss/aliyun_v4_request",
        "x-oss-date": f"{date}T000000Z",
        "policy": text,
        "x-oss-signature": hmac.new(key, text.encode(), hashlib.sha256).hexdigest(),
    }


def post(oss: EmulatedOss, fields: dict[str, str], body: bytes = b"hello", name: str = "图.png") -> requests.Response:
    files: list[tuple[str, tuple[None, str] | tuple[str, bytes, str]]] = [
        *((field, (None, value)) for field, value in fields.items()),
        ("file", (name, body, "image/png")),
    ]
    return requests.post(oss.url(BUCKET), files=files, allow_redirects=False, timeout=10)


def code(answer: requests.Response) -> tuple[int, str]:
    return answer.status_code, answer.text.partition("<Code>")[2].partition("<")[0]


@pytest.mark.parametrize("sign", [signed_v1, signed_v4])
def test_a_signed_form_stores_its_file(oss: EmulatedOss, sign: Any) -> None:
    text = policy({"bucket": BUCKET}, ["starts-with", "$key", "up/"], ["content-length-range", 1, 10])
    fields = {"key": "up/${filename}", **sign(text), "x-oss-meta-color": "red", "x-oss-object-acl": "public-read"}
    assert post(oss, fields).status_code == 204
    found = oss.client().get_object("up/图.png")
    assert (found.read(), found.headers["content-type"], found.headers["x-oss-meta-color"]) == (
        *(b"hello", "image/png"),
        "red",
    )
    assert oss.events[-1]["eventName"] == "ObjectCreated:PostObject"


@pytest.mark.parametrize(
    ("conditions", "body", "refusal"),
    [
        ([["eq", "$key", "other"]], b"x", (403, "AccessDenied")),
        ([["starts-with", "$content-type", "image/"]], b"x", (403, "AccessDenied")),
        ([["content-length-range", 1, 10]], b"x" * 11, (400, "EntityTooLarge")),
        ([["content-length-range", 5, 10]], b"x", (400, "EntityTooSmall")),
        ([["like", "$key", "k"]], b"x", (400, "InvalidPolicyDocument")),
    ],
)
def test_forms_against_their_policy_are_refused(
    oss: EmulatedOss, conditions: list[Any], body: bytes, refusal: tuple[int, str]
) -> None:
    fields = {"key": "refused", **signed_v4(policy(*conditions))}
    assert code(post(oss, fields, body)) == refusal
    assert not oss.client().object_exists("refused")


def test_forms_with_a_wrong_signature_are_refused(oss: EmulatedOss) -> None:
    assert code(post(oss, {"key": "k", **signed_v1(policy(lifetime_s=-1))})) == (403, "AccessDenied")
    assert code(post(oss, {"key": "k"})) == (403, "AccessDenied")
    wrong = {**signed_v1(policy()), "Signature": "wrong"}
    assert code(post(oss, {"key": "k", **wrong})) == (403, "SignatureDoesNotMatch")
    assert code(post(oss, signed_v1(policy()))) == (400, "InvalidArgument")


def test_a_form_chooses_its_answer(oss: EmulatedOss) -> None:
    fields = {"key": "k", **signed_v1(policy())}
    created = post(oss, {**fields, "success_action_status": "201"})
    assert (created.status_code, "<PostResponse><Bucket>" in created.text) == (201, True)
    assert post(oss, {**fields, "success_action_status": "200"}).status_code == 200
    moved = post(oss, {**fields, "success_action_redirect": "http://localhost/done?x=1"})
    assert moved.status_code == 303
    assert moved.headers["location"].startswith(f"http://localhost/done?x=1&bucket={BUCKET}&key=k&etag=")


def test_a_form_can_arrive_in_small_pieces(oss: EmulatedOss) -> None:
    body = b"\r\n--b" * 10_000 + b"\r\n--"
    head = "".join(
        f'--boundary\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in {"key": "pieces", **signed_v4(policy())}.items()
    )
    head += '--boundary\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'
    whole = head.encode() + body + b"\r\n--boundary--\r\n"
    pieces = (whole[start : start + 777] for start in range(0, len(whole), 777))
    headers = {"Content-Type": "multipart/form-data; boundary=boundary"}
    assert requests.post(oss.url(BUCKET), data=pieces, headers=headers, timeout=10).status_code == 204
    assert oss.client().get_object("pieces").read() == body


def test_broken_forms_are_refused(oss: EmulatedOss) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    for body, expected in (
        (b"", (400, "MalformedPOSTRequest")),
        (b"--b--\r\n", (400, "IncorrectNumberOfFilesInPOSTRequest")),
    ):
        assert code(requests.post(oss.url(BUCKET), data=body, headers=headers, timeout=10)) == expected
    assert code(requests.post(oss.url(BUCKET), data=b"x", timeout=10)) == (412, "PreconditionFailed")
