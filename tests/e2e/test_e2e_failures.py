"""Failures at the provider, during the download and at OSS: their errors, their costs and the data that stays."""

import shutil
from typing import Any

import pytest

from tests.e2e.job_support import Case, check_main_job, check_media, check_nothing_stored, check_succeeded, run
from tests.local_cloud import LocalCloud, download

USER = "test@factory-buy.com"
SMALL = Case("small", "/ai/generate-image", {"size": "512x512"}, (512, 512), "wan2.2-t2i-flash")
OPENAI = Case("gpt", "/ai/generate-image", {"model": "gpt-image-1"}, (1024, 1024), "gpt-image-1")
VIDEO = Case(
    "video", "/ai/generate-video", {"duration": 2, "size": "832x480"}, (832, 480), "wan2.6-t2v", 1, 2, ext="mp4"
)
ALWAYS = 50
UPLOAD = {"operation": "PutObject", "key": "users/*"}


def fail(cloud: LocalCloud, prompt: str, code: str, *named: str, charged: int, case: Case = SMALL) -> dict[str, Any]:
    """Run a job that must fail with ``code`` and each of ``named`` in its message, and leave nothing behind."""
    job = run(cloud, USER, prompt, path=case.path, **case.body)
    assert job["status"] == "failed", job
    error = job["error"]
    assert error.keys() == {"code", "message", "retryable"} and error["code"] == code, error
    assert all(word.lower() in error["message"].lower() for word in named), error
    check_nothing_stored(cloud, USER, job)
    check_charged(cloud, prompt, charged)
    return job


def check_charged(cloud: LocalCloud, prompt: str, times: int) -> None:
    # A generation is billed at its end: by then, every other generation would be visible.
    cloud.advance(10)
    assert len(cloud.charges(prompt)) == times


def attempts(cloud: LocalCloud, job: dict[str, Any]) -> int:
    return int(cloud.rows("SELECT attempt FROM jobs WHERE id = ?", job["id"])[0]["attempt"])


# -- the provider refuses or does not answer


@pytest.mark.parametrize("case", [SMALL, VIDEO], ids=lambda case: case.name)
def test_a_failed_task_fails_the_job_at_once(cloud: LocalCloud, prompt: str, case: Case) -> None:
    job = fail(cloud, f"[fail] {prompt}", "provider_failed", "InternalError.Algo", charged=0, case=case)
    assert job["error"]["retryable"] is True
    assert attempts(cloud, job) == 1


def test_the_error_of_a_failed_task_has_the_code_of_the_provider(cloud: LocalCloud, prompt: str) -> None:
    effect = {"taskStatus": "FAILED", "code": "DataInspectionFailed", "message": "Output is not fit to print."}
    cloud.arm("provider", {"operation": "submit", "prompt": prompt}, effect)
    job = fail(cloud, prompt, "provider_failed", "DataInspectionFailed", "not fit to print", charged=0)
    assert job["error"]["retryable"] is False


@pytest.mark.parametrize("case", [SMALL, OPENAI, VIDEO], ids=lambda case: case.name)
def test_a_refused_prompt_is_not_submitted_again(cloud: LocalCloud, prompt: str, case: Case) -> None:
    job = fail(cloud, f"[refuse] {prompt}", "provider_refused", "refused", charged=0, case=case)
    assert attempts(cloud, job) == 1 and job["error"]["retryable"] is False


@pytest.mark.parametrize("effect", [{"status": 401}, {"status": 400, "code": "Arrearage"}, {"status": 403}], ids=str)
def test_the_error_of_a_refused_account_does_not_show_the_key(
    cloud: LocalCloud, prompt: str, effect: dict[str, Any]
) -> None:
    cloud.arm("provider", {"operation": "submit"}, effect, ALWAYS)
    fail(cloud, prompt, "provider_refused", charged=0)


@pytest.mark.parametrize(
    ("operation", "effect", "case"),
    [
        ("submit", {"status": 503}, SMALL),
        ("submit", {"status": 429}, SMALL),
        ("submit", {"status": 500, "code": "InternalError"}, SMALL),
        ("generate", {"status": 503}, OPENAI),
        ("poll", {"status": 503}, SMALL),
        ("poll", {"status": 429}, VIDEO),
        ("poll", {"drop": True}, SMALL),
        ("result", {"status": 503}, SMALL),
        ("result", {"drop": True}, VIDEO),
        ("result", {"truncateBytes": 1000}, SMALL),
        ("result", {"truncateBytes": 0}, SMALL),
        ("result", {"truncateBytes": 1000}, VIDEO),
    ],
    ids=lambda value: value.name if isinstance(value, Case) else str(value),
)
def test_a_temporary_failure_is_repeated_and_billed_once(
    cloud: LocalCloud, prompt: str, operation: str, effect: dict[str, Any], case: Case
) -> None:
    cloud.arm("provider", {"operation": operation, "prompt": prompt}, effect, times=2)
    check_main_job(cloud, USER, prompt, case)
    check_charged(cloud, prompt, 1)


