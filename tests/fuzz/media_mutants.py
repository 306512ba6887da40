"""Broken variants of a file: truncated, with flipped bits, or with extreme values for lengths and counts."""

from collections.abc import Iterator
from random import Random

_EXTREMES = (
    0,
    1,
    2,
    0x7F,
    0x80,
    0xFF,
    0x7FFF,
    0xFFFF,
    0x7FFFFFFF,
    0x80000000,
    0xFFFFFFFE,
    0xFFFFFFFF,
    2**63,
    2**64 - 1,
)
_BOXES_WITH_BOXES = {b"moov", b"trak", b"mdia", b"minf", b"stbl", b"dinf", b"edts", b"mvex", b"moof", b"traf", b"udta"}
_BOXES_WITH_BOXES |= {b"iprp", b"ipco", b"mfra"}
_EBML_WITH_ELEMENTS = {0x18538067, 0x1654AE6B, 0xAE, 0xE0, 0x1549A966, 0x1F43B675, 0x1C53BB6B, 0xBB, 0x114D9B74}
# The positions, behind a chunk's length and name, of its fields that contain a count or a size.
_FIELDS = (0, 4, 8, 12, 16)


def mutate(data: bytes, random: Random) -> bytes:
    """Return the file with one to three defects."""
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        data = random.choice((_cut, _flip, _overstate, _overstate, _overstate, _set, _repeat))(data, random)
    return data


def _cut(data: bytes, random: Random) -> bytes:
    return data[: random.randrange(len(data) + 1)]


def _flip(data: bytes, random: Random) -> bytes:
    changed = bytearray(data)
    for _ in range(random.choice((1, 1, 2, 8))):
        if changed:
            changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
    return bytes(changed)


def _overstate(data: bytes, random: Random) -> bytes:
    """Set a length, or a field that may be a count, to an extreme."""
    places = list(fields(data))
    return _put(data, *random.choice(places), random) if places else data


def _set(data: bytes, random: Random) -> bytes:
    return _put(data, random.randrange(len(data) + 1), random.choice((1, 2, 4, 8)), random)


def _repeat(data: bytes, random: Random) -> bytes:
    """Repeat a part, for example a box within itself."""
    begin, end = sorted((random.randrange(len(data) + 1), random.randrange(len(data) + 1)))
    return data[:end] + data[begin:]


def _put(data: bytes, at: int, size: int, random: Random) -> bytes:
    value = random.choice(_EXTREMES) & (1 << 8 * size) - 1
    changed = data[:at] + value.to_bytes(size, random.choice(("big", "big", "little"))) + data[at + size :]
    return changed[: len(data)]


def fields(data: bytes) -> Iterator[tuple[int, int]]:
    """Find the places and sizes of fields that state a length or a count."""
    if data.startswith(b"\x89PNG"):
        yield from _chunks(data, 8, "big", 4)
    elif data.startswith(b"RIFF"):
        yield 4, 4
        yield from _chunks(data, 12, "little", 0)
    elif data.startswith(b"\x1a\x45\xdf\xa3"):
        yield from _elements(data, 0, len(data))
    elif data.startswith(b"\xff\xd8"):
        yield from _segments(data)
    elif data[4:8] == b"ftyp":
        yield from _boxes(data, 0, len(data))


def _chunks(data: bytes, at: int, order: str, behind: int) -> Iterator[tuple[int, int]]:
    """PNG's chunks (length, name) and RIFF's (name, length)."""
    while at + 8 <= len(data):
        length_at = at if order == "big" else at + 4
        length = int.from_bytes(data[length_at : length_at + 4], "big" if order == "big" else "little")
        yield length_at, 4
        yield from ((at + 8 + field, 4) for field in _FIELDS if field + 4 <= length)
        at += 8 + length + (behind or length % 2)


def _boxes(data: bytes, at: int, end: int) -> Iterator[tuple[int, int]]:
    """ISO/IEC 14496-12: a length, a name, and boxes or fields."""
    while at + 8 <= end:
        length, name = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        yield at, 4
        stop = min(at + length, end) if length >= 8 else end
        yield from ((at + 8 + field, size) for field in _FIELDS for size in (1, 4) if at + 12 + field <= stop)
        if name in _BOXES_WITH_BOXES:
            yield from _boxes(data, at + 8, stop)
        elif name == b"meta":
            yield from _boxes(data, at + 12, stop)
        elif name in {b"stsd", b"iinf"}:
            yield from _boxes(data, at + (16 if name == b"stsd" else 14), stop)
        at = stop


def _elements(data: bytes, at: int, end: int) -> Iterator[tuple[int, int]]:
    """EBML (RFC 8794): an id, a length, and elements or a value; both begin with their own length in bits."""
    while at < end:
        id_size = 9 - data[at].bit_length()
        length_at = at + id_size
        if id_size > 4 or length_at >= end:
            return
        length_size = 9 - data[length_at].bit_length()
        inside = length_at + length_size
        if length_size > 8 or inside > end:
            return
        length = int.from_bytes(data[length_at:inside], "big") & (1 << 7 * length_size) - 1
        yield length_at, length_size
        stop = min(inside + length, end)
        yield inside, min(stop - inside, 8)
        if int.from_bytes(data[at:length_at], "big") in _EBML_WITH_ELEMENTS:
            yield from _elements(data, inside, stop)
        at = stop


def _segments(data: bytes) -> Iterator[tuple[int, int]]:
    """JPEG's segments up to the picture: a marker and a length."""
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        yield at + 2, 2
        yield from ((at + 4 + field, 2) for field in _FIELDS if at + 6 + field <= len(data))
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
