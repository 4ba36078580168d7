"""What mariadb-dump is given and what is made of what it says; how rows are shared out, and names looked for."""

import os
import stat
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import pymysql
import pytest
from pydantic import SecretStr

from backproof import subprocesses
from backproof.engines.mysql import dumptool, patience
from backproof.engines.mysql.connect import message, scrubbed, translate
from backproof.engines.mysql.globals import account
from backproof.engines.mysql.grants import pattern
from backproof.engines.mysql.inventory import Catalogue, TableFacts, batches
from backproof.engines.mysql.shares import NAMED_AT_MOST, Share
from backproof.engines.mysql.shares import shares as dividing
from backproof.errors import (
    AccessDenied,
    AlreadyExists,
    BackproofError,
    Busy,
    ConfigurationError,
    ConnectionLost,
    DumpFailed,
    NoSpace,
    NotFound,
    Permanent,
)
from backproof.parallel.shares import WORTHWHILE_BYTES
from backproof.records import Target

TARGET = Target(host="db", port=3307, database="--all", user="ann", password=SecretStr("p:a\\ss 'x\" #;"))

TOOL = Path("/bin/mariadb-dump")
OPTIONS = Path("/tmp/options")


def test_what_is_a_name_can_be_no_option_and_no_secret_is_on_the_command_line() -> None:
    argv = dumptool.rows(TOOL, "mariadb", OPTIONS, "--all", by_key=True, as_bytes=True, tables=["-x", "t"])
    assert argv[:2] == ["/bin/mariadb-dump", "--defaults-file=/tmp/options"]
    assert argv[argv.index("--") :] == ["--", "--all", "-x", "t"]
    assert "--order-by-primary" in argv
    assert "--order-by-primary" not in dumptool.rows(TOOL, "mariadb", OPTIONS, "a", by_key=False, as_bytes=True)
    assert not any("pass" in word for word in argv)


def test_tables_that_are_left_out_are_left_out_by_their_full_names() -> None:
    argv = dumptool.rows(TOOL, "mariadb", OPTIONS, "a.b", by_key=True, as_bytes=False, but=["c d"])
    assert "--ignore-table=a.b.c d" in argv
    assert argv[-2:] == ["--", "a.b"]


@pytest.mark.parametrize("flavour", ["mariadb", "mysql"])
def test_definitions_and_rows_are_read_in_one_transaction_and_leave_nothing_out(flavour: str) -> None:
    definitions = dumptool.definitions(TOOL, flavour, OPTIONS, "a")  # type: ignore[arg-type]
    assert {"--single-transaction", "--no-data", "--triggers", "--routines", "--events"} <= set(definitions)
    rows = dumptool.rows(TOOL, flavour, OPTIONS, "a", by_key=True, as_bytes=False)  # type: ignore[arg-type]
    assert {"--single-transaction", "--hex-blob", "--default-character-set=utf8mb4"} <= set(rows)
    rows = dumptool.rows(TOOL, flavour, OPTIONS, "a", by_key=True, as_bytes=True)  # type: ignore[arg-type]
    assert {"--single-transaction", "--default-character-set=binary"} <= set(rows)
    assert "--hex-blob" not in rows  # with the other one, all text would be digits
    assert ("--set-gtid-purged=OFF" in rows) is (flavour == "mysql")


def test_whom_to_connect_to_is_in_a_private_file_and_nowhere_else() -> None:
    with dumptool.option_file(TARGET, "mariadb") as path:
        assert path.read_text().splitlines() == [
            "[client]",
            "protocol=tcp",
            'user="ann"',
            'host="db"',
            "port=3307",
            'password="p:a\\\\ss \'x\\" #;"',
        ]
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not path.exists()


def test_a_folder_as_host_is_a_unix_socket(tmp_path: Path) -> None:
    with dumptool.option_file(TARGET.model_copy(update={"host": str(tmp_path)}), "mariadb") as path:
        lines = path.read_text().splitlines()
    assert "protocol=socket" in lines
    assert f'socket="{tmp_path}/mysqld.sock"' in lines
    assert not any(line.startswith(("host", "port")) for line in lines)


