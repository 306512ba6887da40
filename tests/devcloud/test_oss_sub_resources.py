"""Sub-resources: the emulator refuses those it does not have, and does not ignore them."""

import inspect
from collections.abc import Iterator
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

import alibabacloud_oss_v2 as v2
import oss2
import pytest
import requests
from alibabacloud_oss_v2 import operations
from alibabacloud_oss_v2.types import OperationInput
from oss_support import BUCKET, KEY, REGION

from devcloud.oss.http.sub_resources import V1_SIGNED_PARAMETERS
from devcloud.oss.oss_routes import OPERATIONS
from devcloud.oss.testing import EmulatedOss

pytest_plugins = ["devcloud.oss.pytest_plugin"]

EMPTY, ABSENT = "empty-bucket", "absent-bucket"
IMPLEMENTED = {operation.name for operation in OPERATIONS} | {"ProcessObject"}  # PostProcessObject in OSS's reference
# Values of required fields of operations in alibabacloud-oss-v2; all other required fields are strings.
FIELDS = {
    "bucket": BUCKET,
    "key": "kept",
    "objects": [v2.DeleteObject("kept")],
    "tagging": v2.Tagging(tag_set=v2.TagSet(tags=[])),
    "select_meta_request": v2.SelectRequest(),
    "select_request": v2.SelectRequest(),
}
# Parameters that do not select an operation: all requests may carry them.
PARAMETERS = {name for name in V1_SIGNED_PARAMETERS if name.startswith("response-")} | {
    *("callback", "callback-var", "security-token", "x-oss-request-payer", "x-oss-traffic-limit"),
}
NOT_THERE = (
    *("accessPoint", "accessPointPolicy", "asyncFetch", "cname", "group", "img", "link", "metaQuery", "objectInfo"),
    *("qosInfo", "qosRequester", "redundancyTransition", "regionList", "regions", "replicationLocation"),
    *("replicationProgress", "requesterQosInfo", "resourcePool", "resourcePoolBuckets", "resourcePoolInfo"),
    *("sequential", "x-oss-ac-forward-allow", "x-oss-ac-source-ip", "x-oss-ac-subnet-mask", "x-oss-ac-vpc-id"),
    *("x-oss-access-point-name", "x-oss-async-process", "x-oss-write-get-object-response"),
)


class Recorder:
    """Stands for the client of alibabacloud-oss-v2; it records the request of an operation."""

    def __init__(self) -> None:
        self.sent: list[OperationInput] = []

    def has_feature(self, _flag: int) -> bool:
        return False

    def invoke_operation(self, sent: OperationInput, **_options: object) -> None:
        self.sent.append(sent)
        raise StopIteration


def operations_of_v2() -> list[OperationInput]:
    """Return the request of each operation of alibabacloud-oss-v2, with only its required fields."""
    recorder = Recorder()
    for module in iter_modules(operations.__path__):
        for name, function in inspect.getmembers(import_module(f"{operations.__name__}.{module.name}")):
            parameters = [*inspect.signature(function).parameters.values()] if inspect.isfunction(function) else []
            if name.startswith("_") or len(parameters) < 2 or parameters[0].name != "client":
                continue
            request = parameters[1].annotation()
            for field, facts in request._attribute_map.items():
                # These two are required, too, but not marked as required.
                if facts.get("required") or field in ("objects", "access_point_name"):
                    setattr(request, field, FIELDS.get(field, "x"))
            with pytest.raises(StopIteration):
                function(recorder, request)
    return recorder.sent


def names_of_oss2() -> set[str]:
    """Return the sub-resources that oss2 names: those it signs and the constants of its classes."""
    constants = {
        value for owner in (oss2.Bucket, oss2.Service) for name, value in vars(owner).items() if name.isupper()
    }
    return {*oss2.Auth._subresource_key_set} | {value for value in constants if isinstance(value, str)}


def names_of_v2() -> set[str]:
    marked = {name for sent in V2 for name in (sent.op_metadata or {}).get("sub-resource", ())}
    return marked | {name for sent in V2 for name, value in (sent.parameters or {}).items() if not value}


V2 = operations_of_v2()
NAMES = sorted(({*V1_SIGNED_PARAMETERS, *NOT_THERE, "unheardOf"} | names_of_oss2() | names_of_v2()) - PARAMETERS)


