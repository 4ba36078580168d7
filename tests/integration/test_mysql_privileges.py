"""What an account must be given to back up: exactly what is printed; with any line missing it is told, never lost."""

import itertools
import os
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest
from pydantic import SecretStr

from backproof.engines.mysql import ENGINE, binaries, findings, locks
from backproof.engines.mysql.privileges import matches, most_specific
from backproof.errors import AccessDenied, BackproofError
from backproof.records import Finding, Target
from tests.support.mariadb_fixtures import FreshAccount, FreshSchema, connection, execute
from tests.support.round_trip import MemorySource, expect_complete, taken

SHOP = """
CREATE TABLE parent (id int PRIMARY KEY, note text); INSERT INTO parent VALUES (1, 'first'), (2, 'second');
CREATE TABLE child (id int PRIMARY KEY, parent_id int, FOREIGN KEY (parent_id) REFERENCES parent (id));
CREATE TABLE my (a int) ENGINE=MyISAM; INSERT INTO my VALUES (1);
CREATE SEQUENCE sq; CREATE VIEW seen AS SELECT * FROM child;
CREATE FUNCTION fn(x int) RETURNS int DETERMINISTIC RETURN x + 1; CREATE PROCEDURE pr() SELECT 1;
CREATE VIEW called AS SELECT fn(id) AS f FROM parent;
CREATE TRIGGER tr BEFORE INSERT ON child FOR EACH ROW SET NEW.parent_id = 1;
CREATE EVENT ev ON SCHEDULE EVERY 1 DAY DO DELETE FROM my;
"""

_numbers = itertools.count(1)


class Shop:
    """A schema, and an account without any right to it."""

    def __init__(self, admin: Target, target: Target) -> None:
        self.admin = admin
        self.target = target
        self.account = f"`{target.user}`@`localhost`"

    def findings(self) -> dict[str, Finding]:
        return {finding.check: finding for finding in ENGINE.findings(self.target)}

    def failed(self) -> set[str]:
        return {check for check, finding in self.findings().items() if finding.status == "failed"}

    def give(self, grants: Sequence[str]) -> None:
        """These rights, and no others."""
        execute(self.admin, [f"REVOKE ALL PRIVILEGES, GRANT OPTION FROM {self.account}", *grants])

    def grants(self) -> list[str]:
        """What is printed for an account that sees everything, so that only what is needed is."""
        self.give([f"GRANT ALL ON *.* TO {self.account}"])
        printed = statements(ENGINE.grants(self.target).backup)
        self.give([])
        return printed


@pytest.fixture
def shop(mariadb: Target, fresh_schema: FreshSchema, fresh_account: FreshAccount) -> Shop:
    admin = fresh_schema(mariadb, SHOP, name=f"sh_op_{os.getpid()}_{next(_numbers)}")
    return Shop(admin, fresh_account(admin))


def statements(sql: str) -> list[str]:
    return [line for line in sql.splitlines() if line and not line.startswith("--")]


def test_an_account_with_the_printed_grants_dumps_everything(shop: Shop) -> None:
    shop.give(shop.grants())
    assert shop.failed() == set()
    source = taken(ENGINE, shop.target)
    expect_complete(source)
    everything = taken(ENGINE, shop.admin).manifest
    assert source.manifest.tables == everything.tables
    assert source.manifest.entries == everything.entries
    assert source.manifest.database.globals == everything.database.globals
    assert source.manifest.database.server["consistent_point"] == locks.STAGES.name
    assert not any("Accounts and roles" in sentence for sentence in source.manifest.database.not_carried)


