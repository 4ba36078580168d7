"""What the engine contract needs of each engine's world: a server, and a database with something in it."""

from collections.abc import Callable
from dataclasses import dataclass

from backproof.records import Target
from tests.support import mariadb_fixtures, postgres_fixtures

Run = Callable[[Target, str], list[tuple[object, ...]]]


@dataclass(frozen=True)
class Harness:
    """One kind of database, for tests that know no kind."""

    engine: str
    servers: tuple[str, ...]
    """Fixtures that give an administrator's target, one a version."""
    run: Run
    """Run a script; returns the rows of its last query."""
    script: str
    """Makes ``child`` (200 rows, of many lengths) with a foreign key to ``parent`` (10 rows), and an empty ``bare``."""
    child: str
    parent: str
    bare: str
    """The names of these tables as the dump writes them, given the database's name as ``{database}``."""
    databases: str
    """A query for the names of all databases."""
    logins: str
    """A query for the names of all who may log in."""


POSTGRESQL = Harness(
    engine="postgresql",
    servers=("postgres15", "postgres16", "postgres18"),
    run=lambda target, script: postgres_fixtures.execute(target, script),
    script="""
        CREATE TABLE parent (id serial PRIMARY KEY, name text); CREATE TABLE bare (id int);
        CREATE TABLE child (id int PRIMARY KEY, parent_id int REFERENCES parent, "some text" text);
        INSERT INTO parent (name) SELECT 'parent ' || i FROM generate_series(1, 10) i;
        INSERT INTO child SELECT i, 1 + i % 10, repeat('ü' || E'\\\\\\n', (i * 7919) % 5000)
        FROM generate_series(1, 200) i;
        CREATE VIEW seen AS SELECT * FROM child; COMMENT ON TABLE child IS 'with text';
    """,
    child="public.child",
    parent="public.parent",
    bare="public.bare",
    databases="SELECT datname::text FROM pg_database",
    logins="SELECT rolname::text FROM pg_roles WHERE rolcanlogin",
)

MYSQL = Harness(
    engine="mysql",
    servers=("mariadb", "mariadb_plain"),
    run=lambda target, script: mariadb_fixtures.execute(target, script),
    script="""
        CREATE TABLE parent (id int AUTO_INCREMENT PRIMARY KEY, name varchar(50)); CREATE TABLE bare (id int);
        CREATE TABLE child (
            id int PRIMARY KEY, parent_id int, `some text` mediumtext COMMENT 'with text', KEY by_parent (parent_id),
            FOREIGN KEY (parent_id) REFERENCES parent (id));
        INSERT INTO parent (name) SELECT CONCAT('parent ', seq) FROM seq_1_to_10;
        INSERT INTO child SELECT seq, 1 + seq % 10, REPEAT('ü\\\n', (seq * 7919) % 5000) FROM seq_1_to_200;
        CREATE VIEW seen AS SELECT * FROM child;
        CREATE TRIGGER named BEFORE INSERT ON parent FOR EACH ROW SET NEW.name = COALESCE(NEW.name, 'nobody');
    """,
    child="child",
    parent="parent",
    bare="bare",
    databases="SELECT schema_name FROM information_schema.schemata",
    logins="SELECT CONCAT(User, '@', Host) FROM mysql.user WHERE is_role = 'N'",
)

HARNESSES = (POSTGRESQL, MYSQL)

WORLDS = tuple((harness, harness.servers[0]) for harness in HARNESSES)
"""Each engine, and the fixture of the server on which it is tried where one is enough."""
