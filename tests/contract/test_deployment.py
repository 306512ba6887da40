"""The settings and rights of each function in s.yaml and template.yml, compared with the needs of its code."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from shared.domain.media_type import MediaType
from shared.domain.models import MODELS, ProviderName
from tests.mariadb import ROOT


@dataclass(frozen=True)
class Rights:
    """Actions of OSS, and the functions that may be invoked."""

    oss: frozenset[str]
    invoked: frozenset[str]


def rights(oss: str, invoked: str = "") -> Rights:
    return Rights(frozenset(oss.split()), frozenset(invoked.split()))


_ADVANCE = "generate-image generate-video deliver-webhooks"
GENERATE = rights("GetObject PutObject DeleteObject", "deliver-webhooks")
NEEDED = {
    "api": rights("GetObject", f"{_ADVANCE} index-outputs clean-up"),
    "generate-image": GENERATE,
    "generate-video": GENERATE,
    "index-outputs": rights("GetObject ListObjects"),
    "clean-up": rights("GetObject DeleteObject AbortMultipartUpload ListObjects ListMultipartUploads", _ADVANCE),
    "deliver-webhooks": rights("GetObject"),
}


@cache
def read(name: str) -> Any:
    return yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))


def functions() -> dict[str, Any]:
    return {name: resource["props"] for name, resource in read("s.yaml")["resources"].items()}


def statements_of(function: str) -> list[dict[str, Any]]:
    """Return the permissions of a function's role, by its own policies and by those that name the role."""
    wanted = functions()[function]["role"].rpartition("/")[2]
    resources = read("template.yml")["Resources"]
    (name,) = (name for name, each in resources.items() if each["Properties"].get("RoleName") == wanted)
    documents = [policy["PolicyDocument"] for policy in resources[name]["Properties"]["Policies"]]
    documents += [
        each["Properties"]["PolicyDocument"]
        for each in resources.values()
        if each["Type"] == "ALIYUN::RAM::ManagedPolicy"
        and [name, "RoleName"] in [role["Fn::GetAtt"] for role in each["Properties"]["Roles"]]
    ]
    return [statement for document in documents for statement in document["Statement"]]


def allowed(function: str, service: str) -> list[tuple[str, str]]:
    """Return each pair of an action, like ``GetObject``, and a resource that it is allowed on."""
    return [
        (action.partition(":")[2], resource["Fn::Sub"])
        for statement in statements_of(function)
        if statement["Effect"] == "Allow"
        for action in statement["Action"]
        if action.partition(":")[0] == service
        for resource in statement["Resource"]
    ]


@pytest.mark.parametrize("function", functions())
def test_a_function_has_exactly_the_rights_it_needs(function: str) -> None:
    oss, invoked = allowed(function, "oss"), allowed(function, "fc")
    assert {action for action, _ in oss} == NEEDED[function].oss
    assert {action for action, _ in invoked} <= {"InvokeFunction"}
    names = {resource.partition("functions/")[2] for _, resource in invoked}
    assert names == {f"{name}{version}" for name in NEEDED[function].invoked for version in ("", "/*")}


@pytest.mark.parametrize("function", functions())
def test_rights_on_objects_are_limited_to_users(function: str) -> None:
    for action, resource in allowed(function, "oss"):
        whole_bucket = action in {"ListObjects", "ListMultipartUploads"}
        assert resource.endswith("${BucketName}" if whole_bucket else "${BucketName}/users/*")


@pytest.mark.parametrize("function", functions())
def test_a_function_without_the_oss_sdk_only_reads_objects(function: str) -> None:
    folder = Path(ROOT, "functions", function.replace("-", "_"))
    ships_oss2 = "oss2==" in (folder / "requirements.txt").read_text(encoding="utf-8")
    assert ships_oss2 or NEEDED[function].oss == {"GetObject"}


@pytest.mark.parametrize("function", functions())
def test_every_function_can_write_its_log_and_reach_the_network(function: str) -> None:
    services = {action.partition(":")[0] for statement in statements_of(function) for action in statement["Action"]}
    assert {"log", "vpc", "ecs"} <= services <= {"log", "vpc", "ecs", "oss", "fc"}


def test_only_the_function_that_signs_webhooks_has_their_secret() -> None:
    holders = [name for name, props in functions().items() if "WEBHOOK_SECRET" in props["environmentVariables"]]
    assert holders == ["deliver-webhooks"]


@pytest.mark.parametrize(("type", "provider"), sorted({(model.type, model.provider) for model in MODELS.values()}))
def test_the_function_for_a_model_has_the_variables_of_its_provider(type: MediaType, provider: ProviderName) -> None:
    variables = functions()[f"generate-{type}"]["environmentVariables"]
    assert {f"{provider.upper()}_API_KEY", f"{provider.upper()}_BASE_URL"} <= variables.keys()


def test_asynchronous_requests_to_api_expire_after_a_second_and_are_never_retried() -> None:
    # Function Compute queues them before the function can look at their token.
    assert functions()["api"]["asyncInvokeConfig"] == {
        "asyncTask": False,
        "maxAsyncRetryAttempts": 0,
        "maxAsyncEventAgeInSeconds": 1,
    }


def test_reserved_instances_fit_the_limit_of_an_account() -> None:
    reserved = {name: props["concurrencyConfig"]["reservedConcurrency"] for name, props in functions().items()}
    # The minute timer may overlap with itself as often as its function may run longer than a minute.
    assert reserved["clean-up"] > functions()["clean-up"]["timeout"] / 60 + 2
    # 300 in a region, of which 90 % can be reserved.
    assert sum(reserved.values()) <= 270
