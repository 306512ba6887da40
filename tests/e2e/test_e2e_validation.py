"""Requests to start jobs: invalid fields are refused by name, and prompts of any script are accepted."""

import json
from typing import Any

import pytest

from tests.e2e.job_support import check_problem, run
from tests.local_cloud import LocalCloud

IMAGE, VIDEO = "/ai/generate-image", "/ai/generate-video"
USER = "test@factory-buy.com"
LONG = "x" * 4001
IMAGE_422 = [
    ({}, "prompt"),
    ({"prompt": ""}, "prompt"),
    ({"prompt": LONG}, "prompt"),
    ({"prompt": 7}, "prompt"),
    ({"prompt": None}, "prompt"),
    ({"prompt": ["x"]}, "prompt"),
    ({"prompt": "null \x00 byte"}, "prompt"),
    ({"prompt": "x", "negativePrompt": LONG}, "negativePrompt"),
    ({"prompt": "x", "surprise": 1}, "surprise"),
    ({"prompt": "x", "negative_prompt": "y"}, "negative_prompt"),
    ({"prompt": "x", "duration": 5}, "duration"),
    ({"prompt": "x", "size": "big"}, "size"),
    ({"prompt": "x", "size": "0x0"}, "size"),
    ({"prompt": "x", "size": "1024*1024"}, "size"),
    ({"prompt": "x", "size": "-1x5"}, "size"),
    ({"prompt": "x", "size": "99999x99999"}, "size"),
    ({"prompt": "x", "size": "1024x1024\n"}, "size"),
    ({"prompt": "x", "size": "１０２４x１０２４"}, "size"),
    ({"prompt": "x", "size": {}}, "size"),
    ({"prompt": "x", "count": 0}, "count"),
    ({"prompt": "x", "count": 5}, "count"),
    ({"prompt": "x", "count": "2"}, "count"),
    ({"prompt": "x", "count": 1.5}, "count"),
    ({"prompt": "x", "count": True}, "count"),
    ({"prompt": "x", "seed": -1}, "seed"),
    ({"prompt": "x", "seed": 10**400}, "seed"),
    ({"prompt": "x", "seed": 2**31}, "seed"),
    ({"prompt": "x", "model": "gpt-9"}, "model"),
    ({"prompt": "x", "model": "wan2.6-t2v"}, "model"),
    ({"prompt": "x", "model": "gpt-image-1", "size": "512x512"}, "size"),
    ({"prompt": "x", "webhookUrl": "file:///etc/passwd"}, "webhookUrl"),
    ({"prompt": "x", "webhookUrl": "https://user:pw@example.com/"}, "webhookUrl"),
]
VIDEO_422 = [
    ({}, "prompt"),
    ({"prompt": "x", "duration": 99}, "duration"),
    ({"prompt": "x", "duration": 0}, "duration"),
    ({"prompt": "x", "duration": 20}, "duration"),
    ({"prompt": "x", "duration": "5"}, "duration"),
    ({"prompt": "x", "count": 2}, "count"),
    ({"prompt": "x", "imageUrl": "ftp://example.com/a.png"}, "imageUrl"),
    ({"prompt": "x", "imageUrl": "/etc/passwd"}, "imageUrl"),
    ({"prompt": "x", "model": "wan2.6-i2v"}, "model"),
    ({"prompt": "x", "model": "wan2.6-t2v", "imageUrl": "https://example.com/a.png"}, "model"),
    ({"prompt": "x", "size": "833x481"}, "size"),
]


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [(IMAGE, *case) for case in IMAGE_422] + [(VIDEO, *case) for case in VIDEO_422],
    ids=lambda value: str(value)[:40] if isinstance(value, str) else json.dumps(value)[:40],
)
def test_an_invalid_field_is_a_422_that_names_the_field(
    cloud: LocalCloud, path: str, body: dict[str, Any], field: str
) -> None:
    before = len(cloud.rows("SELECT id FROM jobs"))
    problem = check_problem(cloud.api(USER).post(path, json=body), 422, field)
    assert problem["code"] == "validation_failed"
    assert len(cloud.rows("SELECT id FROM jobs")) == before


def test_all_invalid_fields_are_named_at_once(cloud: LocalCloud) -> None:
    body = {"prompt": "", "count": 9, "what": 1}
    check_problem(cloud.api(USER).post(IMAGE, json=body), 422, "prompt", "count", "what")


def test_a_typo_is_answered_with_the_right_name(cloud: LocalCloud) -> None:
    problem = check_problem(cloud.api(USER).post(IMAGE, json={"prompt": "x", "sise": "512x512"}), 422, "sise")
    allowed = "Allowed fields: count, model, negativePrompt, prompt, seed, size, webhookUrl"
    assert problem["detail"] == f'unknown field "sise"; did you mean "size"? {allowed}'
    assert problem["errors"] == [{"field": "sise", "message": problem["detail"]}]


def test_a_prompt_of_any_script_and_4000_characters_is_accepted(cloud: LocalCloud, prompt: str) -> None:
    text = (prompt + " 灯塔\t\n🌅 e\u0301 ").ljust(4000, "灯")
    job = run(cloud, USER, text, size="512x512")
    assert (job["status"], job["prompt"]) == ("succeeded", text)
    assert any("500" in warning for warning in job["warnings"])
