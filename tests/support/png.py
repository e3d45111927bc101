"""Makes the PNG of a screenshot smaller: 256 colours suffice for a page without photographs.

https://www.w3.org/TR/png-3/
"""

from __future__ import annotations

import struct
import zlib
from collections import Counter

MOST = 256
"""Colours of a palette."""
SAME = 3
"""Low bits in which colours of one group may differ."""

Colour = tuple[int, int, int]


def with_palette(png: bytes) -> bytes:
    """Return the picture with a palette of its most frequent colours; without transparency."""
    width, height, pixels = _pixels(png)
    groups: dict[Colour, Counter[Colour]] = {}
    for colour, number in Counter(pixels).items():
        groups.setdefault(_group(colour), Counter())[colour] += number
    ranked = sorted(groups.values(), key=lambda group: group.total(), reverse=True)
    palette = [group.most_common(1)[0][0] for group in ranked[:MOST]]
    index = {colour: _nearest(colour, palette) for group in ranked for colour in group}
    numbers = bytes(index[colour] for colour in pixels)
    rows = b"".join(b"\0" + numbers[y * width : (y + 1) * width] for y in range(height))
    header = struct.pack(">2I5B", width, height, 8, 3, 0, 0, 0)
    colours = bytes(part for colour in palette for part in colour)
    chunks = {b"IHDR": header, b"PLTE": colours, b"IDAT": zlib.compress(rows, 9), b"IEND": b""}
    return png[:8] + b"".join(_chunk(*chunk) for chunk in chunks.items())


def _group(colour: Colour) -> Colour:
    red, green, blue = colour
    return red >> SAME, green >> SAME, blue >> SAME


def _nearest(colour: Colour, palette: list[Colour]) -> int:
    def distance(number: int) -> int:
        return sum((a - b) ** 2 for a, b in zip(colour, palette[number], strict=True))

    return min(range(len(palette)), key=distance)


def _pixels(png: bytes) -> tuple[int, int, list[Colour]]:
    """Decode a picture of 8 bits per channel, with or without alpha, that is not interlaced."""
    chunks = list(_chunks(png))
    width, height, depth, kind, _, _, interlaced = struct.unpack(">2I5B", chunks[0][1])
    assert (depth, interlaced) == (8, 0)
    size = {2: 3, 6: 4}[kind]
    data = zlib.decompress(b"".join(content for name, content in chunks if name == b"IDAT"))
    length = width * size
    above = bytearray(length)
    pixels: list[Colour] = []
    for start in range(0, len(data), length + 1):
        row = bytearray(data[start + 1 : start + 1 + length])
        _unfilter(data[start], row, above, size)
        pixels += zip(row[0::size], row[1::size], row[2::size], strict=True)
        above = row
    return width, height, pixels


def _unfilter(how: int, row: bytearray, above: bytearray, size: int) -> None:
    for x in range(len(row)) if how else ():
        left = row[x - size] if x >= size else 0
        up = above[x]
        if how == 1:
            guess = left
        elif how == 2:
            guess = up
        elif how == 3:
            guess = (left + up) // 2
        else:
            corner = above[x - size] if x >= size else 0
            middle = left + up - corner
            guess = min((left, up, corner), key=lambda one: abs(middle - one))
        row[x] = (row[x] + guess) & 255


def _chunks(png: bytes) -> list[tuple[bytes, bytes]]:
    found, at = [], 8
    while at < len(png):
        (length,) = struct.unpack_from(">I", png, at)
        found.append((png[at + 4 : at + 8], png[at + 8 : at + 8 + length]))
        at += 12 + length
    return found


def _chunk(name: bytes, content: bytes) -> bytes:
    return (
        struct.pack(">I", len(content))
        + name
        + content
        + struct.pack(">I", zlib.crc32(name + content))
    )
