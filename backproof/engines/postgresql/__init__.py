"""PostgreSQL 15 and later: pg_dump writes, the wire protocol restores.

This file assembles the contract; each part is a module of its own, imported when it is first used, so that what only
lists backups does not load a driver.

::

    dump      point (locks and snapshot)  pgdump (the program)  pieces (the data section)
              globals, extensions, inventory, losses, needs (the catalogue)
    text      lexer (statements)  settled (one writing)  text (entries)
    restore   script, select, closure (some tables)  load, powerless  finish  sessions, guard
              provide, database, unfinished, digest, host, by_hand
    exchange  obstacles, exchange
    beside    live_tables, held (the backup's rows in the live session)  beside (compared)  putting_back
    tables    replacing, linking (foreign keys), counting (sequences)  definitions, triggers
    servers   binaries, runtime, server  findings, standby, grants  login (of a staged application)
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from pydantic import JsonValue

from backproof.engines import ByHand, Engine, Entry, Grants, Host, Progress, Source, no_progress
from backproof.records import Exchange, Finding, Lack, Manifest, Obstacle, Place, ReplacedTables, Table, Target

if TYPE_CHECKING:
    from backproof.engines.postgresql.beside import PostgresBeside
    from backproof.engines.postgresql.dump import PostgresDump


class PostgreSQL:
    """The contract of ``backproof.engines`` for PostgreSQL."""

    name = "postgresql"
    spellings: Sequence[str] = ("postgres", "pgsql", "pg")

    def findings(self, target: Target, tool_folders: Sequence[Path] = ()) -> list[Finding]:
        """Preflight."""
        from backproof.engines.postgresql.findings import findings

        return findings(target, tool_folders)

    def grants(self, target: Target) -> Grants:
        """Least-privilege SQL."""
        from backproof.engines.postgresql.grants import grants

        return grants(target)

    def lock(self, target: Target, plan: str) -> AbstractContextManager[None]:
        """An advisory lock of the database, held by a connection of its own."""
        from backproof.engines.postgresql.lock import lock

        return lock(target, plan)

    def dump(
        self, target: Target, jobs: int = 1, tool_folders: Sequence[Path] = (), tool_version: str | None = None
    ) -> "AbstractContextManager[PostgresDump]":
        """Open a consistent point."""
        from backproof.engines.postgresql.dump import open_dump

        return open_dump(target, jobs, tool_folders, tool_version)

    def entries(self, text: bytes) -> Iterator[Entry]:
        """Divide schema or finish text."""
        from backproof.engines.postgresql.text import entries

        return entries(text)

    def canonical(self, entry: Entry) -> bytes:
        """An entry's text as compared."""
        from backproof.engines.postgresql.text import canonical

        return canonical(entry)

    def shape(self, entry: Entry) -> bytes:
        """As compared: what counts is an entry of its own."""
        return self.canonical(entry)

    def lacks(self, target: Target, manifest: Manifest) -> list[Lack]:
        """What the target server lacks."""
        from backproof.engines.postgresql.provide import lacks

        return lacks(target, manifest)

    def host(self, target: Target, manifest: Manifest) -> Host:
        """The server beside what an archive needs."""
        from backproof.engines.postgresql.host import host

        return host(target, manifest)

    def same_server(self, one: Target, other: Target) -> bool:
        """By a lock that is held on the one and seen on the other."""
        from backproof.engines.postgresql.same_server import same_server

        return same_server(one, other)

    def is_home(self, target: Target, manifest: Manifest) -> bool:
        """By the identifier of its cluster."""
        from backproof.engines.postgresql.same_server import is_home

        return is_home(target, manifest)

    def provide(self, target: Target, manifest: Manifest, lacks: Iterable[Lack]) -> None:
        """Create missing roles and, on scratch, stub tablespaces."""
        from backproof.engines.postgresql.provide import provide

        provide(target, manifest, lacks)

    def create(self, target: Target, manifest: Manifest) -> bool:
        """Make the empty database."""
        from backproof.engines.postgresql.database import create

        return create(target, manifest)

    def unfinished(self, target: Target, manifest: Manifest) -> AbstractContextManager[None]:
        """Its comment says so."""
        from backproof.engines.postgresql.unfinished import unfinished

        return unfinished(target, manifest)

    def resolve(self, source: Source, tables: Sequence[str]) -> tuple[str, ...]:
        """The tables that a person's names mean."""
        from backproof.engines.postgresql.select import chosen_tables

        return chosen_tables(source, tables)

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
        """Fill the empty database. From one database another can't be reached: ``accept_mentions`` changes nothing."""
        from backproof.engines.postgresql.restore import restore

        return restore(source, target, jobs, tables, keep_order, progress)

    def beside(
        self, source: Source, target: Target, room: Target, table: str, key: Sequence[str] = (), jobs: int = 1
    ) -> "AbstractContextManager[PostgresBeside]":
        """In temporary tables of a session on the live database: no room is needed."""
        from backproof.engines.postgresql.beside import beside

        return beside(source, target, table, key)

    def links_of(self, target: Target, tables: Sequence[str]) -> dict[str, JsonValue]:
        """Of the catalogue."""
        from backproof.engines.postgresql.replacing import links_of

        return links_of(target, tables)

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
        """In one transaction of one session: no room is needed, and nothing has to be kept."""
        from backproof.engines.postgresql.replacing import replace_tables

        return replace_tables(source, target, tables, links, accept_orphans, dry_run, tool_folders, changing)

    def apply_globals(self, target: Target, manifest: Manifest) -> list[str]:
        """Owner, privileges, settings, comment of the database."""
        from backproof.engines.postgresql.database import apply_globals

        return apply_globals(target, manifest)

    def drop(self, target: Target) -> None:
        """Remove a database that ``create`` made."""
        from backproof.engines.postgresql.database import drop

        drop(target)

    def exists(self, target: Target) -> bool:
        """Whether there is such a database."""
        from backproof.engines.postgresql.database import exists

        return exists(target)

    def recovery_lock(self, target: Target, plan: str) -> AbstractContextManager[None]:
        """An advisory lock of the database ``postgres``."""
        from backproof.engines.postgresql.lock import recovery_lock

        return recovery_lock(target, plan)

    def obstacles(self, target: Target) -> list[Obstacle]:
        """Prepared transactions, subscriptions, slots, rights."""
        from backproof.engines.postgresql.obstacles import obstacles

        return obstacles(target)

    def plan_exchange(self, target: Target, incoming: str, outgoing: str, source: Source) -> Exchange:
        """Numbers of the databases, and what lies beside the live one. The archive is not asked."""
        from backproof.engines.postgresql.exchange import plan_exchange

        return plan_exchange(target, incoming, outgoing)

    def exchange(self, target: Target, exchange: Exchange) -> None:
        """Two renames in one transaction."""
        from backproof.engines.postgresql import exchange as exchanging

        exchanging.exchange(target, exchange)

    def undo(self, target: Target, exchange: Exchange) -> None:
        """The same, back."""
        from backproof.engines.postgresql.exchange import undo

        undo(target, exchange)

    def exchanged(self, target: Target, exchange: Exchange) -> Place:
        """By the numbers of the databases."""
        from backproof.engines.postgresql.exchange import exchanged

        return exchanged(target, exchange)

    def export(self, source: Source, tables: Sequence[str] | None) -> Iterator[bytes]:
        """Plain SQL for psql."""
        from backproof.engines.postgresql.select import export

        return export(source, tables)

    def by_hand(self, target: Target, manifest: Manifest) -> ByHand:
        """With psql."""
        from backproof.engines.postgresql.by_hand import by_hand

        return by_hand(target, manifest)

    def digest(self, target: Target, table: Table) -> Table:
        """Rows and digest over the table's own columns."""
        from backproof.engines.postgresql.digest import digest

        return digest(target, table)

    def scratch(
        self, manifest: Manifest, folder: Path, tool_folders: Sequence[Path] = (), reachable: bool = False
    ) -> AbstractContextManager[Target]:
        """A private server with an empty database that fits."""
        from backproof.engines.postgresql.scratch import scratch

        return scratch(manifest, folder, tool_folders, reachable)

    def admit(self, target: Target, login: str) -> Target:
        """A role that owns its tables."""
        from backproof.engines.postgresql.login import admit

        return admit(target, login)

    def dismiss(self, target: Target, login: str) -> None:
        """Drop it."""
        from backproof.engines.postgresql.login import dismiss

        dismiss(target, login)

    def sqlalchemy_url(self, target: Target) -> str:
        """For a plan's checks. Holds the password: never to be shown."""
        password = f":{quote(target.password.get_secret_value(), safe='')}" if target.password is not None else ""
        query = {"host": target.host, "port": str(target.port), **target.options}
        options = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in query.items())
        # The host as an option: it may be the folder of a Unix socket.
        user, database = quote(target.user, safe=""), quote(target.database, safe="")
        return f"postgresql+psycopg2://{user}{password}@/{database}?{options}"

    def url(self, target: Target) -> str:
        """As libpq reads it."""
        user, database = quote(target.user, safe=""), quote(target.database, safe="")
        secret = "" if target.password is None else f":{quote(target.password.get_secret_value(), safe='')}"
        socket = {"host": target.host, "port": str(target.port)} if target.host.startswith("/") else {}
        options = urlencode({**socket, **target.options}, quote_via=quote, safe="")
        place = "" if socket else f"{target.host}:{target.port}"
        return f"postgresql://{user}{secret}@{place}/{database}{'?' if options else ''}{options}"


ENGINE: Engine = PostgreSQL()