@pytest.mark.parametrize(
    ("options", "flavour", "expected"),
    [
        ({"ssl_ca": "/ca.pem", "ssl_verify_cert": "true"}, "mariadb", ['ssl-ca="/ca.pem"', "ssl-verify-server-cert"]),
        ({"ssl_disabled": "yes"}, "mariadb", ["skip-ssl"]),
        ({"ssl_verify_cert": "false"}, "mariadb", []),
        ({"ssl_verify_identity": "on"}, "mysql", ["ssl-mode=VERIFY_IDENTITY"]),
        ({"ssl_verify_cert": "1"}, "mysql", ["ssl-mode=VERIFY_CA"]),
        ({"ssl_disabled": "true"}, "mysql", ["ssl-mode=DISABLED"]),
        ({"connect_timeout": "5"}, "mysql", []),
    ],
)
def test_options_are_put_in_the_words_of_the_tool(options: dict[str, str], flavour: str, expected: list[str]) -> None:
    target = TARGET.model_copy(update={"options": options, "password": None})
    with dumptool.option_file(target, flavour) as path:  # type: ignore[arg-type]
        assert path.read_text().splitlines()[5:] == expected


@pytest.mark.parametrize(
    "change",
    [
        {"options": {"sslmode": "require"}},
        {"options": {"ssl_verify_cert": "perhaps"}},
        {"password": SecretStr("two\nlines")},
        {"user": "a\nb"},
    ],
)
def test_what_an_option_file_can_not_carry_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError), dumptool.option_file(TARGET.model_copy(update=change), "mariadb"):
        pass


@pytest.mark.parametrize(
    ("said", "kind", "told"),
    [
        ("Error 1412: Table definition has changed, please retry transaction when dumping table `big` at row: 0", Busy,
         "`big`"),
        ("Couldn't execute 'show create table `t`': Table 'a.t' doesn't exist (1146)", Busy, "a.t"),
        ("Couldn't find table: \"nope\"", Busy, "nope"),
        ("Error 2013: Lost connection to server during query when dumping table `t` at row: 9", ConnectionLost, "2013"),
        ("Got error: 2002: \"Can't connect to server on 'db' (115)\" when trying to connect", ConnectionLost, "'db'"),
        ("Got error: 1045: \"Access denied for user 'a'@'b' (using password: YES)\" when trying to connect",
         AccessDenied, "Access denied"),
        ("Couldn't execute 'show events': Access denied for user 'a'@'%' to database 'x' (1044)", AccessDenied, "'x'"),
        ("Couldn't execute 'SHOW FIELDS FROM `v`': execute command denied to user 'a'@'%' for routine 'x.fn' (1370)",
         AccessDenied, "x.fn"),
        ("pb has insufficient privileges to SHOW CREATE FUNCTION `fn`!", AccessDenied, "`fn`"),
        ("Couldn't execute 'SHOW FIELDS FROM `v`': View 'x.v' references invalid table(s) (1356)", DumpFailed, "x.v"),
        ("Got error: 1049: \"Unknown database 'x'\" when selecting the database", NotFound, "'x'"),
        ("Got error: 2026: \"TLS/SSL error: SSL is required\" when trying to connect", ConfigurationError, "SSL"),
        ("Error 1021: Disk full (/tmp/x); waiting when dumping table `t` at row: 9", NoSpace, "Disk full"),
        ("Error 9999: something new", DumpFailed, "something new"),
    ],
)  # fmt: skip
def test_what_the_tool_says_becomes_one_of_our_errors(said: str, kind: type[BackproofError], told: str) -> None:
    error = dumptool.failure("the rows", 2, f"mariadb-dump: Deprecated program name.\nmariadb-dump: {said}\n")
    assert type(error) is kind
    assert told in error.fact
    assert error.remedy


def test_a_tool_that_says_nothing_or_was_killed_is_told_as_such() -> None:
    assert "says nothing" in dumptool.failure("the rows", 3, "").fact
    assert "signal 9" in dumptool.failure("the rows", -9, "mariadb-dump: anything").fact


def test_rows_in_what_the_tool_says_are_not_repeated() -> None:
    said = "mariadb-dump: Error 1366: Incorrect string value: 'ann@x.org' for column when dumping table `t` at row: 4"
    error = dumptool.failure("the rows", 2, said)
    assert "ann" not in str(error)
    assert "`t`" in error.fact


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Duplicate entry 'ann's o'x' for key 'PRIMARY'", "Duplicate entry '…' for key 'PRIMARY'"),
        ("Incorrect integer value: 'ann' for column `a`.`b`.`c` at row 1",
         "Incorrect integer value: '…' for column `a`.`b`.`c` at row 1"),
        ("right syntax to use near ''ann', 'b'' at line 1", "right syntax to use near '…' at line 1"),
        ('Data "ann" here', 'Data "…" here'),
        ("Value 'ann is cut", "Value '…"),
        ("Table 'a.t' doesn't exist", "Table 'a.t' doesn't exist"),
        ("SELECT command denied to user 'a'@'b' for table `c`.`d`",
         "SELECT command denied to user 'a'@'b' for table `c`.`d`"),
        ("two\n lines", "two lines"),
    ],
)  # fmt: skip
def test_values_in_messages_of_a_server_are_blanked_and_names_are_not(text: str, expected: str) -> None:
    assert scrubbed(text) == expected


