from pathlib import Path

import pytest

from devcloud.fc.manifest import AsyncConfig, Manifest, OssTrigger, TimerTrigger, load_manifest
from devcloud.fc.serverless_devs import ManifestError
from devcloud.fc.timer_trigger import next_fire

PROJECT = Path(__file__).resolve().parents[2]

SMALL = """
vars: {region: cn-shanghai, deep: {a: 7}}
template:
  base: {runtime: python3.12, handler: index.handler, environmentVariables: {A: below, B: below}}
resources:
  one:
    component: fc3
    extend: {name: base}
    props:
      functionName: one
      code: ./dist/one
      memorySize: ${vars.deep.a}
      environmentVariables: {B: "${env('B', 'default')}-${resources.two.props.functionName}"}
  two:
    component: fc3
    extend: {name: base}
    props: {functionName: two, code: ./dist/two}
  domain: {component: fc3-domain, props: {domainName: auto}}
"""


def load(text: str, folder: Path, **env: str) -> Manifest:
    path = folder / "s.yaml"
    path.write_text(text)
    return load_manifest(path, env)


def test_templates_variables_and_references_are_resolved(tmp_path: Path) -> None:
    manifest = load(SMALL, tmp_path)
    one = manifest.functions["one"]
    assert (manifest.region, list(manifest.functions)) == ("cn-shanghai", ["one", "two"])
    assert (one.handler, one.memory_mb, one.timeout_s) == ("index.handler", 7, 3)
    assert one.environment == {"A": "below", "B": "default-two"}
    assert one.asynchronous == AsyncConfig()


def test_environment_wins_over_default(tmp_path: Path) -> None:
    assert load(SMALL, tmp_path, B="set").functions["one"].environment["B"] == "set-two"


@pytest.mark.parametrize(("env", "value"), [({}, "no: none"), ({"B": ""}, "no: none"), ({"B": "x"}, "yes")])
def test_a_variable_chooses_between_two_values(tmp_path: Path, env: dict[str, str], value: str) -> None:
    text = SMALL.replace("B: below", "B: \"${env('B', '') ? 'yes' : 'no: none'}\"")
    assert load(text, tmp_path, **env).functions["two"].environment["B"] == value


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("${vars.deep.a}", "${vars.deep.missing}", r"memorySize: cannot resolve \$\{vars.deep.missing\}"),
        ("env('B', 'default')", "env('B')", r"environmentVariables.B: cannot resolve \$\{env\('B'\)\}"),
        ("env('B', 'default')", "config('X')", r"cannot resolve \$\{config\('X'\)\}"),
        ("env('B', 'default')", "resources.one.props.environmentVariables.B", "refers to itself"),
        ("{name: base}", "{name: other}", "template 'other' does not exist"),
        ("functionName: one", "functionName: 1one", "is not a valid function name"),
        ("memorySize: ${vars.deep.a}", "memorySize: much", "memorySize: must be a number"),
        ("{B: ", "{FC_B: ", "FC_B: Function Compute does not allow this name"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, old: str, new: str, complaint: str) -> None:
    with pytest.raises(ManifestError, match=complaint):
        load(SMALL.replace(old, new), tmp_path)


def test_the_manifest_of_the_project_can_be_read() -> None:
    functions = load_manifest(PROJECT / "s.yaml", {}).functions
    assert {"api", "generate-image", "generate-video", "index-outputs", "clean-up"} <= functions.keys()
    assert functions["generate-image"].folder == "generate_image"
    assert functions["generate-image"].asynchronous.async_task
    timers = [trigger for trigger in functions["clean-up"].triggers if isinstance(trigger, TimerTrigger)]
    assert all(next_fire(timer.cron, 0) > 0 for timer in timers)


def test_functions_that_make_or_store_urls_know_how_long_urls_are_valid() -> None:
    functions = load_manifest(PROJECT / "s.yaml", {"OSS_URL_TTL_S": "42"}).functions
    told = {name for name, function in functions.items() if function.environment.get("OSS_URL_TTL_S") == "42"}
    assert told == {"api", "deliver-webhooks", "generate-image", "generate-video"}


def test_oss_trigger_fits_by_event_bucket_prefix_and_suffix() -> None:
    trigger = OssTrigger("t", "b", ("oss:ObjectCreated:PutObject", "oss:ObjectRemoved:*"), "users/", ".png")
    assert trigger.fits("b", "ObjectCreated:PutObject", "users/a.png")
    assert trigger.fits("b", "ObjectRemoved:DeleteObjects", "users/a.png")
    assert not trigger.fits("b", "ObjectCreated:CopyObject", "users/a.png")
    assert not trigger.fits("c", "ObjectCreated:PutObject", "users/a.png")
    assert not trigger.fits("b", "ObjectCreated:PutObject", "other/a.png")
    assert not trigger.fits("b", "ObjectCreated:PutObject", "users/a.jpg")


@pytest.mark.parametrize(
    ("cron", "seconds"),
    [
        ("@every 1h30m", 5400),
        ("*/10 * * * * *", 10),
        ("0 0 4 * * *", 4 * 3600),
        ("CRON_TZ=Asia/Shanghai 0 0 9 * * *", 3600),
    ],
)
def test_next_fire_follows_the_schedule(cron: str, seconds: float) -> None:
    assert next_fire(cron, 0) == seconds


@pytest.mark.parametrize("cron", ["* * * * *", "@every", "61 * * * * *", "CRON_TZ=Nowhere/At 0 0 4 * * *", "nonsense"])
def test_an_invalid_schedule_is_refused(cron: str) -> None:
    with pytest.raises(ManifestError, match="cronExpression"):
        next_fire(cron, 0)
