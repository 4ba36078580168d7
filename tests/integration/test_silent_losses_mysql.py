"""What MariaDB's stock tools lose and end with 0, and what we say of the same: each test shows both halves.

What other files show already is listed in docs/proving.md.
"""

import re
import time
from pathlib import Path

import pytest

from backproof import catalog
from backproof.engines.mysql import ENGINE
from backproof.errors import AccessDenied, BackproofError, Damaged, Permanent
from backproof.operations.prove import prove
from backproof.operations.restore import readiness, restore
from backproof.operations.seal import seal
from backproof.records import Target
from tests.support import stock
from tests.support.fleets import PLAN, fleet_of
from tests.support.mariadb_fixtures import FreshAccount, FreshSchema, execute
from tests.support.round_trip import taken

TRAILER = re.compile(rb"-- Dump completed on [^\n]+\n\Z")
USUAL = ("--single-transaction", "--quick", "--routines", "--triggers", "--events", "--hex-blob")


def dumped(target: Target, folder: Path, *arguments: str) -> bytes:
    """With success, and with the trailer that says so."""
    finished = stock.mariadb_dump(target, folder, *arguments)
    assert finished.returncode == 0, finished.stderr
    assert TRAILER.search(finished.stdout)
    return finished.stdout


def test_what_an_account_may_not_see(
    mariadb: Target, fresh_schema: FreshSchema, fresh_account: FreshAccount, tmp_path: Path
) -> None:
    """Triggers, events, routines, tables: they are not refused, they are not there."""
    live = fresh_schema(
        mariadb,
        "CREATE TABLE seen (a int); CREATE TABLE hidden (a int); INSERT INTO hidden VALUES (1);"
        "CREATE TRIGGER tr BEFORE INSERT ON seen FOR EACH ROW SET NEW.a = 1;"
        "CREATE EVENT ev ON SCHEDULE EVERY 1 DAY DISABLE DO SET @x = 1;"
        "CREATE PROCEDURE pr() SET @x = 1;",
    )
    name = live.database
    whole = dumped(live, tmp_path, *USUAL)
    for words in (b"`hidden`", b"TRIGGER `?tr", b"EVENT `ev`", b"PROCEDURE `pr`"):
        assert re.search(words, whole)
    poor = fresh_account(live, f"SELECT ON `{name}`.`seen`", "RELOAD, PROCESS ON *.*")
    without_events = [each for each in USUAL if each != "--events"]  # that one right is asked for
    half = dumped(poor, tmp_path, *without_events)
    assert b"CREATE TABLE `seen`" in half
    for words in (b"hidden", b"TRIGGER", b"PROCEDURE"):
        assert not re.search(words, half.replace(b"--triggers", b"")), words
    with pytest.raises(AccessDenied) as told:
        taken(ENGINE, poor)
    assert "GRANT " in told.value.remedy
    failed = {each.check for each in ENGINE.findings(poor) if each.status == "failed"}
    assert {"tables", "triggers", "events", "routines"} <= failed


def test_a_dump_that_was_forced_and_says_that_it_is_complete(
    mariadb: Target, fresh_schema: FreshSchema, tmp_path: Path
) -> None:
    """The stock tool ends with 2 here, but what it leaves is not to be told from a whole dump."""
    live = fresh_schema(mariadb, "CREATE TABLE t (a int); CREATE VIEW v AS SELECT * FROM t; CREATE TABLE u (a int)")
    execute(live, "DROP TABLE t")
    finished = stock.mariadb_dump(live, tmp_path, "--force")
    assert finished.returncode == 2
    assert TRAILER.search(finished.stdout)
    fleet = fleet_of(live, tmp_path, engine="mysql")
    with pytest.raises(BackproofError, match="v"):
        seal(fleet, PLAN, "manual")
    assert catalog.backups(fleet, PLAN) == []


