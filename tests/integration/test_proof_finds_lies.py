"""A proof is the round trip and not less: archives that are sealed and signed validly, and lie, end ``failed``.

Each lie passes every check of bytes, keys and signatures. The same machinery, with nothing altered, passes.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from backproof.operations.prove import prove
from backproof.operations.seal import seal
from backproof.records import Target
from tests.support.fleets import PLAN, built, described, fleet_of
from tests.support.forging import copied, forge, replacing, without
from tests.support.postgres_fixtures import FreshDatabase, databases, execute

SHOP = """
CREATE TABLE orders (id serial PRIMARY KEY, note text, paid numeric);
INSERT INTO orders (note, paid) SELECT 'note ' || n, n * 1.5 FROM generate_series(1, 1000) n;
CREATE FUNCTION discount(amount numeric) RETURNS numeric LANGUAGE sql AS $$ SELECT amount * 0.9 $$;
CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
CREATE TRIGGER audit_orders AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION audit();
CREATE VIEW rich AS SELECT id FROM orders WHERE paid > 100;
COMMENT ON TABLE orders IS 'what people bought';
GRANT SELECT ON orders TO proof_reader;
ALTER TABLE orders ADD CONSTRAINT positive CHECK (paid > 0);
CREATE INDEX orders_by_note ON orders (note);
CREATE POLICY own ON orders USING (true);
"""

BIG = """
CREATE TABLE big (id integer, filler text);
INSERT INTO big SELECT n, 'row number ' || n FROM generate_series(1, 1000000) n;
"""


@pytest.fixture(scope="module")
def sealed(postgres18: Target, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, dict[str, Any]]]:
    """Fleets whose one store holds a true backup, by the name of their database; each lie forges a copy of it."""
    with databases() as fresh:
        execute(postgres18, "DO $$ BEGIN CREATE ROLE proof_reader; EXCEPTION WHEN duplicate_object THEN NULL; END $$")
        made = {}
        for name, script in (("shop", SHOP), ("big", BIG)):
            folder = tmp_path_factory.mktemp(name)
            stores = {"near": {"type": "local", "path": str(folder / "near")}}
            made[name] = described(fresh(postgres18, script), folder, stores)
            seal(built(made[name], folder), PLAN, "manual")
        yield made


LIES = {
    "one changed value": (
        replacing(b"\tnote 500\t", b"\tnote 5OO\t", "public.orders"),
        "TABLE DATA public.orders",
    ),
    "one missing row in a million": (
        replacing(b"777777\trow number 777777\n", b"", "public.big"),
        "TABLE DATA public.big",
    ),
    "one row twice": (
        replacing(b"5\trow number 5\n", b"5\trow number 5\n5\trow number 5\n", "public.big"),
        "TABLE DATA public.big",
    ),
    "two rows swapped": (
        replacing(b"7\trow number 7\n8\trow number 8\n", b"8\trow number 8\n7\trow number 7\n", "public.big"),
        "TABLE DATA public.big",
    ),
    "a null for an empty text": (
        replacing(b"\tnote 500\t", b"\t\\N\t", "public.orders"),
        "TABLE DATA public.orders",
    ),
    "one missing trigger": (without(rb"^CREATE TRIGGER audit_orders .*?;\n"), "TRIGGER public.orders audit_orders"),
    "one sequence off by one": (
        replacing(b"'public.orders_id_seq', 1000, true", b"'public.orders_id_seq', 999, true"),
        "SEQUENCE SET public.orders_id_seq",
    ),
    "one lost grant": (without(rb"^GRANT SELECT ON TABLE public\.orders TO proof_reader;\n"), "ACL public"),
    "one changed function body": (
        replacing(b"amount * 0.9", b"amount * 9.0"),
        "FUNCTION public.discount(numeric)",
    ),
    "one missing index": (without(rb"^CREATE INDEX orders_by_note .*?;\n"), "INDEX public.orders_by_note"),
    "one missing comment": (without(rb"^COMMENT ON TABLE public\.orders .*?;\n"), "COMMENT public"),
    "one changed view": (replacing(b"> (100)::numeric", b"> (101)::numeric"), "VIEW public.rich"),
    "one missing policy": (without(rb"^CREATE POLICY own .*?;\n"), "POLICY public.orders own"),
    "one weaker constraint": (replacing(b"paid > (0)::numeric", b"paid >= (0)::numeric"), "TABLE public.orders"),
    "one trigger too many": (
        replacing(
            b"CREATE TRIGGER audit_orders ",
            b"CREATE TRIGGER another AFTER INSERT ON public.orders FOR EACH ROW EXECUTE FUNCTION public.audit();\n"
            b"CREATE TRIGGER audit_orders ",
        ),
        "TRIGGER public.orders another",
    ),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_validly_signed_archive_that_lies_ends_failed_and_the_object_is_named(
    sealed: dict[str, dict[str, Any]], tmp_path: Path, lie: str
) -> None:
    alter, named = LIES[lie]
    fleet = copied(sealed["big" if "big" in named else "shop"], tmp_path)
    forge(fleet, PLAN, "near", alter)
    proof = prove(fleet, PLAN, "latest", "near")
    assert proof.verdict == "failed", proof.reason
    assert any(named in difference.object for difference in proof.differences), proof.reason
    assert named in proof.reason


@pytest.mark.parametrize("name", ["shop", "big"])
def test_the_same_machinery_with_nothing_altered_passes(
    sealed: dict[str, dict[str, Any]], tmp_path: Path, name: str
) -> None:
    fleet = copied(sealed[name], tmp_path)
    forge(fleet, PLAN, "near", lambda _, plain: plain, altered_at_least=0)
    proof = prove(fleet, PLAN, "latest", "near")
    assert proof.verdict == "passed", proof.reason


def test_an_accepted_lie_passes_by_name_and_reason_and_a_stale_acceptance_is_reported(
    postgres18: Target, fresh_database: FreshDatabase, tmp_path: Path
) -> None:
    schema = "CREATE TABLE t (a int); CREATE VIEW v AS SELECT a FROM t; COMMENT ON VIEW v IS 'about v';"
    accept = [
        {"object": "VIEW public.v", "reason": "made anew at every release"},
        {"object": "VIEW public.gone", "reason": "was made anew at every release"},
    ]
    fleet = fleet_of(fresh_database(postgres18, schema), tmp_path, accept=accept)
    seal(fleet, PLAN, "manual")
    forge(fleet, PLAN, "near", replacing(b"SELECT a\n", b"SELECT a + 0 AS a\n"))
    proof = prove(fleet, PLAN, "latest", "near")
    assert (proof.verdict, proof.unused_accepts) == ("passed", ("VIEW public.gone",)), proof.reason
    assert [difference.accepted for difference in proof.differences] == ["made anew at every release"]


def test_a_view_that_can_not_be_refreshed_again_fails_the_proof_unless_the_plan_accepts_it(
    postgres18: Target, fresh_database: FreshDatabase, tmp_path: Path
) -> None:
    schema = """
    CREATE FUNCTION here() RETURNS text LANGUAGE plpgsql AS $$ BEGIN RETURN current_setting('shop.here'); END $$;
    SET shop.here = 'yes'; CREATE MATERIALIZED VIEW places AS SELECT here();
    """
    accept = [{"object": "MATERIALIZED VIEW DATA public.places", "reason": "made by the application"}]
    database = fresh_database(postgres18, schema)
    described_once = described(database, tmp_path)
    seal(built(described_once, tmp_path), PLAN, "manual")
    proof = prove(built(described_once, tmp_path), PLAN, "latest", "near")
    assert (proof.verdict, [found.object for found in proof.differences]) == ("failed", [accept[0]["object"]])
    described_once["plans"][PLAN]["accept"] = accept
    assert prove(built(described_once, tmp_path), PLAN, "latest", "near").verdict == "passed"
