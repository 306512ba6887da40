"""Reads ``s.yaml`` as Serverless Devs 3 reads it: with templates, ``extend``, YAML anchors and expressions.

The expressions are ``${env('NAME', 'default')}``, ``${env(…) ? 'set' : 'empty'}``, ``${vars.path}`` and
``${resources.name.props.path}``.
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


class ManifestError(Exception):
    """``s.yaml`` cannot be used; the message says where and why."""


@dataclass(frozen=True)
class Document:
    """The resources of one component, each with ``props``, and ``vars``; nothing is left to resolve."""

    resources: Mapping[str, Mapping[str, Any]]
    variables: Mapping[str, Any]


def read_document(path: Path, env: Mapping[str, str], *, component: str) -> Document:
    """Read ``path``, with the values of ``${env(…)}`` from ``env``. Raises ``ManifestError``."""
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise ManifestError(f"{path.name}: {error}") from error
    if not isinstance(document, dict) or not isinstance(document.get("resources"), dict):
        raise ManifestError(f"{path.name}: resources is missing")
    resources = {name: _extend(name, resource, document) for name, resource in document["resources"].items()}
    resolver = _Resolver(env, {**document, "resources": resources})
    return Document(
        resources={
            name: {**resource, "props": resolver.resolve(resource["props"], f"resources.{name}.props")}
            for name, resource in resources.items()
            if resource.get("component") == component
        },
        variables=resolver.resolve(document.get("vars") or {}, "vars"),
    )


def _extend(name: str, resource: Any, document: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(resource, dict) or not isinstance(resource.get("props"), dict):
        raise ManifestError(f"resources.{name}: props is missing")
    template_name = (resource.get("extend") or {}).get("name")
    if template_name is None:
        return resource
    template = (document.get("template") or {}).get(template_name)
    if template is None:
        raise ManifestError(f"resources.{name}.extend: template {template_name!r} does not exist")
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
        if whole:  # an expression without other text keeps the type of its value
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