def test_characters_that_a_dump_of_another_character_set_turns_into_question_marks(
    mariadb: Target, fresh_schema: FreshSchema, tmp_path: Path
) -> None:
    live = fresh_schema(mariadb, "CREATE TABLE t (id int PRIMARY KEY, a text CHARACTER SET utf8mb4)")
    execute(live, "INSERT INTO t VALUES (1, %s)", ("né 😀",))
    lost = dumped(live, tmp_path, "--default-character-set=latin1")
    copy = fresh_schema(mariadb)
    assert stock.mariadb(copy, tmp_path, lost).returncode == 0
    assert execute(copy, "SELECT a FROM t") == [("né ?",)]
    fleet = fleet_of(live, tmp_path, engine="mysql")
    manifest = seal(fleet, PLAN, "manual").manifest
    restore(fleet, PLAN, manifest.id, into := f"{live.database}_restored")
    try:
        assert execute(live.to(into), "SELECT a FROM t") == [("né 😀",)]
    finally:
        ENGINE.drop(live.to(into))


def test_numbers_of_more_digits_than_a_statement_can_say(
    mariadb: Target, fresh_schema: FreshSchema, tmp_path: Path
) -> None:
    live = fresh_schema(mariadb, "CREATE TABLE t (id int PRIMARY KEY, a double(200,0))")
    execute(live, "INSERT INTO t VALUES (1, 1e199)")
    copy = fresh_schema(mariadb)
    assert stock.mariadb(copy, tmp_path, dumped(live, tmp_path)).returncode == 0
    assert execute(copy, "SELECT a FROM t") == [(1e65,)]
    fleet = fleet_of(live, tmp_path, engine="mysql")
    manifest = seal(fleet, PLAN, "manual").manifest
    restore(fleet, PLAN, manifest.id, into := f"{live.database}_restored")
    try:
        assert execute(live.to(into), "SELECT a FROM t") == [(1e199,)]
    finally:
        ENGINE.drop(live.to(into))
    assert prove(fleet, PLAN, manifest.id, "near").verdict == "passed"
    # Rows of other engines come by statements.
    execute(live, "ALTER TABLE t ENGINE = MyISAM")
    proof = prove(fleet, PLAN, seal(fleet, PLAN, "manual").manifest.id, "near")
    assert proof.verdict == "failed"
    assert "TABLE DATA t" in proof.reason


def test_rows_that_come_without_what_opens_a_dump(mariadb: Target, fresh_schema: FreshSchema, tmp_path: Path) -> None:
    """Fed over a second connection: number 0 becomes another, moments move with the time zone."""
    live = fresh_schema(mariadb, "CREATE TABLE t (id int AUTO_INCREMENT PRIMARY KEY, at timestamp NULL)")
    zone = execute(mariadb, "SELECT @@GLOBAL.time_zone")[0]
    execute(
        live,
        [
            "SET sql_mode = 'NO_AUTO_VALUE_ON_ZERO', time_zone = '+00:00'",
            "INSERT INTO t VALUES (0, '2025-11-07 02:00')",
        ],
    )
    known = "SELECT id, UNIX_TIMESTAMP(at) FROM t"
    right = execute(live, known)
    text = dumped(live, tmp_path)
    opening, rows = text[: text.index(b"INSERT INTO")], text[text.index(b"INSERT INTO") :].split(b";\n")[0] + b";\n"
    copy = fresh_schema(mariadb)
    execute(mariadb, "SET GLOBAL time_zone = '+09:00'")
    try:
        assert stock.mariadb(copy, tmp_path, opening + b"UNLOCK TABLES;\n").returncode == 0
        assert stock.mariadb(copy, tmp_path, rows).returncode == 0
        assert execute(copy, known) == [(1, right[0][1] - 9 * 3600)]
        beside = fresh_schema(mariadb)
        ENGINE.restore(taken(ENGINE, live), beside, jobs=2)
        assert execute(beside, known) == right
    finally:
        execute(mariadb, "SET GLOBAL time_zone = %s", zone)


