"""CRC-64/XZ, the checksum of ``x-oss-hash-crc64ecma``, and how two checksums become the checksum of the whole."""

from functools import lru_cache

from fastcrc import crc64

_POLYNOMIAL = 0xC96C5795D7870F42  # reflected: bit 63 is x^0
_MASK = (1 << 64) - 1


def update(checksum: int, data: bytes) -> int:
    """Return the checksum of earlier bytes with ``checksum`` followed by ``data``; begin with 0."""
    return int(crc64.xz(data, checksum))


def combine(first: int, second: int, second_size: int) -> int:
    """Return the checksum of two byte strings in a row, of which the second has ``second_size`` bytes."""
    return _multiply(_power(second_size), first) ^ second


def _multiply(a: int, b: int) -> int:
    product = 0
    while a:
        if a >> 63:
            product ^= b
        a = (a << 1) & _MASK
        b = (b >> 1) ^ (_POLYNOMIAL if b & 1 else 0)
    return product


# The parts of an upload mostly have the same size.
@lru_cache(maxsize=1024)
def _power(size: int) -> int:
    """Return x^(8·size) modulo the polynomial."""
    power, square = 1 << 63, 1 << 55
    while size:
        if size & 1:
            power = _multiply(power, square)
        square = _multiply(square, square)
        size >>= 1
    return power