@pytest.mark.parametrize(
    ("number", "text", "kind"),
    [
        (1045, "Access denied", AccessDenied),
        (1142, "SELECT command denied", AccessDenied),
        (1049, "Unknown database 'x'", NotFound),
        (1007, "Can't create database", AlreadyExists),
        (1205, "Lock wait timeout exceeded", Busy),
        (1040, "Too many connections", Busy),
        (2013, "Lost connection", ConnectionLost),
        (2013, "Lost connection ([SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed)", ConfigurationError),
        (3159, "Connections using insecure transport are prohibited", ConfigurationError),
        (1114, "The table 't' is full", NoSpace),
        (1030, "Got error 28 \"No space left on device\" from storage engine", NoSpace),
        (1062, "Duplicate entry 'TLS certificate' for key 'a'", Permanent),
        (1366, "Incorrect value: 'No space left'", Permanent),
        (1045, "Access denied for user 'SSL'@'x'", AccessDenied),
    ],
)  # fmt: skip
def test_a_driver_s_error_becomes_one_of_ours(number: int, text: str, kind: type[BackproofError]) -> None:
    assert type(translate(pymysql.err.OperationalError(number, text))) is kind


def test_what_code_of_the_database_says_is_not_repeated() -> None:
    error = pymysql.err.OperationalError(1644, "ann owes us 5")
    assert "ann" not in message(error)
    assert isinstance(translate(pymysql.err.InterfaceError(0, "")), ConnectionLost)
    assert type(translate(pymysql.err.ProgrammingError(1064, "near"), DumpFailed)) is DumpFailed


def facts(
    name: str, size: int = 0, by_key: bool = True, changed: datetime | None = None, as_bytes: bool = True
) -> TableFacts:
    definition = (("a", "int", "", None),)
    return TableFacts(name, "InnoDB", True, False, as_bytes, by_key, ("a",), size, changed, definition)


def shares(tables: Sequence[TableFacts], jobs: int, tool_writes_bytes: bool = True) -> list[Share]:
    return dividing(tables, jobs, tool_writes_bytes)


BIG = WORTHWHILE_BYTES


def test_each_table_is_in_one_share_and_the_largest_comes_first() -> None:
    tables = [facts("a", BIG), facts("b", 5), facts("c", 3 * BIG), facts("d", 2 * BIG), facts("e", 1, by_key=False)]
    found = shares(tables, 2)
    assert sorted(each.name for share in found for each in share.tables) == ["a", "b", "c", "d", "e"]
    assert [[each.name for each in share.tables] for share in found] == [["d", "a", "b"], ["c"], ["e"]]
    assert [share.by_key for share in found] == [True, True, False]
    assert not any(share.everything_but for share in found)


def test_large_tables_that_can_not_be_read_by_key_take_a_run_of_those_there_may_be() -> None:
    tables = [facts("a", BIG), facts("b", BIG), facts("e", BIG, by_key=False)]
    assert [[each.name for each in share.tables] for share in shares(tables, 2)] == [["a", "b"], ["e"]]
    assert [len(share.tables) for share in shares(tables, 3)] == [1, 1, 1]


def test_tables_that_are_read_as_they_lie_are_divided_too() -> None:
    tables = [facts("a", BIG, by_key=False), facts("b", BIG, by_key=False), facts("c", 1)]
    assert [[each.name for each in share.tables] for share in shares(tables, 2)] == [["c"], ["a"], ["b"]]


def test_a_run_writes_bytes_or_text() -> None:
    tables = [facts("a"), facts("b", as_bytes=False), facts("c", by_key=False)]
    found = [([each.name for each in share.tables], share.by_key, share.as_bytes) for share in shares(tables, 2)]
    assert found == [(["a"], True, True), (["b"], True, False), (["c"], False, True)]
    assert [share.as_bytes for share in shares(tables, 2, tool_writes_bytes=False)] == [False, False]


@pytest.mark.parametrize("jobs", [1, 2, 8])
def test_there_is_no_empty_share(jobs: int) -> None:
    assert shares([], jobs) == []
    assert len(shares([facts("a", 9 * BIG)], jobs)) == 1
    assert len(shares([facts("a", BIG, by_key=False)], jobs)) == 1
    assert len(shares([facts(str(number)) for number in range(9)], jobs)) == 1