@pytest.fixture(scope="module")
def oss(shared_oss_emulator: EmulatedOss) -> EmulatedOss:
    shared_oss_emulator.client().put_object("kept", b"kept")
    shared_oss_emulator.create_bucket(EMPTY)
    return shared_oss_emulator


@pytest.fixture(scope="module")
def session() -> Iterator[requests.Session]:
    with requests.Session() as session:
        yield session


def ask(
    oss: EmulatedOss, method: str, key: str, query: str, body: bytes = b"", *, bucket: str = BUCKET, via: Any = requests
) -> requests.Response:
    params = {name.partition("=")[0]: name.partition("=")[2] for name in query.split("&")}
    url = oss.url(f"{bucket}/{key}" if bucket else "")
    request = oss2.http.Request(method, url, params=params, data=body, product="oss", region=REGION)
    oss2.AuthV4(KEY.access_key_id, KEY.access_key_secret)._sign_request(request, bucket, key)
    answer = via.request(method, url, params=request.params, data=body, headers=request.headers, timeout=10)
    assert isinstance(answer, requests.Response)
    return answer


def check_nothing_changed(oss: EmulatedOss) -> None:
    assert oss.client().get_object("kept").read() == b"kept"
    assert [bucket.name for bucket in oss.service_client().list_buckets().buckets] == sorted((BUCKET, EMPTY))


@pytest.mark.parametrize("name", NAMES)
def test_a_request_with_a_sub_resource_is_not_read_as_a_simpler_one(
    oss: EmulatedOss, session: requests.Session, name: str
) -> None:
    assert ask(oss, "GET", "kept", name, via=session).content != b"kept"
    assert b"<ListBucketResult>" not in ask(oss, "GET", "", name, via=session).content
    for query in {name, f"{name}=x"} - {"unheardOf=x"}:  # OSS ignores unknown parameters with a value
        ask(oss, "PUT", "kept", query, b"changed", via=session)
        ask(oss, "PUT", "", query, bucket=ABSENT, via=session)
        ask(oss, "DELETE", "", query, bucket=EMPTY, via=session)
        if name != "symlink":  # DeleteObject deletes the link itself
            ask(oss, "DELETE", "kept", query, via=session)
    check_nothing_changed(oss)


@pytest.mark.parametrize(
    "sent", [sent for sent in V2 if sent.op_name not in IMPLEMENTED], ids=lambda sent: sent.op_name
)
def test_missing_operations_are_refused(oss: EmulatedOss, session: requests.Session, sent: OperationInput) -> None:
    query = "&".join(f"{name}={value}" for name, value in (sent.parameters or {}).items())
    answer = ask(oss, sent.method, sent.key or "", query, b"<X/>", bucket=sent.bucket or "", via=session)
    assert (answer.status_code, answer.headers["content-type"]) == (501, "application/xml")
    assert "<Code>NotImplemented</Code>" in answer.text
    check_nothing_changed(oss)


def test_every_operation_of_the_sdk_is_covered() -> None:
    assert len(V2) > 150
    assert {"PutObject", "PutObjectRetention", "DeleteBucketOverwriteConfig"} <= {sent.op_name for sent in V2}


@pytest.mark.parametrize("name", NOT_THERE)
def test_missing_sub_resources_are_refused_by_name(oss: EmulatedOss, name: str) -> None:
    for method in ("GET", "PUT", "POST", "DELETE"):
        for key in ("", "kept"):
            answer = ask(oss, method, key, name)
            assert (answer.status_code, answer.headers["content-type"]) == (501, "application/xml"), (method, key)
            assert "<Code>NotImplemented</Code>" in answer.text
            assert name in answer.text


@pytest.mark.parametrize(
    ("method", "query"),
    [
        ("POST", "uploads&sequential"),
        ("POST", "x-oss-process=csv/select"),
        ("POST", "x-oss-process=csv/meta"),
        ("POST", "x-oss-process=json/select"),
        ("POST", "x-oss-process=json/meta"),
        ("GET", "x-oss-process=csv/select"),
    ],
)
def test_selecting_and_uploading_in_sequence_are_refused(oss: EmulatedOss, method: str, query: str) -> None:
    answer = ask(oss, method, "kept", query, b"<SelectRequest/>" if method == "POST" else b"")
    assert (answer.status_code, answer.headers["content-type"]) == (501, "application/xml")
    assert "<Code>NotImplemented</Code>" in answer.text
    assert query.partition("=")[2].partition("/")[0] in answer.text
    assert "sequential" in answer.text or "sequential" not in query
