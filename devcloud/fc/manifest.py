"""The functions of ``s.yaml`` (component ``fc3``) as typed models."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devcloud.fc.serverless_devs import ManifestError, read_document

_FUNCTION_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")
_ENVIRONMENT_LIMIT_BYTES = 4096


@dataclass(frozen=True)
class Hook:
    """A lifecycle hook of an instance: ``file.function`` and its time limit."""

    handler: str
    timeout_s: int


@dataclass(frozen=True)
class AsyncConfig:
    """Limits and retries of asynchronous invocations; the defaults are those of Function Compute."""

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
        """Tell whether an event matches; ``event_name`` is without the ``oss:`` of the configuration."""
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
        """The name of the folder under ``functions/`` that contains its source."""
        return self.name.replace("-", "_")


@dataclass(frozen=True)
class Manifest:
    """Everything that ``s.yaml`` says about functions."""

    region: str
    account_id: str
    functions: Mapping[str, Function]


def load_manifest(path: Path, env: Mapping[str, str]) -> Manifest:
    """Read ``path``, with the values of ``${env(…)}`` from ``env``. Raises ``ManifestError``."""
    document = read_document(path, env, component="fc3")
    functions = [_function(resource["props"], f"resources.{name}") for name, resource in document.resources.items()]
    return Manifest(
        region=str(document.variables.get("region", "cn-hangzhou")),
        account_id=str(document.variables.get("account", "0000000000000000")),
        functions={function.name: function for function in functions},
    )


def _function(props: Mapping[str, Any], where: str) -> Function:
    fields = _Fields(props, f"{where}.props")
    name = fields.text("functionName")
    if not _FUNCTION_NAME.fullmatch(name):
        raise ManifestError(f"{where}.props.functionName: {name!r} is not a valid function name")
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
            raise ManifestError(f"{where}.{name}: Function Compute does not allow this name")
        if not isinstance(value, str):
            raise ManifestError(f"{where}.{name}: must be a string; put the value in quotes")
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
    raise ManifestError(f"{trigger.where}.triggerType: the local cloud does not support {kind!r}")


@dataclass(frozen=True)
class _Fields:
    """A mapping of the file and its place, so that every error can name the place."""

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
