"""Where a sequence goes on, which the dump tool's text may fail to say. Pure."""

import re
from collections.abc import Sequence

from backproof.engines.mysql.shapes import NAME

_BEGIN = re.compile(
    rb"CREATE SEQUENCE " + NAME + rb" start with (-?\d+) minvalue -?\d+ maxvalue -?\d+ increment by (-?\d+)"
)
_NEXT = re.compile(rb"(?:DO|SELECT) SETVAL\((" + NAME + rb"), (-?\d+), 0\)")


def restarted(statements: Sequence[bytes]) -> list[bytes]:
    """The statements that make a sequence, and one more where its next value lies before the one it starts with.

    ``ALTER SEQUENCE … START`` leaves it so, or ``… RESTART``; and the tool's ``SETVAL`` takes no sequence back.
    """
    begin = next(filter(None, map(_BEGIN.match, statements)), None)
    following = next(filter(None, map(_NEXT.match, statements)), None)
    if begin is None or following is None:
        return list(statements)
    ahead = int(following[2]) - int(begin[1])
    if ahead * (-1 if int(begin[2]) < 0 else 1) >= 0:
        return list(statements)
    return [*statements, b"ALTER SEQUENCE %b RESTART WITH %b" % (following[1], following[2])]