EXPECTED = {
    "RELOAD": ("one moment", "warning"),
    "SELECT ON `sh": ("tables", "failed"),
    "TRIGGER": ("triggers", "failed"),
    "EVENT": ("events", "failed"),
    "SELECT ON `mysql`.`proc`": ("routines", "failed"),
    "SHOW VIEW": ("views", "failed"),
    "EXECUTE": ("views", "failed"),
    "LOCK TABLES": ("tables without transactions", "warning"),
    "SELECT ON `mysql`.`db`": ("accounts", "warning"),
    "SELECT ON `mysql`.`tables_priv`": ("accounts", "warning"),
    "SELECT ON `mysql`.`columns_priv`": ("accounts", "warning"),
    "SELECT ON `mysql`.`procs_priv`": ("accounts", "warning"),
    "SELECT ON `mysql`.`roles_mapping`": ("accounts", "warning"),
    "SELECT (`Host`, `User`, `is_role`) ON `mysql`.`user`": ("accounts", "warning"),
}


def test_without_any_one_of_the_printed_grants_the_finding_says_what_would_be_lost(shop: Shop) -> None:
    printed = shop.grants()
    assert len(printed) == len(EXPECTED)
    for left_out in printed:
        shop.give([grant for grant in printed if grant != left_out])
        [(check, status)] = [
            told for start, told in EXPECTED.items() if left_out.removeprefix("GRANT ").startswith(start)
        ]
        found = shop.findings()
        assert found[check].status == status, left_out
        also = {"views"} if check == "tables" else set()
        assert {check for check, finding in found.items() if finding.status == "failed"} <= {check, *also}
        right = left_out.removeprefix("GRANT ").split(" ON ")[0]
        assert right in found[check].remedy or check == "accounts"
        if status == "failed":
            with pytest.raises(AccessDenied):
                taken(ENGINE, shop.target)
        elif check == "accounts":
            carried = taken(ENGINE, shop.target).manifest.database
            assert any("Accounts and roles" in sentence for sentence in carried.not_carried)
        elif check == "tables without transactions":
            carried = taken(ENGINE, shop.target).manifest.database
            assert any("at which each was read: my" in sentence for sentence in carried.not_carried)
        else:
            assert taken(ENGINE, shop.target).manifest.database.server["consistent_point"] == "LOCK TABLES … READ"


def test_an_account_that_can_hold_commits_in_no_way_is_refused(shop: Shop) -> None:
    printed = [grant for grant in shop.grants() if "RELOAD" not in grant and "LOCK TABLES" not in grant]
    shop.give(printed)
    assert shop.failed() == {"one moment"}
    with pytest.raises(AccessDenied, match="hold commits"):
        taken(ENGINE, shop.target)


def test_triggers_and_tables_that_the_stock_tool_leaves_out_with_success_are_refused(shop: Shop) -> None:
    printed = shop.grants()
    for right, what in (("TRIGGER", "triggers"), ("SELECT", "tables")):
        some = [grant for grant in printed if not grant.startswith(f"GRANT {right} ON `sh")]
        if right == "SELECT":
            some.append(f"GRANT SELECT ON `{shop.admin.database}`.`parent` TO {shop.account}")
            some.append(f"GRANT SELECT ON `{shop.admin.database}`.`child` TO {shop.account}")
        shop.give(some)
        with pytest.raises(AccessDenied, match=what) as caught:
            taken(ENGINE, shop.target)
        assert f"GRANT {right} ON" in caught.value.remedy


def test_rights_by_a_role_and_by_a_pattern_count(shop: Shop) -> None:
    role = f"backup_{os.getpid()}"
    printed = shop.grants()
    try:
        execute(shop.admin, [f"CREATE ROLE {role}", *(grant.replace(shop.account, role) for grant in printed)])
        shop.give([f"GRANT {role} TO {shop.account}", f"SET DEFAULT ROLE {role} FOR {shop.account}"])
        assert shop.failed() == set()
        expect_complete(taken(ENGINE, shop.target))
        schema = shop.admin.database.replace("_", "\\_")
        shop.give([grant.replace(f"`{schema}`", "`sh\\_op%`") for grant in printed])
        assert shop.failed() == set()
        expect_complete(taken(ENGINE, shop.target))
    finally:
        execute(shop.admin, f"DROP ROLE IF EXISTS {role}")


