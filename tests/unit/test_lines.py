"""Counting lines: by blocks and by search, whichever is cheaper, with one result."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backproof import lines

TEXTS = st.lists(st.sampled_from([b"(1)", b",\n", b");\n", b"\n", b";", b"\\n"]), max_size=40).map(b"".join)


@given(TEXTS, st.integers(1, 9))
def test_both_ways_see_the_same_lines(text: bytes, block_bytes: int) -> None:
    padded = b"\n\n(" + text + b";\n\n"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines, "_BLOCK_BYTES", block_bytes)
        blocks = lines.look(padded, 2, len(padded) - 3, much=True)
    assert blocks == lines.look(bytearray(padded), 2, len(padded) - 3, much=False)


def test_a_blank_line_ends_what_is_counted() -> None:
    text = b"VALUES\n(1),\n(2);\n\nmore;\n"
    assert lines.look(text, 0, len(text), much=False) == lines.Lines(17, True, 3, 1)


@given(TEXTS, st.integers(1, 9))
def test_the_line_ends_of_a_long_text_are_those_of_a_short_one(text: bytes, block_bytes: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines, "_BLOCK_BYTES", block_bytes)
        patch.setattr(lines, "_MUCH_BYTES", 0)
        assert lines.line_ends(b"\n" + text + b"\n", 1, len(text) + 1) == text.count(b"\n")
