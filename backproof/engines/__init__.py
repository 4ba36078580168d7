"""The contract of an engine: what Backproof asks of a kind of database.

An engine is one module (or package) in this folder with an ``ENGINE`` object; it is found by name, not listed. Every
engine is held to this text by ``tests/contracts/test_engines.py``. Engines know no stores and no archives: a dump
hands over *pieces*, a restore takes a *source* of members.

**A dump is of one moment.** Everything read through an open ``Dump`` (schema, data, finish, inventory, row counts) is
as of one consistent point, whatever happens to the database meanwhile; where that can't be had, ``Busy`` (try again)
or ``DumpFailed`` is raised, never less returned. The stock tool of the database writes the text; its exit status
*and* its closing words are checked before the last piece is handed over.

**Pieces.** The concatenation of ``head + body + tail`` of all pieces, schema then data then finish, is a script that
the database's own client restores into an empty database. Each data piece stands alone after the schema section: it
carries its own opening and closing. ``body`` holds row bytes only: the same rows always give the same concatenated
bodies, however they were cut. A table's pieces come from one stream, in order. Pieces are about ``PIECE_BYTES`` long,
cut between rows; a larger one holds a single row. Nothing decodes them: a dump is bytes.

**Entries.** The text of ``schema`` and ``finish`` divides into entries (an object's definition, its owner, comment,
grants …), and so does that of data pieces without a table (sequence values). ``entries(text)`` finds them; pieces are
cut between entries, so that each piece can be divided alone; the key of an entry is stable over a round trip: ``TYPE
name`` with names as the dump writes them, such as ``TABLE public.orders`` or ``TRIGGER public.orders audit``.

**Restoring** speaks the wire protocol and never runs a client that could reach a shell; what only such a client would
obey is refused. A table is loaded from one connection in member order when ``keep_order`` is true, so that row order,
and so the digest, is kept. Nothing outside the target database is touched, ever.

**Exchanging** puts one database of a server into the place of another, which stays under a third name, and can be
undone. What it takes to finish or undo it is an ``Exchange``, a plain record that is written down before anything is
changed. After a crash in between, the server is asked how far it came, not the record: each of ``exchange`` and
``undo`` may be called again, and again, by another process, and neither does twice what destroys. An application sees
one database or the other, never a mixture.

**Beside** the live rows of a table the backup's are held by the server itself, where they can be compared with them and
put back: whatever the size of the table, no more of it than a member is in our memory. What is compared is what a dump
would write of a column, by the live table's types; which two rows are the same one, a *key* says, in the server's own
way of comparing. What is held goes with the context, and with the death of who asked for it, or before the next.

**Replacing tables** puts those of an archive into the place of live ones, while all others stay. Foreign keys from and
to them hold afterwards: those that are live now, those that were live by an earlier record (``links_of``), and those of
the archive whose other table is there. What points at nothing then is counted beforehand. It may be called again after
a crash anywhere, and ends as if it had been called once; the way back is the same with a later archive.

**Scratch** servers are private: a Unix socket in a folder of their own (and, where an application is to reach one, a
free port of 127.0.0.1, by a random password), the same major version, durability off, gone when the context ends, and
removed by ``backproof.scratch.sweep`` when the process that made them was killed.

**Secrets** go to programs by 0600 files, never by argv or environment. What a program prints to stderr is read in one
place per engine, scrubbed of secrets and rows, and becomes an error of ``backproof.errors``.
"""

import importlib
import pkgutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from pydantic import JsonValue

from backproof.errors import ConfigurationError
from backproof.records import (
    Database,
    Exchange,
    Finding,
    Inventory,
    Lack,
    Manifest,
    Member,
    Obstacle,
    Place,
    PutBack,
    ReplacedTables,
    RowCounts,
    Section,
    Table,
    Target,
)

PIECE_BYTES = 4 * 1024 * 1024
"""Plain bytes of a piece: large enough to compress well, small enough that many fit in memory. See docs/decisions."""

