"""A dump of one moment: several runs of pg_dump on one snapshot whose tables are locked.

One run a section, and further ones that share the rows. All start together and have their own locks before the dump
counts as open: one that came later could queue behind an ALTER TABLE that waits for us, and wait for ever. Definitions
are read at once and held in memory; rows stay in the pipes until somebody asks for them.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from backproof import subprocesses
from backproof.engines import PIECE_BYTES, Piece
from backproof.engines.postgresql import binaries, pgdump
from backproof.engines.postgresql.globals import read_globals, read_server_facts, read_settings
from backproof.engines.postgresql.inventory import take
from backproof.engines.postgresql.losses import not_carried
from backproof.engines.postgresql.pieces import pieces
from backproof.engines.postgresql.point import ATTEMPTS, LOCK_SECONDS, Point, consistent_point
from backproof.engines.postgresql.shares import shares
from backproof.engines.postgresql.text import COMPLETE, entries
from backproof.errors import BackproofError, Busy, DumpFailed, MissingTool
from backproof.parallel.runs import FirstError, last_after
from backproof.records import Database, Inventory, Section, Target
from backproof.subprocesses.gathering import GatheringPipe

_START_SECONDS = 20.0
"""How long each pg_dump may wait for its locks. We hold the same ones, so it waits only for one who waits for us."""


class PostgresDump:
    """An open consistent point of a PostgreSQL database. Made by ``open_dump``."""

    def __init__(
        self, database: Database, point: Point, schema: bytes, finish: bytes, data: Sequence[subprocesses.Running]
    ) -> None:
        self.database = database
        self._point = point
        self._schema = schema
        self._finish = finish
        self._data = data
        self._first = FirstError()

    def schema(self) -> Iterator[Piece]:
        """Definitions, in pieces of whole entries."""
        return _whole_entries("schema", self._schema)

    def data(self) -> Sequence[Iterator[Piece]]:
        """One stream for each pg_dump of the data section."""
        first, *others = self._data
        return [self._stream(first), *map(self._rows_alone, others)]

    def finish(self) -> Iterator[Piece]:
        """Keys, indexes, triggers, in pieces of whole entries."""
        return _whole_entries("finish", self._finish)

    def inventory(self) -> Inventory:
        """Read on the connection that holds the point."""
        return take(self._point)

    def _stream(self, running: subprocesses.Running) -> Iterator[Piece]:
        try:
            yield from last_after(pieces(GatheringPipe(running.stdout)), partial(self._ended_well, running))
        except BackproofError as error:
            first = self._first.of(_reason(running, error) if isinstance(error, DumpFailed) else error)
            # A count that runs elsewhere is of no use now, and would keep the failed backup waiting.
            self._point.cancel()
            raise first from None
        except BaseException:
            self._point.cancel()
            raise

    def _rows_alone(self, running: subprocesses.Running) -> Iterator[Piece]:
        # The values of sequences that its tables own, settings and closing words stand in the first stream.
        return (piece for piece in self._stream(running) if piece.table is not None)

    def _ended_well(self, running: subprocesses.Running) -> None:
        _judge("data", running)
        self._point.check()


@contextmanager
def open_dump(
    target: Target,
    jobs: int = 1,
    tool_folders: Sequence[Path] = (),
    tool_version: str | None = None,
    lock_seconds: float = LOCK_SECONDS,
) -> Iterator[PostgresDump]:
    """Open a consistent point and start reading it.

    Args:
        target: the database, and a role that may read all of it.
        jobs: how many streams of data the caller would like; fewer are given where there is little to share.
        tool_folders: where else to look for pg_dump.
        tool_version: the major version of pg_dump to use instead of the server's.
        lock_seconds: how long to wait for a lock that somebody else holds.

    Raises:
        Busy: somebody holds a lock on a table, or objects changed under each of several attempts.
        AccessDenied: the role lacks a right, which is named.
        MissingTool: no pg_dump of that version.
        ConnectionLost: the server went away.
        DumpFailed: pg_dump failed.
    """
    with ExitStack() as stack:
        yield _open(stack, target, jobs, tool_folders, tool_version, lock_seconds)


def _open(
    stack: ExitStack,
    target: Target,
    jobs: int,
    tool_folders: Sequence[Path],
    tool_version: str | None,
    lock_seconds: float,
) -> PostgresDump:
    for attempt in range(1, ATTEMPTS + 1):
        with ExitStack() as trial:
            point = trial.enter_context(consistent_point(target, lock_seconds))
            tool = _tool(point, tool_folders, tool_version)
            point = replace(point, tool_major=tool.major)
            try:
                dump = _start(trial, target, point, tool, jobs)
            except Busy:
                # Whoever asked for a lock between ours and pg_dump's gets it once we let go.
                if attempt == ATTEMPTS:
                    raise
                continue
            stack.push(trial.pop_all())
            return dump
    raise AssertionError("unreachable: the last attempt returns or raises")


def _start(stack: ExitStack, target: Target, point: Point, tool: binaries.Installation, jobs: int) -> PostgresDump:
    environment = stack.enter_context(pgdump.environment(target))
    ((encoding,),) = point.rows("SELECT current_setting('server_encoding')")

    def run(section: Section, *options: str) -> subprocesses.Running:
        argv = pgdump.command(tool.bin / "pg_dump", section, point.snapshot, encoding, _START_SECONDS)
        argv += options
        running = stack.enter_context(subprocesses.stream(argv, env=environment))
        # A dump may be left before its end: then nobody asks for an exit status.
        stack.callback(running.stop, 0)
        return running

    given = shares(point, jobs)
    sections: tuple[Section, ...] = ("schema", "finish")
    definitions = [(section, run(section)) for section in sections]
    data = [
        run("data", *(f"--exclude-table-data={pattern}" for share in given for pattern in share)),
        *(run("data", *(f"--table={pattern}" for pattern in share)) for share in given),
    ]
    with ThreadPoolExecutor(2, "definitions") as pool:
        texts = [pool.submit(_whole_text, section, running) for section, running in definitions]
        for running in data:
            # The first bytes come after the locks.
            if not running.stdout.peek(1):
                _judge("data", running)
        schema, finish = (text.result() for text in texts)
    point.check()
    return PostgresDump(_identify(point, tool.version), point, schema, finish, data)


def _identify(point: Point, tool_version: str) -> Database:
    ((version, size),) = point.rows("SELECT current_setting('server_version'), pg_database_size(current_database())")
    return Database(
        engine="postgresql",
        server_version=version.split()[0],
        tool_version=tool_version,
        taken_at=point.taken_at,
        live_bytes=size,
        server=read_server_facts(point),
        settings=read_settings(point),
        globals=read_globals(point),
        not_carried=tuple(not_carried(point)),
    )


def _whole_text(section: Section, running: subprocesses.Running) -> bytes:
    text = running.stdout.read()
    _judge(section, running)
    if COMPLETE not in text[-1024:]:
        raise DumpFailed(f"pg_dump's {section} section ends without its closing words", "Run the backup again.")
    return text


def _judge(section: Section, running: subprocesses.Running) -> None:
    returncode, stderr = running.finish()
    if returncode != 0:
        raise pgdump.failure(section, returncode, stderr)


def _reason(running: subprocesses.Running, error: BackproofError) -> BackproofError:
    """What pg_dump itself says, where it failed; that its output is cut follows from it."""
    try:
        _judge("data", running)
    except BackproofError as said:
        return said
    return error


def _whole_entries(section: Section, text: bytes, piece_bytes: int = PIECE_BYTES) -> Iterator[Piece]:
    start = end = 0
    opening = in_force = b""
    for entry in entries(text) if len(text) > piece_bytes else ():
        if end > start and end - start + len(entry.text) > piece_bytes:
            yield Piece(section, None, (), 0, opening + text[start:end], b"", b"")
            # The tablespace set in one piece is in force in the next, which must be understood alone.
            start, opening = end, b"".join(line + b"\n\n" for line in in_force.splitlines())
        end += len(entry.text)
        in_force = entry.settings or in_force
    yield Piece(section, None, (), 0, opening + text[start:], b"", b"")


def _tool(point: Point, tool_folders: Sequence[Path], tool_version: str | None) -> binaries.Installation:
    major = int(tool_version.partition(".")[0]) if tool_version else point.connection.server_version // 10000
    program = binaries.find("pg_dump", major, tool_folders)
    for installation in binaries.folders(tool_folders):
        if installation.bin == program.parent:
            return installation
    raise MissingTool(f"{program} does not say its version", "Install it anew.")
