"""Bucket policies: the document, and whether it allows or denies a request.

These conditions are evaluated: IP addresses, strings, booleans and dates over ``acs:SourceIp``,
``acs:SecureTransport``, ``acs:CurrentTime``, ``acs:UserAgent``, ``acs:Referer``, ``oss:Prefix`` and
``oss:Delimiter``. A policy with other conditions is refused, because it would not have the effect that it promises.
See https://www.alibabacloud.com/help/en/oss/developer-reference/putbucketpolicy.
"""

import ipaddress
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from devcloud.oss.documents.xml_document import Document
from devcloud.oss.oss_errors import OssError
from devcloud.oss.wildcards import matches

Verdict = Literal["allow", "deny", "silent"]


@dataclass(frozen=True)
class Ask:
    """The facts of a request that a policy judges. ``principals`` names the caller, and is empty for anonymous ones."""

    principals: frozenset[str]
    action: str
    resource: str
    facts: Mapping[str, str]


def judge(body: bytes, ask: Ask) -> Verdict:
    """Return the verdict of a valid policy; a denial overrides everything that is allowed."""
    effects = {statement["Effect"] for statement in json.loads(body)["Statement"] if _applies(statement, ask)}
    return "deny" if "Deny" in effects else "allow" if "Allow" in effects else "silent"


def is_public(body: bytes) -> bool:
    """Tell whether a valid policy allows something to everybody."""
    return any(
        statement["Effect"] == "Allow"
        and "*" in _texts(statement.get("Principal", []))
        and not statement.get("Condition")
        for statement in json.loads(body)["Statement"]
    )


def _applies(statement: dict[str, Any], ask: Ask) -> bool:
    return (
        _names_caller(statement, ask)
        and _covers(statement, "Action", ask.action, fold=True)
        and _covers(statement, "Resource", ask.resource, fold=False)
        and all(
            _OPERATORS[operator](_texts(values), ask.facts.get(key))
            for operator, keys in statement.get("Condition", {}).items()
            for key, values in keys.items()
        )
    )


def _names_caller(statement: dict[str, Any], ask: Ask) -> bool:
    if "NotPrincipal" in statement:
        return not _among(_texts(statement["NotPrincipal"]), ask)
    return _among(_texts(statement.get("Principal", [])), ask)


def _among(patterns: list[str], ask: Ask) -> bool:
    return "*" in patterns or any(matches(pattern, name) for pattern in patterns for name in ask.principals)


def _covers(statement: dict[str, Any], element: str, value: str, *, fold: bool) -> bool:
    if f"Not{element}" in statement:
        return not _any(_texts(statement[f"Not{element}"]), value, fold=fold)
    return _any(_texts(statement.get(element, ["*"])), value, fold=fold)


def _any(patterns: list[str], value: str, *, fold: bool) -> bool:
    if fold:
        return any(matches(pattern.lower(), value.lower()) for pattern in patterns)
    return any(matches(pattern, value) for pattern in patterns)


def _texts(value: object) -> list[str]:
    return [_text(item) for item in value] if isinstance(value, list) else [_text(value)]


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


# Conditions: each operator gets the values of the policy and the fact of the request, which may be absent

Operator = Callable[[list[str], str | None], bool]


def _in_network(values: list[str], fact: str | None) -> bool:
    return fact is not None and any(
        ipaddress.ip_address(fact) in ipaddress.ip_network(value, strict=False) for value in values
    )


def _equals(values: list[str], fact: str | None) -> bool:
    return fact in values


def _equals_folded(values: list[str], fact: str | None) -> bool:
    return fact is not None and fact.lower() in (value.lower() for value in values)


def _like(values: list[str], fact: str | None) -> bool:
    return fact is not None and any(matches(value, fact) for value in values)


def _before(values: list[str], fact: str | None) -> bool:
    return fact is not None and any(_date(fact) < _date(value) for value in values)


def _after(values: list[str], fact: str | None) -> bool:
    return fact is not None and any(_date(fact) > _date(value) for value in values)


def _date(text: str) -> datetime:
    date = datetime.fromisoformat(text)
    return date if date.tzinfo else date.replace(tzinfo=UTC)


def _not(operator: Operator) -> Operator:
    return lambda values, fact: not operator(values, fact)


_OPERATORS: dict[str, Operator] = {
    "Bool": _equals_folded,
    "DateGreaterThan": _after,
    "DateGreaterThanEquals": _not(_before),
    "DateLessThan": _before,
    "DateLessThanEquals": _not(_after),
    "IpAddress": _in_network,
    "NotIpAddress": _not(_in_network),
    "StringEquals": _equals,
    "StringEqualsIgnoreCase": _equals_folded,
    "StringLike": _like,
    "StringNotEquals": _not(_equals),
    "StringNotEqualsIgnoreCase": _not(_equals_folded),
    "StringNotLike": _not(_like),
}
_FACTS = (
    "acs:CurrentTime",
    "acs:Referer",
    "acs:SecureTransport",
    "acs:SourceIp",
    "acs:UserAgent",
    "oss:Delimiter",
    "oss:Prefix",
)


# What makes a policy invalid


def _check(body: bytes) -> bytes:
    try:
        policy = json.loads(body)
    except ValueError as error:
        raise _invalid("it is not valid JSON") from error
    statements = policy.get("Statement") if isinstance(policy, dict) else None
    if not isinstance(statements, list) or not statements:
        raise _invalid("it has no list of statements")
    if policy.get("Version") != "1":
        raise _invalid("its version is not 1")
    for statement in statements:
        _check_statement(statement)
    return body


def _check_statement(statement: object) -> None:
    if not isinstance(statement, dict) or statement.get("Effect") not in ("Allow", "Deny"):
        raise _invalid("the effect is neither Allow nor Deny")
    for element in ("Action", "Resource"):
        texts = [text for name in (element, f"Not{element}") if name in statement for text in _texts(statement[name])]
        start = {"Action": ("oss:", "*"), "Resource": ("acs:oss:", "*")}[element]
        if not texts or not all(text.startswith(start) for text in texts):
            raise _invalid(f"{element} is missing or not one of OSS")
    conditions = statement.get("Condition", {})
    if not isinstance(conditions, dict):
        raise _invalid("the conditions are not an object")
    for operator, keys in conditions.items():
        if operator not in _OPERATORS or not isinstance(keys, dict):
            raise _invalid(f"the condition {operator} is unknown")
        for key, values in keys.items():
            if key not in _FACTS:
                raise _invalid(f"the condition key {key} is unknown")
            _try_condition(operator, key, values)


def _try_condition(operator: str, key: str, values: object) -> None:
    sample = {"acs:SourceIp": "127.0.0.1", "acs:CurrentTime": "2020-01-01T00:00:00Z"}.get(key, "")
    try:
        _OPERATORS[operator](_texts(values), sample)
    except ValueError as error:
        raise _invalid(f"{operator} does not fit {key}: {error}") from error


def _invalid(reason: str) -> OssError:
    return OssError(400, "InvalidPolicyDocument", f"The bucket policy is invalid: {reason}.")


POLICY = Document("policy", _check, "Policy", missing="NoSuchBucketPolicy", content_type="application/json")