Progress = Callable[[int], None]
"""Told how many more bytes of plain SQL are done; may be called from several threads."""


def no_progress(_: int) -> None:
    """For callers that do not watch."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A run of SQL, cut where it stands alone."""

    section: Section
    table: str | None
    columns: tuple[str, ...]
    rows: int
    head: bytes
    body: bytes
    tail: bytes
    charset: str | None = None
    """As ``Table.charset``."""
    longest_bytes: int | None = None
    """The longest statement in ``body``, to the end of its line; None where rows are no statements."""

    def __len__(self) -> int:
        return len(self.head) + len(self.body) + len(self.tail)


@dataclass(frozen=True, slots=True)
class Entry:
    """One object's definition (or owner, comment, grant) in a schema or finish section."""

    key: str
    """``TYPE name``; the same before and after a round trip."""
    kind: str
    """``TABLE``, ``INDEX``, ``FK CONSTRAINT`` … in the dump tool's words; ``PREAMBLE`` for session settings."""
    table: str | None
    """The table it belongs to, as ``Table.name`` writes it, where the dump says so."""
    text: bytes
    settings: bytes = b""
    """``SET`` statements in force where it stands that its meaning depends on; ``text`` need not repeat them."""


class Dump(Protocol):
    """An open consistent point."""

    @property
    def database(self) -> Database:
        """What is known before the first byte."""

    def schema(self) -> Iterator[Piece]:
        """Definitions that must exist before data, session settings first."""

    def data(self) -> Sequence[Iterator[Piece]]:
        """The rows: independent streams, each to be drained in its own thread; a table is whole in one of them."""

    def finish(self) -> Iterator[Piece]:
        """What comes after data: keys, indexes, triggers, closing words."""

    def inventory(self) -> Inventory:
        """Objects and exact row counts at the same point; may run while the streams are drained."""


class Source(Protocol):
    """An archive, as an engine sees it."""

    @property
    def manifest(self) -> Manifest:
        """What it holds."""

    def read(self, member: Member) -> bytes:
        """One member's plain SQL, checked. From any thread."""

    def read_run(self, members: Sequence[Member]) -> Iterator[bytes]:
        """The same of members that lie one after the other: read at once, unpacked and checked when asked for."""


@dataclass(frozen=True, slots=True)
class Grants:
    """The exact least-privilege SQL."""

    backup: str
    restore: str


@dataclass(frozen=True, slots=True)
class Host:
    """The server of a database, for whoever wants to restore there."""

    version: str
    series: tuple[int, ...]
    """Of servers: a dump of a later one is not for an earlier one."""
    series_of_backup: tuple[int, ...]
    free_bytes: int | None
    """Room on the disk of its databases, where that is a disk of this machine; None: it can't be known."""
    log_bytes: int
    """What a restore of the backup adds to its logs, at most."""


@dataclass(frozen=True, slots=True)
class ByHand:
    """How a person restores an exported archive with the database's own client. Nothing of it is a secret."""

    tools: str
    """What has to be there, a sentence."""
    fill_in: str
    """Lines of shell that lead the client to ``server.conf``, which a person fills in; one shell runs all lines."""
    files: dict[str, str]
    """What the lines name, by file name: ``server.conf`` and scripts."""
    restore: str
    """Lines of shell: from ``backup.sql.gz`` to the whole database. Each must succeed before the next."""
    afterwards: tuple[str, ...]
    """What is left to a person, a sentence each."""


