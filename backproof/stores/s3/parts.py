"""Cutting a stream of unknown length into the parts of a multipart upload, within S3's limits."""

from collections.abc import Iterable, Iterator
from itertools import count

MIB = 1024 * 1024
SMALLEST_PART = 8 * MIB
LARGEST_PART = 5 * 1024 * MIB
PLANNED_PARTS = 8_000
"""Of the 10,000 that S3 allows; the rest is there for a hint that was too small."""
_PARTS_A_DOUBLING = 200


def part_sizes(size_hint: int | None) -> Iterator[int]:
    """How long each part is, from the first.

    As long as the hint is right all are alike: 8 MiB up to 62 GiB, then more. Past the planned parts they double every
    200, so that ten thousand hold thirty times the hint.
    """
    planned = -(-(size_hint or 0) // PLANNED_PARTS)
    base = max(SMALLEST_PART, -(-planned // MIB) * MIB)
    for number in count():
        doublings = max(0, (number - PLANNED_PARTS) // _PARTS_A_DOUBLING + 1)
        yield min(LARGEST_PART, base << doublings)


def cut(chunks: Iterable[bytes], sizes: Iterable[int]) -> Iterator[bytes]:
    """The same bytes in parts of the given sizes; only the last one is shorter. No bytes make no part."""
    wanted = iter(sizes)
    size, gathered, length = next(wanted), [], 0
    for chunk in chunks:
        rest = memoryview(chunk)
        while length + len(rest) >= size:
            gathered.append(rest[: size - length])
            rest = rest[size - length :]
            yield b"".join(gathered)
            size, gathered, length = next(wanted), [], 0
        if rest:
            gathered.append(rest)
            length += len(rest)
    if gathered:
        yield b"".join(gathered)
