"""Sub-resources: what the emulator does not do, it refuses; no request is taken for a plainer one."""

from collections.abc import Iterator

import oss2
import pytest
import requests
from oss_support import BUCKET, KEY, REGION, RunningOss, running_oss

from devcloud.oss.auth import V1_SIGNED_PARAMETERS

# Those that say how, and not what: plain requests may carry them.
PARAMETERS = {name for name in V1_SIGNED_PARAMETERS if name.startswith("response-")} | {
    *("callback", "callback-var", "comp", "continuation-token", "endTime", "position", "security-token", "startTime"),
    *("inventoryId", "styleName", "versionId", "x-oss-request-payer", "x-oss-traffic-limit"),
}
NOT_THERE = (
    *("accessPoint", "accessPointPolicy", "asyncFetch", "cname", "group", "img", "link", "metaQuery", "objectInfo"),
    *("qosInfo", "qosRequester", "redundancyTransition", "regionList", "regions", "replicationLocation"),
    *("replicationProgress", "requesterQosInfo", "resourcePool", "resourcePoolBuckets", "resourcePoolInfo"),
    *("sequential", "x-oss-ac-forward-allow", "x-oss-ac-source-ip", "x-oss-ac-subnet-mask", "x-oss-ac-vpc-id"),
    *("x-oss-access-point-name", "x-oss-async-process", "x-oss-write-get-object-response"),
)


@pytest.fixture(scope="module")
def oss(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningOss]:
    with running_oss(tmp_path_factory.mktemp("oss")) as running:
        running.bucket().put_object("kept", b"kept")
        yield running


def ask(oss: RunningOss, method: str, key: str, query: str, body: bytes = b"") -> requests.Response:
    params = dict.fromkeys(query.split("&"), "")
    params = {name.partition("=")[0]: name.partition("=")[2] for name in params}
    url = oss.url(f"{BUCKET}/{key}")
    request = oss2.http.Request(method, url, params=params, data=body, product="oss", region=REGION)
    oss2.AuthV4(KEY.access_key_id, KEY.access_key_secret)._sign_request(request, BUCKET, key)
    return requests.request(method, url, params=request.params, data=body, headers=request.headers, timeout=10)


@pytest.mark.parametrize("name", sorted({*V1_SIGNED_PARAMETERS, *NOT_THERE} - PARAMETERS))
def test_no_request_is_taken_for_a_plainer_one(oss: RunningOss, name: str) -> None:
    assert ask(oss, "GET", "kept", name).content != b"kept"
    assert b"<ListBucketResult>" not in ask(oss, "GET", "", name).content
    ask(oss, "PUT", "kept", name, b"changed")
    if name != "symlink":  # links are deleted as what they are
        ask(oss, "DELETE", "kept", name)
    assert oss.bucket().get_object("kept").read() == b"kept"


@pytest.mark.parametrize("name", NOT_THERE)
def test_what_is_not_there_is_refused_by_name(oss: RunningOss, name: str) -> None:
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
def test_selecting_and_uploading_in_sequence_are_refused(oss: RunningOss, method: str, query: str) -> None:
    answer = ask(oss, method, "kept", query, b"<SelectRequest/>" if method == "POST" else b"")
    assert (answer.status_code, answer.headers["content-type"]) == (501, "application/xml")
    assert "<Code>NotImplemented</Code>" in answer.text
    assert query.partition("=")[2].partition("/")[0] in answer.text
    assert "sequential" in answer.text or "sequential" not in query
