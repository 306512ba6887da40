"""What the description cannot say of the API; schemathesis loads this file itself."""

import os
import re
from typing import Any

import schemathesis
from schemathesis.core.failures import Failure
from schemathesis.openapi.checks import RejectedPositiveData

# What a model takes differs from model to model, areas of sizes among it, and JSON Schema does not calculate; which
# addresses are public it cannot know.
_FIELDS_BEYOND_A_SCHEMA = {"size", "model", "duration", "webhookUrl", "imageUrl"}
# The key of an example goes with many bodies; a cursor comes from the page before.
_CODES_BEYOND_A_SCHEMA = {"idempotency_key_reused", "bad_cursor"}
_FINISHED_JOBS = {os.environ[f"JOB_{number}"] for number in range(3)}
_NO_INTEGER = "Input should be a valid integer"  # JSON Schema takes 1.0 for one; the API does not


@schemathesis.hook
def before_call(context: schemathesis.HookContext, case: schemathesis.Case[Any], kwargs: dict[str, Any]) -> None:
    """Wait for no job; a wait that is to be refused stays as it is. Delete none that the others are to find."""
    if case.method == "DELETE" and case.path_parameters.get("jobId") in _FINISHED_JOBS:
        case.path_parameters["jobId"] = "deleted"
    wanted = case.headers.get("Prefer")
    if wanted is not None and re.fullmatch(r"wait=\d{1,6}", wanted):
        case.headers["Prefer"] = "wait=0"
    elif case.method == "POST" and not (wanted or "").startswith("wait="):
        case.headers["Prefer"] = f"respond-async, {wanted}" if wanted else "respond-async"


@schemathesis.hook
def filter_failure(
    context: schemathesis.HookContext, failure: Failure, case: schemathesis.Case[Any], response: schemathesis.Response
) -> bool:
    """Pass over a refusal of valid data for a rule that no schema can hold: the answer has to name just that rule."""
    if not isinstance(failure, RejectedPositiveData):
        return True
    problem = response.json()
    # Prefer has a grammar of its own.
    if problem["code"] in _CODES_BEYOND_A_SCHEMA or problem["detail"].startswith("Prefer"):
        return False
    errors = problem.get("errors", ())
    return not errors or not all(
        error["field"] in _FIELDS_BEYOND_A_SCHEMA or error["message"] == _NO_INTEGER for error in errors
    )
