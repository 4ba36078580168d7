"""Filling an empty schema from an archive: what a restore needs to know first, and the order of its steps."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from backproof.engines import Entry, Progress, Source, no_progress
from backproof.engines.mysql.connect import connected, rows
from backproof.engines.mysql.load import Taking
from backproof.engines.mysql.restoring import Restoring
from backproof.engines.mysql.rewrite import literal_uses, schema_of
from backproof.engines.mysql.select import Script, Selection, choose
from backproof.engines.mysql.sessions import sessions
from backproof.errors import CannotProve, ConfigurationError
from backproof.records import Manifest, Target

_ALWAYS = (
    # Rows must not be sent to a session with NO_BACKSLASH_ESCAPES, whatever an archive says of itself. A server may
    # hold 31 February, by the mode that allows it; and no table belongs into a folder that the archive names.
    b"SET SESSION sql_mode = 'NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES,NO_DIR_IN_CREATE'",
    # Off, as the dump has it, the first who writes to an empty table keeps all others out, and what is unique is not
    # looked at. On, it costs nothing, since most unique keys come later.
    b"SET SESSION unique_checks = 1, foreign_key_checks = 0",
    b"SET SESSION lock_wait_timeout = 600, innodb_lock_wait_timeout = 600",
    # While one session builds a key, another waits.
    b"SET SESSION wait_timeout = 86400, net_read_timeout = 600, net_write_timeout = 600",
    b"/*M!100101 SET SESSION max_statement_time = 0 */",
)

_WISHED = (b"/*M!101100 SET SESSION system_versioning_insert_history = 1 */",)
"""Since when a row is valid is a value like others, where a table shows it. Takes a right of its own."""

_AS_RECORDED = ("innodb_strict_mode", "explicit_defaults_for_timestamp")
"""What decides whether, and as what, a table is created, and can be set for a session."""


@dataclass(frozen=True)
class _Server:
    """What of a server decides how a restore goes."""

    scratch: bool
    """Ours alone: nobody is beside what is restored."""
    taking: Taking

    @classmethod
    def of(cls, target: Target) -> "_Server":
        with connected(target) as connection:
            ((alone, doublewrite, packet, local),) = rows(
                connection, "SELECT @@skip_networking, @@innodb_doublewrite, @@max_allowed_packet, @@local_infile"
            )
        return cls(alone == 1 and doublewrite in (0, "OFF"), Taking(bool(local), int(packet)))


def restore(
    source: Source,
    target: Target,
    jobs: int = 1,
    tables: Sequence[str] | None = None,
    keep_order: bool = False,
    progress: Progress = no_progress,
    accept_mentions: bool = False,
) -> list[str]:
    """Fill the empty schema that ``target`` names. The contract is ``Engine.restore``.

    Raises:
        NotFound, ConfigurationError: ``tables`` names what the archive does not hold, or a body speaks of the live
            schema in a string; nothing was changed.
        CannotProve: events would run here.
        Damaged: the archive holds what the dump tool never writes, or a member other rows than the manifest says.
        RestoreFailed: the server refused an entry or rows; it is named.
        ConnectionLost, Busy: worth a retry with a new schema.
    """
    script = Script.read(source)
    selection = choose(source.manifest, script, tables)
    server = _Server.of(target)
    if not server.scratch:
        _require_harmless(selection, target, keep_order, accept_mentions)
    settings = [*script.settings, *_ALWAYS]
    with sessions(target, settings, [*_WISHED, *_recorded(source.manifest)]) as opened:
        restoring = Restoring(opened, source, selection, target, max(1, jobs), progress, settings)
        restoring.define()
        restoring.fill(keep_order, server.taking)
        restoring.link()
        restoring.finish(events_run=server.scratch)
        if not keep_order:
            restoring.analyze()
    return [*selection.left_out, *restoring.left_out]


def _recorded(manifest: Manifest) -> Iterator[bytes]:
    variables = manifest.database.server.get("variables")
    recorded = variables if isinstance(variables, dict) else {}
    for name in _AS_RECORDED:
        if (value := str(recorded.get(name))) in {"ON", "OFF"}:
            yield f"SET SESSION {name} = {value}".encode()


def _require_harmless(selection: Selection, target: Target, proof: bool, accept_mentions: bool) -> None:
    """Beside a live schema nothing that is restored may reach it."""
    if proof and any(entry.kind == "EVENT" for entry in selection.finish):
        raise CannotProve(
            "the backup holds events, which are restored disabled on a server that others use",
            "Set verify_on: scratch in the plan.",
        )
    speaking = [entry.key for entry in selection.finish if _speaks_of_another(entry, target.database)]
    if speaking and not accept_mentions:
        raise ConfigurationError(
            f"these build SQL that names the live schema, and would reach it from {target.database}: "
            + ", ".join(speaking),
            "Restore to another server, or say --accept-mentions if they are harmless.",
        )


def _speaks_of_another(entry: Entry, database: str) -> bool:
    own = schema_of(entry.settings)
    return own is not None and own[0] != database and literal_uses(entry, own[0])