class Beside(Protocol):
    """The rows of one table of a backup, beside the live ones."""

    @property
    def table(self) -> str:
        """Its name, as ``Table.name`` writes it."""

    @property
    def key(self) -> tuple[str, ...]:
        """The columns that say which rows are the same one."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that both have, and that are no function of others: what is compared."""

    @property
    def left_out(self) -> tuple[str, ...]:
        """What is not compared, and why, a sentence each."""

    def counts(self) -> RowCounts:
        """How many differ, at one moment."""

    def write_rows(self, file: BinaryIO) -> None:
        """Those that differ, as CSV in UTF-8 with a heading: ``difference`` (``missing``, ``changed``, ``new``), ``of``
        (``backup``, ``live``; a changed row is there twice), then ``columns``. NULL is empty; all else is in quotes."""

    def put_back(self, fire_triggers: bool = False, dry_run: bool = False) -> list[PutBack]:
        """Insert the missing rows, and the rows that their foreign keys need and that are missing as well.

        All in one transaction, which a dry run rolls back. No live row is changed, and no sequence goes backwards.
        Triggers of the tables are silent unless ``fire_triggers``.

        Raises:
            Obstructed: rows are needed that the backup does not hold; a trigger can't be kept silent.
            RestoreFailed: the server refused; nothing was changed.
        """


