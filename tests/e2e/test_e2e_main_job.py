"""A job from the request to the bytes in OSS, for every model family and different kinds of user ids."""

from collections.abc import Callable

import pytest

from tests.e2e.job_support import Case, check_main_job, check_problem, check_thumbnail, run
from tests.local_cloud import LocalCloud, download

IMAGE, VIDEO = "/ai/generate-image", "/ai/generate-video"
CASES = (
    Case("default image", IMAGE, {}, (1024, 1024), "wan2.2-t2i-flash"),
    Case("results of wan2.2", IMAGE, {"count": 4, "size": "512x768"}, (512, 768), "wan2.2-t2i-flash", count=4),
    Case("choices of wan2.6", IMAGE, {"model": "wan2.6-t2i", "count": 2}, (1280, 1280), "wan2.6-t2i", count=2),
    Case(
        "base64 of gpt-image-1",
        f"/api{IMAGE}",
        {"model": "gpt-image-1", "count": 2, "size": "1024x1536"},
        (1024, 1536),
        "gpt-image-1",
        count=2,
    ),
    Case("text to video", VIDEO, {"duration": 2, "size": "832x480"}, (832, 480), "wan2.6-t2v", 1, 2, "mp4"),
    Case(
        "image to video",
        f"/api{VIDEO}",
        {"duration": 3, "imageUrl": "https://example.com/first-frame.png", "size": "832x480"},
        (832, 480),
        "wan2.6-i2v",
        duration_s=3,
        ext="mp4",
    ),
)
SMALL = Case("small", IMAGE, {"size": "512x512"}, (512, 512), "wan2.2-t2i-flash")
USERS = ("test@factory-buy.com", "用户甲", "a user with spaces", "o'brien+1&x=%2F?#é~", "...", "u" * 255)
REFUSED_USERS = ("..", ".", "", "a/b", "a\\b", "line\nbreak", "nul\x00", "u" * 256)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_job_of_every_model_family_succeeds(cloud: LocalCloud, prompt: str, case: Case) -> None:
    check_main_job(cloud, "test@factory-buy.com", prompt, case)


@pytest.mark.parametrize("user", USERS, ids=lambda user: user[:12])
def test_each_user_id_has_its_own_folder(cloud: LocalCloud, prompt: str, user: str) -> None:
    check_main_job(cloud, user, prompt, SMALL)


@pytest.mark.parametrize("user", REFUSED_USERS, ids=lambda user: ascii(user[:12]))
def test_user_ids_that_lead_out_of_their_folder_are_refused(cloud: LocalCloud, prompt: str, user: str) -> None:
    answer = cloud.api(user).post(IMAGE, json={"prompt": prompt})
    problem = check_problem(answer, answer.status_code)
    assert answer.status_code in {401, 403, 422} and "user" in problem["detail"].lower()
    assert cloud.charges(prompt) == []


def test_outputs_have_the_requested_size(cloud: LocalCloud, prompt: str) -> None:
    case = Case("tall", IMAGE, {"size": "512x1440", "seed": 7}, (512, 1440), "wan2.2-t2i-flash")
    check_main_job(cloud, "test@factory-buy.com", prompt, case)


def test_signed_urls_open_an_object_for_a_limited_time(start_cloud: Callable[..., LocalCloud], prompt: str) -> None:
    cloud = start_cloud(env={"OSS_URL_TTL_S": "600"})
    for case in (SMALL, CASES[4]):
        job = run(cloud, "test@factory-buy.com", f"{prompt} {case.type}", path=case.path, **case.body)
        (output,), (row,) = job["outputs"], cloud.output_rows(job["id"])
        url, thumbnail = output["ossUrl"], output["thumbnailUrl"]
        assert all(each.startswith(row["oss_url"] + "?") and "x-oss-signature=" in each for each in (url, thumbnail))
        assert len(download(url).content) == output["size"]
        check_thumbnail(thumbnail, case)
        for each in (url, thumbnail):
            # A shared cache would keep the answer longer than the signature and the object are valid.
            assert download(each).headers["cache-control"] == "private, max-age=600, immutable"
        assert download(url[:-2] + ("00" if url[-2:] != "00" else "11")).status_code == 403
        assert download(f"{url}&x-oss-process=image/info").status_code == 403
        assert "w_512" in thumbnail and download(thumbnail.replace("w_512", "w_511")).status_code == 403
    # Within one signing window, a minute here, the answers are equal byte for byte.
    api, path = cloud.api("test@factory-buy.com"), f"/jobs/{job['id']}"
    etags = [api.get(path).headers["etag"] for _ in range(3)]
    assert len(set(etags)) < 3
    cloud.advance(601)
    assert (download(url).status_code, download(thumbnail).status_code) == (403, 403)
