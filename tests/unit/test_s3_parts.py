"""Parts of a multipart upload: the same bytes, within S3's limits, whatever was foretold."""

from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backproof.stores.s3.parts import LARGEST_PART, MIB, SMALLEST_PART, cut, part_sizes

GIB = 1024 * MIB
LARGEST_OBJECT = 5 * 1024 * GIB
MOST_PARTS = 10_000


@given(st.lists(st.binary(max_size=40)), st.lists(st.integers(1, 30), min_size=1))
def test_parts_hold_the_same_bytes_and_only_the_last_is_shorter(chunks: list[bytes], sizes: list[int]) -> None:
    endless = sizes + [7] * 1000
    parts = list(cut(chunks, endless))
    assert b"".join(parts) == b"".join(chunks)
    assert [len(part) for part in parts[:-1]] == endless[: max(0, len(parts) - 1)]
    assert all(0 < len(part) <= size for part, size in zip(parts, endless, strict=False))


@pytest.mark.parametrize("hint", [None, 0, 1, 64 * GIB, 65 * GIB, 500 * GIB, LARGEST_OBJECT])
def test_a_right_hint_makes_equal_parts_that_fit(hint: int | None) -> None:
    sizes = list(islice(part_sizes(hint), MOST_PARTS))
    needed = -(-(hint or 1) // sizes[0])
    assert needed <= MOST_PARTS
    assert len(set(sizes[:needed])) == 1
    assert all(SMALLEST_PART <= size <= LARGEST_PART for size in sizes)


@pytest.mark.parametrize("hint", [None, 1, GIB, 100 * GIB])
def test_a_hint_far_too_small_still_fits(hint: int | None) -> None:
    sizes = list(islice(part_sizes(hint), MOST_PARTS))
    assert sizes == sorted(sizes)
    assert sum(sizes) >= 30 * max(hint or 0, 62 * GIB)


def test_up_to_62_gib_a_part_is_8_mib() -> None:
    assert [next(part_sizes(hint)) // MIB for hint in (None, 62 * GIB, 63 * GIB)] == [8, 8, 9]
