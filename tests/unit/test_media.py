"""Recognizing media formats by their bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.errors import WrongMediaError
from shared.domain.media import (
    AVIF,
    GIF,
    HEIC,
    JPEG,
    MOV,
    MP4,
    PNG,
    SNIFF_BYTES,
    WEBM,
    WEBP,
    MediaFacts,
    MediaFormat,
    sniff_format,
)
from shared.domain.media_type import MediaType
from tests.fakes import make_png


def ftyp(brand: bytes) -> bytes:
    return b"\0\0\0\x1cftyp" + brand + b"\0\0\0\0mif1"


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (make_png(), PNG),
        (b"\xff\xd8\xff\xe0\0\x10JFIF", JPEG),
        (b"\xff\xd8\xff\xe1\0\x10Exif", JPEG),
        (b"GIF87a\x01\0\x01\0", GIF),
        (b"GIF89a\x01\0\x01\0", GIF),
        (b"RIFF\x24\0\0\0WEBPVP8 ", WEBP),
        (ftyp(b"avif"), AVIF),
        (ftyp(b"avis"), AVIF),
        (ftyp(b"heic"), HEIC),
        (ftyp(b"mif1"), HEIC),
        (ftyp(b"isom"), MP4),
        (ftyp(b"mp42"), MP4),
        (ftyp(b"qt  "), MOV),
        (b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81\x01\x42\x82\x84webm", WEBM),
    ],
)
def test_each_format_is_recognized_by_its_bytes(head: bytes, expected: MediaFormat) -> None:
    assert sniff_format(head) is expected


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"", "an empty body"),
        (b"<!DOCTYPE html><title>x</title>", "HTML"),
        (b"\xef\xbb\xbf  <html lang=en>", "HTML"),
        (b'<svg xmlns="http://www.w3.org/2000/svg">', "SVG"),
        (b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg">', "SVG"),
        (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code>', "XML"),
        (b'{"code": "InvalidApiKey"}', "JSON"),
        (b"[1, 2]", "JSON"),
        (b"upstream connect error", "text"),
        ("错误".encode(), "text"),
        (b"BM\xff\xfe\xfd\xfc\xfb\xfa\xf9\xf8\xf7", "an unknown format"),
        (b"\x1a\x45\xdf\xa3\x9f\x42\x82\x88matroska\xff\xff\xff\xff", "an unknown format"),
        (b"RIFF\x24\0\0\0WAVE\xff\xff\xff\xff\xff", "an unknown format"),
    ],
)
def test_the_kind_of_other_bytes_is_named(head: bytes, name: str) -> None:
    with pytest.raises(WrongMediaError, match=f"got {name}"):
        sniff_format(head)


def test_text_cut_in_the_middle_of_a_character_is_text() -> None:
    with pytest.raises(WrongMediaError, match="got text"):
        sniff_format(("错误" * 200).encode()[:SNIFF_BYTES])


@given(st.binary(max_size=600))
def test_any_bytes_are_recognized_or_refused(head: bytes) -> None:
    try:
        format_ = sniff_format(head)
    except WrongMediaError as error:
        assert "must be png" in str(error)
    else:
        assert format_.content_type.startswith(f"{format_.type}/")


def test_the_meta_of_an_image_has_no_duration() -> None:
    facts = MediaFacts("png", width=4, height=3, duration=1.0, codec="x", frame_rate=2.0).with_crc64(2**64 - 1)
    assert facts.to_meta(MediaType.IMAGE) == {"width": 4, "height": 3, "format": "png", "crc64": str(2**64 - 1)}
    assert facts.to_meta(MediaType.VIDEO) == {
        "width": 4,
        "height": 3,
        "format": "png",
        "duration": 1.0,
        "codec": "x",
        "frameRate": 2.0,
        "crc64": str(2**64 - 1),
    }
    assert MediaFacts("png").with_crc64(None).crc64 is None
