"""A dump of one moment: several runs of the dump tool, all of whose snapshots began while nobody could commit.

One run for the definitions, held in memory, and one or more for rows, which stay in the pipes until somebody asks for
them.
"""

from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from backproof.engines import PIECE_BYTES, Piece
from backproof.engines.mysql import binaries, characters, dumptool, events, privileges, runs
from backproof.engines.mysql.definition import without_old_formats
from backproof.engines.mysql.globals import on_what_is_there, read_globals, read_server_facts, read_settings
from backproof.engines.mysql.inventory import not_carried
from backproof.engines.mysql.locks import Method
from backproof.engines.mysql.names import quote_ident, spell
from backproof.engines.mysql.pieces import pieces
from backproof.engines.mysql.places import in_folders, with_parents_elsewhere, with_servers
from backproof.engines.mysql.point import LOCK_SECONDS, WAIT, Point, consistent_point
from backproof.engines.mysql.runs import Run
from backproof.engines.mysql.text import entries, schema_comment, split_definitions
from backproof.errors import AccessDenied, BackproofError, Busy, Damaged, DumpFailed
from backproof.findings import listed
from backproof.parallel.runs import FirstError, last_after
from backproof.records import Database, Inventory, Section, Target

ATTEMPTS = 3
"""How often a point is opened where objects change while that is done."""


class MysqlDump:
    """An open consistent point of a schema. Made by ``open_dump``."""

    def __init__(
        self, database: Database, point: Point, schema: bytes, finish: bytes, opening: bytes, rows: Sequence[Run]
    ) -> None:
        self.database = database
        self._point = point
        self._schema = schema
        self._finish = finish
        self._opening = opening
        self._rows = rows
        self._passed: dict[str, int] = {}
        self._inventories: list[Inventory] = []
        self._first = FirstError()

    def schema(self) -> Iterator[Piece]:
        """Definitions, in pieces of whole entries."""
        return whole_entries("schema", self._schema, self._opening)

    def data(self) -> Sequence[Iterator[Piece]]:
        """One stream for each run that writes rows."""
        return [self._stream(run) for run in self._rows]

    def finish(self) -> Iterator[Piece]:
        """Triggers, events, routines and views, in pieces of whole entries."""
        return whole_entries("finish", self._finish, self._opening)

    def inventory(self) -> Inventory:
        """Objects as the point was opened, rows as it shows them.

        A table without transactions that nobody could lock is in no snapshot. Of such a one the dump holds what it
        holds: once all of its rows have passed, their number is put right here, in what was returned before too.
        """
        point = self._point
        carried = [facts for facts in point.catalogue.tables.values() if facts.carried]
        rows = {spell(name): number for name, number in point.count(carried).items()}
        found = Inventory(rows=rows, objects=tuple(point.catalogue.objects), needs=dict(point.catalogue.needs))
        self._inventories.append(found)
        self._put_right()
        return found

    def _put_right(self) -> None:
        for inventory in self._inventories:
            for name, facts in self._point.catalogue.tables.items():
                if spell(name) in self._passed and not facts.transactional and name not in self._point.locked:
                    inventory.rows[spell(name)] = self._passed[spell(name)]

    def _stream(self, run: Run) -> Iterator[Piece]:
        columns = {spell(facts.name): facts.columns for facts in run.share.tables}
        passed = dict.fromkeys(columns, 0)
        try:
            for piece in last_after(
                pieces(run.rows, columns, as_bytes=run.share.as_bytes), partial(self._ended_well, run)
            ):
                passed[piece.table or ""] += piece.rows
                yield piece
        except BackproofError as error:
            first = self._first.of(self._reason(run, error) if isinstance(error, DumpFailed) else error)
            # A count that runs elsewhere is of no use now, and would keep the failed backup waiting.
            self._point.cancel()
            raise first from None
        except BaseException:
            self._point.cancel()
            raise
        self._passed.update(passed)
        self._put_right()

    def _reason(self, run: Run, error: BackproofError) -> BackproofError:
        """What the tool or the tables say of it; that its output is cut follows from it."""
        try:
            # A table that is gone when its turn comes is left out by the tool, which ends with success.
            self._ended_well(run)
        except BackproofError as said:
            return said
        return error

    def _ended_well(self, run: Run) -> None:
        dumptool.judge("rows", run.running)
        self._point.expect_unchanged(run.tables)


@contextmanager
def open_dump(
    target: Target,
    jobs: int = 1,
    tool_folders: Sequence[Path] = (),
    tool_version: str | None = None,
    lock_seconds: float = LOCK_SECONDS,
    methods: Sequence[Method] | None = None,
) -> Iterator[MysqlDump]:
    """Open a consistent point and start reading it.

    Args:
        target: the schema, and an account that may read all of it.
        jobs: how many streams of data the caller would like; fewer are given where there is little to share.
        tool_folders: where else to look for the dump tool.
        tool_version: the release series of the dump tool to use instead of the server's.
        lock_seconds: how long to wait for the lock that holds commits.
        methods: ways to hold commits, instead of those this account may take.

    Raises:
        Busy: somebody is in the way of the lock, or objects changed under each of several attempts.
        AccessDenied: the account lacks a right, which is named.
        MissingTool: no dump tool for that server.
        ConnectionLost: the server went away.
        DumpFailed: the dump tool failed.
    """
    with ExitStack() as stack:
        yield _open(stack, target, jobs, tool_folders, tool_version, lock_seconds, methods)


