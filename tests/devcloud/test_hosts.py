"""The emulators answer only under the names of this machine, so that no web page can reach them under its own name."""

import http.client
from collections.abc import Iterator

import alibabacloud_oss_v2 as v2
import oss2
import pytest
from oss_support import BUCKET, KEY, REGION, running_oss

from devcloud.oss.testing import EmulatedOss

ENDPOINT = f"oss-{REGION}.aliyuncs.com"


@pytest.fixture(scope="module")
def oss(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmulatedOss]:
    with running_oss(tmp_path_factory.mktemp("oss")) as running:
        running.client().put_bucket_acl("public-read-write")
        running.client().put_object("a", b"1")
        yield running


def ask(oss: EmulatedOss, method: str, path: str, *hosts: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", oss.port)
    connection.putrequest(method, path, skip_host=True)
    for host in hosts:
        connection.putheader("Host", host)
    connection.endheaders()
    answer = connection.getresponse()
    try:
        return answer.status, answer.read()
    finally:
        connection.close()


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.0.0.1:1", "127.9.9.9", "[::1]", "[::1]:1", "localhost", "LocalHost:1"]
)
def test_the_names_of_loopback_are_accepted(oss: EmulatedOss, host: str) -> None:
    assert ask(oss, "GET", f"/{BUCKET}/a", host) == (200, b"1")


@pytest.mark.parametrize("host", ["localhost", "localhost:1", "oss.localhost", ENDPOINT, "oss-accelerate.aliyuncs.com"])
def test_a_bucket_can_be_in_the_host_name(oss: EmulatedOss, host: str) -> None:
    assert ask(oss, "GET", "/a", f"{BUCKET}.{host}") == (200, b"1")


@pytest.mark.parametrize(
    "hosts",
    [
        *((f"{BUCKET}.evil.example",), (f"{BUCKET}.evil.example:80",), ("evil.example",), ("",), ()),
        *(("localhost.evil.example",), ("127.0.0.1.evil.example",), ("evillocalhost",), ("evilaliyuncs.com",)),
        *(("aliyuncs.com.evil.example",), ("evil.example:@localhost",), ("evil.example@localhost",)),
        ("0.0.0.0",),  # noqa: S104 - a name here, not an address to bind
        *(("169.254.0.1",), ("[::]",), ("[fe80::1]",), ("localhost", "evil.example"), ("evil.example", "localhost")),
        *(("localhost evil.example",), ("evil.example/.localhost",), ("evil.example?.localhost",), ("127.1",)),
    ],
)
def test_other_names_are_refused(oss: EmulatedOss, hosts: tuple[str, ...]) -> None:
    for method, path in (("GET", "/"), ("GET", "/a"), ("GET", f"/{BUCKET}/a"), ("PUT", "/a"), ("DELETE", "/a")):
        status, body = ask(oss, method, path, *hosts)
        assert (status, b"<Error><Code>AccessDenied</Code><Message>The Host header " in body) == (403, True)
    assert oss.client().get_object("a").read() == b"1"


def test_sdks_reach_the_names_of_the_real_service_by_a_proxy(oss: EmulatedOss) -> None:
    auth = oss2.AuthV4(KEY.access_key_id, KEY.access_key_secret)
    bucket = oss2.Bucket(auth, f"http://{ENDPOINT}", BUCKET, region=REGION, proxies={"http": oss.endpoint})
    assert bucket.get_object("a").read() == b"1"
    config = v2.config.load_default()
    config.credentials_provider = v2.credentials.StaticCredentialsProvider(KEY.access_key_id, KEY.access_key_secret)
    config.region, config.endpoint = REGION, f"http://{ENDPOINT}"
    config.proxy_host = {"http": oss.endpoint}  # the SDK turns a text into a value that requests ignores
    body = v2.Client(config).get_object(v2.GetObjectRequest(BUCKET, "a")).body
    assert body is not None
    assert body.read() == b"1"
