"""What a role must be given to back up and to restore: exactly what is printed; with any line missing it is told."""

import itertools
import os
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from pydantic import SecretStr

from backproof.engines.postgresql import ENGINE, binaries
from backproof.errors import BackproofError
from backproof.records import Finding, Target
from tests.support.postgres_fixtures import connection, execute
from tests.support.round_trip import MemorySource, taken

SHOP = """
GRANT CREATE ON DATABASE {database} TO {app};
SET ROLE {app};
CREATE SCHEMA "Shop";
CREATE TABLE "Shop".orders (id serial PRIMARY KEY, note text);
INSERT INTO "Shop".orders (note) VALUES ('first'), ('second');
CREATE TABLE public.plain (id int REFERENCES "Shop".orders);
CREATE VIEW public.seen AS SELECT * FROM public.plain;
CREATE FUNCTION public.same() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
CREATE TRIGGER same BEFORE INSERT ON public.plain FOR EACH ROW EXECUTE FUNCTION public.same();
CREATE MATERIALIZED VIEW public.counted AS SELECT count(*) FROM public.plain;
RESET ROLE;
"""

POLICIES = """
ALTER TABLE "Shop".orders ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON "Shop".orders USING (note = current_user);
"""

LARGE_OBJECTS = "SET ROLE {app}; SELECT lo_from_bytea(0, 'large'); RESET ROLE;"

_numbers = itertools.count(1)


class Shop:
    """A database of an application's role, and a role without any right to it."""

    def __init__(self, server: Target, database: Target, app: str, role: str) -> None:
        self.admin = database
        self.app = app
        self.target = database.model_copy(update={"user": role, "password": SecretStr("pw")})
        self.server = server

    def run(self, script: str) -> list[Any]:
        return execute(self.admin, script.replace("{app}", self.app).replace("{database}", self.admin.database))

    def findings(self) -> dict[str, Finding]:
        return {finding.check: finding for finding in ENGINE.findings(self.target)}

    def failed(self) -> set[str]:
        return {check for check, finding in self.findings().items() if finding.status == "failed"}


@pytest.fixture
def shop(postgres, fresh_database) -> Iterator[Shop]:
    number = f"{os.getpid()}_{next(_numbers)}"
    app, role = f"app_{number}", f'bäck "up" {number}'
    quoted = '"' + role.replace('"', '""') + '"'
    execute(postgres, f"CREATE ROLE {app}; CREATE ROLE {quoted} LOGIN PASSWORD 'pw'")
    database = fresh_database(postgres, options=f"OWNER {app}")
    made = Shop(postgres, database, app, role)
    made.run(SHOP)
    yield made
    for each in (f"{database.database}", f"{database.database}_restored"):
        execute(postgres, f"DROP DATABASE IF EXISTS {each} WITH (FORCE)")
    execute(postgres, f"DROP OWNED BY {quoted}; DROP ROLE {quoted}; DROP OWNED BY {app}; DROP ROLE {app}")


def statements(sql: str) -> list[str]:
    """The statements of a printed text, one each; a DO block is one."""
    text = "\n".join(line for line in sql.splitlines() if not line.startswith("--"))
    parts = text.split("DO $$")
    single = [line for line in "".join(part.rpartition("END $$;")[2] for part in parts).splitlines() if line]
    blocks = [f"DO $${part.partition('END $$;')[0]}END $$;" for part in parts[1:]]
    return single + blocks


def dumps(target: Target) -> int:
    """Rows that a dump by this role holds."""
    return sum(table.rows for table in taken(ENGINE, target).manifest.tables)


def make(into: Target, source: MemorySource) -> None:
    """A restore, from the empty database to its privileges."""
    ENGINE.create(into, source.manifest)
    ENGINE.restore(source, into, jobs=2)
    assert ENGINE.apply_globals(into, source.manifest) == []


def test_a_role_with_the_printed_grants_dumps_everything(shop):
    shop.run(POLICIES + LARGE_OBJECTS)
    execute(shop.admin, ENGINE.grants(shop.target).backup)
    assert shop.failed() == set()
    assert taken(ENGINE, shop.target).manifest.tables == taken(ENGINE, shop.admin).manifest.tables


