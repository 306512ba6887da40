"""What the description cannot say of the API; schemathesis loads this file itself."""

import re
from typing import Any

import schemathesis
from schemathesis.core.failures import Failure
from schemathesis.openapi.checks import RejectedPositiveData

# What a model takes differs from model to model, areas of sizes among it, and JSON Schema does not calculate; which
# addresses are public it cannot know.
_BEYOND_A_SCHEMA = {"size", "model", "duration", "webhookUrl", "imageUrl"}


@schemathesis.hook
def before_call(context: schemathesis.HookContext, case: schemathesis.Case, kwargs: dict[str, Any]) -> None:
    """Wait for no job; a wait that is to be refused stays as it is."""
    wanted = case.headers.get("Prefer")
    if wanted is not None and re.fullmatch(r"wait=\d{1,6}", wanted):
        case.headers["Prefer"] = "wait=0"
    elif case.method == "POST" and not (wanted or "").startswith("wait="):
        case.headers["Prefer"] = f"respond-async, {wanted}" if wanted else "respond-async"


@schemathesis.hook
def filter_failure(
    context: schemathesis.HookContext, failure: Failure, case: schemathesis.Case, response: schemathesis.Response
) -> bool:
    """Pass over a refusal of valid data for a rule that no schema can hold: the 422 has to name just that rule."""
    if not isinstance(failure, RejectedPositiveData) or response.status_code != 422:
        return True
    problem = response.json()
    fields = {error["field"] for error in problem.get("errors", ())}
    # JSON Schema takes 1.0 for an integer; the API does not.
    integral = all(error["message"] == "Input should be a valid integer" for error in problem.get("errors", ()))
    reused = problem["code"] == "idempotency_key_reused"  # the key of an example goes with many bodies
    return not (reused or (fields and (integral or fields <= _BEYOND_A_SCHEMA)))