@pytest.mark.parametrize(
    ("pattern", "schema", "expected"),
    [
        ("c\\_a", "c_a", True),
        ("c\\_a", "cxa", False),
        ("c_a", "cxa", True),
        ("%", "x", True),
        ("shop%", "shop_1", True),
        ("shop", "shopx", False),
        ("a\\%", "a%", True),
        ("a.b", "axb", False),
    ],
)
def test_a_pattern_of_schemas_reaches_what_the_server_says(pattern: str, schema: str, expected: bool) -> None:
    assert matches(pattern, schema) is expected


def test_of_several_patterns_the_one_that_says_most_counts_alone() -> None:
    assert most_specific([("c_a", "A"), ("c\\_a", "B"), ("c%", "C")], "c_a") == {"B"}
    assert most_specific([("c%", "C"), ("%", "D")], "c_a") == {"C"}


def test_only_what_the_schema_needs_is_printed(
    mariadb: Target, fresh_schema: FreshSchema, fresh_account: FreshAccount
) -> None:
    admin = fresh_schema(mariadb, "CREATE TABLE t (a int PRIMARY KEY)")
    printed = Shop(admin, fresh_account(admin)).grants()
    for right in ("SHOW VIEW", "EXECUTE", "LOCK TABLES", "PROCESS", "BINLOG MONITOR", "SUPER"):
        assert not any(right in grant for grant in printed)
    assert len(statements(ENGINE.grants(admin).restore)) == 1


def test_the_printed_grants_change_nothing_when_run_twice(shop: Shop) -> None:
    printed = shop.grants()
    shop.give([*printed, *printed])
    assert shop.failed() == set()


def test_before_the_account_exists_all_that_may_be_needed_is_printed_and_works(shop: Shop) -> None:
    absent = shop.target.model_copy(update={"user": f"absent_{os.getpid()}", "password": SecretStr("p w")})
    printed = ENGINE.grants(absent).backup
    assert "The server could not be asked: cannot connect" in printed
    execute(shop.admin, f"CREATE USER {absent.user} IDENTIFIED BY 'p w'")
    try:
        execute(shop.admin, statements(printed))
        assert {each.status for each in ENGINE.findings(absent)} <= {"ok", "warning"}
        expect_complete(taken(ENGINE, absent))
    finally:
        execute(shop.admin, f"DROP USER {absent.user}")


def test_an_account_that_does_not_see_everything_is_told_so_with_its_grants(shop: Shop) -> None:
    shop.give([f"GRANT SELECT ON `{shop.admin.database}`.* TO {shop.account}"])
    printed = ENGINE.grants(shop.target).backup
    assert "does not see all" in printed
    shop.give(statements(printed))
    assert shop.failed() == set()


def make(into: Target, source: MemorySource) -> list[str]:
    """A restore, from the empty schema to its privileges; the schema is gone afterwards."""
    ENGINE.create(into, source.manifest)
    try:
        ENGINE.restore(source, into, jobs=2)
        return ENGINE.apply_globals(into, source.manifest)
    finally:
        ENGINE.drop(into)


@pytest.fixture(params=[False, True], ids=["only SUPER makes code", "whoever may makes code"])
def trusting(request: pytest.FixtureRequest, mariadb: Target) -> Iterator[bool]:
    """Whether the server lets others than SUPER make triggers and functions."""
    execute(mariadb, f"SET GLOBAL log_bin_trust_function_creators = {int(request.param)}")
    yield request.param
    execute(mariadb, "SET GLOBAL log_bin_trust_function_creators = 0")