def test_a_copy_beside_that_reaches_the_live_schema(mariadb: Target, fresh_schema: FreshSchema, tmp_path: Path) -> None:
    """Its defaults draw from the live sequence, and its events run: two copies of the same work."""
    live = fresh_schema(mariadb, "CREATE TABLE log (a int); CREATE SEQUENCE s NOCACHE")
    name = live.database
    execute(live, [f"CREATE TABLE t (a bigint DEFAULT NEXTVAL(`{name}`.s) PRIMARY KEY, b int)"])
    execute(live, f"CREATE EVENT e ON SCHEDULE EVERY 1 SECOND DISABLE DO INSERT INTO `{name}`.log VALUES (0)")
    drawn = "SELECT next_not_cached_value FROM s"
    text = dumped(live, tmp_path, *USUAL, "--skip-add-locks")
    before = execute(live, drawn)
    copy = fresh_schema(mariadb)
    enabled = text.replace(b"DISABLE DO", b"ENABLE DO")  # as it lay there when it was dumped, an hour ago
    assert enabled != text
    assert stock.mariadb(copy, tmp_path, enabled).returncode == 0
    execute(copy, "INSERT INTO t (b) VALUES (1)")
    deadline = time.monotonic() + 30
    while execute(live, "SELECT count(*) FROM log") == [(0,)]:
        assert time.monotonic() < deadline, "its event never ran"
        time.sleep(0.1)
    execute(copy, "DROP EVENT e")
    assert execute(live, drawn) != before
    execute(live, ["DELETE FROM log", "ALTER EVENT e ENABLE"])
    source = taken(ENGINE, live)
    execute(live, ["ALTER EVENT e DISABLE", "DO SLEEP(1)", "DELETE FROM log"])
    before = execute(live, drawn)
    beside = fresh_schema(mariadb)
    told = ENGINE.restore(source, beside, jobs=2)
    execute(beside, "INSERT INTO t (b) VALUES (1)")
    time.sleep(2.2)
    assert execute(live, drawn) == before
    assert execute(live, "SELECT count(*) FROM log") == [(0,)]
    assert any("EVENT e was restored disabled" in sentence for sentence in told)


def test_history_and_sequences_that_are_not_what_they_were(
    mariadb: Target, fresh_schema: FreshSchema, tmp_path: Path
) -> None:
    live = fresh_schema(mariadb, "CREATE TABLE ver (a int) WITH SYSTEM VERSIONING; INSERT INTO ver VALUES (1)")
    execute(live, ["UPDATE ver SET a = 2", "CREATE SEQUENCE s CACHE 100", "DO NEXTVAL(s)"])
    history = "SELECT count(*) FROM ver FOR SYSTEM_TIME ALL"
    copy = fresh_schema(mariadb)
    assert stock.mariadb(copy, tmp_path, dumped(live, tmp_path, "--skip-add-locks")).returncode == 0
    assert (execute(live, history), execute(copy, history)) == ([(2,)], [(1,)])
    assert (execute(live, "SELECT NEXTVAL(s)"), execute(copy, "SELECT NEXTVAL(s)")) == ([(2,)], [(101,)])
    fleet = fleet_of(live, tmp_path, engine="mysql")
    manifest = seal(fleet, PLAN, "manual").manifest
    said = " ".join([*manifest.database.not_carried, *prove(fleet, PLAN, manifest.id, "near").not_covered])
    assert "ver" in said
    assert re.search(r"[Ss]equence", said), said


