"""What is defined in a live database now, as pg_dump writes it."""

from collections.abc import Sequence
from pathlib import Path

from backproof.engines.postgresql.dump import open_dump
from backproof.engines.postgresql.script import Script
from backproof.engines.postgresql.text import entries, preamble_settings
from backproof.records import Target


def definitions(target: Target, tool_folders: Sequence[Path]) -> Script:
    """Both sections of a dump of the live database, divided; no data is read."""
    with open_dump(target, 1, tool_folders, None) as dump:
        schema = b"".join(piece.head + piece.body + piece.tail for piece in dump.schema())
        finish = b"".join(piece.head + piece.body + piece.tail for piece in dump.finish())
    return Script(preamble_settings(schema), tuple(entries(schema)), tuple(entries(finish)))
