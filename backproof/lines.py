"""Counting the lines of a dump by whole blocks: three times as fast as ``find`` and ``count`` on each.

What does so takes a tenth of a second to load: that is worth it where there is much to count.
"""

from dataclasses import dataclass

_LINE_END, _SEMICOLON = b"\n;"
_BLOCK_BYTES = 256 * 1024
"""What stays in a processor's cache while it is looked at from several sides."""
_MUCH_BYTES = 2 * 1024 * 1024
"""A text of such a length is one of many, as a rule."""


@dataclass(frozen=True, slots=True)
class Lines:
    """What stands in a stretch of text, up to its first blank line."""

    length: int
    """In bytes, without the blank line."""
    blank: bool
    """Whether there is a blank line."""
    ended: int
    """Line ends."""
    closed: int
    """Those of them behind a semicolon."""


def look(text: bytes | bytearray, begin: int, end: int, much: bool = True) -> Lines:
    """The lines of ``text[begin:end]``, whose first byte is no line end.

    Args:
        text: holds them.
        begin: where they begin.
        end: where they end.
        much: whether there are many megabytes to look at, this text among them.
    """
    return (_by_blocks if much else _by_search)(text, begin, end)


def _by_search(text: bytes | bytearray, begin: int, end: int) -> Lines:
    found = text.find(b"\n\n", begin, end)
    stop = end if found < 0 else found + 1
    return Lines(stop - begin, found >= 0, text.count(b"\n", begin, stop), text.count(b";\n", begin, stop))


def _by_blocks(text: bytes | bytearray, begin: int, end: int) -> Lines:
    from backproof.arrays import np

    whole = np.frombuffer(text, np.uint8, end - begin, begin)
    ended = closed = 0
    for at in range(0, len(whole), _BLOCK_BYTES):
        start = max(0, at - 1)  # with the byte before
        block = whole[start : at + _BLOCK_BYTES]
        line_ends = block == _LINE_END
        blank = line_ends[1:] & line_ends[:-1]
        if found := blank.any():
            block = block[: int(blank.argmax()) + 1]
            line_ends = line_ends[: len(block)]
        ended += int(np.count_nonzero(line_ends[1:]))
        closed += int(np.count_nonzero(line_ends[1:] & (block[:-1] == _SEMICOLON)))
        if found:
            return Lines(start + len(block), True, ended, closed)
    return Lines(len(whole), False, ended, closed)


def line_ends(text: bytes, begin: int, end: int) -> int:
    """How many there are in ``text[begin:end]``."""
    if len(text) < _MUCH_BYTES:
        return text.count(b"\n", begin, end)
    from backproof.arrays import np

    whole = np.frombuffer(text, np.uint8, end - begin, begin)
    blocks = (whole[at : at + _BLOCK_BYTES] for at in range(0, len(whole), _BLOCK_BYTES))
    return sum(int(np.count_nonzero(block == _LINE_END)) for block in blocks)