def test_a_dump_whose_longest_statement_no_server_of_its_kind_takes(
    mariadb: Target, fresh_schema: FreshSchema, tmp_path: Path
) -> None:
    """A byte of a BLOB may be two of a statement: what was written by one statement is restored by none."""
    before = execute(mariadb, "SELECT @@GLOBAL.max_allowed_packet")[0]
    live = fresh_schema(mariadb, "CREATE TABLE files (id int PRIMARY KEY, content longblob)")
    try:
        execute(mariadb, "SET GLOBAL max_allowed_packet = 16777216")
        execute(live, "INSERT INTO files VALUES (1, repeat(char(0), 10000000))")
        text = dumped(live, tmp_path, "--hex-blob")
        copy = fresh_schema(mariadb)
        lost = stock.mariadb(copy, tmp_path, text)
        assert lost.returncode != 0
        assert execute(copy, "SELECT count(*) FROM files") == [(0,)]
        fleet = fleet_of(live, tmp_path, engine="mysql")
        seal(fleet, PLAN, "manual")
        [_, _, told] = readiness(fleet, PLAN)
        assert (told.status, "max_allowed_packet of 2" in told.found) == ("warning", True)
        assert "SET GLOBAL max_allowed_packet = 33554432" in told.remedy
        into = f"{live.database}_restored"
        restore(fleet, PLAN, "latest", into)
        known = "SELECT md5(content) FROM files"
        assert execute(live.to(into), known) == execute(live, known)
        ENGINE.drop(live.to(into))
        execute(mariadb, "SET GLOBAL local_infile = 0")
        with pytest.raises(Permanent, match="max_allowed_packet of 2"):
            restore(fleet, PLAN, "latest", into)
        assert (into,) not in execute(mariadb, "SHOW DATABASES")
    finally:
        execute(mariadb, "SET GLOBAL max_allowed_packet = %s, local_infile = 1", before)


def test_a_script_that_runs_what_a_dump_never_holds(mariadb: Target, fresh_schema: FreshSchema, tmp_path: Path) -> None:
    """Without its first line, which came in 2024, a dump can run a program where it is restored, and ends with 0."""
    live = fresh_schema(mariadb, "CREATE TABLE t (a int); INSERT INTO t VALUES (1)")
    text = dumped(live, tmp_path)
    sandbox, rest = text.split(b"\n", 1)
    assert b"sandbox" in sandbox
    mark = tmp_path / "mark"
    hostile = b"\\! touch %s\n" % str(mark).encode()
    assert stock.mariadb(fresh_schema(mariadb), tmp_path, sandbox + b"\n" + hostile + rest).returncode != 0
    assert not mark.exists()
    assert stock.mariadb(fresh_schema(mariadb), tmp_path, hostile + rest).returncode == 0
    assert mark.exists()
    mark.unlink()
    source = taken(ENGINE, live).replaced(lambda member, old: hostile + old if member.table is None else old)
    with pytest.raises(Damaged):
        ENGINE.restore(source, fresh_schema(mariadb))
    assert not mark.exists()


def test_a_dump_cut_between_statements(mariadb: Target, fresh_schema: FreshSchema, tmp_path: Path) -> None:
    live = fresh_schema(mariadb, "CREATE TABLE a (n int); CREATE TABLE b (n int); INSERT INTO a VALUES (1)")
    execute(live, "INSERT INTO b VALUES (1)")
    text = dumped(live, tmp_path)
    copy = fresh_schema(mariadb)
    assert stock.mariadb(copy, tmp_path, text[: text.index(b"LOCK TABLES `b`")]).returncode == 0
    assert execute(copy, "SELECT (SELECT count(*) FROM a), (SELECT count(*) FROM b)") == [(1, 0)]
    near = {"near": {"type": "local", "path": str(tmp_path / "near")}}
    fleet = fleet_of(live, tmp_path, near, engine="mysql", encryption="none", key=None)
    manifest = seal(fleet, PLAN, "manual").manifest
    [archive] = (tmp_path / "near").rglob(f"{manifest.id}.sql.gz")
    archive.chmod(0o600)
    archive.write_bytes(archive.read_bytes()[: manifest.members[-1].offset])
    assert prove(fleet, PLAN, manifest.id, "near").verdict == "failed"
    with pytest.raises(Damaged):
        restore(fleet, PLAN, manifest.id, "never_made")
    assert ("never_made",) not in execute(mariadb, "SHOW DATABASES")
