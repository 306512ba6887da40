"""The policy of a PostObject form: its signature (V1 or V4), its expiry and its conditions.

https://www.alibabacloud.com/help/en/oss/developer-reference/postobject
"""

import binascii
import json
from base64 import b64decode
from datetime import UTC, datetime
from typing import Any

from devcloud.oss.access import signature_v1, signature_v4
from devcloud.oss.access.claim import Claim
from devcloud.oss.http.oss_request import MAX_PUT_BYTES, OssRequest
from devcloud.oss.oss_errors import OssError, access_denied, invalid_argument


def read_form_signature(form: dict[str, str], region: str) -> Claim | None:
    """Return the claim of a form, ``None`` if the form is not signed. The signed text is the encoded policy."""
    policy = form.get("policy", "").encode()
    if form.get("x-oss-signature-version") == "OSS4-HMAC-SHA256":
        scope = signature_v4.Scope.of_parameter(form.get("x-oss-credential", ""), region)
        return signature_v4.claim_of_text(scope, form.get("x-oss-signature", ""), policy)
    if "ossaccesskeyid" not in form and "signature" not in form:
        return None
    access_key_id, signature = form.get("ossaccesskeyid", ""), form.get("signature", "")
    if not policy:
        raise invalid_argument("Bucket POST must contain a field named 'policy'.", "policy", "")
    return Claim(access_key_id, signature, policy, signature_v1.sign, signature_v1.MISMATCH_EC)


def check_post_policy(form: dict[str, str], request: OssRequest, now: float) -> tuple[int, int]:
    """Return the smallest and the largest size in bytes that the policy of ``form`` allows.

    ``now`` is in Unix seconds. Raises ``InvalidPolicyDocument``, and ``AccessDenied`` for an expired policy or a
    condition that is not met.
    """
    expires_at, conditions = _read_policy(form["policy"])
    if expires_at < now:
        raise access_denied("Invalid according to Policy: Policy expired.")
    smallest, largest = 0, MAX_PUT_BYTES
    for operator, name, value in conditions:
        if operator == "content-length-range":
            smallest, largest = max(smallest, int(name)), min(largest, int(value))
            continue
        given = request.bucket if name == "bucket" else request.key if name == "key" else form.get(name, "")
        if not _is_met(operator, given, value):
            condition = json.dumps([operator, f"${name}", value])
            raise access_denied(f"Invalid according to Policy: Policy Condition failed: {condition}")
    return smallest, largest


def _read_policy(text: str) -> tuple[float, list[tuple[str, str, Any]]]:
    """Return the expiry time in Unix seconds and the conditions."""
    try:
        policy = json.loads(b64decode(text, validate=True))
        expiration = datetime.fromisoformat(policy["expiration"])
        conditions = [_read_condition(condition) for condition in policy["conditions"]]
    except (AttributeError, binascii.Error, KeyError, TypeError, ValueError) as error:
        raise OssError(400, "InvalidPolicyDocument", "The content of the form does not meet the conditions") from error
    return (expiration if expiration.tzinfo else expiration.replace(tzinfo=UTC)).timestamp(), conditions


def _read_condition(condition: Any) -> tuple[str, str, Any]:
    """Return operator, field and value. Raises ``ValueError``, ``TypeError`` or ``AttributeError``."""
    if isinstance(condition, dict):
        ((name, value),) = condition.items()
        return "eq", name.lower(), str(value)
    operator, name, value = condition
    operator = operator.lower()
    if operator == "content-length-range":
        return operator, str(int(name)), str(int(value))
    if operator not in ("eq", "starts-with", "in", "not-in") or not name.startswith("$"):
        raise ValueError(operator)
    if operator in ("in", "not-in") and not isinstance(value, list):
        raise ValueError(operator)
    return operator, name[1:].lower(), value


def _is_met(operator: str, given: str, value: Any) -> bool:
    match operator:
        case "eq":
            return given == str(value)
        case "starts-with":
            return given.startswith(str(value))
        case "in":
            return given in value
        case _:
            return given not in value