class Engine(Protocol):
    """A kind of database. The module's docstring is the contract."""

    @property
    def name(self) -> str:
        """``postgresql``, ``mysql``."""

    @property
    def spellings(self) -> Sequence[str]:
        """Other names a fleet may use."""

    def findings(self, target: Target, tool_folders: Sequence[Path] = ()) -> list[Finding]:
        """Preflight: server reachable, password, database, privileges against the inventory, tools and versions."""

    def grants(self, target: Target) -> Grants:
        """Least-privilege SQL for ``target.user`` on ``target.database``; reads the server for names only."""

    def lock(self, target: Target, plan: str) -> AbstractContextManager[None]:
        """One writer per plan: an advisory lock on the server, freed by the holder's death. ``Busy`` when held."""

    def dump(
        self, target: Target, jobs: int = 1, tool_folders: Sequence[Path] = (), tool_version: str | None = None
    ) -> AbstractContextManager[Dump]:
        """Open a consistent point. ``tool_version`` asks for that major of the dump tool instead of the server's."""

    def entries(self, text: bytes) -> Iterator[Entry]:
        """Divide schema or finish text; refuses what only a shell-capable client would obey."""

    def canonical(self, entry: Entry) -> bytes:
        """The entry's text as compared after a round trip: without what never repeats (dates, tokens, comments)."""

    def shape(self, entry: Entry) -> bytes:
        """The same without what moves with the rows (counters), so that it is equal for as long as nobody changes the
        schema."""

    def lacks(self, target: Target, manifest: Manifest) -> list[Lack]:
        """What the target server lacks for this archive, found without changing anything."""

    def host(self, target: Target, manifest: Manifest) -> Host:
        """The server, beside what an archive needs; ``target.database`` need not exist. Changes nothing."""

    def same_server(self, one: Target, other: Target) -> bool:
        """Whether two targets lead to one running server, by whatever names and ways; or the second to that which the
        first is a standby of, where that can be seen. Changes nothing. ``other.database`` need not exist.

        Raises:
            ConnectionLost, AccessDenied, NotFound: one of them can't be reached.
        """

    def is_home(self, target: Target, manifest: Manifest) -> bool:
        """Whether the archive comes from this server, as far as the identity that is recorded tells; of PostgreSQL a
        copy of a server's files, such as a standby, has the same. ``target.database`` need not exist."""

    def provide(self, target: Target, manifest: Manifest, lacks: Iterable[Lack]) -> None:
        """Create the missing roles (without login) and, on a scratch server, stub tablespaces."""

    def create(self, target: Target, manifest: Manifest) -> bool:
        """Make ``target.database``, empty, with the settings it needs; an existing empty one is used as it is.

        Returns:
            True when it was made, so that a failed restore may remove it again; False when it was there.

        Raises:
            AlreadyExists: it exists and is not empty; where it is ``unfinished``, that is said.
        """

    def unfinished(self, target: Target, manifest: Manifest) -> AbstractContextManager[None]:
        """Whoever looks at the database sees that it is not whole, until the context ends without an error.

        So what a restore leaves that dies is never taken for whole. The last thing a restore does is to leave it.
        """

    def resolve(self, source: Source, tables: Sequence[str]) -> tuple[str, ...]:
        """The tables that a person's names mean, as ``Table.name`` writes them, partitions and the like included.

        Raises:
            NotFound, ConfigurationError: the archive holds none, or several, of a name; nothing was touched.
        """

    def restore(
        self,
        source: Source,
        target: Target,
        jobs: int = 1,
        tables: Sequence[str] | None = None,
        keep_order: bool = False,
        progress: Progress = no_progress,
        accept_mentions: bool = False,
    ) -> list[str]:
        """Fill the empty database ``target`` names; with ``tables`` just these, reading just their members.

        What names the live database in a way that can't be rewritten (SQL that is put together when it runs) would
        reach it from the new one: beside it, that is refused unless ``accept_mentions``.

        Returns:
            What was left out and why, a sentence each (foreign keys to tables not chosen, unknown settings).
        """

    def beside(
        self, source: Source, target: Target, room: Target, table: str, key: Sequence[str] = (), jobs: int = 1
    ) -> AbstractContextManager[Beside]:
        """Hold the rows of one table of an archive beside the live ones.

        Args:
            source: the archive.
            target: the live database.
            room: a database that may be made for it on the same server, and is dropped before and afterwards.
            table: as a person names it; a partitioned one with all of its partitions.
            key: columns; the live table's primary key unless said.
            jobs: connections to load with, where that can be.

        Raises:
            NotFound: the archive has no such table, or the live database has none any more.
            ConfigurationError: there is no key, or what is named is none: it names several rows, or none.
        """

    def links_of(self, target: Target, tables: Sequence[str]) -> dict[str, JsonValue]:
        """The foreign keys between these live tables and others, to be written down before they are replaced."""

    def replace_tables(
        self,
        source: Source,
        target: Target,
        room: Target,
        tables: Sequence[str],
        links: dict[str, JsonValue],
        accept_orphans: bool = False,
        dry_run: bool = False,
        jobs: int = 1,
        tool_folders: Sequence[Path] = (),
        changing: Callable[[], None] = lambda: None,
        kept: Target | None = None,
    ) -> ReplacedTables:
        """Let tables of an archive take the place of the live ones, or come back where they were dropped.

        Args:
            source: the archive.
            target: the live database, and who may change it.
            room: a database that may be made for it on the same server, and is dropped before and afterwards.
            tables: as ``resolve`` gives them.
            links: what ``links_of`` gave before anything was changed.
            accept_orphans: rows may point at nothing afterwards; where the engine knows such foreign keys, they are
                not validated.
            dry_run: count what would be left pointing at nothing, of tables that are there, and change nothing.
            jobs: connections to load with, where that can be.
            changing: called before the first change that is not taken back where an error is raised.
            kept: a database that may be made for what is replaced, where no backup holds it: it stays there, also where
                an error is raised, and another call leaves it there. Whoever needs it no longer drops it.

        Raises:
            Obstructed: rows would point at nothing, each foreign key with their number; or something stands on a table
                that has to be made anew. Nothing was changed.
            Busy: somebody is in the way.
            RestoreFailed: the server refused.
        """

    def apply_globals(self, target: Target, manifest: Manifest) -> list[str]:
        """Owner, privileges, settings, comment of the database; says what could not be applied."""

    def drop(self, target: Target) -> None:
        """Remove a database that ``create`` made, sessions on it included; no error where there is none."""

    def exists(self, target: Target) -> bool:
        """Whether there is such a database; its server must answer.

        Raises:
            Hidden: this account would not see it.
        """

    def recovery_lock(self, target: Target, plan: str) -> AbstractContextManager[None]:
        """One recovery per plan: as ``lock``, but it holds whether ``target.database`` exists or not, and through an
        exchange. ``Busy`` when held."""

    def obstacles(self, target: Target) -> list[Obstacle]:
        """What keeps the live database from being exchanged, or would be lost with it. Changes nothing.

        Where it does not exist, only what keeps another from being given its name.
        """

    def plan_exchange(self, target: Target, incoming: str, outgoing: str, source: Source) -> Exchange:
        """What it takes to put ``incoming`` into the place of ``target.database``. Changes nothing.

        Args:
            target: the live database, which may be missing, and who may rename it.
            incoming: restored from ``source`` on the same server, as ``restore`` leaves it.
            outgoing: the name under which what was live stays; nothing has it.
            source: the archive that ``incoming`` came from.

        Raises:
            NotFound, AlreadyExists: there is no ``incoming``, or something is called ``outgoing``.
        """

    def exchange(self, target: Target, exchange: Exchange) -> None:
        """Put it into its place, or finish what an interrupted call began. Sessions in the way are ended.

        Nothing is done where it is in its place already. Whatever is raised, the server is left so that this or
        ``undo`` may be called.

        Raises:
            Busy: something stands in the way that may pass, after several attempts.
        """

    def undo(self, target: Target, exchange: Exchange) -> None:
        """Bring what was live back into its place, whole or half exchanged; ``incoming`` has its first name again."""

    def exchanged(self, target: Target, exchange: Exchange) -> Place:
        """How far it came, as the server tells."""

    def export(self, source: Source, tables: Sequence[str] | None) -> Iterator[bytes]:
        """Plain SQL for the stock client, in order; with ``tables`` just these and what they stand on."""

    def by_hand(self, target: Target, manifest: Manifest) -> ByHand:
        """The same for a person, with the database's own client and no Backproof. Touches no server.

        Args:
            target: the plan's database: its name, and where it was.
            manifest: of a backup, for what lies beside its SQL stream.
        """

    def digest(self, target: Target, table: Table) -> Table:
        """Rows and digest of one table read over exactly ``table.columns``, where column order differs."""

    def scratch(
        self, manifest: Manifest, folder: Path, tool_folders: Sequence[Path] = (), reachable: bool = False
    ) -> AbstractContextManager[Target]:
        """A private server of the archive's major version with an empty database that fits.

        With ``reachable`` an application of this machine can connect to it as well, and the target says where; settings
        that an application notices are then those of the archive's server, where they can be.

        Raises:
            CannotProve: no binaries of that version, a locale or extension missing; with the remedy.
        """

    def admit(self, target: Target, login: str) -> Target:
        """A login of its own for an application on a staged database: everything in it, and nothing on its server.

        Args:
            target: the database, and an administrator.
            login: its name; there is none of it yet.

        Returns:
            The database as it reaches it, by a random password.

        Raises:
            AccessDenied: this administrator may make none.
        """

    def dismiss(self, target: Target, login: str) -> None:
        """Remove the login that ``admit`` made, once its database is gone; no error where there is none."""

    def sqlalchemy_url(self, target: Target) -> str:
        """For a plan's checks."""

    def url(self, target: Target) -> str:
        """As most programs read an address: ``postgresql://user:password@host:port/database``. Never to be shown."""


def find(name: str) -> Engine:
    """The engine a fleet names, by its name or another spelling.

    Raises:
        ConfigurationError: no such engine; names those there are.
    """
    known: list[str] = []
    for module in pkgutil.iter_modules(__path__):
        if module.name == name:
            return _load(module.name)
        known.append(module.name)
    for candidate in known:
        if name in (engine := _load(candidate)).spellings:
            return engine
    raise ConfigurationError(f"no engine is called {name!r}", f"Known engines: {', '.join(sorted(known))}.")


def _load(name: str) -> Engine:
    engine: Engine = importlib.import_module(f"{__name__}.{name}").ENGINE
    return engine
