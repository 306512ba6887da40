"""Every answer of a provider becomes a result or a typed error, and nothing is paid twice."""

import copy
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.adapters.dashscope import DashScope
from shared.adapters.openai_images import OpenAiImages
from shared.domain.errors import (
    ProviderError,
    ProviderFailedError,
    ProviderRefusedError,
    ProviderUnavailableError,
    SubmissionUnknownError,
)
from shared.domain.jobs import MAX_TASK_ID_CHARACTERS
from shared.domain.texts import MAX_MESSAGE_BYTES
from shared.ports import Finished, MediaBase64, MediaUrl, Pending, RefusedResult, Result
from tests.contract.scripted_provider import Scripted, settings
from tests.fakes import make_job
from tests.serving import serving

IMAGE = make_job(size="512x512")
OPENAI = make_job(model="gpt-image-1", count=2)
URL = "https://r.example.com/1.png"
NEXT_URL = "https://r.example.com/2.png"
ACCEPTED = {"output": {"task_status": "PENDING", "task_id": "0385dc79"}, "request_id": "4909100c"}
IN_RESULTS = {"output": {"task_id": "t", "task_status": "SUCCEEDED", "results": [{"url": URL}, {"url": NEXT_URL}]}}
IN_CHOICES = {
    "output": {
        "task_status": "SUCCEEDED",
        "choices": [{"finish_reason": "stop", "message": {"content": [{"image": URL, "type": "image"}]}}],
    }
}
IN_VIDEO = {"output": {"task_status": "SUCCEEDED", "video_url": URL}}
PARTIAL = {"output": {"task_status": "SUCCEEDED", "results": [{"url": URL}, {"code": "X", "message": "no"}]}}
FAILED = {"output": {"task_status": "FAILED", "code": "InternalError.Algo", "message": "it broke"}}
DRAWN = {"created": 1, "data": [{"b64_json": "eA=="}, {"url": URL}]}
REJECTED = {"error": {"message": "slowly", "code": "rate_limit", "type": "requests"}}


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    with httpx.Client(timeout=20, trust_env=False) as made:
        yield made


@pytest.fixture(scope="module")
def scripted() -> Iterator[Scripted]:
    with serving(Scripted()) as server:
        yield server


@pytest.fixture
def dashscope(scripted: Scripted, client: httpx.Client) -> DashScope:
    return DashScope(settings(scripted.url), client)


@pytest.fixture
def openai(scripted: Scripted, client: httpx.Client) -> OpenAiImages:
    return OpenAiImages(settings(scripted.url), client)


def answer(scripted: Scripted, body: Any, status: int = 200) -> None:
    scripted.status, scripted.body = status, body if isinstance(body, bytes) else json.dumps(body).encode()


ANY_TEXT = st.text(st.characters(exclude_categories=[]), max_size=8)  # halves of surrogate pairs among them
NAMES = ["code", "message", "url", "image", "b64_json", "content", "error", "output", "task_id", "data", "text"]
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT | st.sampled_from(["", "SUCCEEDED", URL]),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.sampled_from(NAMES) | ANY_TEXT, inner, max_size=4),
    max_leaves=10,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, part in inner:
        yield from places(part, (*path, name))


def put(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    changed = copy.deepcopy(document)
    parent = changed
    for name in path[:-1]:
        parent = parent[name]
    parent[path[-1]] = value
    return changed


def odd_forms_of(*documents: Any) -> st.SearchStrategy[Any]:
    """Return documented answers in which one place is replaced by anything."""
    known = [(document, path) for document in documents for path in places(document)]
    return st.builds(lambda at, value: put(at[0], at[1], value), st.sampled_from(known), ANY_JSON)


@given(odd_forms_of(ACCEPTED), st.sampled_from([200, 200, 201, 202, 302, 500, 502, 503, 504]))
def test_no_task_that_may_have_been_accepted_is_submitted_again(
    scripted: Scripted, client: httpx.Client, body: Any, status: int
) -> None:
    answer(scripted, body, status)
    try:
        state = DashScope(settings(scripted.url), client).submit(IMAGE)
    except ProviderUnavailableError:
        # As documented, a task is rejected with a code and nothing else.
        assert isinstance(body, dict)
        assert isinstance(body["code"], str)
        assert not body.get("output")
    except (SubmissionUnknownError, ProviderRefusedError) as error:
        assert str(error).encode()
    else:
        assert isinstance(state, Pending)
        assert 1 <= len(state.task_id) <= MAX_TASK_ID_CHARACTERS


@given(odd_forms_of(IN_RESULTS, IN_CHOICES, IN_VIDEO, PARTIAL, FAILED))
def test_every_answer_to_a_poll_is_a_state_or_a_provider_error(
    scripted: Scripted, client: httpx.Client, body: Any
) -> None:
    answer(scripted, body)
    try:
        state = DashScope(settings(scripted.url), client).poll("t")
    except ProviderError as error:
        assert len(str(error).encode()) <= MAX_MESSAGE_BYTES + 100
    else:
        assert isinstance(state, Pending) or well_formed(state.results)


@given(odd_forms_of(DRAWN, REJECTED), st.sampled_from([200, 200, 200, 202, 302, 500, 502, 503, 504]))
def test_every_answer_of_the_images_api_is_a_result_or_a_provider_error(
    scripted: Scripted, client: httpx.Client, body: Any, status: int
) -> None:
    answer(scripted, body, status)
    try:
        state = OpenAiImages(settings(scripted.url), client).submit(OPENAI)
    except ProviderUnavailableError:
        assert status in {500, 503}
        assert isinstance(body["error"]["message"], str)
    except ProviderError as error:
        assert len(str(error).encode()) <= MAX_MESSAGE_BYTES + 100
    else:
        assert isinstance(state, Finished)
        assert well_formed(state.results)


def well_formed(results: tuple[Result, ...]) -> bool:
    for result in results:
        text = result.url if isinstance(result, MediaUrl) else result.text if isinstance(result, MediaBase64) else ""
        if isinstance(result, RefusedResult):
            assert len(result.reason.encode()) <= MAX_MESSAGE_BYTES
        else:
            assert isinstance(text, str)
            assert text
    return any(not isinstance(result, RefusedResult) for result in results)


NOT_JSON = [
    *(b"", b"<html>", b'{"output": {"task_id": "t", "task_st', b"[" * 100_000, b'{"output": ' * 100_000),
    *(b'"text"', b"null", b"[{}]", b'{"output": {"task_id": "\xe9"}}', "[]".encode("utf-16"), b"1" * 5000),
]


@pytest.mark.parametrize("body", NOT_JSON, ids=lambda body: repr(body[:20]))
def test_a_body_that_is_not_a_json_object_decides_nothing(
    scripted: Scripted, dashscope: DashScope, openai: OpenAiImages, body: bytes
) -> None:
    answer(scripted, body)
    with pytest.raises(SubmissionUnknownError):
        dashscope.submit(IMAGE)
    with pytest.raises(ProviderUnavailableError):
        dashscope.poll("t")
    with pytest.raises(SubmissionUnknownError):
        openai.submit(OPENAI)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_json_is_read_in_every_unicode_encoding(scripted: Scripted, dashscope: DashScope, encoding: str) -> None:
    answer(scripted, json.dumps(IN_VIDEO).encode(encoding))
    assert dashscope.poll("t") == Finished((MediaUrl(URL),))


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (202, {"output": {}}, SubmissionUnknownError),
        (200, {"code": 400, "message": "no"}, SubmissionUnknownError),
        (200, {"code": "Throttling", "output": {"task_id": 7}}, SubmissionUnknownError),
        (429, {"code": "Throttling", "output": {"task_id": "t"}}, SubmissionUnknownError),
        (302, {}, SubmissionUnknownError),
        (504, {"code": "GatewayTimeout", "message": "late"}, SubmissionUnknownError),
        (500, {"code": 500, "message": "late"}, SubmissionUnknownError),
        (500, {"code": "InternalError", "message": "no"}, ProviderUnavailableError),
    ],
)
def test_only_a_documented_rejection_counts(
    scripted: Scripted, dashscope: DashScope, status: int, body: Any, error: type[ProviderError]
) -> None:
    answer(scripted, body, status)
    with pytest.raises(error) as caught:
        dashscope.submit(IMAGE)
    assert type(caught.value) is error


@pytest.mark.parametrize(
    ("status", "extra"), [(201, {}), (202, {}), (200, {"code": ""}), (200, {"code": None}), (200, {"code": "Success"})]
)
def test_a_task_with_an_id_counts_as_accepted(
    scripted: Scripted, dashscope: DashScope, status: int, extra: dict[str, Any]
) -> None:
    answer(scripted, {**ACCEPTED, **extra}, status)
    assert dashscope.submit(IMAGE) == Pending("0385dc79")


@pytest.mark.parametrize("task_id", ["t" * 513, "a\nb", "a\x00b", "\ud800", ".", "..", "a\u2028b"])
def test_a_task_id_that_cannot_be_stored_or_polled_is_an_error(
    scripted: Scripted, dashscope: DashScope, task_id: str
) -> None:
    answer(scripted, {"output": {"task_id": task_id}})
    with pytest.raises(SubmissionUnknownError, match=r"task id is not valid: expected 1 to 512 printable") as caught:
        dashscope.submit(IMAGE)
    assert len(str(caught.value).encode()) < 300


@pytest.mark.parametrize(
    ("task_id", "path"),
    [
        ("../../files", "/tasks/..%2F..%2Ffiles"),
        ("a?b#c", "/tasks/a%3Fb%23c"),
        ("a%2Fb", "/tasks/a%252Fb"),
        ("任务 1", "/tasks/%E4%BB%BB%E5%8A%A1%201"),
        ("t" * 512, "/tasks/" + "t" * 512),
    ],
)
def test_a_task_id_stays_one_segment_of_the_path(
    scripted: Scripted, dashscope: DashScope, task_id: str, path: str
) -> None:
    answer(scripted, {"output": {"task_id": task_id, "task_status": "RUNNING"}})
    assert dashscope.submit(IMAGE) == dashscope.poll(task_id) == Pending(task_id)
    dashscope.cancel(task_id)
    assert [asked[0] for asked in scripted.asked[-2:]] == [path, f"{path}/cancel"]


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ({"results": 7}, r"output\.results is a number, not an array"),
        ({"results": {"url": URL}}, r"output\.results is an object, not an array"),
        ({"results": ["text"]}, r"output\.results\[0\] is a string, not an object"),
        ({"results": [{"url": 7}]}, r"output\.results\[0\]\.url is a number, not a URL"),
        ({"results": [{"url": ""}]}, r"output\.results\[0\]\.url is an empty string, not a URL"),
        ({"results": [{}]}, r"output\.results\[0\]\.url is null, not a URL"),
        ({"results": [{"code": "X", "message": ["no"]}]}, "X: no message"),
        ({"choices": [None]}, r"output\.choices\[0\] is null, not an object"),
        ({"choices": [{"message": True}]}, r"output\.choices\[0\]\.message is a boolean, not an object"),
        ({"choices": [{"message": {"content": "x"}}]}, r"message\.content is a string, not an array"),
        ({"choices": [{"message": {"content": [{"image": []}]}}]}, r"content\[0\]\.image is an array, not a URL"),
        ({"video_url": float("nan")}, r"output\.video_url is a number, not a URL"),
    ],
)
def test_the_error_names_the_part_of_a_success_that_is_not_as_documented(
    scripted: Scripted, dashscope: DashScope, output: Any, message: str
) -> None:
    answer(scripted, {"output": {"task_status": "SUCCEEDED", **output}})
    with pytest.raises(ProviderFailedError, match=message):
        dashscope.poll("t")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"data": 7}, "data is a number, not an array"),
        ({"data": ["x"]}, r"data\[0\] is a string, not an object"),
        ({"data": [{"b64_json": 7}]}, r"data\[0\]\.b64_json is a number, not base64"),
        ({"data": [{"error": {"message": "no"}}]}, "no"),
        ({"error": "overloaded"}, "overloaded"),
    ],
)
def test_images_that_are_not_as_documented_are_a_failure(
    scripted: Scripted, openai: OpenAiImages, body: Any, message: str
) -> None:
    answer(scripted, body)
    with pytest.raises(ProviderFailedError, match=message):
        openai.submit(OPENAI)


def test_readable_results_are_kept_beside_unreadable_ones(
    scripted: Scripted, dashscope: DashScope, openai: OpenAiImages
) -> None:
    answer(scripted, {"output": {"task_status": "SUCCEEDED", "results": ["text", {"url": URL}, None]}})
    first, second, third = finished(dashscope.poll("t"))
    assert second == MediaUrl(URL)
    assert "output.results[0] is a string" in refused(first)
    assert "output.results[2] is null" in refused(third)
    answer(scripted, {"output": {"task_status": "SUCCEEDED", "results": 7, "video_url": URL}})
    assert MediaUrl(URL) in finished(dashscope.poll("t"))
    answer(scripted, {"data": [{"b64_json": 7}, {"b64_json": [], "url": URL}]})
    first, second = finished(openai.submit(OPENAI))
    assert (second, "data[0].b64_json is a number" in refused(first)) == (MediaUrl(URL), True)


def test_a_reason_is_cut_and_cleaned(scripted: Scripted, dashscope: DashScope) -> None:
    message = "\x00\ud800它坏了" + "😀" * 20_000
    withheld = {"code": "X" * 80_000, "message": message}, {"code": "X", "message": message}
    answer(scripted, {"output": {"task_status": "SUCCEEDED", "results": [{"url": URL}, *withheld]}})
    _, first, second = finished(dashscope.poll("t"))
    assert refused(second).startswith("X:  ?它坏了😀")
    for reason in (refused(first), refused(second)):
        assert MAX_MESSAGE_BYTES - 4 < len(reason.encode()) <= MAX_MESSAGE_BYTES
    answer(scripted, {"output": {"task_status": "FAILED", **withheld[1]}})
    with pytest.raises(ProviderFailedError) as caught:
        dashscope.poll("t")
    assert len(str(caught.value).encode()) < MAX_MESSAGE_BYTES + 100


def test_a_state_of_more_than_a_megabyte_is_not_read(scripted: Scripted, dashscope: DashScope) -> None:
    answer(scripted, {**IN_VIDEO, "padding": "x" * 1024 * 1024})
    with pytest.raises(ProviderUnavailableError):
        dashscope.poll("t")


@pytest.mark.parametrize("target", ["http://xn--a/", "http://[::1", "//\xff", "http://a:b:c/"])
def test_no_redirect_is_followed(client: httpx.Client, target: str) -> None:
    with serving(Scripted()) as server:
        server.status, server.headers = 302, {"Location": target}
        dashscope = DashScope(settings(server.url), client)
        with pytest.raises(SubmissionUnknownError):
            dashscope.submit(IMAGE)
        with pytest.raises(ProviderUnavailableError):
            dashscope.poll("t")


def finished(state: Pending | Finished) -> tuple[Result, ...]:
    assert isinstance(state, Finished)
    return state.results


def refused(result: Result) -> str:
    assert isinstance(result, RefusedResult)
    return result.reason
