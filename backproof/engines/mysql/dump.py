"""A dump of one moment: several runs of the dump tool, all of whose snapshots began while nobody could commit.

One run for the definitions, held in memory, and one or more for rows, which stay in the pipes until somebody asks for
them. That a run has begun its snapshot shows in its first bytes: the tool buffers 4096, which is more than it writes
before it (strace shows a first ``write`` after ``START TRANSACTION`` and the list of tables).
"""

import select
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from backproof import subprocesses
from backproof.engines import PIECE_BYTES, Piece
from backproof.engines.mysql import binaries, dumptool, privileges
from backproof.engines.mysql.globals import read_globals, read_server_facts, read_settings
from backproof.engines.mysql.inventory import TableFacts, not_carried
from backproof.engines.mysql.names import quote_ident, spell
from backproof.engines.mysql.patience import PatientPipe, patient
from backproof.engines.mysql.pieces import pieces
from backproof.engines.mysql.point import LOCK_SECONDS, Method, Point, consistent_point
from backproof.engines.mysql.shares import Share, shares
from backproof.engines.mysql.text import COMPLETE, entries, schema_comment, split_definitions
from backproof.errors import AccessDenied, Busy, Damaged, DumpFailed
from backproof.records import Database, Inventory, Section, Target

ATTEMPTS = 3
"""How often a point is opened where objects change while that is done."""


@dataclass(frozen=True, slots=True)
class Run:
    """A run of the dump tool that writes rows."""

    share: Share
    running: subprocesses.Running
    rows: PatientPipe


class MysqlDump:
    """An open consistent point of a schema. Made by ``open_dump``."""

    def __init__(
        self, database: Database, point: Point, schema: bytes, finish: bytes, opening: bytes, runs: Sequence[Run]
    ) -> None:
        self.database = database
        self._point = point
        self._schema = schema
        self._finish = finish
        self._opening = opening
        self._runs = runs
        self._opener = threading.get_ident()
        self._unfinished = len(runs)
        self._counting = threading.Lock()
        self._passed: Counter[str] = Counter()
        self._drained = threading.Event()

    def schema(self) -> Iterator[Piece]:
        """Definitions, in pieces of whole entries."""
        return whole_entries("schema", self._schema, self._opening)

    def data(self) -> Sequence[Iterator[Piece]]:
        """One stream for each run that writes rows."""
        return [self._stream(run) for run in self._runs]

    def finish(self) -> Iterator[Piece]:
        """Triggers, events, routines and views, in pieces of whole entries."""
        return whole_entries("finish", self._finish, self._opening)

    def inventory(self) -> Inventory:
        """Objects as the point was opened, rows as it shows them.

        A table without transactions that nobody could lock is in no snapshot: what is counted is what the dump holds.
        From another thread than the one that opened the dump, this waits until all of it has passed.
        """
        catalogue = self._point.catalogue
        carried = [facts for facts in catalogue.tables.values() if facts.carried]
        moving = [facts for facts in carried if self._moving(facts)]
        counted = self._point.count([facts for facts in carried if not self._moving(facts)])
        if moving and threading.get_ident() != self._opener:
            self._drained.wait()
        if self._drained.is_set():
            counted |= {facts.name: self._passed[facts.name] for facts in moving}
        else:
            counted |= self._point.count(moving)
        found = {spell(name): number for name, number in counted.items()}
        return Inventory(rows=found, objects=tuple(catalogue.objects), needs=dict(catalogue.needs))

    def _moving(self, facts: TableFacts) -> bool:
        return not facts.transactional and facts.name not in self._point.locked

    def _stream(self, run: Run) -> Iterator[Piece]:
        columns = {spell(facts.name): facts.columns for facts in run.share.tables}
        names = {spell(facts.name): facts.name for facts in run.share.tables}
        try:
            for piece in _last_after(pieces(run.rows, columns), partial(self._ended_well, run)):
                self._passed[names[piece.table or ""]] += piece.rows
                yield piece
        except BaseException as error:
            # A count that runs elsewhere is of no use now, and would keep the failed backup waiting.
            self._point.cancel()
            self._drained.set()
            if isinstance(error, DumpFailed):
                dumptool.judge("rows", run.running)
                # A table that is gone when its turn comes is left out by the tool, which ends with success.
                expect_unchanged(self._point, run.share)
            raise
        with self._counting:
            self._unfinished -= 1
            if not self._unfinished:
                self._drained.set()

    def _ended_well(self, run: Run) -> None:
        dumptool.judge("rows", run.running)
        self._point.check()
        expect_unchanged(self._point, run.share)


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
    options = stack.enter_context(dumptool.option_file(point.target, tool.flavour))

    def run(argv: list[str]) -> subprocesses.Running:
        running = stack.enter_context(subprocesses.stream(argv, env=dumptool.ENVIRONMENT))
        # A dump may be left before its end: then nobody asks for an exit status.
        stack.callback(running.stop, 0)
        return running

    schema = point.target.database
    with point.held(methods) as deadline:
        definitions = run(dumptool.definitions(tool.path, tool.flavour, options, schema))
        rows = [(share, run(_rows(share, point, tool, options))) for share in _shares(point, jobs)]
        begun([definitions, *(running for _, running in rows)], deadline)
    runs = [Run(share, running, PatientPipe(running.stdout)) for share, running in rows]
    stack.enter_context(patient([each.rows for each in runs]))
    text = _whole_text(definitions)
    if changes := point.catalogue.changes(point.now()):
        raise Busy(f"objects changed while the dump began: {_listed(changes)}", _WAIT)
    ignore_case = point.rows("SELECT @@lower_case_table_names") != [(0,)]
    try:
        first, last = split_definitions(text, schema, ignore_case)
    except Damaged as error:
        raise DumpFailed(f"the dump tool wrote what we can't read: {error.fact}", error.remedy) from error
    return MysqlDump(_identify(point, tool), point, first, last, schema_comment(schema, ignore_case), runs)