def _open(
    stack: ExitStack,
    target: Target,
    jobs: int,
    tool_folders: Sequence[Path],
    tool_version: str | None,
    lock_seconds: float,
    methods: Sequence[Method] | None,
) -> MysqlDump:
    for attempt in range(1, ATTEMPTS + 1):
        with ExitStack() as trial:
            point = trial.enter_context(consistent_point(target, lock_seconds))
            expect_sight(point)
            expect_end(point)
            tool = binaries.best("dump", point.flavour, tool_version or point.version, tool_folders)
            try:
                dump = _start(trial, point, tool, jobs, methods)
            except Busy:
                if attempt == ATTEMPTS:
                    raise
                continue
            stack.push(trial.pop_all())
            return dump
    raise AssertionError("unreachable: the last attempt returns or raises")


def _start(
    stack: ExitStack, point: Point, tool: binaries.Program, jobs: int, methods: Sequence[Method] | None
) -> MysqlDump:
    with point.held(methods) as deadline:
        definitions, found = runs.begin(stack, point, tool, jobs, deadline)
    text = runs.whole_text(definitions)
    if changes := point.catalogue.changes(point.now()):
        raise Busy(f"objects changed while the dump began: {listed(changes, 5)}", WAIT)
    schema = point.target.database
    ignore_case = point.rows("SELECT @@lower_case_table_names") != [(0,)]
    try:
        first, last = split_definitions(text, schema, ignore_case)
    except Damaged as error:
        raise DumpFailed(f"the dump tool wrote what we can't read: {error.fact}", error.remedy) from error
    as_text = {facts.name for run in found if not run.share.as_bytes for facts in run.share.tables}
    return MysqlDump(
        _identify(point, tool, first, as_text), point, first, last, schema_comment(schema, ignore_case), found
    )


def expect_sight(point: Point) -> None:
    """Refuse a dump that could lack something without anybody noticing.

    Raises:
        AccessDenied: names the rights that are missing.
    """
    target = point.target
    with point.using() as connection:
        held = privileges.held(connection, target.database)
    missing = list(privileges.unseen(held, point.flavour == "mariadb"))
    if missing:
        schema = quote_ident(target.database)
        raise AccessDenied(
            f"{target.user} has no right to see {', '.join(each.what for each in missing)} of {schema}: a dump would"
            " lack them without a word",
            " ".join(f"GRANT {each.right} ON {each.scope.format(schema)} to it." for each in missing),
        )


def expect_end(point: Point) -> None:
    """Refuse what the dump tool would never get to the end of.

    Raises:
        DumpFailed: names the events.
    """
    with point.using() as connection:
        endless = events.endless(connection, point.target.database)
    if endless:
        raise DumpFailed(f"the dump tool never ends on an event that holds ;; as do {listed(endless)}", events.REMEDY)


def _identify(point: Point, tool: binaries.Program, schema: bytes, as_text: Collection[str]) -> Database:
    found, unread = read_globals(point)
    found, gone = on_what_is_there(found, point.catalogue)
    return Database(
        engine="mysql",
        server_version=point.version,
        tool_version=tool.version,
        taken_at=point.taken_at,
        live_bytes=point.catalogue.live_bytes,
        server=read_server_facts(point),
        settings=read_settings(point),
        globals=found,
        not_carried=(
            *not_carried(point.catalogue, point.locked),
            *characters.not_carried(point, as_text),
            *_beyond(schema),
            *unread,
            *gone,
        ),
    )


def _beyond(schema: bytes) -> Iterator[str]:
    """What definitions say that comes back otherwise, or reaches beyond the schema, a sentence each."""
    found = list(entries(schema))
    if keys := in_folders(found):
        yield f"These lie in folders of their own, and come back where a server keeps its tables: {listed(keys)}."
    if keys := with_servers(found):
        yield f"These name another server in CONNECTION and reach it from wherever they are restored: {listed(keys)}."
    if keys := [each.key for each in found if each.kind == "TABLE" and without_old_formats(each.text) != each.text]:
        yield f"Dates and times in the format of MariaDB 5.3 come back in that of today, the same: {listed(keys)}."
    if keys := with_parents_elsewhere(found):
        yield f"Foreign keys of these point at other schemas, which this backup does not hold: {listed(keys)}."


def whole_entries(section: Section, text: bytes, opening: bytes, piece_bytes: int = PIECE_BYTES) -> Iterator[Piece]:
    """A section in pieces of whole entries; each but the first begins with the comment that says its schema."""
    start = end = 0
    for entry in entries(text) if len(text) > piece_bytes else ():
        if end > start and end - start + len(entry.text) > piece_bytes:
            yield Piece(section, None, (), 0, (opening if start else b"") + text[start:end], b"", b"")
            start = end
        end += len(entry.text)
    yield Piece(section, None, (), 0, (opening if start else b"") + text[start:], b"", b"")
