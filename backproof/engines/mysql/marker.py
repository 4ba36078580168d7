"""A table that says how far an exchange came: it goes with what comes in, in the same statement.

So after whatever crash the server tells on which side of that statement it is. Its rows are what is to be made again
of what it goes with: without any, nothing has been changed yet.
"""

from collections.abc import Iterable

import pymysql
from pymysql.connections import Connection

from backproof.engines.mysql.belongings import Belongings
from backproof.engines.mysql.clearing import run
from backproof.engines.mysql.connect import rows
from backproof.engines.mysql.names import quote_ident, quote_literal

PREFIX = "backproof_exchange_"

_TOLD = "Until this table is gone, an exchange of schemas by Backproof has not ended."
_PART_CHARACTERS = 256 * 1024


class Marker:
    """One of these, wherever it is.

    Args:
        name: of the table, in any schema.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def place(self, connection: "Connection[pymysql.cursors.Cursor]", schemas: Iterable[str]) -> str | None:
        """Which of these schemas has it; None where none has."""
        for schema in schemas:
            if rows(
                connection,
                "SELECT 1 FROM information_schema.TABLES WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s",
                [schema, self.name],
            ):
                return schema
        return None

    def create(self, connection: "Connection[pymysql.cursors.Cursor]", schema: str) -> None:
        """An empty one, where it is not there."""
        run(
            connection,
            f"CREATE TABLE IF NOT EXISTS {self._in(schema)} (part int PRIMARY KEY, body longtext NOT NULL)"
            f" ENGINE = InnoDB CHARACTER SET utf8mb4 COMMENT {quote_literal(_TOLD)}",
        )

    def write(self, connection: "Connection[pymysql.cursors.Cursor]", schema: str, what: Belongings) -> None:
        """Note what it goes with: all of it or nothing."""
        text = what.model_dump_json()
        run(connection, "START TRANSACTION")
        for at in range(0, len(text), _PART_CHARACTERS):
            with connection.cursor() as cursor:
                cursor.execute(
                    f"INSERT INTO {self._in(schema)} VALUES (%s, %s)",  # noqa: S608 - a quoted name
                    [at // _PART_CHARACTERS, text[at : at + _PART_CHARACTERS]],
                )
        run(connection, "COMMIT")

    def read(self, connection: "Connection[pymysql.cursors.Cursor]", schema: str) -> Belongings | None:
        """What it goes with; None where that has not been noted."""
        found = rows(connection, f"SELECT body FROM {self._in(schema)} ORDER BY part")  # noqa: S608 - a quoted name
        return Belongings.model_validate_json("".join(body for (body,) in found)) if found else None

    def drop(self, connection: "Connection[pymysql.cursors.Cursor]", schema: str) -> None:
        """The exchange has ended."""
        run(connection, f"DROP TABLE {self._in(schema)}")

    def _in(self, schema: str) -> str:
        return f"{quote_ident(schema)}.{quote_ident(self.name)}"