def _shares(point: Point, jobs: int) -> list[Share]:
    return shares((facts for facts in point.catalogue.tables.values() if facts.carried), jobs)


def _rows(share: Share, point: Point, tool: binaries.Program, options: Path) -> list[str]:
    names = [facts.name for facts in share.tables]
    argv = partial(dumptool.rows, tool.path, tool.flavour, options, point.target.database, by_key=share.by_key)
    if not share.everything_but:
        return argv(tables=names)
    mine = set(names)
    return argv(but=[name for name in point.catalogue.tables if name not in mine])


def begun(runs: Sequence[subprocesses.Running], deadline: float) -> None:
    """Wait until each run has begun its snapshot, which its first bytes tell; one that failed is told later.

    Raises:
        Busy: one has not, and writers have waited long enough.
    """
    for running in runs:
        left = max(0.0, deadline - time.monotonic())
        readable, _, _ = select.select([running.stdout], [], [], left)
        if not readable:
            raise Busy(
                "the dump tool did not begin in time, and writers were let go",
                "Try again when the server is less busy.",
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


def expect_unchanged(point: Point, share: Share) -> None:
    """That the tables of a share are still what they were at the point, and not others in their place.

    Raises:
        Busy: names those that are not.
    """
    mine = [facts.name for facts in share.tables]
    if changes := point.catalogue.tables_changed(mine, point.tables_now()):
        raise Busy(f"tables changed during the dump: {_listed(changes)}", _WAIT)


_WAIT = "Run the backup again when the migration or job that does so has ended."


def _identify(point: Point, tool: binaries.Program) -> Database:
    found, unread = read_globals(point)
    return Database(
        engine="mysql",
        server_version=point.version,
        tool_version=tool.version,
        taken_at=point.taken_at,
        live_bytes=point.catalogue.live_bytes,
        server=read_server_facts(point),
        settings=read_settings(point),
        globals=found,
        not_carried=(*not_carried(point.catalogue, point.locked), *unread),
    )


def _whole_text(running: subprocesses.Running) -> bytes:
    text = running.stdout.read()
    dumptool.judge("definitions", running)
    if not COMPLETE.search(text[-1024:]):
        raise DumpFailed("the dump of the definitions ends without its closing words", "Run the backup again.")
    return text


def _last_after(stream: Iterator[Piece], check: Callable[[], None]) -> Iterator[Piece]:
    """Hold the last piece back until the check has passed."""
    held = next(stream)
    for piece in stream:
        yield held
        held = piece
    check()
    yield held


def whole_entries(section: Section, text: bytes, opening: bytes, piece_bytes: int = PIECE_BYTES) -> Iterator[Piece]:
    """A section in pieces of whole entries; each but the first begins with the comment that says its schema."""
    start = end = 0
    for entry in entries(text) if len(text) > piece_bytes else ():
        if end > start and end - start + len(entry.text) > piece_bytes:
            yield Piece(section, None, (), 0, (opening if start else b"") + text[start:end], b"", b"")
            start = end
        end += len(entry.text)
    yield Piece(section, None, (), 0, (opening if start else b"") + text[start:], b"", b"")


def _listed(changes: Sequence[str]) -> str:
    return ", ".join(changes[:5]) + (f" and {len(changes) - 5} more" if len(changes) > 5 else "")
