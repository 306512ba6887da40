"""``x-oss-process``: images and snapshots of videos, requested by the SDK."""

import io
import json
import struct
import zlib
from base64 import urlsafe_b64encode
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.request import urlopen

import av
import oss2
import pytest
from oss2.exceptions import OssError, ServerError
from oss_support import BUCKET, running_oss
from PIL import Image, ImageDraw

from devcloud.oss.processing.workers import Limits
from devcloud.oss.testing import EmulatedOss

pytest_plugins = ["devcloud.oss.pytest_plugin"]

WIDTH, HEIGHT = 400, 267
SECONDS, FPS = 3, 10


@pytest.fixture(scope="module")
def oss(shared_oss_emulator: EmulatedOss, tmp_path_factory: pytest.TempPathFactory) -> EmulatedOss:
    bucket = shared_oss_emulator.client()
    picture = Image.effect_mandelbrot((WIDTH, HEIGHT), (-2, -1, 1, 1), 50).convert("RGB")
    ImageDraw.Draw(picture).rectangle((0, 0, 40, 40), fill="red")
    bucket.put_object("a.jpg", encoded(picture, "JPEG", quality=80))
    bucket.put_object("a.png", encoded(picture.convert("RGBA"), "PNG"))
    turned = Image.Exif()
    turned[0x0112] = 6
    bucket.put_object("turned.jpg", encoded(picture, "JPEG", exif=turned))
    bucket.put_object("text.jpg", b"no image")
    bucket.put_object("half.jpg", encoded(picture, "JPEG")[:2000])
    bucket.put_object_from_file("v.mp4", str(video(tmp_path_factory.mktemp("video") / "v.mp4")))
    return shared_oss_emulator


