"""Several runs of pg_dump on one consistent point: together they are the dump that one alone would be."""

import pytest

from backproof.archive.tables import TableDigests
from backproof.comparison import EntryTexts
from backproof.engines import find
from backproof.engines.postgresql import shares
from backproof.operations.streams import interleave
from backproof.records import Table, Target
from tests.support.postgres_fixtures import FreshDatabase

SCHEMA = """
CREATE TABLE big (id serial PRIMARY KEY, a text);
INSERT INTO big (a) SELECT 'row ' || n FROM generate_series(1, 9000) n;
CREATE TABLE "Big ""Odd'* table" (id bigint GENERATED ALWAYS AS IDENTITY, "a.b" text);
INSERT INTO "Big ""Odd'* table" ("a.b") SELECT repeat('x', n % 50) FROM generate_series(1, 3000) n;
CREATE SCHEMA "Mixed Case"; CREATE TABLE "Mixed Case".big (a int); INSERT INTO "Mixed Case".big VALUES (1), (2);
CREATE TABLE "BIG" (a int); INSERT INTO "BIG" SELECT generate_series(1, 5000);
CREATE TABLE parted (k int, a text) PARTITION BY LIST (k);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES IN (1); CREATE TABLE parted_2 PARTITION OF parted DEFAULT;
INSERT INTO parted SELECT n % 3, 'p' || n FROM generate_series(1, 4000) n;
CREATE TABLE parent (a int); CREATE TABLE child (b int) INHERITS (parent);
INSERT INTO parent SELECT generate_series(1, 500); INSERT INTO child SELECT n, n FROM generate_series(1, 700) n;
CREATE TABLE empty (a int); SELECT lo_from_bytea(4242, 'large');
"""


def content(target: Target, jobs: int) -> tuple[dict[str, Table], dict[str, str], int]:
    engine, digests, entries = find("postgresql"), TableDigests(), EntryTexts()
    with engine.dump(target, jobs) as dump:
        streams = dump.data()
        for piece in interleave(streams):
            digests.add(piece)
            if piece.table is None:
                for entry in engine.entries(piece.head + piece.body + piece.tail):
                    entries.add(entry.key, engine.canonical(entry))
    return {table.name: table for table in digests.tables()}, entries.digests(), len(streams)


@pytest.mark.parametrize("jobs", [2, 3, 8])
def test_several_runs_together_are_the_dump_that_one_would_be(
    postgres: Target, fresh_database: FreshDatabase, monkeypatch: pytest.MonkeyPatch, jobs: int
) -> None:
    monkeypatch.setattr(shares, "WORTHWHILE_BYTES", 1)
    database = fresh_database(postgres, SCHEMA)
    alone, shared = content(database, 1), content(database, jobs)
    assert (alone[2], shared[2]) == (1, min(jobs, 8))
    assert shared[:2] == alone[:2]
    assert alone[0]["public.big"].rows == 9000
    assert "SEQUENCE SET public.big_id_seq" in alone[1]


def test_small_tables_are_not_worth_another_run(postgres18: Target, fresh_database: FreshDatabase) -> None:
    assert content(fresh_database(postgres18, SCHEMA), 4)[2] == 1


@pytest.mark.parametrize(
    ("sizes", "rest", "jobs", "expected"),
    [
        ([], 10, 4, []),
        ([("a", 9)], 0, 2, []),
        ([("a", 9)], 100, 2, [("a",)]),
        ([("a", 9), ("b", 8), ("c", 2)], 0, 2, [("b", "c")]),
        ([("a", 5), ("b", 5), ("c", 5)], 5, 3, [("a",), ("b",)]),
    ],
)
def test_shares_are_about_equal_and_the_first_run_keeps_the_rest(
    sizes: list[tuple[str, int]], rest: int, jobs: int, expected: list[tuple[str, ...]]
) -> None:
    assert shares.divided(sizes, rest, jobs) == expected