def test_a_provider_that_stays_unavailable_fails_the_job(cloud: LocalCloud, prompt: str) -> None:
    cloud.arm("provider", {"operation": "submit"}, {"status": 503, "message": "Out to lunch."}, ALWAYS)
    job = fail(cloud, prompt, "provider_unavailable", "503", "DashScope", charged=0)
    assert job["error"]["retryable"] is True and attempts(cloud, job) == 4


@pytest.mark.parametrize(
    ("operation", "case"), [("submit", SMALL), ("submit", VIDEO), ("generate", OPENAI)], ids=["image", "video", "gpt"]
)
def test_a_submission_whose_answer_was_lost_is_billed_once(
    cloud: LocalCloud, prompt: str, operation: str, case: Case
) -> None:
    cloud.arm("provider", {"operation": operation, "prompt": prompt}, {"drop": True})
    job = fail(cloud, prompt, "submission_unknown", "not repeated", charged=1, case=case)
    assert attempts(cloud, job) == 1


# -- the results of the provider


@pytest.mark.parametrize(
    ("effect", "code", "named"),
    [
        ({"expired": True}, "result_lost", "expired"),
        ({"status": 404}, "result_lost", "404"),
        ({"body": "html"}, "wrong_media_type", "HTML"),
        ({"body": "svg"}, "wrong_media_type", "SVG"),
        ({"body": "text"}, "wrong_media_type", "text"),
        ({"body": "empty"}, "wrong_media_type", "empty"),
        ({"body": "html", "contentType": "image/png"}, "wrong_media_type", "HTML"),
        ({"redirect": "http://10.1.2.3/secret.png"}, "download_refused", "public"),
        ({"redirect": "http://100.100.100.200/latest/meta-data/"}, "download_refused", "public"),
        ({"redirect": "http://169.254.169.254/"}, "download_refused", "public"),
        ({"redirect": "http://[::1]:8080/"}, "download_refused", "public"),
        ({"redirect": "file:///etc/passwd"}, "download_refused", "https"),
        ({"redirect": "http://user:password@127.0.0.1/"}, "download_refused", "user name"),
    ],
    ids=str,
)
def test_invalid_results_fail_the_job(
    cloud: LocalCloud, prompt: str, effect: dict[str, Any], code: str, named: str
) -> None:
    cloud.arm("provider", {"operation": "result"}, effect, ALWAYS)
    job = fail(cloud, prompt, code, named, charged=1)
    assert attempts(cloud, job) == 1


def test_html_instead_of_a_video_fails_the_job(cloud: LocalCloud, prompt: str) -> None:
    cloud.arm("provider", {"operation": "result"}, {"body": "html"}, ALWAYS)
    fail(cloud, prompt, "wrong_media_type", "HTML", charged=1, case=VIDEO)


@pytest.mark.parametrize("case", [SMALL, VIDEO], ids=lambda case: case.name)
@pytest.mark.parametrize("declared", ["text/html", "image/jpeg", "application/octet-stream"])
def test_a_wrong_declared_type_does_not_matter(cloud: LocalCloud, prompt: str, declared: str, case: Case) -> None:
    cloud.arm("provider", {"operation": "result"}, {"contentType": declared}, ALWAYS)
    check_main_job(cloud, USER, prompt, case)


def test_a_download_that_always_breaks_off_fails(cloud: LocalCloud, prompt: str) -> None:
    cloud.arm("provider", {"operation": "result"}, {"truncateBytes": 3000}, ALWAYS)
    job = fail(cloud, prompt, "download_interrupted", "broke off", charged=1)
    assert attempts(cloud, job) == 4


def test_a_partly_refused_job_succeeds_with_the_other_outputs(cloud: LocalCloud, prompt: str) -> None:
    prompt = f"[partial] {prompt}"
    job = run(cloud, USER, prompt, count=3, size="512x512")
    case = Case("partial", "", {}, (512, 512), "wan2.2-t2i-flash", count=2)
    check_succeeded(cloud, USER, job, case)
    (warning,) = job["warnings"]
    assert "DataInspectionFailed" in warning and "3 of 3" in warning
    assert [charge["count"] for charge in cloud.charges(prompt)] == [2]


def test_a_partly_refused_job_in_choices_succeeds_too(cloud: LocalCloud, prompt: str) -> None:
    job = run(cloud, USER, f"[partial] {prompt}", model="wan2.6-t2i", count=2)
    check_succeeded(cloud, USER, job, Case("partial", "", {}, (1280, 1280), "wan2.6-t2i"))
    (warning,) = job["warnings"]
    assert "2 of 2" in warning and "DataInspectionFailed" in warning


