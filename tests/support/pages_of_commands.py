"""Documents whose commands are run as they stand: their blocks of shell, in order, under their headings."""

import re
from dataclasses import dataclass

_PART = re.compile(r"^(#+ [^\n]*)$|^```(?:sh|console|bash)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """One block of shell."""

    heading: str
    """The nearest one above it, without its marks."""
    lines: str


def blocks(text: str) -> list[Block]:
    """Every block of a page in Markdown."""
    found: list[Block] = []
    heading = ""
    for title, lines in _PART.findall(text):
        if title:
            heading = title.lstrip("# ")
        else:
            found.append(Block(heading, lines))
    return found
