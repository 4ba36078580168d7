"""One table's rows over a given list of columns, digested as pg_dump would write them."""

import hashlib
import re
from contextlib import suppress

from backproof.engines.postgresql.connect import connected, quote_ident, without_timeouts
from backproof.engines.postgresql.script import QUALIFIED
from backproof.errors import Damaged
from backproof.records import Table, Target

# As pg_dump sets them, and what our dumps pin besides: the text of a value depends on all of these.
_SETTINGS = """
    SET search_path = '';
    SET datestyle = 'ISO';
    SET intervalstyle = 'postgres';
    SET timezone = 'UTC';
    SET bytea_output = 'hex';
    SET extra_float_digits = 3;
    SET synchronize_seqscans = off;
    SET row_security = off;
"""

_READ_BYTES = 1024 * 1024


class _Digesting:
    """A file that is only ever hashed, and its lines counted."""

    def __init__(self) -> None:
        self.rows = self.row_bytes = 0
        self.sha256 = hashlib.sha256()

    def write(self, chunk: bytes) -> int:
        self.rows += chunk.count(b"\n")
        self.row_bytes += len(chunk)
        self.sha256.update(chunk)
        return len(chunk)


def digest(target: Target, table: Table) -> Table:
    """Rows and digest of one table over exactly ``table.columns``, in the order in which a dump would write them.

    Raises:
        AccessDenied, ConnectionLost: as ``connect``.
        Permanent: the table or a column is not there.
    """
    if not re.fullmatch(QUALIFIED.decode("latin-1"), table.name):
        raise Damaged(f"{table.name!r} is no name of a table", "The manifest was not written by Backproof.")
    found = _Digesting()
    with connected(target, application_name="backproof digest") as connection, connection.cursor() as cursor:
        without_timeouts(connection)
        cursor.execute(_SETTINGS)
        cursor.execute("SELECT pg_catalog.current_setting('server_encoding')")
        ((encoding,),) = cursor.fetchall()
        # A dump is written in the database's own encoding, names included.
        cursor.execute("SELECT pg_catalog.set_config('client_encoding', %s, false)", [encoding])
        columns = ", ".join(quote_ident(column) for column in table.columns)
        copy = f"COPY (SELECT {columns} FROM ONLY {table.name}) TO STDOUT"  # noqa: S608 - both are quoted names
        cursor.copy_expert(_encoded(copy, encoding), found, _READ_BYTES)
    return table.model_copy(
        update={"rows": found.rows, "row_bytes": found.row_bytes, "sha256": found.sha256.hexdigest()}
    )


def _encoded(sql: str, encoding: str) -> bytes:
    """The reverse of ``text.decode`` for names of a database in that encoding."""
    if encoding != "UTF8":
        with suppress(UnicodeEncodeError):
            return sql.encode("latin-1")
    return sql.encode()
