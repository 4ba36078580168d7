"""One schema in the place of another, and back: all tables and sequences move in one statement, code is made around it.

A rename carries neither triggers nor views, and routines and events not at all. So these are dropped before, and made
anew behind: where applications look, from the text of the archive, with events as they were; where what was live is
kept, from its own text, with events disabled. A table of ours (``marker``) goes along with the restored tables, and so
a server tells of itself, after any crash of its or ours, on which side of the one statement it is:

=========  ==================  =================================================================================
the table  ``exchanged``       what is left to do
=========  ==================  =================================================================================
nowhere    before or after     nothing, or all
incoming   between             forward: drop code, rename, then as below. Back: make what is missing, remove outgoing
live       between             forward: make what is missing, remove incoming. Back: drop code, rename, then as above
=========  ==================  =================================================================================

Maintenance is on by then, and sessions are ended before. Who comes all the same gets errors while code is missing; one
that writes in the very moment of the rename, or before the triggers are there again, which are made first, writes
without them. Rights on the schema, its tables and columns stay with the name. Those on routines end with these, and
are given anew.
"""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager

from backproof.engines import Source
from backproof.engines.mysql import clearing, database
from backproof.engines.mysql.belongings import Belongings
from backproof.engines.mysql.full_disk import awaiting_room
from backproof.engines.mysql.marker import PREFIX
from backproof.engines.mysql.rotation import Rotation
from backproof.engines.mysql.unfinished import marks
from backproof.errors import AlreadyExists, ConfigurationError, NotFound
from backproof.records import Exchange, Place, Target


def plan_exchange(target: Target, incoming: str, outgoing: str, source: Source) -> Exchange:
    """What it takes. The contract is ``Engine.plan_exchange``; ``facts`` holds the code of both, and a table's name.

    Raises:
        NotFound, AlreadyExists: there is no ``incoming``, or something is called ``outgoing``.
        ConfigurationError: ``incoming`` is not whole.
        Busy, AccessDenied, DumpFailed: the live schema's code can't be read.
    """
    live = target.database
    with clearing.session(target) as connection:
        if not database.is_there(connection, incoming):
            raise NotFound(f"there is no schema {incoming}", "Restore into it first.")
        if database.is_there(connection, outgoing):
            raise AlreadyExists(f"schema {outgoing} exists", "Choose another name for what is set aside.")
        if marks(connection, incoming):
            raise ConfigurationError(f"schema {incoming} holds a restore that has not finished", "Restore it again.")
        had_live = database.is_there(connection, live)
    coming = Belongings.of_source(source)
    going = Belongings.of_schema(target) if had_live else None
    coming = coming.with_rights_of(going) if going else coming
    return Exchange(
        live=live,
        incoming=incoming,
        outgoing=outgoing,
        had_live=had_live,
        facts={
            "marker": PREFIX + secrets.token_hex(4),
            "incoming": coming.model_dump(mode="json"),
            "live": going.model_dump(mode="json") if going else None,
            "globals": {} if going else source.manifest.database.globals,
        },
    )


def exchange(target: Target, exchange: Exchange) -> None:
    """Put it into its place, or go on doing so. The contract is ``Engine.exchange``.

    Raises:
        Busy: sessions or transactions in the way that could not be ended; the live schema is not any more what was
            planned for.
        NotFound, AlreadyExists: a schema is missing, or holds what no record knows; it is named, nothing was dropped.
        NoSpace: the server waits for room on its disk for too long.
        RestoreFailed, ConnectionLost: as the server says.
    """
    with awaiting_room(target), _rotation(target, exchange) as rotation:
        rotation.forward()


def undo(target: Target, exchange: Exchange) -> None:
    """Bring back what was live. The contract is ``Engine.undo``.

    Raises:
        as ``exchange``.
    """
    with awaiting_room(target), _rotation(target, exchange) as rotation:
        rotation.back()


def exchanged(target: Target, exchange: Exchange) -> Place:
    """How far it came, as the server tells."""
    with _rotation(target, exchange) as rotation:
        return rotation.place()


@contextmanager
def _rotation(target: Target, exchange: Exchange) -> Iterator[Rotation]:
    with clearing.session(target) as connection:
        yield Rotation(connection, target, exchange)