def test_a_result_that_is_not_an_image_becomes_a_warning(cloud: LocalCloud, prompt: str) -> None:
    cloud.arm("provider", {"operation": "result", "prompt": prompt}, {"body": "html"})
    job = run(cloud, USER, prompt, count=2, size="512x512")
    assert job["status"] == "succeeded" and len(job["outputs"]) == 1
    (warning,) = job["warnings"]
    assert "1 of 2" in warning and "HTML" in warning
    (row,) = cloud.output_rows(job["id"])
    assert [found.key for found in cloud.objects(USER, job["id"])] == [row["oss_path"]]
    check_media(download(job["outputs"][0]["ossUrl"]).content, SMALL)
    assert cloud.temp_files() == []


# -- OSS


@pytest.mark.parametrize(
    "effect",
    [
        {"status": 403, "code": "AccessDenied"},
        {"status": 503, "code": "ServiceUnavailable"},
        {"drop": True},
        {"crc": "wrong"},
    ],
    ids=str,
)
@pytest.mark.parametrize("case", [SMALL, VIDEO], ids=lambda case: case.name)
def test_a_failed_upload_is_repeated_and_billed_once(
    cloud: LocalCloud, prompt: str, effect: dict[str, Any], case: Case
) -> None:
    cloud.arm("oss", UPLOAD, effect, times=2)
    check_main_job(cloud, USER, prompt, case)
    check_charged(cloud, prompt, 1)


def test_a_failed_upload_of_one_output_is_repeated(cloud: LocalCloud, prompt: str) -> None:
    case = Case("", SMALL.path, {"count": 3, "size": "512x512"}, (512, 512), "wan2.2-t2i-flash", count=3)
    cloud.arm("oss", {**UPLOAD, "key": "users/*2.png"}, {"status": 500, "code": "InternalError"}, times=1)
    cloud.arm("oss", UPLOAD, {"status": 503, "code": "ServiceUnavailable"}, times=2)
    check_main_job(cloud, USER, prompt, case)


@pytest.mark.parametrize(
    ("effect", "code", "named"),
    [
        ({"status": 403, "code": "AccessDenied"}, "storage_refused", "AccessDenied"),
        ({"status": 404, "code": "NoSuchBucket"}, "storage_refused", "NoSuchBucket"),
        ({"status": 503, "code": "ServiceUnavailable"}, "storage_unavailable", "ServiceUnavailable"),
    ],
    ids=lambda value: value["code"] if isinstance(value, dict) else "",
)
def test_uploads_that_always_fail_end_the_job_as_failed(
    cloud: LocalCloud, prompt: str, effect: dict[str, Any], code: str, named: str
) -> None:
    cloud.arm("oss", UPLOAD, effect, ALWAYS)
    job = fail(cloud, prompt, code, named, charged=1)
    assert attempts(cloud, job) == 4


@pytest.mark.parametrize("effect", [{"drop": True}, {"crc": "wrong"}], ids=["answer dropped", "wrong CRC"])
@pytest.mark.parametrize("case", [SMALL, OPENAI], ids=lambda case: case.name)
def test_an_upload_without_an_answer_is_checked_with_head(
    cloud: LocalCloud, prompt: str, effect: dict[str, Any], case: Case
) -> None:
    cloud.arm("oss", UPLOAD, effect, ALWAYS)
    check_succeeded(cloud, USER, run(cloud, USER, prompt, path=case.path, **case.body), case)
    check_charged(cloud, prompt, 1)


@pytest.mark.parametrize("case", [OPENAI], ids=lambda case: case.name)
def test_images_inside_the_answer_cannot_be_downloaded_again(cloud: LocalCloud, prompt: str, case: Case) -> None:
    cloud.arm("oss", UPLOAD, {"status": 403, "code": "AccessDenied"}, ALWAYS)
    job = fail(cloud, prompt, "storage_refused", "AccessDenied", charged=1, case=case)
    assert attempts(cloud, job) == 1


# -- the temp disk


@pytest.mark.parametrize("case", [SMALL, VIDEO], ids=lambda case: case.name)
def test_a_full_temp_disk_fails_the_job_and_is_emptied(fresh_cloud: LocalCloud, prompt: str, case: Case) -> None:
    cloud, function = fresh_cloud, f"generate-{case.type}"
    armed = cloud.control.post(
        "/faults", json={"target": "fc", "match": {"function": function}, "effect": {"diskBytes": 8192}}
    )
    if armed.status_code == 400:
        pytest.skip(armed.json()["message"])
    job = fail(cloud, prompt, "temp_disk_full", "temp disk is full", charged=1, case=case)
    assert job["error"]["retryable"] is True
    (instance,) = cloud.instances(function)
    usage = shutil.disk_usage(instance["tempDir"])
    assert usage.total <= 8192 and usage.used == 0
