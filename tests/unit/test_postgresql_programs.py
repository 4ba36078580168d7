"""What pg_dump is given and what is made of what it says; how names, texts and errors are put."""

import re
import stat
from pathlib import Path

import psycopg2
import pytest
from pydantic import SecretStr

from backproof.engines.postgresql import ENGINE, binaries, pgdump
from backproof.engines.postgresql.connect import message, quote_ident, quote_literal, quote_name, translate
from backproof.errors import (
    AccessDenied,
    BackproofError,
    Busy,
    ConfigurationError,
    ConnectionLost,
    DumpFailed,
    MissingTool,
    NoSpace,
    Permanent,
)
from backproof.records import Target

TARGET = Target(host="db", port=5432, database="a=b c", user="ann", password=SecretStr("p:a\\ss 'x"))


def test_no_name_and_no_secret_is_on_the_command_line() -> None:
    argv = pgdump.command(Path("/bin/pg_dump"), "data", "0003-1", "UTF8", 20)
    assert argv == [
        "/bin/pg_dump",
        "--format=plain",
        "--section=data",
        "--snapshot=0003-1",
        "--encoding=UTF8",
        "--lock-wait-timeout=20000",
        "--no-password",
    ]


def test_the_password_is_in_a_private_file_and_nowhere_else() -> None:
    with pgdump.environment(TARGET) as variables:
        path = Path(variables["PGPASSFILE"])
        assert path.read_text() == "*:*:*:*:p\\:a\\\\ss 'x\n"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert variables["PGDATABASE"] == "a=b c"
        assert not any("ss 'x" in value for value in variables.values())
    assert not path.exists()


def test_options_become_variables_beside_what_is_pinned() -> None:
    options = {"sslmode": "verify-full", "options": "-c work_mem=1MB"}
    with pgdump.environment(TARGET.model_copy(update={"options": options, "password": None})) as variables:
        assert variables["PGSSLMODE"] == "verify-full"
        assert variables["PGOPTIONS"].startswith("-c work_mem=1MB -c timezone=UTC ")
        assert "PGPASSFILE" not in variables


@pytest.mark.parametrize(
    "change", [{"options": {"sslpassword": "x"}}, {"password": SecretStr("two\nlines")}], ids=["option", "password"]
)
def test_what_no_variable_or_file_can_carry_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError), pgdump.environment(TARGET.model_copy(update=change)):
        pass


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("pg_dump: error: query failed: ERROR:  permission denied for table t", AccessDenied),
        ('pg_dump: error: query would be affected by row-level security policy for table "t"', AccessDenied),
        ("pg_dump: error: aborting because of server version mismatch", MissingTool),
        ("pg_dump: error: query failed: ERROR:  canceling statement due to statement timeout", Busy),
        ("pg_dump: error: query failed: ERROR:  cache lookup failed for function 123", Busy),
        ('pg_dump: error: connection to server at "db", port 1 failed: Connection refused', ConnectionLost),
        ("pg_dump: detail: Error message from server: server closed the connection unexpectedly", ConnectionLost),
        ("pg_dump: error: could not write to output file: No space left on device", NoSpace),
        ("pg_dump: error: something new", DumpFailed),
        ("", DumpFailed),
    ],
)
def test_what_pg_dump_says_becomes_one_of_our_errors(said: str, kind: type[BackproofError]) -> None:
    assert type(pgdump.failure("data", 1, said)) is kind


def test_rows_in_what_pg_dump_says_are_not_repeated() -> None:
    said = (
        'pg_dump: error: Dumping the contents of table "t" failed: PQgetResult() failed.\n'
        "pg_dump: detail: Error message from server: ERROR:  out of order\nDETAIL:  Key (mail)=(ann@x.org) is odd\n"
        "CONTEXT:  row ann@x.org\npg_dump: detail: Command was: COPY public.t (mail) TO stdout; -- ann@x.org"
    )
    error = pgdump.failure("data", 1, said)
    assert "out of order" in error.fact
    assert "ann" not in str(error)


def test_a_killed_pg_dump_is_told_as_such() -> None:
    assert "signal 9" in pgdump.failure("schema", -9, "").fact


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("orders", "orders"),
        ("_x1", "_x1"),
        ("Orders", '"Orders"'),
        ("1x", '"1x"'),
        ("user", '"user"'),
        ("a$b", '"a$b"'),
        ("name", "name"),
        ('a"b', '"a""b"'),
        ("é", '"é"'),
    ],
)
def test_names_are_quoted_only_where_they_must_be(name: str, written: str) -> None:
    assert quote_ident(name) == written
    assert quote_name("public", name) == f"public.{written}"


def test_texts_are_quoted_whatever_they_hold() -> None:
    assert quote_literal("it's") == "'it''s'"
    assert quote_literal("a\\'b") == "E'a\\\\''b'"
    for quote in (quote_ident, quote_literal):
        with pytest.raises(ValueError, match="NUL"):
            quote("a\0b")


def test_an_error_of_the_driver_without_a_state_is_a_lost_connection() -> None:
    assert isinstance(translate(psycopg2.OperationalError("server closed the connection")), ConnectionLost)
    assert isinstance(translate(psycopg2.InterfaceError("connection already closed")), ConnectionLost)
    among_rows = psycopg2.DatabaseError("server closed the connection unexpectedly\n\tThis probably means …")
    assert isinstance(translate(among_rows, DumpFailed), ConnectionLost)
    assert type(translate(psycopg2.ProgrammingError("no results"), DumpFailed)) is DumpFailed
    assert type(translate(psycopg2.ProgrammingError("no results"))) is Permanent
    assert message(psycopg2.OperationalError("one\ntwo")) == "one"


def test_the_url_for_checks_carries_names_of_any_kind() -> None:
    url = ENGINE.sqlalchemy_url(TARGET.model_copy(update={"host": "/run/my db"}))
    assert url == "postgresql+psycopg2://ann:p%3Aa%5Css%20%27x@/a%3Db%20c?host=%2Frun%2Fmy%20db&port=5432"


@pytest.mark.parametrize(
    ("version", "told"),
    [
        ("18.6", "before 18.7 a dump of a hostile database can run commands in psql (CVE-2026-18408)"),
        ("18.7", ""),
        ("17.5", "before 17.12 a dump of a hostile database can run commands in psql (CVE-2025-8714, CVE-2026-18408)"),
        ("17.6", "before 17.12 a dump of a hostile database can run commands in psql (CVE-2026-18408)"),
        ("16.16", ""),
        ("15.13", "before 15.20 a dump of a hostile database can run commands in psql (CVE-2025-8714, CVE-2026-18408)"),
        ("14.25", ""),
        ("13.23", "PostgreSQL 13 gets no security fixes any more"),
        ("19beta1", ""),
    ],
)
def test_programs_with_a_known_hole_are_named_with_the_first_version_that_has_none(version: str, told: str) -> None:
    major = int(re.match(r"\d+", version)[0])  # type: ignore[index]
    assert binaries.hole(binaries.Installation(major, version, Path("/usr/bin"))) == told
