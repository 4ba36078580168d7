"""Dividing a dump's rows among several runs of pg_dump: whole tables, about equal bytes each.

The first run dumps everything but the rows of the tables that the others were given: sequence values, large objects,
and all tables too small or too oddly named to be moved. What the others print beside rows repeats what the first says.
"""

import re

from backproof.engines.postgresql.point import Point
from backproof.parallel.shares import MOVED_AT_MOST, WORTHWHILE_BYTES, divided

_PLAIN = re.compile(r"[A-Za-z0-9_ .-]+")
"""Names that mean the same in every encoding, and nothing to a pattern."""

_SIZES = """
    SELECT n.nspname::text, c.relname::text, pg_catalog.pg_table_size(c.oid)
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.oid = ANY (%s::oid[]) AND c.relkind = 'r' ORDER BY 3 DESC, 1, 2
"""


def shares(point: Point, jobs: int) -> list[tuple[str, ...]]:
    """For each further run of pg_dump, the tables it is given, as patterns that match just them.

    Args:
        point: knows the tables.
        jobs: runs in all, the first one included.

    Returns:
        At most ``jobs - 1`` shares, none of them empty.
    """
    if jobs < 2:
        return []
    sizes = point.rows(_SIZES, [list(point.tables)])
    movable = [
        (_pattern(schema, table), size)
        for schema, table, size in sizes
        if size >= WORTHWHILE_BYTES and _PLAIN.fullmatch(schema) and _PLAIN.fullmatch(table)
    ][:MOVED_AT_MOST]
    rest = sum(size for _, _, size in sizes) - sum(size for _, size in movable)
    return divided(movable, rest, jobs)


def _pattern(schema: str, table: str) -> str:
    # Within quotes a pattern has no wildcards and keeps its case.
    return f'"{schema}"."{table}"'
