"""A live schema of MariaDB, its backup restored beside it, and what tells whether either is whole."""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from backproof.engines.mysql import ENGINE
from backproof.records import Exchange, Obstacle, Target
from tests.support.mariadb_fixtures import execute, schemas
from tests.support.round_trip import MemorySource, compared, taken

RICH = """
CREATE SEQUENCE numbers START WITH 100 INCREMENT BY 3 NOCACHE;
CREATE TABLE t (id bigint DEFAULT NEXTVAL(numbers) PRIMARY KEY, b varchar(100), up bigint, KEY (up),
    CONSTRAINT itself FOREIGN KEY (up) REFERENCES t (id));
CREATE TABLE one (id int PRIMARY KEY, other int, KEY (other));
CREATE TABLE two (id int PRIMARY KEY, other int, FOREIGN KEY (other) REFERENCES one (id) ON DELETE CASCADE);
ALTER TABLE one ADD CONSTRAINT to_two FOREIGN KEY (other) REFERENCES two (id) ON DELETE SET NULL;
CREATE TABLE log (at timestamp(6) DEFAULT current_timestamp(6), what varchar(90)) ENGINE = MyISAM;
CREATE TABLE g (id int PRIMARY KEY, a int, b int AS (a * 2) STORED, d int AS (a + 1) VIRTUAL, KEY (d));
CREATE TABLE p (id int, at date, KEY (id)) PARTITION BY RANGE (YEAR(at))
    (PARTITION old VALUES LESS THAN (2020), PARTITION new VALUES LESS THAN MAXVALUE);
CREATE TABLE v (id int PRIMARY KEY, a int) WITH SYSTEM VERSIONING;
CREATE TABLE f (id int PRIMARY KEY, a text, FULLTEXT KEY (a));
CREATE TABLE `we ird``"'; DROP` (`col ``"` int);
INSERT INTO t (b) VALUES ('x'), ('y'); UPDATE t SET up = 100;
INSERT INTO one VALUES (1, NULL); INSERT INTO two VALUES (1, 1); UPDATE one SET other = 1;
INSERT INTO g (id, a) SELECT seq, seq FROM seq_1_to_9;
INSERT INTO p SELECT seq, '2019-01-01' + INTERVAL seq * 20 DAY FROM seq_1_to_50;
INSERT INTO v VALUES (1, 1); UPDATE v SET a = 2; INSERT INTO f VALUES (1, 'some words');
CREATE FUNCTION twice(x int) RETURNS int DETERMINISTIC RETURN 2 * x;
CREATE PROCEDURE note(IN what varchar(90)) MODIFIES SQL DATA INSERT INTO {schema}.log (what) VALUES (what);
CREATE TRIGGER second BEFORE INSERT ON t FOR EACH ROW SET NEW.b = concat(NEW.b, '2');
CREATE TRIGGER first BEFORE INSERT ON t FOR EACH ROW PRECEDES second SET NEW.b = concat(NEW.b, '1');
CREATE TRIGGER third BEFORE INSERT ON t FOR EACH ROW FOLLOWS second SET NEW.b = concat(NEW.b, twice(1));
CREATE TRIGGER noted AFTER INSERT ON t FOR EACH ROW CALL {schema}.note(NEW.b);
CREATE VIEW z AS SELECT id, b FROM t; CREATE VIEW a AS SELECT id FROM z WITH CASCADED CHECK OPTION;
CREATE VIEW m AS SELECT x.b, twice(t.id) AS twice FROM {schema}.z AS x JOIN {schema}.t USING (id);
CREATE EVENT tick ON SCHEDULE EVERY 1 SECOND STARTS '2030-01-01 00:00:00' DO INSERT INTO log (what) VALUES ('tick');
CREATE EVENT off ON SCHEDULE EVERY 1 DAY STARTS '2030-01-01 00:00:00' DISABLE DO CALL {schema}.note('off');
"""
"""With history, which a dump does not carry, and qualifiers of its own."""

