"""Archives of MariaDB that are sealed and signed validly, and lie, end ``failed``; untouched, they pass."""

from collections.abc import Iterator
from typing import Any

import pytest

from backproof.operations.prove import prove
from backproof.operations.seal import seal
from backproof.records import Target
from tests.support.fleets import PLAN, built, described
from tests.support.forging import copied, forge, replacing, without
from tests.support.mariadb_fixtures import execute, schemas

SHOP = """
CREATE TABLE orders (id int AUTO_INCREMENT PRIMARY KEY, note varchar(99), paid decimal(10,2)) COMMENT 'as bought';
INSERT INTO orders (note, paid) SELECT concat('note ', seq), seq * 1.5 FROM seq_1_to_1000;
ALTER TABLE orders ADD CONSTRAINT positive CHECK (paid > 0);
CREATE INDEX orders_by_note ON orders (note);
CREATE SEQUENCE numbers START WITH 100;
CREATE FUNCTION discount(amount decimal(10,2)) RETURNS decimal(10,2) DETERMINISTIC RETURN amount * 0.9;
CREATE TRIGGER audit_orders BEFORE INSERT ON orders FOR EACH ROW SET NEW.note = NEW.note;
CREATE VIEW rich AS SELECT id FROM orders WHERE paid > 100;
CREATE EVENT tidy ON SCHEDULE EVERY 1 DAY DO DELETE FROM orders WHERE id < 0;
"""

BIG = """
CREATE TABLE big (id int PRIMARY KEY, filler varchar(99));
INSERT INTO big SELECT seq, concat('row number ', seq) FROM seq_1_to_1000000;
"""

LIES = {
    "one changed value": (replacing(b"'note 500'", b"'note 5OO'", "orders"), "orders"),
    "a null for a text": (replacing(b"'note 500'", b"NULL", "orders"), "orders"),
    "one missing row in a million": (replacing(b"(777777,'row number 777777'),\n", b"", "big"), "big"),
    "one row too many": (
        replacing(b"(5,'note 5',7.50)", b"(5,'note 5',7.50),\n(-5,'note 5',7.50)", "orders"),
        "orders",
    ),
    "one missing trigger": (
        without(
            rb"^/\*!50003 SET @saved_cs_client[^\n]*\n(?:(?!SET @saved_cs_client).)*?TRIGGER audit_orders"
            rb".*?@saved_col_connection \*/ ;\n"
        ),
        "TRIGGER audit_orders",
    ),
    "one changed function body": (replacing(b"amount * 0.9", b"amount * 9.0"), "FUNCTION discount"),
    "one changed view": (replacing(b"`paid` > 100", b"`paid` > 101"), "VIEW rich"),
    "one changed event": (replacing(b"WHERE id < 0", b"WHERE id < 1"), "EVENT tidy"),
    "one missing index": (without(rb",\n  KEY `orders_by_note` \(`note`\)"), "TABLE orders"),
    "one weaker constraint": (replacing(b"CHECK (`paid` > 0)", b"CHECK (`paid` >= 0)"), "TABLE orders"),
    "one missing comment": (without(rb" COMMENT='as bought'"), "TABLE orders"),
    "one sequence off by one": (replacing(b"SETVAL(`numbers`, 100, 0)", b"SETVAL(`numbers`, 101, 0)"), "numbers"),
}


@pytest.fixture(scope="module")
def sealed(mariadb: Target, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """Fleets whose one store holds a true backup, by the name of their schema; each lie forges a copy of it."""
    with schemas() as fresh:
        made = {}
        for name, script in (("shop", SHOP), ("big", BIG)):
            folder = tmp_path_factory.mktemp(name)
            shop = fresh(mariadb)
            execute(shop, "SET sql_log_bin = 0; " + script)
            near = {"near": {"type": "local", "path": str(folder / "near")}}
            made[name] = described(shop, folder, near, engine="mariadb")
            seal(built(made[name], folder), PLAN, "manual")
        yield made


@pytest.mark.parametrize("lie", LIES)
def test_a_validly_signed_archive_that_lies_ends_failed_and_the_object_is_named(
    sealed: dict[str, Any], tmp_path: Any, lie: str
) -> None:
    alter, named = LIES[lie]
    fleet = copied(sealed["big" if named == "big" else "shop"], tmp_path)
    forge(fleet, PLAN, "near", alter)
    proof = prove(fleet, PLAN, "latest", "near")
    assert proof.verdict == "failed", proof.reason
    assert any(named in difference.object for difference in proof.differences), proof.reason
    assert named in proof.reason


def test_the_same_machinery_with_nothing_altered_passes(sealed: dict[str, Any], tmp_path: Any) -> None:
    fleet = copied(sealed["shop"], tmp_path)
    forge(fleet, PLAN, "near", lambda _, plain: plain, altered_at_least=0)
    proof = prove(fleet, PLAN, "latest", "near")
    assert proof.verdict == "passed", proof.reason
