"""The kinds of database that every fault is tried on: what a test must know of each, and nothing else of them."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backproof.engines.mysql.server import private_server as start_mariadb
from backproof.engines.postgresql.server import private_server as start_postgresql
from backproof.records import Target
from tests.support import mariadb_fixtures, postgres_fixtures


@dataclass(frozen=True)
class Kind:
    """One kind of database, for tests that know no kind."""

    engine: str
    """As a fleet spells it."""
    server: str
    """The fixture that gives an administrator's target."""
    tool: str
    """The program that dumps, as the system calls its processes."""
    daemon: str
    """The program that serves."""
    private: Callable[..., AbstractContextManager[Target]]
    """A server of the test's own."""
    start: Callable[[Path], AbstractContextManager[Target]]
    """One in a folder, whose data outlives it."""
    pid_file: str
    """In the server's data folder."""
    fresh: Callable[[], AbstractContextManager[Callable[..., Target]]]
    """A factory of databases, dropped when its context ends."""
    execute: Callable[..., list[Any]]
    everywhere: str
    """Where to ask a server about all of it."""
    names: str
    """The query for the names of all databases."""
    sessions: str
    """The query for our sessions on a database."""
    drop: str
    """Removes a database."""
    fingerprint: str
    """The query for what is the same where a database has the same rows in ``orders`` and ``files``, in any order."""
    shop: str
    """500 ``orders`` with a trigger, and ``big``, which is more than fits into pipes and buffers: its dump tool still
    runs when the first piece comes."""
    files: str
    """Ten megabytes that don't compress: more than a small disk holds, and two parts of an upload."""

    def __str__(self) -> str:
        return self.engine

    def ask(self, target: Target, query: str, *parameters: str) -> list[Any]:
        """Rows of a query about the whole server."""
        return self.execute(target.to(self.everywhere), query, parameters or None)

    def databases(self, target: Target) -> set[str]:
        return {name for (name,) in self.ask(target, self.names)}

    def remove(self, target: Target) -> None:
        """Drop a database that may be there."""
        self.execute(target.to(self.everywhere), self.drop.format(target.database))


POSTGRESQL = Kind(
    engine="postgresql",
    server="postgres18",
    tool="pg_dump",
    daemon="postgres",
    private=lambda **options: postgres_fixtures.server(18, **options),
    start=lambda folder: start_postgresql(18, folder, port=0, password=postgres_fixtures.PASSWORD, durable=True),
    pid_file="postmaster.pid",
    fresh=postgres_fixtures.databases,
    execute=postgres_fixtures.execute,
    everywhere="postgres",
    names="SELECT datname::text FROM pg_database",
    sessions="SELECT application_name FROM pg_stat_activity WHERE application_name LIKE 'backproof%%' AND datname = %s",
    drop='DROP DATABASE IF EXISTS "{}" WITH (FORCE)',
    fingerprint="""
        SELECT count(*), sum(hashtextextended(t::text, 0)) FROM orders t
        UNION ALL SELECT count(*), sum(hashtextextended(t::text, 0)) FROM files t
    """,
    shop="""
        CREATE TABLE orders (id serial PRIMARY KEY, note text);
        INSERT INTO orders (note) SELECT 'note ' || n FROM generate_series(1, 500) n;
        CREATE TABLE big AS SELECT i, repeat('x', 1000) AS t FROM generate_series(1, 20000) i;
        CREATE INDEX ON big (i);
        CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
        CREATE TRIGGER touch_orders BEFORE UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION touch();
    """,
    files="""
        CREATE TABLE files (id serial PRIMARY KEY, note text, content bytea);
        INSERT INTO files (note, content) SELECT 'note ' || n, decode((
            SELECT string_agg(md5(n::text || i::text), '') FROM generate_series(1, 256) i), 'hex')
            FROM generate_series(1, 2500) n;
        CREATE INDEX ON files (note);
        CREATE VIEW notes AS SELECT note FROM files;
    """,
)

MARIADB = Kind(
    engine="mariadb",
    server="mariadb",
    tool="mariadb-dump",
    daemon="mariadbd",
    private=mariadb_fixtures.server,
    start=lambda folder: start_mariadb(folder, port=0, password=mariadb_fixtures.PASSWORD, durable=True),
    pid_file="mysqld.pid",
    fresh=mariadb_fixtures.schemas,
    execute=mariadb_fixtures.execute,
    everywhere="",
    names="SELECT SCHEMA_NAME FROM information_schema.SCHEMATA",
    sessions="SELECT id FROM information_schema.processlist WHERE db = %s",
    drop="DROP DATABASE IF EXISTS `{}`",
    fingerprint="""
        SELECT count(*), sum(crc32(concat(id, note))) FROM orders
        UNION ALL SELECT count(*), sum(crc32(concat(id, note, content))) FROM files
    """,
    shop="""
        CREATE TABLE orders (id int AUTO_INCREMENT PRIMARY KEY, note text);
        INSERT INTO orders (note) SELECT concat('note ', seq) FROM seq_1_to_500;
        CREATE TABLE big (i int, t text, KEY (i));
        INSERT INTO big SELECT seq, repeat('x', 1000) FROM seq_1_to_20000;
        CREATE TRIGGER touch_orders BEFORE UPDATE ON orders FOR EACH ROW SET NEW.note = NEW.note;
    """,
    files="""
        CREATE TABLE files (id int AUTO_INCREMENT PRIMARY KEY, note varchar(99), content blob, KEY (note));
        INSERT INTO files (note, content) SELECT concat('note ', seq), concat(
            random_bytes(1024), random_bytes(1024), random_bytes(1024), random_bytes(1024)) FROM seq_1_to_2500;
        CREATE VIEW notes AS SELECT note FROM files;
    """,
)

KINDS = (POSTGRESQL, MARIADB)