SMALL = """
CREATE SEQUENCE s; CREATE TABLE t (id bigint DEFAULT NEXTVAL(s) PRIMARY KEY, b int); INSERT INTO t (b) VALUES (1), (2);
CREATE VIEW v AS SELECT b FROM t; CREATE PROCEDURE pr() SELECT 1;
CREATE TRIGGER r BEFORE INSERT ON t FOR EACH ROW SET NEW.b = NEW.b + 1;
CREATE EVENT e ON SCHEDULE EVERY 1 DAY STARTS '2030-01-01 00:00:00' DO DELETE FROM {schema}.t;
"""

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Scene:
    """A live schema that has gone on since its backup, and the backup beside it."""

    live: Target
    incoming: Target
    outgoing: Target
    source: MemorySource

    def planned(self) -> Exchange:
        plan = ENGINE.plan_exchange(self.live, self.incoming.database, self.outgoing.database, self.source)
        return Exchange.model_validate_json(plan.model_dump_json())

    def restored(self) -> None:
        ENGINE.create(self.incoming, self.source.manifest)
        assert [each for each in ENGINE.restore(self.source, self.incoming) if not each.startswith("EVENT")] == []

    def expect(self, target: Target, source: MemorySource) -> None:
        found = compared(ENGINE, source, taken(ENGINE, target), target)
        assert [f"{each.object}: {each.what}" for each in found] == []


@contextmanager
def scenes(where: Target, script: str, since: str) -> Iterator[Scene]:
    # Reading certificates takes half of the time of a test that connects so often.
    where = where.model_copy(update={"options": {"ssl_disabled": "true"}})
    with schemas() as fresh:
        live = fresh(where, name=f"live_{next(_numbers)}")
        execute(live, script.replace("{schema}", live.database))
        source = taken(ENGINE, live)
        execute(live, since.replace("{schema}", live.database))
        scene = Scene(live, live.to(f"{live.database}_new"), live.to(f"{live.database}_old"), source)
        try:
            scene.restored()
            yield scene
        finally:
            ENGINE.drop(scene.incoming)
            ENGINE.drop(scene.outgoing)


@pytest.fixture
def small(mariadb: Target) -> Iterator[Scene]:
    with scenes(mariadb, SMALL, "DELETE FROM t; DROP VIEW v; CREATE VIEW w AS SELECT id FROM t") as scene:
        yield scene


def events(target: Target) -> list[tuple[str, str]]:
    found = "SELECT EVENT_NAME, STATUS FROM information_schema.EVENTS WHERE EVENT_SCHEMA = DATABASE() ORDER BY 1"
    return list(execute(target, found))


def state(target: Target) -> list[object]:
    """Enough of a schema to tell whether it is whole."""
    schema = target.database
    code = sorted((kind, name) for kind, name in execute(target.to(""), _CODE, (schema,) * 4))
    tables = [name for (name,) in execute(target.to(""), _TABLES, (schema,))]
    rows = [execute(target, "SELECT b FROM t ORDER BY id"), execute(target, "SELECT LASTVAL(s)")]
    ((default,),) = execute(target.to(""), _DEFAULT, (schema,))
    return [code, tables, rows, default.replace(schema, "…"), events(target)]


_CODE = """
    SELECT 'VIEW', TABLE_NAME FROM information_schema.VIEWS WHERE TABLE_SCHEMA = %s
    UNION SELECT 'TRIGGER', TRIGGER_NAME FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = %s
    UNION SELECT 'ROUTINE', ROUTINE_NAME FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = %s
    UNION SELECT 'EVENT', EVENT_NAME FROM information_schema.EVENTS WHERE EVENT_SCHEMA = %s
"""
_TABLES = "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = %s ORDER BY 1"
_DEFAULT = """
    SELECT COLUMN_DEFAULT FROM information_schema.COLUMNS
    WHERE TABLE_SCHEMA = %s AND TABLE_NAME = 't' AND COLUMN_NAME = 'id'
"""


def found(target: Target) -> dict[str, Obstacle]:
    return {f"{each.kind} {each.name}": each for each in ENGINE.obstacles(target)}
