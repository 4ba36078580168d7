"""What the engine contract needs of each engine's world: a server, and a database with something in it."""

from collections.abc import Callable
from dataclasses import dataclass

from backproof.records import Target
from tests.support import postgres_fixtures

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
)

HARNESSES = (POSTGRESQL,)