def test_without_any_one_right_of_the_printed_grants_a_restore_is_refused(shop: Shop, trusting: bool) -> None:
    source = taken(ENGINE, shop.admin)
    shop.give([f"GRANT ALL ON *.* TO {shop.account}"])
    printed = statements(ENGINE.grants(shop.target).restore)
    into = shop.target.to(f"{shop.admin.database}_restored")
    shop.give(printed)
    assert ENGINE.lacks(into, source.manifest) == []
    assert make(into, source) == []
    single = [
        f"GRANT {right} ON {place}"
        for rights, place in (grant.removeprefix("GRANT ").split(" ON ", 1) for grant in printed)
        for right in rights.split(", ")
    ]
    assert any("SET USER" if trusting else "SUPER" in grant for grant in single)
    for left_out in single:
        shop.give([grant for grant in single if grant != left_out])
        with pytest.raises(BackproofError):
            make(into, source)
        execute(shop.admin.to(""), f"DROP DATABASE IF EXISTS `{into.database}`")


def test_the_printed_grants_for_a_restore_reach_no_other_schema(shop: Shop) -> None:
    source = taken(ENGINE, shop.admin)
    shop.give([f"GRANT ALL ON *.* TO {shop.account}"])
    shop.give(statements(ENGINE.grants(shop.target).restore))
    with pytest.raises(AccessDenied):
        ENGINE.create(shop.target.to(f"{shop.admin.database}x"), source.manifest)
    with pytest.raises(AccessDenied):
        ENGINE.create(shop.target.to(shop.admin.database.replace("_", "x") + "_restored"), source.manifest)


def test_no_password_s_digest_can_be_read_with_the_printed_grants(shop: Shop) -> None:
    shop.give(shop.grants())
    for query in (
        "SELECT authentication_string FROM mysql.user",
        "SELECT Password FROM mysql.user",
        "SELECT * FROM mysql.global_priv",
        f"SHOW CREATE USER {shop.account.replace(shop.target.user, 'root')}",
    ):
        with pytest.raises(Exception, match="denied"):
            execute(shop.target, query)


def test_a_healthy_schema_has_no_failed_finding_and_names_its_version_and_size(shop: Shop) -> None:
    shop.give(shop.grants())
    found = shop.findings()
    assert "MariaDB 1" in found["database"].found
    assert found["database"].found.endswith(" MB")
    assert found["objects"].found.startswith("3 tables, 1 sequences, 1 triggers, 1 procedures, 1 functions, 1 events")
    assert found["views"].found == "2, all readable"
    assert "BACKUP STAGE" in found["one moment"].found
    assert found["tables without transactions"].status == "ok"
    assert "without the PROCESS right" in found["transactions"].found
    assert shop.failed() == set()


def test_what_keeps_a_connection_from_being_made_is_one_finding_with_its_remedy(shop: Shop) -> None:
    wrong: dict[str, tuple[dict[str, object], bool]] = {
        "Connection refused": ({"port": 1}, True),
        "Access denied for user": ({"password": SecretStr("wrong")}, False),
        "Unknown database": ({"user": "root", "password": shop.admin.password, "database": "nowhere"}, False),
        "host.invalid": ({"host": "host.invalid"}, True),
        "no socket": ({"host": "/nowhere"}, True),
        "is not known": ({"options": {"sslmode": "require"}}, False),
        "No such file": ({"options": {"ssl_ca": "/nowhere/ca.pem"}}, False),
        "SSL is required": ({"options": {"ssl_verify_cert": "true"}}, False),
    }
    for text, (change, passing) in wrong.items():
        [finding] = ENGINE.findings(shop.target.model_copy(update=change))
        assert (finding.status, finding.passing) == ("failed", passing), finding
        assert text in finding.found
        assert finding.remedy
        assert "wrong" not in finding.found


def test_a_missing_tool_is_a_finding_that_says_how_to_install_it(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binaries, "programs", lambda *_: [])
    found = {finding.check: finding for finding in ENGINE.findings(shop.admin)}
    assert found["dump tool"].status == "failed"
    assert "apt-get install" in found["dump tool"].remedy
    assert found["scratch server"].status == "warning"