def test_the_printed_grants_change_nothing_when_run_twice(shop):
    shop.run(POLICIES + LARGE_OBJECTS)
    for _ in range(2):
        execute(shop.admin, ENGINE.grants(shop.target).backup)
    assert shop.failed() == set()


def test_without_any_one_of_the_printed_grants_the_dump_is_refused_and_the_finding_says_why(shop):
    shop.run(POLICIES + LARGE_OBJECTS + "REVOKE CONNECT ON DATABASE {database} FROM PUBLIC;")
    # Asked as somebody who may connect: a role that may not is told all that may be needed, which has this line too.
    printed = [each for each in statements(ENGINE.grants(shop.target).backup) if "DEFAULT PRIVILEGES" not in each]
    expected = {
        "GRANT CONNECT": {"database"},
        "GRANT pg_read_all_data": {"schemas", "tables", "sequences"},
        "ALTER ROLE": {"row-level security"},
        "DO": {"large objects"},
    }
    assert len(printed) == len(expected)
    quoted = '"' + shop.target.user.replace('"', '""') + '"'
    for left_out in printed:
        execute(
            shop.admin,
            f"DROP OWNED BY {quoted}; REVOKE pg_read_all_data FROM {quoted}; ALTER ROLE {quoted} NOBYPASSRLS",
        )
        for statement in printed:
            if statement != left_out:
                execute(shop.admin, statement)
        [told] = [checks for start, checks in expected.items() if left_out.startswith(start)]
        assert shop.failed() == told, left_out
        with pytest.raises(BackproofError):
            dumps(shop.target)


def test_only_what_the_database_needs_is_printed(shop):
    printed = statements(ENGINE.grants(shop.target).backup)
    assert [each.split(" TO ")[0] for each in printed] == ["GRANT pg_read_all_data"]


def test_before_the_role_exists_all_that_may_be_needed_is_printed_and_works(shop):
    shop.run(POLICIES + LARGE_OBJECTS)
    absent = shop.target.model_copy(update={"user": f"{shop.app}_absent"})
    printed = ENGINE.grants(absent).backup
    assert "The server could not be asked: cannot connect" in printed
    execute(shop.admin, f"CREATE ROLE {absent.user} LOGIN PASSWORD 'pw'")
    try:
        execute(shop.admin, printed)
        assert {each.status for each in ENGINE.findings(absent)} <= {"ok", "warning"}
        assert dumps(absent) == 2 + 1
    finally:
        execute(shop.admin, f"DROP OWNED BY {absent.user}; DROP ROLE {absent.user}")


def test_a_large_object_made_after_the_grants_is_told_before_a_dump_and_since_18_covered(shop):
    shop.run(LARGE_OBJECTS)
    execute(shop.admin, ENGINE.grants(shop.target).backup)
    shop.run(LARGE_OBJECTS)
    [[major]] = execute(shop.admin, "SELECT current_setting('server_version_num')::int / 10000")
    assert shop.failed() == (set() if major >= 18 else {"large objects"})


def test_a_role_with_the_printed_grants_restores_into_a_database_of_its_own_making(shop):
    source = taken(ENGINE, shop.admin)
    printed = ENGINE.grants(shop.target).restore
    assert "SUPERUSER" not in printed
    execute(shop.admin, printed)
    into = shop.target.to(f"{shop.admin.database}_restored")
    assert ENGINE.lacks(into, source.manifest) == []
    make(into, source)
    restored = taken(ENGINE, shop.admin.to(into.database))
    assert restored.manifest.entries == source.manifest.entries
    assert restored.manifest.database.globals == source.manifest.database.globals


def test_without_any_one_of_the_printed_grants_a_restore_is_refused(shop):
    source = taken(ENGINE, shop.admin)
    printed = statements(ENGINE.grants(shop.target).restore)
    assert [each.split()[0] for each in printed] == ["ALTER", "GRANT"]
    into = shop.target.to(f"{shop.admin.database}_restored")
    quoted = '"' + shop.target.user.replace('"', '""') + '"'
    for left_out in printed:
        execute(shop.admin, f"ALTER ROLE {quoted} NOCREATEDB; REVOKE {shop.app} FROM {quoted}")
        for statement in printed:
            if statement != left_out:
                execute(shop.admin, statement)
        with pytest.raises(BackproofError):
            make(into, source)
        execute(shop.admin, f"DROP DATABASE IF EXISTS {into.database} WITH (FORCE)")


