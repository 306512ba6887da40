"""Reads ``s.yaml`` (Serverless Devs 3, component ``fc3``) into typed models.

What Serverless Devs does with the file is done here: templates and ``extend``, YAML anchors, and the expressions
``${env('NAME', 'default')}``, ``${env(…) ? 'set' : 'empty'}``, ``${vars.path}`` and ``${resources.name.props.path}``.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

_EXPRESSION = re.compile(r"\$\{([^}]*)\}")
_ENV = re.compile(r"""env\(\s*(['"])(?P<name>.*?)\1\s*(?:,\s*(['"])(?P<default>.*?)\3\s*)?\)""")
_CHOICE = re.compile(r"""(?P<condition>env\(.*\))\s*\?\s*(['"])(?P<yes>.*?)\2\s*:\s*(['"])(?P<no>.*?)\4""")
_FUNCTION_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")
_ENVIRONMENT_LIMIT_BYTES = 4096


class ManifestError(Exception):
    """``s.yaml`` cannot be used; the message says where and why."""


@dataclass(frozen=True)
class Hook:
    """A lifecycle hook of an instance: ``file.function`` and its time limit."""

    handler: str
    timeout_s: int


@dataclass(frozen=True)
class AsyncConfig:
    """How asynchronous invocations are kept and retried; the defaults are Function Compute's."""

    async_task: bool = False
    max_retries: int = 3
    max_age_s: int = 18000


@dataclass(frozen=True)
class HttpTrigger:
    """Serves HTTP requests with one of ``methods``."""

    name: str
    methods: tuple[str, ...]


@dataclass(frozen=True)
class TimerTrigger:
    """Fires on a six-field cron expression or ``@every``, with a fixed payload."""

    name: str
    cron: str
    enabled: bool
    payload: str


@dataclass(frozen=True)
class OssTrigger:
    """Fires on ``events`` (``oss:ObjectCreated:PutObject``) of keys with that prefix and suffix in ``bucket``."""

    name: str
    bucket: str
    events: tuple[str, ...]
    prefix: str
    suffix: str

    def fits(self, bucket: str, event_name: str, key: str) -> bool:
        """Tell whether this trigger wants an event; ``event_name`` comes without the ``oss:`` of the configuration."""
        kind = event_name.partition(":")[0]
        return (
            bucket == self.bucket
            and bool({f"oss:{event_name}", f"oss:{kind}:*"} & set(self.events))
            and key.startswith(self.prefix)
            and key.endswith(self.suffix)
        )


Trigger = HttpTrigger | TimerTrigger | OssTrigger


@dataclass(frozen=True)
class Function:
    """One function as it would be deployed."""

    name: str
    description: str
    runtime: str
    handler: str
    code: str
    cpu: float
    memory_mb: int
    disk_mb: int
    timeout_s: int
    environment: Mapping[str, str]
    initializer: Hook | None
    pre_stop: Hook | None
    asynchronous: AsyncConfig
    triggers: tuple[Trigger, ...]

    @property
    def folder(self) -> str:
        """The name of the folder under ``functions/`` that holds its source."""
        return self.name.replace("-", "_")


@dataclass(frozen=True)
class Manifest:
    """Everything that ``s.yaml`` says about functions."""

    region: str
    account_id: str
    functions: Mapping[str, Function]


def load_manifest(path: Path, env: Mapping[str, str]) -> Manifest:
    """Read ``path``, taking ``${env(…)}`` from ``env``. Raises ``ManifestError``."""
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise ManifestError(f"{path.name}: {error}") from error
    if not isinstance(document, dict) or not isinstance(document.get("resources"), dict):
        raise ManifestError(f"{path.name}: no resources")
    resources = {name: _extend(name, resource, document) for name, resource in document["resources"].items()}
    resolver = _Resolver(env, {**document, "resources": resources})
    functions = {}
    for name, resource in resources.items():
        if resource.get("component") == "fc3":
            function = _function(resolver.resolve(resource["props"], f"resources.{name}.props"), f"resources.{name}")
            functions[function.name] = function
    variables = resolver.resolve(document.get("vars") or {}, "vars")
    return Manifest(
        region=str(variables.get("region", "cn-hangzhou")),
        account_id=str(variables.get("account", "0000000000000000")),
        functions=functions,
    )


def _extend(name: str, resource: Any, document: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(resource, dict) or not isinstance(resource.get("props"), dict):
        raise ManifestError(f"resources.{name}: no props")
    template_name = (resource.get("extend") or {}).get("name")
    if template_name is None:
        return resource
    template = (document.get("template") or {}).get(template_name)
    if template is None:
        raise ManifestError(f"resources.{name}.extend: there is no template {template_name!r}")
    return {**resource, "props": _merge(template, resource["props"])}


def _merge(below: Any, above: Any) -> Any:
    if isinstance(below, dict) and isinstance(above, dict):
        return {key: _merge(below.get(key), above[key]) if key in above else below[key] for key in {**below, **above}}
    return above


class _Resolver:
    def __init__(self, env: Mapping[str, str], document: Mapping[str, Any]) -> None:
        self._env = env
        self._document = document

    def resolve(self, node: Any, where: str, seen: tuple[str, ...] = ()) -> Any:
        if isinstance(node, dict):
            return {key: self.resolve(value, f"{where}.{key}", seen) for key, value in node.items()}
        if isinstance(node, list):
            return [self.resolve(value, f"{where}[{index}]", seen) for index, value in enumerate(node)]
        if not isinstance(node, str):
            return node
        whole = _EXPRESSION.fullmatch(node)
        if whole:  # an expression that stands alone keeps the type of its value
            return self._value(whole[1].strip(), where, seen)
        return _EXPRESSION.sub(lambda found: str(self._value(found[1].strip(), where, seen)), node)

    def _value(self, expression: str, where: str, seen: tuple[str, ...]) -> Any:
        error = ManifestError(f"{where}: cannot resolve ${{{expression}}}")
        if expression in seen:
            raise ManifestError(f"{where}: ${{{expression}}} refers to itself")
        if choice := _CHOICE.fullmatch(expression):
            return choice["yes"] if self._value(choice["condition"], where, seen) else choice["no"]
        if call := _ENV.fullmatch(expression):
            value = self._env.get(call["name"], call["default"])
            if value is None:
                raise error
            return value
        root, _, _ = expression.partition(".")
        if root not in ("vars", "resources"):
            raise error
        node: Any = self._document
        for step in expression.split("."):
            if not isinstance(node, dict) or step not in node:
                raise error
            node = node[step]
        return self.resolve(node, expression, (*seen, expression))


def _function(props: Mapping[str, Any], where: str) -> Function:
    fields = _Fields(props, f"{where}.props")
    name = fields.text("functionName")
    if not _FUNCTION_NAME.fullmatch(name):
        raise ManifestError(f"{where}.props.functionName: {name!r} is not a function name")
    configured = fields.section("asyncInvokeConfig")
    hooks = fields.section("instanceLifecycleConfig")
    return Function(
        name=name,
        description=fields.text("description", ""),
        runtime=fields.text("runtime"),
        handler=fields.text("handler"),
        code=fields.text("code"),
        cpu=float(props.get("cpu", 0.35)),
        memory_mb=fields.number("memorySize", 512),
        disk_mb=fields.number("diskSize", 512),
        timeout_s=fields.number("timeout", 3),
        environment=_environment(props.get("environmentVariables") or {}, f"{where}.props.environmentVariables"),
        initializer=_hook(hooks, "initializer"),
        pre_stop=_hook(hooks, "preStop"),
        asynchronous=AsyncConfig(
            async_task=bool(configured.values.get("asyncTask", AsyncConfig.async_task)),
            max_retries=configured.number("maxAsyncRetryAttempts", AsyncConfig.max_retries),
            max_age_s=configured.number("maxAsyncEventAgeInSeconds", AsyncConfig.max_age_s),
        ),
        triggers=tuple(
            _trigger(_Fields(trigger, f"{where}.props.triggers[{index}]"))
            for index, trigger in enumerate(props.get("triggers") or [])
        ),
    )


def _environment(values: Mapping[str, Any], where: str) -> dict[str, str]:
    environment = {}
    for name, value in values.items():
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name) or name.startswith("FC_"):
            raise ManifestError(f"{where}.{name}: Function Compute refuses this name")
        if not isinstance(value, str):
            raise ManifestError(f"{where}.{name}: must be a string, quote it")
        environment[name] = value
    if sum(len(name) + len(value.encode()) for name, value in environment.items()) > _ENVIRONMENT_LIMIT_BYTES:
        raise ManifestError(f"{where}: more than {_ENVIRONMENT_LIMIT_BYTES} bytes")
    return environment


def _hook(hooks: "_Fields", name: str) -> Hook | None:
    if name not in hooks.values:
        return None
    hook = hooks.section(name)
    return Hook(hook.text("handler"), hook.number("timeout", 3))


def _trigger(trigger: "_Fields") -> Trigger:
    name, kind, config = trigger.text("triggerName"), trigger.text("triggerType"), trigger.section("triggerConfig")
    if kind == "http":
        return HttpTrigger(name, tuple(config.values.get("methods") or ["GET"]))
    if kind == "timer":
        return TimerTrigger(
            name,
            config.text("cronExpression"),
            bool(config.values.get("enable", False)),
            config.text("payload", ""),
        )
    if kind == "oss":
        key = config.section("filter").section("key")
        return OssTrigger(
            name,
            bucket=trigger.text("sourceArn").rpartition(":")[2],
            events=tuple(config.values.get("events") or []),
            prefix=key.text("prefix", ""),
            suffix=key.text("suffix", ""),
        )
    raise ManifestError(f"{trigger.where}.triggerType: the local cloud does not know {kind!r}")


@dataclass(frozen=True)
class _Fields:
    """A mapping of the file together with where it stands, so that every complaint can name the place."""

    values: Mapping[str, Any]
    where: str

    def text(self, name: str, default: str | None = None) -> str:
        value = self.values.get(name, default)
        if not isinstance(value, str):
            raise ManifestError(f"{self.where}.{name}: {'missing' if value is None else 'must be a string'}")
        return value

    def number(self, name: str, default: int) -> int:
        value = self.values.get(name, default)
        try:
            return int(value)
        except (TypeError, ValueError):
            raise ManifestError(f"{self.where}.{name}: must be a number, got {value!r}") from None

    def section(self, name: str) -> "_Fields":
        value = self.values.get(name) or {}
        if not isinstance(value, dict):
            raise ManifestError(f"{self.where}.{name}: must be a mapping")
        return _Fields(value, f"{self.where}.{name}")