def test_a_tool_older_than_the_server_is_a_warning(shop: Shop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    old = binaries.Program(tmp_path / "mariadb-dump", "mariadb", "10.5.1")
    monkeypatch.setattr(binaries, "programs", lambda *_: [old])
    found = {finding.check: finding for finding in ENGINE.findings(shop.admin)}["dump tool"]
    assert found.status == "warning"
    assert "older than the server" in found.found


def test_a_view_that_nobody_can_read_is_named_before_a_dump_fails_on_it(shop: Shop) -> None:
    execute(shop.admin, "CREATE TABLE t (a int); CREATE VIEW broken AS SELECT * FROM t; DROP TABLE t")
    found = {finding.check: finding for finding in ENGINE.findings(shop.admin)}["views"]
    assert (found.status, "broken" in found.found) == ("failed", True)
    with pytest.raises(BackproofError, match="broken"):
        taken(ENGINE, shop.admin)


def test_a_long_transaction_is_noted_by_who_may_see_it(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch, closing(connection(shop.admin)) as other, other.cursor() as cursor:
        patch.setattr(findings, "LONG_TRANSACTION_HOURS", 0)
        cursor.execute("BEGIN")
        cursor.execute("SELECT * FROM parent")
        execute(shop.admin, "DO SLEEP(1.1)")
        found = {finding.check: finding for finding in ENGINE.findings(shop.admin)}["transactions"]
        assert found.status == "warning"
        assert str(other.thread_id()) in found.found
    assert "transactions" not in {finding.check for finding in ENGINE.findings(shop.admin) if finding.status != "ok"}


def test_what_a_dump_can_not_carry_as_it_is_is_a_warning(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    execute(
        shop.admin,
        "CREATE TABLE ver (a int) WITH SYSTEM VERSIONING; CREATE TABLE merged (a int) ENGINE=MERGE UNION=(my)",
    )
    monkeypatch.setattr(locks, "LOCKED_BYTES", 0)
    found = {finding.check: finding for finding in ENGINE.findings(shop.admin)}
    assert "ver" in found["system-versioned tables"].found
    assert "merged" in found["tables without rows of their own"].found
    assert "too much to lock" in found["tables without transactions"].found
    assert "my, not of the backup" in found["tables without transactions"].brief


def test_statements_that_may_be_too_long_and_impatience_are_noted(shop: Shop) -> None:
    execute(shop.admin, "CREATE TABLE long_rows (a longblob); INSERT INTO long_rows VALUES (repeat('x', 900000))")
    execute(shop.admin, "ANALYZE TABLE long_rows")
    before = execute(shop.admin, "SELECT @@GLOBAL.max_allowed_packet, @@GLOBAL.net_write_timeout")[0]
    try:
        execute(shop.admin, "SET GLOBAL max_allowed_packet = 1048576; SET GLOBAL net_write_timeout = 5")
        found = {finding.check: finding for finding in ENGINE.findings(shop.admin)}
    finally:
        execute(shop.admin, "SET GLOBAL max_allowed_packet = %s; SET GLOBAL net_write_timeout = %s", before)
    assert (found["max_allowed_packet"].status, "long_rows" in found["max_allowed_packet"].found) == ("warning", True)
    assert found["net_write_timeout"].status == "warning"


def test_a_replica_that_is_behind_or_stands_still_is_noted() -> None:
    told = findings._replicated
    assert told({"Master_Host": "db1", "Seconds_Behind_Master": 3}).status == "ok"
    assert "4000 seconds behind db1" in told({"Master_Host": "db1", "Seconds_Behind_Master": 4000}).found
    assert "does not run" in told({"Source_Host": "db1", "Seconds_Behind_Source": None}).found


def test_many_names_are_counted_not_listed(shop: Shop) -> None:
    execute(shop.admin, "".join(f"CREATE TABLE m{number} (a int) ENGINE=MyISAM;" for number in range(50)))
    found = {finding.check: finding for finding in ENGINE.findings(shop.admin)}["tables without transactions"].found
    assert "and 48 more" in found
    assert len(found) < 200
