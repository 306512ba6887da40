"""The rules of the API that the description cannot express; schemathesis loads this file itself."""

import os
import re
from typing import Any

import schemathesis
from schemathesis.core.failures import Failure
from schemathesis.openapi.checks import RejectedPositiveData

# Each model has its own rules, for example for the area of a size. JSON Schema cannot calculate, and it cannot know
# which addresses are public.
_FIELDS_BEYOND_A_SCHEMA = {"size", "model", "duration", "webhookUrl", "imageUrl"}
# An example's key is sent with many bodies; a valid cursor comes from the previous page.
_CODES_BEYOND_A_SCHEMA = {"idempotency_key_reused", "bad_cursor"}
_FINISHED_JOBS = {os.environ[f"JOB_{number}"] for number in range(3)}
_NOT_AN_INTEGER = "must be an integer, not a number with a fraction or an exponent"  # JSON Schema accepts 1.0


@schemathesis.hook
def before_call(context: schemathesis.HookContext, case: schemathesis.Case[Any], kwargs: dict[str, Any]) -> None:
    """Wait for no job, but keep invalid waits. Do not delete the jobs that other requests must find."""
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
    """Accept a refusal of valid data only if the answer names a rule that no schema can express."""
    if not isinstance(failure, RejectedPositiveData):
        return True
    problem = response.json()
    # Prefer has its own grammar.
    if problem["code"] in _CODES_BEYOND_A_SCHEMA or problem["detail"].startswith("Prefer"):
        return False
    errors = problem.get("errors", ())
    return not errors or not all(
        error["field"] in _FIELDS_BEYOND_A_SCHEMA or error["message"] == _NOT_AN_INTEGER for error in errors
    )
