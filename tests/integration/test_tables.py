"""One table of a backup against the live one, on real servers: what differs, and the missing rows put back."""

import csv
import stat
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet
import pytest

from backproof.errors import AlreadyExists, ConfigurationError, NotFound, Obstructed, Permanent
from backproof.operations.tables import diff, salvage
from backproof.records import RowCounts
from tests.support.engine_harness import MYSQL
from tests.support.fleets import PLAN
from tests.support.recovering import Live, World, on_each_engine
from tests.support.tables_zoo import TABLES

ODD = 'it\'s "odd", \\ %s \t'


made = on_each_engine(TABLES)


@pytest.fixture(scope="module")
def live(made: World) -> Iterator[Live]:
    """One for all tests that use tables of their own."""
    yield made.live()
    assert [name for name in made.databases() if name.startswith("backproof_tables_")] == [], (
        "nothing is left beside it"
    )


@pytest.fixture
def fresh(made: World) -> Live:
    """One for a test alone."""
    return made.live()


def compared(live: Live, table: str, *key: str, to: Path | None = None) -> RowCounts:
    return diff(live.fleet, PLAN, live.world.backup, table, key, to).rows


def counted(live: Live, table: str) -> int:
    ((count,),) = live.run(f"SELECT count(*) FROM {table}")
    return int(str(count))


def test_an_equal_table_has_no_differences_and_a_damaged_one_just_those(live: Live) -> None:
    assert compared(live, "child") == RowCounts(backup=200, live=200, missing=0, changed=0, new=0)
    live.run("DELETE FROM stay")
    live.run("DELETE FROM child WHERE id > 190")
    live.run("UPDATE child SET parent_id = NULL WHERE id <= 3")
    live.run("INSERT INTO child VALUES (1001, 1, 'new'), (1002, NULL, NULL)")
    assert compared(live, "child") == RowCounts(backup=200, live=192, missing=10, changed=3, new=2)


def test_odd_values_are_told_apart_and_written_as_they_are(live: Live, tmp_path: Path) -> None:
    quoted = ODD.replace("\\", "\\\\") if live.world.harness is MYSQL else ODD
    name = "'" + quoted.replace("'", "''") + "'"
    of = "`of`" if live.world.harness is MYSQL else '"of"'
    assert compared(live, "odd").changed == 0
    live.run(f"UPDATE odd SET raw = NULL, amount = 1.51 WHERE name = {name}")
    live.run("DELETE FROM odd WHERE name = ''")
    live.run(f"INSERT INTO odd (name, {of}, amount) VALUES ('line\nline', 'c', 7)")
    live.run("UPDATE odd SET is_new = true WHERE name = 'ü€😀'")
    to = tmp_path / "odd.csv"
    assert compared(live, "odd", to=to) == RowCounts(backup=3, live=3, missing=1, changed=2, new=1)
    assert stat.S_IMODE(to.stat().st_mode) == 0o600
    with to.open(newline="") as file:
        heading, *found = list(csv.reader(file))
    assert heading[:6] == ["difference", "of", "name", "of", "raw", "amount"]
    assert "twice" not in heading
    assert [row[:4] for row in found if row[0] in ("missing", "new")] == [
        ["missing", "backup", "", "null"],
        ["new", "live", "line\nline", "c"],
    ]
    before, after = [row for row in found if row[2] == ODD]
    assert (before[1], before[4].lower()[-6:], before[5]) == ("backup", "00ff27", "1.50")
    assert (after[1], after[4], after[5]) == ("live", "", "1.51")
    assert '"missing","backup","","null",' in to.read_text(), "an empty text is no NULL"
    _expect_the_same_in_parquet(live, to, tmp_path / "odd.parquet")


def _expect_the_same_in_parquet(live: Live, as_csv: Path, to: Path) -> None:
    compared(live, "odd", to=to)
    assert stat.S_IMODE(to.stat().st_mode) == 0o600
    with as_csv.open(newline="") as file:
        heading, *rows = list(csv.reader(file))
    table = pyarrow.parquet.read_table(to)
    assert table.column_names == ["difference", "of", *(f"{each}_" if each == "of" else each for each in heading[2:])]
    found = [[*row.values()] for row in table.to_pylist()]
    assert [[value or "" for value in row] for row in found] == rows
    empty = next(row for row in found if row[0] == "missing")
    assert empty[2] == "", "an empty text is no NULL"
    assert any(value is None for row in found for value in row)


def test_a_key_is_asked_for_where_there_is_none_and_one_that_is_none_is_refused(live: Live) -> None:
    with pytest.raises(ConfigurationError, match=r"no primary key.*--key"):
        compared(live, "keyless")
    with pytest.raises(ConfigurationError, match="NULL in 1 of"):
        compared(live, "keyless", "a")
    live.run("UPDATE keyless SET b = 'one'")
    with pytest.raises(ConfigurationError, match="no key: 1 of its values"):
        compared(live, "keyless", "b")
    live.run("DELETE FROM keyless; INSERT INTO keyless VALUES (1, 'one'), (2, 'two'), (3, 'zwei')")
    with pytest.raises(ConfigurationError, match="no column nothing"):
        compared(live, "keyless", "nothing")
    assert compared(live, "keyless", "b").missing == 1