@pytest.mark.parametrize(
    ("script", "kind"),
    [
        ("CREATE TABLE public.mine ()", "what belongs to superusers"),
        ("CREATE PUBLICATION everything FOR ALL TABLES", "publications of all tables or of schemas"),
        ("CREATE TYPE public.pair AS (a int); CREATE CAST (public.pair AS text) WITH INOUT;", None),
        (
            "CREATE FUNCTION public.stop() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN END $$;"
            " ALTER FUNCTION public.stop() OWNER TO {app};"
            " CREATE EVENT TRIGGER stop ON ddl_command_start EXECUTE FUNCTION public.stop()",
            "event triggers",
        ),
    ],
)
def test_what_only_a_superuser_can_make_is_named_in_the_grants_for_a_restore(shop, script, kind):
    if kind is None:
        shop.run(f"SET ROLE {{app}}; {script}")
        assert "SUPERUSER" not in ENGINE.grants(shop.target).restore
    else:
        shop.run(script)
        assert kind in ENGINE.grants(shop.target).restore
        assert "SUPERUSER" in ENGINE.grants(shop.target).restore


def test_a_healthy_database_has_no_failed_finding_and_names_its_version_and_size(shop):
    execute(shop.admin, ENGINE.grants(shop.target).backup)
    found = shop.findings()
    assert found["database"].found.endswith(" MB")
    assert "PostgreSQL 1" in found["database"].found
    assert found["tables"].found == "2, all readable"
    assert found["sequences"].found == "1, all readable"
    assert shop.failed() == set()


def test_what_keeps_a_connection_from_being_made_is_one_finding_with_its_remedy(shop):
    wrong = {
        "Connection refused": {"port": 1},
        "password authentication failed": {"password": SecretStr("wrong")},
        "does not exist": {"database": "nowhere"},
        "could not translate host name": {"host": "host.invalid"},
    }
    for text, change in wrong.items():
        [finding] = ENGINE.findings(shop.target.model_copy(update=change))
        assert finding.status == "failed"
        assert text in finding.found
        assert finding.remedy
        assert "wrong" not in finding.found


def test_a_missing_tool_is_a_finding_that_says_how_to_install_it(shop, monkeypatch):
    monkeypatch.setattr(binaries, "folders", lambda tool_folders=(): [])
    found = shop.findings()
    assert found["pg_dump"].status == "failed"
    assert "apt-get install postgresql-client-1" in found["pg_dump"].remedy
    assert found["scratch server"].status == "warning"


def test_a_newer_or_unsafe_tool_is_a_warning(shop, monkeypatch, tmp_path):
    [[major]] = execute(shop.admin, "SELECT current_setting('server_version_num')::int / 10000")
    (tmp_path / "pg_dump").touch()
    for version, word in ((f"{major + 1}.0", "newer than the server"), (f"{major}.1", "can run commands in psql")):
        installation = binaries.Installation(int(version.split(".")[0]), version, tmp_path)
        monkeypatch.setattr(binaries, "folders", lambda tool_folders=(), only=installation: [only])
        finding = shop.findings()["pg_dump"]
        assert finding.status == "warning"
        assert word in finding.found
        assert finding.remedy


def test_an_exclusive_lock_and_a_prepared_transaction_are_noted(shop):
    with closing(connection(shop.admin)) as other, other.cursor() as cursor:
        cursor.execute("BEGIN; LOCK TABLE public.plain IN ACCESS EXCLUSIVE MODE")
        found = shop.findings()["locks"]
        assert (found.status, "public.plain (pid" in found.found) == ("warning", True)
        cursor.execute("PREPARE TRANSACTION 'it''s forgotten'")
        found = shop.findings()["prepared transactions"]
        assert (found.status, "it''s forgotten" in found.found) == ("warning", True)
        cursor.execute("ROLLBACK PREPARED 'it''s forgotten'")
    assert not {"locks", "prepared transactions"} & shop.findings().keys()


def test_many_unreadable_tables_are_counted_not_listed(shop):
    shop.run("".join(f"CREATE TABLE public.t{number} ();" for number in range(50)))
    found = shop.findings()["tables"].found
    assert found.endswith("and 49 more")
    assert len(found) < 200
