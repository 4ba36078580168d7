"""MariaDB, and MySQL by the same hand: mariadb-dump (or mysqldump) writes, the wire protocol restores.

This file assembles the contract; each part is a module of its own, imported when it is first used, so that what only
lists backups does not load a driver. Tested on MariaDB 10.11; what differs in MySQL 8 is in docs/mysql.md.

::

    dump      point, locks (commits held, snapshots)  dumptool, runs, shares (the program)
              pieces, lines, patience (its rows)  globals, inventory (the catalogue)
              characters, events, places (what it can't carry, or not write)
    text      names, lexer, shapes (statements)  text (entries)  definition (of a table)  rewrite (the own name)
    restore   restore, restoring, creating  keys (added last)  load, bulk (rows)  select, calls (some tables)  guard
              sequences  sessions  provide, database, unfinished, full_disk, digest, host, by_hand
    exchange  exchange, rotation  moving (tables)  belongings, code (all else)  clearing (who is in the way)
              marker (how far it came)  obstacles
    beside    live_tables, held (the backup's rows in a schema of their own)  beside (compared)  putting_back
    tables    replacing, linking (foreign keys)
    servers   binaries, server, system_tables, scratch
    rights    privileges, sight, findings, grants  login (of a staged application)
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
    from backproof.engines.mysql.beside import MysqlBeside
    from backproof.engines.mysql.dump import MysqlDump


class MySQL:
    """The contract of ``backproof.engines`` for MariaDB and MySQL."""

    name = "mysql"
    spellings: Sequence[str] = ("mariadb",)

    def findings(self, target: Target, tool_folders: Sequence[Path] = ()) -> list[Finding]:
        """Preflight."""
        from backproof.engines.mysql.findings import findings

        return findings(target, tool_folders)

    def grants(self, target: Target) -> Grants:
        """Least-privilege SQL."""
        from backproof.engines.mysql.grants import grants

        return grants(target)

    def lock(self, target: Target, plan: str) -> AbstractContextManager[None]:
        """A named lock of the server, held by a connection of its own."""
        from backproof.engines.mysql.lock import lock

        return lock(target, plan)

    def dump(
        self, target: Target, jobs: int = 1, tool_folders: Sequence[Path] = (), tool_version: str | None = None
    ) -> "AbstractContextManager[MysqlDump]":
        """Open a consistent point."""
        from backproof.engines.mysql.dump import open_dump

        return open_dump(target, jobs, tool_folders, tool_version)

    def entries(self, text: bytes) -> Iterator[Entry]:
        """Divide schema or finish text."""
        from backproof.engines.mysql.text import entries

        return entries(text)

    def canonical(self, entry: Entry) -> bytes:
        """An entry's text as compared."""
        from backproof.engines.mysql.text import canonical

        return canonical(entry)

    def shape(self, entry: Entry) -> bytes:
        """As compared, without the next value of AUTO_INCREMENT."""
        from backproof.engines.mysql.text import shape

        return shape(entry)

    def lacks(self, target: Target, manifest: Manifest) -> list[Lack]:
        """What the target server lacks."""
        from backproof.engines.mysql.provide import lacks

        return lacks(target, manifest)

    def host(self, target: Target, manifest: Manifest) -> Host:
        """The server beside what an archive needs."""
        from backproof.engines.mysql.host import host

        return host(target, manifest)

    def same_server(self, one: Target, other: Target) -> bool:
        """By a lock that is held on the one and seen on the other."""
        from backproof.engines.mysql.same_server import same_server

        return same_server(one, other)

    def is_home(self, target: Target, manifest: Manifest) -> bool:
        """By the server's own id."""
        from backproof.engines.mysql.same_server import is_home

        return is_home(target, manifest)

    def provide(self, target: Target, manifest: Manifest, lacks: Iterable[Lack]) -> None:
        """Create missing accounts, locked, and roles."""
        from backproof.engines.mysql.provide import provide

        provide(target, manifest, lacks)

    def create(self, target: Target, manifest: Manifest) -> bool:
        """Make the empty schema."""
        from backproof.engines.mysql.database import create

        return create(target, manifest)

    def unfinished(self, target: Target, manifest: Manifest) -> AbstractContextManager[None]:
        """A table in it says so."""
        from backproof.engines.mysql.unfinished import unfinished

        return unfinished(target, manifest)

    def resolve(self, source: Source, tables: Sequence[str]) -> tuple[str, ...]:
        """The tables that a person's names mean."""
        from backproof.engines.mysql.select import chosen_tables

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
        """Fill the empty schema."""
        from backproof.engines.mysql.restore import restore

        return restore(source, target, jobs, tables, keep_order, progress, accept_mentions)

    def beside(
        self, source: Source, target: Target, room: Target, table: str, key: Sequence[str] = (), jobs: int = 1
    ) -> "AbstractContextManager[MysqlBeside]":
        """In the schema ``room``."""
        from backproof.engines.mysql.beside import beside

        return beside(source, target, room, table, key, jobs)

    def links_of(self, target: Target, tables: Sequence[str]) -> dict[str, JsonValue]:
        """Of the catalogue."""
        from backproof.engines.mysql.replacing import links_of

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
        """They are restored into ``room``, and moved by one statement."""
        from backproof.engines.mysql.replacing import replace_tables

        return replace_tables(source, target, room, tables, links, accept_orphans, dry_run, jobs, changing, kept)

    def apply_globals(self, target: Target, manifest: Manifest) -> list[str]:
        """Grants on the schema, for accounts that exist."""
        from backproof.engines.mysql.database import apply_globals

        return apply_globals(target, manifest)

    def drop(self, target: Target) -> None:
        """Remove a schema that ``create`` made."""
        from backproof.engines.mysql.database import drop

        drop(target)

    def exists(self, target: Target) -> bool:
        """Whether there is such a schema."""
        from backproof.engines.mysql.database import exists

        return exists(target)

    def recovery_lock(self, target: Target, plan: str) -> AbstractContextManager[None]:
        """A named lock of the server, held by a connection to no schema."""
        from backproof.engines.mysql.lock import recovery_lock

        return recovery_lock(target, plan)

    def obstacles(self, target: Target) -> list[Obstacle]:
        """What keeps the live schema from being exchanged."""
        from backproof.engines.mysql.obstacles import obstacles

        return obstacles(target)

    def plan_exchange(self, target: Target, incoming: str, outgoing: str, source: Source) -> Exchange:
        """The code of both schemas, which a rename does not carry."""
        from backproof.engines.mysql.exchange import plan_exchange

        return plan_exchange(target, incoming, outgoing, source)

    def exchange(self, target: Target, exchange: Exchange) -> None:
        """All tables in one RENAME TABLE."""
        from backproof.engines.mysql.exchange import exchange as put

        put(target, exchange)

    def undo(self, target: Target, exchange: Exchange) -> None:
        """All tables back in one RENAME TABLE."""
        from backproof.engines.mysql.exchange import undo

        undo(target, exchange)

    def exchanged(self, target: Target, exchange: Exchange) -> Place:
        """A table of ours tells."""
        from backproof.engines.mysql.exchange import exchanged

        return exchanged(target, exchange)

    def export(self, source: Source, tables: Sequence[str] | None) -> Iterator[bytes]:
        """Plain SQL for the stock client."""
        from backproof.engines.mysql.select import export

        return export(source, tables)

    def by_hand(self, target: Target, manifest: Manifest) -> ByHand:
        """With the client."""
        from backproof.engines.mysql.by_hand import by_hand

        return by_hand(target, manifest)

    def digest(self, target: Target, table: Table) -> Table:
        """Rows and digest over the table's own columns."""
        from backproof.engines.mysql.digest import digest

        return digest(target, table)

    def scratch(
        self, manifest: Manifest, folder: Path, tool_folders: Sequence[Path] = (), reachable: bool = False
    ) -> AbstractContextManager[Target]:
        """A private server with an empty schema that fits."""
        from backproof.engines.mysql.scratch import scratch

        return scratch(manifest, folder, tool_folders, reachable)

    def admit(self, target: Target, login: str) -> Target:
        """An account with all rights on the schema."""
        from backproof.engines.mysql.login import admit

        return admit(target, login)

    def dismiss(self, target: Target, login: str) -> None:
        """Drop it."""
        from backproof.engines.mysql.login import dismiss

        dismiss(target, login)

    def sqlalchemy_url(self, target: Target) -> str:
        """For a plan's checks. Holds the password: never to be shown."""
        password = ""
        if target.password is not None:
            # The driver writes a text in latin1, and the server takes it for what it is.
            secret = target.password.get_secret_value().encode().decode("latin-1")
            password = f":{quote(secret, safe='')}"
        # Times are compared in UTC, as ``:taken_at`` is given.
        query = {"charset": "utf8mb4", "init_command": "SET time_zone = '+00:00'", **target.options}
        if target.host.startswith("/"):
            query["unix_socket"] = f"{target.host}/mysqld.sock"
            place = ""
        else:
            place = f"{target.host}:{target.port}"
        user, database = quote(target.user, safe=""), quote(target.database, safe="")
        return f"mysql+pymysql://{user}{password}@{place}/{database}?{urlencode(query, quote_via=quote)}"

    def url(self, target: Target) -> str:
        """As frameworks read it."""
        user, database = quote(target.user, safe=""), quote(target.database, safe="")
        secret = "" if target.password is None else f":{quote(target.password.get_secret_value(), safe='')}"
        if target.host.startswith("/"):
            socket = quote(f"{target.host}/mysqld.sock", safe="")
            return f"mysql://{user}{secret}@localhost/{database}?unix_socket={socket}"
        return f"mysql://{user}{secret}@{target.host}:{target.port}/{database}"


ENGINE: Engine = MySQL()
