"""One table's rows, digested exactly as a dump holds them: by the dump tool itself, run for that table alone."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import pymysql

from backproof import subprocesses
from backproof.engines.mysql import binaries, connect, dumptool, inventory
from backproof.engines.mysql.names import spell, unspell
from backproof.engines.mysql.pieces import pieces
from backproof.engines.mysql.writing import BYTES
from backproof.errors import Damaged, DumpFailed, NotFound
from backproof.records import Table, Target


def digest(target: Target, table: Table, tool_folders: Sequence[Path] = ()) -> Table:
    """Rows and digest of one table as a dump would write them now, in the way ``table`` was written.

    A table keeps the order of its columns over every restore, so there is no other order to ask for.

    Raises:
        NotFound: there is no such table.
        AccessDenied, ConnectionLost, MissingTool, DumpFailed: as a dump.
    """
    try:
        name = unspell(table.name)
    except ValueError as error:
        raise Damaged(f"{table.name!r} is no name of a table", "The manifest was not written by Backproof.") from error
    facts, version = _facts(target, name)
    tool = binaries.best("dump", binaries.flavour_of(version), version, tool_folders)
    sha256 = hashlib.sha256()
    rows = row_bytes = 0
    columns, as_bytes = facts.columns, table.charset == BYTES
    with dumptool.option_file(target, tool.flavour) as options:
        argv = dumptool.rows(
            tool.path,
            tool.flavour,
            options,
            target.database,
            by_key=facts.by_key,
            as_bytes=as_bytes,
            tables=[facts.name],
        )
        with subprocesses.stream(argv, env=dumptool.ENVIRONMENT) as running:
            try:
                for piece in pieces(running.stdout, {spell(facts.name): facts.columns}, as_bytes=as_bytes):
                    sha256.update(piece.body)
                    rows, row_bytes, columns = rows + piece.rows, row_bytes + len(piece.body), piece.columns
            except DumpFailed:
                dumptool.judge(f"rows of {table.name}", running)
                raise
            dumptool.judge(f"rows of {table.name}", running)
    update = {"columns": columns, "rows": rows, "row_bytes": row_bytes, "sha256": sha256.hexdigest()}
    return table.model_copy(update=update)


def _facts(target: Target, name: str) -> tuple[inventory.TableFacts, str]:
    with connect.connected(target) as connection:
        try:
            tables = inventory.tables(connection, target.database)
            ((version,),) = connect.rows(connection, "SELECT VERSION()")
        except pymysql.Error as error:
            raise connect.translate(error, DumpFailed) from None
    if name not in tables:
        raise NotFound(f"there is no table {spell(name)} in {target.database}", "Check the name of the table.")
    return tables[name], str(version)