def test_a_table_that_is_not_there_is_told(live: Live, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no table childs"):
        compared(live, "childs")
    live.run("DROP TABLE bare")
    with pytest.raises(NotFound, match=r"live database has no table.*bare"):
        compared(live, "bare", "id")
    (tmp_path / "there.csv").touch()
    with pytest.raises(AlreadyExists):
        compared(live, "child", to=tmp_path / "there.csv")
    with pytest.raises(ConfigurationError, match="CSV or Parquet"):
        compared(live, "child", to=tmp_path / "rows.xlsx")


def test_columns_that_came_or_went_are_told_and_the_rest_is_compared(live: Live) -> None:
    live.run("ALTER TABLE parent ADD COLUMN since int DEFAULT 7")
    live.run("ALTER TABLE parent DROP COLUMN name")
    found = diff(live.fleet, PLAN, live.world.backup, "parent")
    assert (found.rows.missing, found.rows.changed, found.rows.new) == (0, 0, 0)
    assert [sentence.split()[1] for sentence in found.left_out] == ["name", "since"]


def put_back(live: Live, table: str, *key: str, **asked: bool) -> dict[str, tuple[int, int]]:
    made = salvage(live.fleet, PLAN, live.world.backup, table, key, **asked)
    return {each.table.split(".")[-1]: (each.inserted, each.left_out) for each in made.tables}


def test_missing_rows_come_back_with_the_parents_they_need_and_live_rows_stay(fresh: Live) -> None:
    live = fresh
    live.run("DELETE FROM stay WHERE id > 4")
    live.run("DELETE FROM child WHERE id > 3 AND id NOT IN (1, 2, 3, 4)")
    live.run("UPDATE place SET up = NULL")
    live.run("DELETE FROM place WHERE id IN (5, 8, 9)")
    live.run("UPDATE child SET parent_id = NULL WHERE id = 1")
    dry = put_back(live, "stay", dry_run=True)
    assert (counted(live, "stay"), counted(live, "place")) == (4, 6)
    done = put_back(live, "stay")
    assert done == dry == {"stay": (5, 0), "place": (3, 0), "child": (5, 0)}
    assert counted(live, "stay") == 9
    assert live.run("SELECT id FROM child WHERE id > 4 ORDER BY id") == [(5,), (6,), (7,), (8,), (9,)]
    assert live.run("SELECT count(*) FROM child WHERE parent_id IS NULL") == [(1,)], "a live row stays"
    put_back(live, "child")
    live.run("UPDATE child SET parent_id = 2 WHERE id = 1")
    live.run("UPDATE place SET up = id - 1 WHERE id > 1")
    for table in ("child", "place", "stay", "parent"):
        rows = compared(live, table)
        assert (rows.missing, rows.changed, rows.new) == (0, 0, 0)
    assert put_back(live, "child") == {"child": (0, 0)}


def test_rows_that_need_each_other_in_a_circle_come_back(live: Live) -> None:
    live.run("UPDATE egg SET hen = NULL")
    live.run("DELETE FROM hen")
    live.run("DELETE FROM egg")
    assert put_back(live, "hen") == {"hen": (1, 0), "egg": (1, 0)}
    assert live.run("SELECT hen FROM egg") == [(1,)]


def test_a_row_that_a_live_one_keeps_out_stays_out_and_numbers_go_on(fresh: Live) -> None:
    live = fresh
    live.run("DELETE FROM stay WHERE id = 9")
    live.run("DELETE FROM place WHERE id = 9")
    live.run("INSERT INTO place (code) VALUES ('p9')")
    assert put_back(live, "place") == {"place": (0, 1)}
    assert put_back(live, "stay") == {"stay": (1, 0)}
    live.run("DELETE FROM stay")
    live.run("UPDATE place SET up = NULL")
    live.run("DELETE FROM place")
    again = "AUTO_INCREMENT = 1" if live.world.harness is MYSQL else "ALTER COLUMN id RESTART WITH 1"
    live.run(f"ALTER TABLE place {again}")
    assert put_back(live, "place") == {"place": (9, 0)}
    live.run("INSERT INTO place (code) VALUES ('next')")
    ((given,),) = live.run("SELECT id FROM place WHERE code = 'next'")
    assert int(str(given)) > 9


def test_what_can_t_be_put_back_is_told_and_nothing_changes(fresh: Live) -> None:
    live = fresh
    live.run("DELETE FROM stay")
    live.run("CREATE TABLE later (id int PRIMARY KEY)")
    live.run("ALTER TABLE stay ADD FOREIGN KEY (child_id) REFERENCES later (id)")
    with pytest.raises(Obstructed, match=r"9 missing rows of .*stay need rows of .*later"):
        put_back(live, "stay")
    assert counted(live, "stay") == 0
    live.run("DROP VIEW seen")
    live.run("DELETE FROM child WHERE id = 200")
    text = "`some text`" if live.world.harness is MYSQL else '"some text"'
    live.run(f"UPDATE child SET {text} = 'short'")
    shorter = f"MODIFY {text} varchar(9)" if live.world.harness is MYSQL else f"ALTER {text} TYPE varchar(9)"
    live.run(f"ALTER TABLE child {shorter}")
    with pytest.raises(Permanent):
        put_back(live, "child")
    assert counted(live, "child") == 199


def test_triggers_are_silent_or_refuse_and_fire_where_that_is_said(live: Live) -> None:
    live.run("DELETE FROM watched")
    if live.world.harness is MYSQL:
        with pytest.raises(Obstructed, match="watching"):
            put_back(live, "watched")
    else:
        assert put_back(live, "watched") == {"watched": (2, 0)}
        assert counted(live, "log") == 0
        live.run("DELETE FROM watched")
    assert put_back(live, "watched", fire_triggers=True) == {"watched": (2, 0)}
    assert counted(live, "log") == 2
    live.run("INSERT INTO watched VALUES (3)")
    assert counted(live, "log") == 3, "the trigger is what it was"


def test_a_partitioned_table_is_one(live: Live) -> None:
    live.run("DELETE FROM part WHERE id = 2")
    assert compared(live, "part", "id") == RowCounts(backup=2, live=1, missing=1, changed=0, new=0)
    assert put_back(live, "part", "id") == {"part": (1, 0)}
    assert counted(live, "part") == 2