def test_more_tables_than_one_may_name_are_those_that_are_not_left_out() -> None:
    many = [facts(str(number)) for number in range(NAMED_AT_MOST + 1)]
    first, second = shares([*many, facts("a", BIG), facts("b", BIG)], 2)
    assert (first.everything_but, second.everything_but) == (True, False)
    assert len(second.tables) == 1


def test_few_and_small_tables_are_counted_at_once() -> None:
    small = [facts(str(number), 1024) for number in range(120)]
    large = [facts("large", 1 << 30), facts("larger", 1 << 31)]
    found = list(batches([*small[:60], *large, *small[60:]]))
    assert [each for batch in found for each in batch] == [*small[:60], *large, *small[60:]]
    assert [len(batch) for batch in found] == [50, 10, 1, 1, 50, 10]


def test_a_change_of_the_catalogue_names_the_object() -> None:
    before = Catalogue({}, {"VIEW v": "1", "TABLE t": "1", "EVENT e": "1"}, {}, 0)
    after = Catalogue({}, {"VIEW v": "2", "TABLE t": "1", "TRIGGER n": "1"}, {}, 0)
    assert before.changes(after) == ["VIEW v was changed", "EVENT e was dropped", "TRIGGER n was created"]
    assert before.changes(before) == []


def test_of_tables_only_those_asked_for_and_there_before_count() -> None:
    early, late = datetime(2025, 1, 1), datetime(2025, 1, 2)
    before = {"a b": facts("a b", changed=early), "b": facts("b", changed=early), "c": facts("c", changed=early)}
    now = {"a b": facts("a b", changed=late), "c": facts("c", changed=early), "new": facts("new")}
    catalogue = Catalogue(before, {}, {}, 0)
    assert catalogue.tables_changed(["c"], now) == []
    assert catalogue.tables_changed(before, now) == [
        "TABLE `a b` was changed",
        "TABLE b was dropped or renamed",
    ]


def test_a_connection_that_is_lost_amidst_rows_may_be_a_row_that_is_too_long() -> None:
    said = "mariadb-dump: Error 2013: Lost connection to server during query"
    amidst = dumptool.failure("rows", 3, f"{said} when dumping table `t` at row: 9")
    assert isinstance(amidst, ConnectionLost)
    assert "max_allowed_packet" in amidst.remedy
    elsewhere = dumptool.failure(
        "the definitions", 2, 'mariadb-dump: Got error: 2013: "Lost connection" when connecting'
    )
    assert "max_allowed_packet" not in elsewhere.remedy


def test_names_are_put_as_a_grant_and_an_account_take_them() -> None:
    assert pattern("my_shop%\\`x") == "`my\\_shop\\%\\\\``x`"
    assert account("ann@db.example") == "`ann`@`db.example`"
    assert account("a@b@%") == "`a@b`@`%`"
    assert account("reader") == "`reader`"


def test_what_was_read_ahead_of_a_slow_reader_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "NUDGE_SECONDS", 0.02)
    monkeypatch.setattr(patience, "_CHUNK_BYTES", 10)
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as pipe:
        patient = patience.PatientPipe(pipe)
        os.write(writing, bytes(range(100)))
        with patience.patient([patient]):
            time.sleep(0.2)
        held = len(patient._held)
        assert held >= 20
        os.close(writing)
        assert _read(patient, 5) + _read(patient, 200) == bytes(range(100))
        assert _read(patient, 5) == b""
    patient.nudge()


def test_what_is_read_ahead_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "NUDGE_SECONDS", 0)
    monkeypatch.setattr(patience, "_CHUNK_BYTES", 10)
    monkeypatch.setattr(patience, "_HELD_BYTES", 30)
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as pipe:
        patient = patience.PatientPipe(pipe)
        os.write(writing, bytes(1000))
        os.close(writing)
        for _ in range(20):
            patient.nudge()
        assert len(patient._held) <= 40
        assert _read(patient, 2000) == bytes(1000)


def _read(pipe: patience.PatientPipe, size: int) -> bytes:
    buffer = bytearray(size)
    return bytes(buffer[: pipe.readinto(memoryview(buffer))])


def test_what_makes_the_tool_write_more_at_once_is_understood_by_this_machine() -> None:
    ended = subprocesses.run(["seq", "3"], deadline_seconds=60, env=dumptool.ENVIRONMENT)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, b"1\n2\n3\n", "")
