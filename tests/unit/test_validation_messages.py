"""The messages for a field or a query parameter that breaks a rule: they name the mistake and the accepted values."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.errors import ValidationError
from shared.domain.web_addresses import WebPolicy
from shared.fc.events import HttpEvent
from tests.api_routes import ROUTES

from api_models import ImageRequest, Input, JobsQuery, NoInput, UrlRules, VideoRequest  # isort: skip - beside the routes
from request_parsing import read_body, read_query  # isort: skip

RULES = UrlRules(WebPolicy(), webhooks_enabled=True)
IMAGE_FIELDS = "count, model, negativePrompt, prompt, seed, size, webhookUrl"


def refusal(body: object, model: type[Input] = ImageRequest, rules: UrlRules = RULES) -> ValidationError:
    event = HttpEvent(
        headers={"content-type": "application/json"},
        body=base64.b64encode(json.dumps(body).encode()).decode(),
        is_base64_encoded=True,
    )
    with pytest.raises(ValidationError) as caught:
        read_body(event, model, rules)
    assert (caught.value.code, caught.value.status) == ("validation_failed", 422)
    return caught.value


def query_refusal(query: dict[str, str], model: type[Input] = JobsQuery) -> ValidationError:
    with pytest.raises(ValidationError) as caught:
        read_query(query, model)
    return caught.value


@pytest.mark.parametrize(
    ("fields", "field", "message"),
    [
        ({"prompt": None}, "prompt", "must be a string, not null"),
        ({"prompt": 7}, "prompt", "must be a string, not a number"),
        ({"prompt": 1.5}, "prompt", "must be a string, not a number"),
        ({"prompt": True}, "prompt", "must be a string, not a boolean"),
        ({"prompt": ["x"]}, "prompt", "must be a string, not an array"),
        ({"prompt": {}}, "prompt", "must be a string, not an object"),
        ({"prompt": ""}, "prompt", "must have at least 1 character; it has 0"),
        ({"prompt": "x" * 4001}, "prompt", "must have at most 4000 characters; it has 4001"),
        pytest.param(
            {"prompt": "\0"}, "prompt", "must not contain control characters, except tab and line break", id="control"
        ),
        ({"count": "2"}, "count", "must be an integer, not a string"),
        ({"count": True}, "count", "must be an integer, not a boolean"),
        ({"count": None}, "count", "must be an integer, not null"),
        ({"count": 1.0}, "count", "must be an integer, not a number with a fraction or an exponent"),
        ({"count": 0}, "count", "must be at least 1; it is 0"),
        ({"count": 5}, "count", "must be at most 4; it is 5"),
        ({"seed": 10**400}, "seed", "must be at most 2147483647"),
        ({"webhookUrl": "ftp://example.com/"}, "webhookUrl", "must begin with https://"),
    ],
    ids=str,
)
def test_a_rule_of_a_field_is_stated(fields: dict[str, Any], field: str, message: str) -> None:
    error = refusal({"prompt": "x", **fields})
    assert error.errors == [{"field": field, "message": message}]
    assert str(error) == f"{field} {message}"


def test_a_missing_field_is_named() -> None:
    assert str(refusal({})) == "prompt is missing; it is required"


def test_a_webhook_without_configuration_is_refused() -> None:
    without_webhooks = UrlRules(WebPolicy(), webhooks_enabled=False)
    error = refusal({"prompt": "x", "webhookUrl": "https://example.com/"}, rules=without_webhooks)
    assert "webhooks are not configured" in str(error)


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("sise", "size"), ("negative_prompt", "negativePrompt"), ("PROMPT", "prompt"), ("webhookURL", "webhookUrl")],
)
def test_an_unknown_field_is_named_with_the_nearest_and_all_allowed_fields(name: str, nearest: str) -> None:
    message = f'unknown field "{name}"; did you mean "{nearest}"? Allowed fields: {IMAGE_FIELDS}'
    error = refusal({"prompt": "x", name: 1})
    assert error.errors == [{"field": name, "message": message}]
    assert str(error) == message


@pytest.mark.parametrize(
    ("name", "shown"), [("what", "what"), ("k" * 200_000, "k" * 64 + "…"), ("size\x00", "size\\u0000"), ("", "")]
)
def test_a_name_like_no_field_is_shown_in_a_safe_form_without_a_guess(name: str, shown: str) -> None:
    message = f'unknown field "{shown}". Allowed fields: {IMAGE_FIELDS}'
    assert refusal({"prompt": "x", name: 1}).errors == [{"field": shown, "message": message}]


@pytest.mark.parametrize(
    ("query", "field", "message"),
    [
        ({"limit": "0"}, "limit", "must be at least 1; it is 0"),
        ({"limit": "101"}, "limit", "must be at most 100; it is 101"),
        ({"limit": "+5"}, "limit", "must be an integer, written with the digits 0 to 9 only"),
        ({"limit": "9" * 5000}, "limit", "has too many digits"),
        ({"type": "audio"}, "type", 'must be "image" or "video"'),
        (
            {"status": "done"},
            "status",
            'must be "queued", "running", "storing", "succeeded", "failed" or "cancelled"',
        ),
    ],
    ids=str,
)
def test_a_rule_of_a_query_parameter_is_stated(query: dict[str, str], field: str, message: str) -> None:
    assert query_refusal(query).errors == [{"field": field, "message": message}]


def test_an_unknown_query_parameter_is_named_with_the_allowed_ones() -> None:
    allowed = "Allowed query parameters: cursor, limit, status, type"
    limits = f'unknown query parameter "limits"; did you mean "limit"? {allowed}'
    assert str(query_refusal({"limits": "1"})) == limits
    assert (
        str(query_refusal({"x": "1"}, NoInput)) == 'unknown query parameter "x"; this request has no query parameters'
    )


def test_many_errors_are_counted_and_the_first_ones_are_named() -> None:
    error = refusal({"prompt": "x", **{f"m{number}": 1 for number in range(1000)}})
    assert len(error.errors) == 20
    assert str(error).endswith("; and 995 more")
    assert str(error).count("unknown field") == 5


MODELS = sorted({model for route in ROUTES for model in (route.body, route.query) if model}, key=lambda m: m.__name__)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=4,
)
PYDANTICS_OWN = ("Input should", "Field required", "Extra inputs", "Value error", "String should", "Unable to parse")


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
@given(data=st.data())
def test_no_message_of_pydantic_reaches_a_caller(model: type[Input], data: st.DataObject) -> None:
    names = st.sampled_from([*sorted(field.alias or name for name, field in model.model_fields.items()), "other"])
    try:
        if model in (ImageRequest, VideoRequest):
            fields = data.draw(st.dictionaries(names, JSON, min_size=1))
            error = refusal({**fields, "unknown": 1}, model)
        else:
            query = data.draw(st.dictionaries(names, st.text(max_size=20), min_size=1))
            error = query_refusal({**query, "unknown": "1"}, model)
    except UnicodeEncodeError:
        return
    assert not any(text in str(error) for text in PYDANTICS_OWN)
    assert all(not each["message"].startswith(PYDANTICS_OWN) for each in error.errors)
