"""The standalone emulator: its command, its control API and its pytest fixture."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import oss2
import pytest
import requests
from oss2.exceptions import NoSuchKey, ServerError

from devcloud.oss.testing import EmulatedOss

pytest_plugins = ["devcloud.oss.pytest_plugin"]

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "devcloud", "oss"]


@contextmanager
def command(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    with subprocess.Popen(
        [*COMMAND, "--port", "0", *arguments], stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        try:
            yield process, read_until_ready(process)
        finally:
            process.kill()


def read_until_ready(process: subprocess.Popen[str]) -> dict[str, str]:
    """Return the values that the command prints, by name, once it serves requests."""
    assert process.stdout is not None
    said = {}
    for line in process.stdout:
        name, _, value = line.strip().rpartition(" ")
        said[name.strip()] = value
        if name == "ready":
            break
    return said


def bucket(said: dict[str, str]) -> oss2.Bucket:
    auth = oss2.AuthV4(said["access key"], said["secret"])
    return oss2.Bucket(auth, said["ready"], said["bucket"], region=said["region"])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_serves_until_a_signal(tmp_path: Path, number: signal.Signals) -> None:
    with command("--data", str(tmp_path / "data"), "--bucket", "photos") as (process, said):
        bucket(said).put_object("a", b"1")
        process.send_signal(number)
        assert process.wait(10) == 0
    with command("--data", str(tmp_path / "data"), "--bucket", "photos") as (_, again):
        assert again["secret"] == said["secret"]
        assert bucket(again).get_object("a").read() == b"1"
        assert "control" not in again


def test_the_command_uses_the_given_keys_and_a_temporary_folder() -> None:
    own = ("--access-key", "me", "--secret", "mine", "--region", "cn-beijing", "--bucket", "photos")
    with command(*own) as (process, said):
        assert (said["access key"], said["secret"], said["region"]) == ("me", "mine", "cn-beijing")
        bucket(said).put_object("a", b"1")
        process.terminate()
        process.wait(10)
        assert not Path(said["data"]).exists()


@pytest.mark.parametrize("what", ["port", "bucket", "data"])
def test_an_invalid_option_prints_one_line(what: str, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        arguments = {
            "port": ["--port", str(port)],
            "bucket": ["--port", "0", "--bucket", "Not_A_Name"],
            "data": ["--port", "0", "--data", str(tmp_path)],
        }[what]
        done = subprocess.run([*COMMAND, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("devcloud: ")
    assert done.stderr.count("\n") == 1


def test_the_command_loads_nothing_of_the_other_emulators(tmp_path: Path) -> None:
    # The emulator has served a request and ended when the interpreter exits and prints its modules.
    script = (
        "import atexit, sys\n"
        "atexit.register(lambda: print('loaded', *sorted(sys.modules)))\n"
        "from devcloud.__main__ import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    arguments = ["oss", "--port", "0", "--data", str(tmp_path / "data"), "--bucket", "photos"]
    with subprocess.Popen(
        [sys.executable, "-c", script, *arguments], stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        try:
            said = read_until_ready(process)
            bucket(said).put_object("a", b"1")
            process.terminate()
            output = process.communicate(timeout=30)[0]
        finally:
            process.kill()
    loaded = next(line for line in output.splitlines() if line.startswith("loaded ")).split()
    assert "devcloud.oss.oss_emulator" in loaded
    others = ("devcloud.fc", "devcloud.ai", "devcloud.cloud")
    assert [name for name in loaded if name.startswith(others)] == []


def call(method: str, url: str, body: object = None, headers: dict[str, str] | None = None) -> dict[str, object]:
    data = None if body is None else json.dumps(body).encode()
    with urlopen(Request(url, data, headers or {}, method=method)) as answer:
        found: dict[str, object] = json.loads(answer.read())
        return found


def test_the_control_api_arms_faults_and_moves_the_clock() -> None:
    with command("--control", "--bucket", "photos") as (_, said):
        control, photos = said["control"], bucket(said)
        effect = {"status": 503, "code": "ServiceUnavailable"}
        assert call("POST", f"{control}/faults", {"match": {"operation": "PutObject"}, "effect": effect}) == {
            "armed": 1
        }
        with pytest.raises(ServerError) as caught:
            photos.put_object("a", b"1")
        assert caught.value.code == "ServiceUnavailable"
        photos.put_object("a", b"1")
        call("POST", f"{control}/faults", {"effect": effect, "times": 9})
        assert call("DELETE", f"{control}/faults") == {"armed": 0}
        url = photos.sign_url("GET", "a", 60)
        assert urlopen(url).read() == b"1"
        call("POST", f"{control}/clock", {"advanceSeconds": 61})
        with pytest.raises(HTTPError, match="403"):
            urlopen(url)
        for path, refused in (
            ("faults", {"effect": {}}),
            ("faults", {"effect": effect, "times": 0}),
            ("faults", {"effect": {"status": 503}}),
            ("faults", {"effect": {"unknown": 1}}),
            ("faults", {"effect": effect, "target": "fc"}),
            ("clock", {"advanceSeconds": -1}),
            ("clock", {"advanceSeconds": True}),
            ("clock", []),
        ):
            with pytest.raises(HTTPError, match="400"):
                call("POST", f"{control}/{path}", refused)
        with pytest.raises(HTTPError, match="403"):
            call("DELETE", f"{control}/faults", headers={"Origin": "http://example.com"})
        with pytest.raises(HTTPError, match="403"):
            call("DELETE", f"{control}/faults", headers={"Host": "example.com"})


def test_the_fixture_has_a_bucket_faults_and_events(oss_emulator: EmulatedOss) -> None:
    oss_emulator.bucket.put_object("a", b"1")
    assert [event["eventName"] for event in oss_emulator.events] == ["ObjectCreated:PutObject"]
    oss_emulator.fail({"status": 404, "code": "NoSuchKey"}, operation="GetObject")
    with pytest.raises(NoSuchKey):
        oss_emulator.bucket.get_object("a")
    assert oss_emulator.bucket.get_object("a").read() == b"1"
    oss_emulator.create_bucket("another-one")
    names = {
        found.name
        for found in oss2.BucketIterator(
            oss2.Service(oss_emulator.bucket.auth, oss_emulator.endpoint, region=oss_emulator.region)
        )
    }
    assert names == {"another-one", oss_emulator.bucket_name}


def test_the_fixture_turns_the_clock(oss_emulator: EmulatedOss) -> None:
    url = oss_emulator.client().sign_url("PUT", "a", 60)
    assert requests.put(url, b"1", timeout=10).status_code == 200
    oss_emulator.advance(61)
    assert requests.put(url, b"1", timeout=10).status_code == 403


def test_each_test_has_an_empty_emulator(oss_emulator: EmulatedOss) -> None:
    assert oss_emulator.bucket.list_objects().object_list == []


def test_the_plugin_works_in_another_project(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["devcloud.oss.pytest_plugin"]\n')
    (tmp_path / "test_it.py").write_text("def test_it(oss_emulator):\n    oss_emulator.bucket.put_object('a', b'1')\n")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    arguments = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), str(tmp_path)]
    done = subprocess.run([sys.executable, *arguments], cwd=tmp_path, env=environment, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout
