"""The OpenAPI description, as the API serves it."""

import json

import pytest

from tests.answer_checker import ROOT
from tests.local_cloud import LocalCloud


@pytest.mark.parametrize("path", ["/openapi.json", "/api/openapi.json"])
def test_the_description_is_public_and_cacheable(cloud: LocalCloud, path: str) -> None:
    answer = cloud.api(None).get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    assert answer.headers["cache-control"] == "public, max-age=300"
    known = cloud.api(None).get(path, headers={"If-None-Match": answer.headers["etag"]})
    assert (known.status_code, known.content) == (304, b"")
    assert answer.text == (ROOT / "functions" / "api" / "openapi.json").read_text(encoding="utf-8")


def test_the_description_has_the_version_of_the_running_api(cloud: LocalCloud) -> None:
    described = json.loads(cloud.api(None).get("/openapi.json").text)
    assert described["info"]["version"] == cloud.api(None).get("/healthz").json()["version"]