def encoded(image: Image.Image, form: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def video(path: Path) -> Path:
    """Each second has its own grey."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=FPS)
        stream.width, stream.height, stream.pix_fmt, stream.gop_size = 320, 240, "yuv420p", FPS
        for number in range(SECONDS * FPS):
            grey = (60 * (number // FPS) + 40,) * 3
            container.mux(stream.encode(av.VideoFrame.from_image(Image.new("RGB", (320, 240), grey))))
        container.mux(stream.encode())
    return path


def processed(oss: EmulatedOss, key: str, process: str, version: str = "v4") -> Image.Image:
    answer = oss.client(version=version).get_object(key, process=process)
    image = Image.open(io.BytesIO(answer.read()))
    image.load()
    return image


@pytest.mark.parametrize(
    ("process", "size"),
    [
        ("resize,w_200", (200, 134)),
        ("resize,h_100", (150, 100)),
        ("resize,w_200,h_200", (200, 134)),
        ("resize,m_lfit,w_200,h_100", (150, 100)),
        ("resize,m_mfit,w_200,h_200", (300, 200)),
        ("resize,m_fill,w_100,h_100", (100, 100)),
        ("resize,m_pad,w_100,h_100,color_FF0000", (100, 100)),
        ("resize,m_fixed,w_100,h_100", (100, 100)),
        ("resize,p_50", (200, 134)),
        ("resize,p_200", (800, 534)),
        ("resize,l_100", (100, 67)),
        ("resize,s_100", (150, 100)),
        ("resize,w_800", (400, 267)),
        ("resize,w_800,limit_0", (800, 534)),
        ("resize,m_fixed,w_800,h_800", (400, 267)),
        ("resize,m_fixed,w_800,h_800,limit_0", (800, 800)),
        ("resize,m_fill,w_800,h_100,limit_0", (800, 100)),
        ("resize,m_pad,w_800,h_800", (800, 800)),
        ("crop,w_100,h_50", (100, 50)),
        ("crop,x_350,y_200", (50, 67)),
        ("crop,w_100,h_100,g_se", (100, 100)),
        ("crop,w_1000,h_1000", (400, 267)),
        ("rotate,0", (400, 267)),
        ("rotate,90", (267, 400)),
        ("rotate,180", (400, 267)),
        ("rotate,360", (400, 267)),
        ("quality,q_50", (400, 267)),
        ("auto-orient,1", (400, 267)),
        ("resize,w_200/crop,w_50,h_50,g_center/rotate,90/format,png", (50, 50)),
    ],
)
def test_a_processed_image_has_the_documented_size(oss: EmulatedOss, process: str, size: tuple[int, int]) -> None:
    assert processed(oss, "a.jpg", f"image/{process}").size == size


def test_a_processed_image_has_the_expected_pixels(oss: EmulatedOss) -> None:
    padded = processed(oss, "a.png", "image/resize,m_pad,w_400,h_400,color_00FF00")
    assert padded.convert("RGB").getpixel((200, 2)) == (0, 255, 0)
    assert padded.convert("RGB").getpixel((5, 80)) == (255, 0, 0)
    turned = processed(oss, "a.png", "image/rotate,90").convert("RGB")
    assert turned.getpixel((turned.width - 5, 5)) == (255, 0, 0)
    assert processed(oss, "a.png", "image/crop,w_20,h_20,g_nw").convert("RGB").getpixel((10, 10)) == (255, 0, 0)
    assert processed(oss, "a.png", "image/rotate,45/format,jpg").getpixel((0, 0)) == (255, 255, 255)
    assert processed(oss, "turned.jpg", "image/auto-orient,1").size == (HEIGHT, WIDTH)
    assert processed(oss, "turned.jpg", "image/auto-orient,0").size == (WIDTH, HEIGHT)


@pytest.mark.parametrize("name", ["jpg", "png", "webp", "bmp", "gif", "tiff"])
def test_an_image_can_be_converted_to_each_format(oss: EmulatedOss, name: str) -> None:
    answer = oss.client().get_object("a.png", process=f"image/format,{name}")
    expected = {"jpg": "jpeg"}.get(name, name)
    assert answer.content_type == f"image/{expected}"
    assert Image.open(io.BytesIO(answer.read())).format == expected.upper()


def test_a_lower_quality_makes_an_image_smaller(oss: EmulatedOss) -> None:
    sizes = [len(oss.client().get_object("a.jpg", process=f"image/quality,Q_{q}").read()) for q in (20, 60, 95)]
    assert sizes == sorted(sizes)
    half = len(oss.client().get_object("a.jpg", process="image/quality,q_50").read())
    assert half == len(oss.client().get_object("a.jpg", process="image/quality,Q_40").read())


@pytest.mark.parametrize("version", ["v1", "v2", "v4"])
def test_image_info_returns_the_facts_of_an_image(oss: EmulatedOss, version: str) -> None:
    answer = oss.client(version=version).get_object("a.jpg", process="image/info")
    size = oss.client().head_object("a.jpg").content_length
    facts = {name: value["value"] for name, value in json.loads(answer.read()).items()}
    assert facts == {
        "FileSize": str(size),
        "Format": "jpg",
        "FrameCount": "1",
        "ImageHeight": str(HEIGHT),
        "ImageWidth": str(WIDTH),
    }


@pytest.mark.parametrize("version", ["v1", "v2", "v4"])
def test_a_signed_url_covers_the_process(oss: EmulatedOss, version: str) -> None:
    url = oss.client(version=version).sign_url("GET", "a.jpg", 60, params={"x-oss-process": "image/resize,w_100"})
    assert Image.open(urlopen(url)).size == (100, 67)
    with pytest.raises(OSError, match="403"):
        urlopen(url.replace("w_100", "w_200"))


def test_public_objects_need_no_signature(oss: EmulatedOss) -> None:
    bucket = oss.client()
    url = f"{oss.endpoint}/{BUCKET}/public.jpg?x-oss-process=image/resize,w_100"
    bucket.put_object("public.jpg", bucket.get_object("a.jpg").read())
    with pytest.raises(OSError, match="403"):
        urlopen(url)
    bucket.put_object_acl("public.jpg", oss2.OBJECT_ACL_PUBLIC_READ)
    assert Image.open(urlopen(url)).size == (100, 67)


@pytest.mark.parametrize(
    ("key", "process", "status", "code"),
    [
        ("a.jpg", "image/resize,w_0", 400, "InvalidArgument"),
        ("a.jpg", "image/resize,w_x", 400, "InvalidArgument"),
        ("a.jpg", "image/resize,w_16385", 400, "InvalidArgument"),
        ("a.jpg", "image/resize,m_other,w_1", 400, "InvalidArgument"),
        ("a.jpg", "image/resize,m_pad,w_9,h_9,color_XYZ", 400, "InvalidArgument"),
        ("a.jpg", "image/resize", 400, "MissingArgument"),
        ("a.jpg", "image/resize,w_16384,h_16384,limit_0,m_mfit", 400, "ImageTooLarge"),
        ("a.jpg", "image/crop,x_400", 400, "BadRequest"),
        ("a.jpg", "image/crop,g_middle", 400, "InvalidArgument"),
        ("a.jpg", "image/rotate,361", 400, "InvalidArgument"),
        ("a.jpg", "image/format,doc", 400, "InvalidArgument"),
        ("a.jpg", "image/quality,q_101", 400, "InvalidArgument"),
        ("a.jpg", "image/unheard-of", 400, "InvalidArgument"),
        ("a.jpg", "image", 400, "MissingArgument"),
        ("a.jpg", "image/watermark,text_SGVsbG8", 501, "NotImplemented"),
        ("a.jpg", "style/mine", 404, "NoSuchStyle"),
        ("a.jpg", "doc/preview", 501, "NotImplemented"),
        ("text.jpg", "image/info", 400, "BadRequest"),
        ("half.jpg", "image/resize,w_10", 400, "BadRequest"),
        ("missing.jpg", "image/info", 404, "NoSuchKey"),
        ("a.jpg", "video/snapshot,t_0", 400, "BadRequest"),
        ("text.jpg", "video/snapshot,t_0", 400, "BadRequest"),
        ("v.mp4", "image/info", 400, "BadRequest"),
        ("v.mp4", "video/snapshot", 400, "MissingArgument"),
        ("v.mp4", "video/snapshot,t_99000", 400, "InvalidArgument"),
        ("v.mp4", "video/snapshot,t_0,f_gif", 400, "InvalidArgument"),
        ("v.mp4", "video/snapshot,t_0,w_5000", 400, "InvalidArgument"),
        ("v.mp4", "video/unheard-of", 400, "InvalidArgument"),
    ],
)
def test_invalid_processes_are_refused(oss: EmulatedOss, key: str, process: str, status: int, code: str) -> None:
    with pytest.raises(ServerError) as caught:
        oss.client().get_object(key, process=process)
    assert (caught.value.status, caught.value.code) == (status, code)


def test_a_too_large_image_is_refused(oss: EmulatedOss) -> None:
    oss.client().put_object("large.jpg", bytes(20 * 1024**2 + 1))
    with pytest.raises(ServerError) as caught:
        oss.client().get_object("large.jpg", process="image/info")
    assert caught.value.code == "ImageTooLarge"


@pytest.mark.parametrize(
    ("process", "size", "form"),
    [
        ("t_0", (320, 240), "JPEG"),
        ("t_1000,f_png", (320, 240), "PNG"),
        ("t_0,f_jpg,w_160,h_0", (160, 120), "JPEG"),
        ("t_0,h_60", (80, 60), "JPEG"),
        ("t_0,w_100,h_100,m_fast", (100, 100), "JPEG"),
        ("t_0,ar_h", (240, 320), "JPEG"),
        ("t_0,ar_w", (320, 240), "JPEG"),
    ],
)
def test_a_snapshot_has_the_requested_size_and_format(
    oss: EmulatedOss, process: str, size: tuple[int, int], form: str
) -> None:
    image = processed(oss, "v.mp4", f"video/snapshot,{process}", "v1")
    assert (image.size, image.format) == (size, form)


@pytest.mark.parametrize(("at_ms", "grey"), [(0, 40), (500, 40), (999, 40), (1000, 100), (2500, 160)])
def test_a_snapshot_shows_the_frame_at_its_time(oss: EmulatedOss, at_ms: int, grey: int) -> None:
    pixel = processed(oss, "v.mp4", f"video/snapshot,t_{at_ms},f_png").getpixel((160, 120))
    assert isinstance(pixel, tuple) and abs(pixel[0] - grey) < 8


def test_the_result_can_be_stored(oss: EmulatedOss) -> None:
    bucket = oss.client()
    key = urlsafe_b64encode(b"small/a.png").decode()
    answer = bucket.process_object("a.jpg", f"image/resize,w_100/format,png|sys/saveas,o_{key}")
    assert (answer.object, answer.process_status) == ("small/a.png", "OK")
    stored = bucket.get_object("small/a.png")
    assert stored.content_type == "image/png"
    assert Image.open(io.BytesIO(stored.read())).size == (100, 67)
    for wrong in ("image/resize,w_100", "image/resize,w_100|sys/saveas,o_*"):
        with pytest.raises(OssError):
            bucket.process_object("a.jpg", wrong)


def test_processing_answers_carry_no_checksum_of_the_source(oss: EmulatedOss) -> None:
    answer = oss.client().get_object("a.jpg", process="image/resize,w_100", byte_range=(0, 9))
    assert answer.status == 200
    assert answer.server_crc is None
    assert answer.headers.get("content-md5") is None


def test_a_style_names_a_process(oss: EmulatedOss) -> None:
    bucket = oss.client()
    bucket.put_bucket_style("small", "image/resize,w_200")
    assert processed(oss, "a.jpg", "style/small").size == (200, 134)
    bucket.delete_bucket_style("small")


# Hostile files


def png(width: int, height: int, *, whole: bool = True) -> bytes:
    """Return a black PNG that is small as a file and large as an image, or only its beginning."""
    packer, row = zlib.compressobj(1), bytes(1 + 3 * width)
    data = b"".join([*(packer.compress(row) for _ in range(height if whole else 1)), packer.flush()])
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", data), (b"IEND", b""))
    parts = (
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def patched(data: bytes, after: bytes, offset: int, value: bytes) -> bytes:
    start = data.index(after) + len(after) + offset
    return data[:start] + value + data[start + len(value) :]


SMALL = Image.new("RGB", (8, 8))
GIF = encoded(SMALL, "GIF", save_all=True, append_images=[Image.new("RGB", (8, 8), "red")])
AVIF = encoded(SMALL, "AVIF")
MANY = patched(AVIF, b"ipma", 4, b"\xff" * 4)  # the number of entries


@pytest.mark.parametrize(
    ("data", "process", "code"),
    [
        pytest.param(png(29_000, 9_000, whole=False), "image/info", "ImageTooLarge", id="pixels"),
        pytest.param(png(30_001, 1, whole=False), "image/info", "ImageTooLarge", id="width"),
        pytest.param(GIF[:-40], "image/info", "BadRequest", id="second frame"),
        pytest.param(patched(AVIF, b"mdat", 2, b"\xff" * 9), "image/info", "BadRequest", id="pixel data"),
        pytest.param(MANY, "image/info", "BadRequest", id="entries"),
        pytest.param(MANY, "video/snapshot,t_0", "BadRequest", id="entries of a video"),
    ],
)
def test_a_damaged_file_is_refused(oss: EmulatedOss, data: bytes, process: str, code: str) -> None:
    bucket = oss.client()
    bucket.put_object("damaged", data)
    with pytest.raises(ServerError) as caught:
        bucket.get_object("damaged", process=process)
    assert (caught.value.status, caught.value.code) == (400, code)


@pytest.fixture(scope="module")
def bomb() -> bytes:
    """Two megabytes that are 507 megabytes of pixels: several seconds of work."""
    return png(13_000, 13_000)


def explode(oss: EmulatedOss, bomb: bytes) -> tuple[int, str]:
    """Return status and code of the error for a file that exceeds the limits."""
    oss.client().put_object("bomb.png", bomb)
    with pytest.raises(ServerError) as caught:
        oss.client().get_object("bomb.png", process="image/auto-orient,1")
    return caught.value.status, caught.value.code


@pytest.mark.parametrize("limits", [Limits(wall_s=0.5), Limits(memory_bytes=400 * 1024**2)], ids=["time", "memory"])
def test_a_file_that_exceeds_the_limits_is_refused(limits: Limits, bomb: bytes, tmp_path: Path) -> None:
    with running_oss(tmp_path / "oss", limits) as oss:
        assert explode(oss, bomb) == (400, "BadRequest")


def test_other_requests_do_not_wait_for_a_file_that_exceeds_the_limits(bomb: bytes, tmp_path: Path) -> None:
    with running_oss(tmp_path / "oss", Limits(cpu_s=1, wall_s=60)) as oss, ThreadPoolExecutor(1) as threads:
        oss.client().put_object("small.png", encoded(SMALL, "PNG"))
        exploding = threads.submit(explode, oss, bomb)
        answered = 0
        while answered < 10 and not exploding.done():
            answered += oss.client().head_object("small.png").status == 200
        assert exploding.result() == (400, "BadRequest")
        assert answered == 10
        assert processed(oss, "small.png", "image/resize,w_4").size == (4, 4)
