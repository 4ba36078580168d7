"""Characters that rows written as text can't carry (see ``writing``): some older character sets hold what has no place
in Unicode, or two characters in the place of one. Such a value comes back as another one, and a second dump shows no
difference.
"""
# ruff: noqa: S608 - names are quoted, character sets are the server's words

from collections.abc import Collection, Iterator

from backproof.engines.mysql.names import quote_ident, spell
from backproof.engines.mysql.point import Point

SAFE = ("utf8mb4", "utf8mb3", "utf8", "latin1", "ascii", "binary")
"""Each of their characters has a place of its own."""

_COLUMNS = f"""
    SELECT TABLE_NAME, COLUMN_NAME, CHARACTER_SET_NAME FROM information_schema.COLUMNS
    WHERE TABLE_SCHEMA = %s AND CHARACTER_SET_NAME NOT IN ({", ".join(["%s"] * len(SAFE))})
      AND coalesce(GENERATION_EXPRESSION, '') = '' ORDER BY TABLE_NAME, ORDINAL_POSITION
"""


def not_carried(point: Point, as_text: Collection[str]) -> Iterator[str]:
    """The columns that hold such values, with their number, a sentence each; read as of the point.

    Args:
        as_text: names of the tables that are written as text.
    """
    columns: dict[str, list[tuple[str, str]]] = {}
    for table, column, charset in point.rows(_COLUMNS, [point.target.database, *SAFE]):
        if table in as_text:
            columns.setdefault(table, []).append((column, charset))
    for table, found in columns.items():
        sums = ", ".join(f"SUM({_changed(column, charset)})" for column, charset in found)
        ((*numbers,),) = point.rows(f"SELECT {sums} FROM {quote_ident(table)}")
        for (column, charset), number in zip(found, numbers, strict=True):
            if number:
                yield (
                    f"{number} values of {spell(table)}.{spell(column)} hold characters of {charset} that have no place"
                    " of their own in Unicode: they come back as others."
                )


def _changed(column: str, charset: str) -> str:
    name = quote_ident(column)
    return f"BINARY {name} <> CAST(CONVERT(CONVERT({name} USING utf8mb4) USING {charset}) AS BINARY)"
