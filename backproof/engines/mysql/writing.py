"""The two ways in which rows are written, and how a member of an archive says which one is its own.

As *bytes*: each value as it lies in the table, whatever its character set, between quotes. It takes the dump tool two
thirds of the time of the other way and the server less; it holds what has no place in Unicode, and a BLOB in half the
room. MariaDB's tool does so when it is told ``--default-character-set=binary``; such a member sets the session's
character set for its rows, and back.

As *text*: all in UTF-8, binary values in hexadecimal digits. So are tables written that have a column of a type to
which bytes mean something else than the text of a value, such as INET6 and UUID; and all that MySQL's tool writes,
which puts a word in front of binary strings.
"""

from collections.abc import Iterable
from typing import NamedTuple

BYTES = "binary"
"""What ``Table.charset`` says of rows that are written as bytes; None of those that are written as text."""

SET_BYTES = b"SET NAMES binary;\n"
SET_BACK = b"SET NAMES utf8mb4;\n"

TEXT_TYPES = frozenset(
    b"TINYINT SMALLINT MEDIUMINT INT BIGINT DECIMAL FLOAT DOUBLE DATE TIME DATETIME TIMESTAMP YEAR CHAR VARCHAR"
    b" TINYTEXT TEXT MEDIUMTEXT LONGTEXT ENUM SET".split()
)
"""Types whose values read the same in both ways, their character set aside."""

BINARY_TYPES = frozenset(
    b"BINARY VARBINARY TINYBLOB BLOB MEDIUMBLOB LONGBLOB BIT GEOMETRY POINT LINESTRING POLYGON MULTIPOINT"
    b" MULTILINESTRING MULTIPOLYGON GEOMETRYCOLLECTION".split()
)
"""Types whose values are ``0x…`` in rows that are written as text, or ``''`` where they are empty."""


def takes_bytes(column_types: Iterable[str]) -> bool:
    """Whether rows of columns of these types, as ``information_schema`` writes them, can be written as bytes."""
    words = {column_type.partition("(")[0].split()[0].upper().encode() for column_type in column_types}
    return words <= TEXT_TYPES | BINARY_TYPES


class Opened(NamedTuple):
    """Where the dump tool's own text lies in a member of rows."""

    as_bytes: bool
    begin: int
    end: int


def opened(plain: bytes) -> Opened:
    """A member of rows without what sets the session's character set around them."""
    if plain.startswith(SET_BYTES) and plain.endswith(SET_BACK):
        return Opened(True, len(SET_BYTES), len(plain) - len(SET_BACK))
    return Opened(False, 0, len(plain))
