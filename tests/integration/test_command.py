"""The command on a real database: every answer as documented, and nothing of a password anywhere in it."""

import gzip
import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from backproof.fleet import Fleet, load
from backproof.operations.seal import seal
from backproof.records import Target
from backproof.scratch import workspace
from deployments.servers.prefect import recorded
from tests.support.documents import check_keys, example
from tests.support.fleets import described
from tests.support.postgres_fixtures import PASSWORD, execute

SHOP = """
CREATE TABLE users (id serial PRIMARY KEY, name text NOT NULL);
INSERT INTO users (name) SELECT 'user ' || i FROM generate_series(1, 2000) i;
CREATE TABLE orders (id int PRIMARY KEY, user_id int REFERENCES users, note text);
INSERT INTO orders SELECT i, i, md5(i::text) FROM generate_series(1, 2000) i;
CREATE VIEW order_notes AS SELECT id, note FROM orders;
"""


@dataclass
class Shop:
    """A fleet of one plan on a real server, and the command run on it."""

    server: Target
    database: Target
    folder: Path
    environment: dict[str, str]
    backup: dict[str, Any]
    """What ``backup`` answered."""
    said: str
    """What it told on stderr meanwhile."""

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run the command as a terminal without a terminal would."""
        return command(self.folder, self.environment, *arguments)

    def answer(self, *arguments: str) -> dict[str, Any]:
        """The document of a command that succeeds; its stdout holds nothing else."""
        finished = self.run("--json", *arguments)
        assert finished.returncode == 0, finished.stderr
        read: dict[str, Any] = json.loads(finished.stdout)
        return read


def command(folder: Path, environment: dict[str, str], *arguments: str) -> "subprocess.CompletedProcess[str]":
    program = str(Path(sys.executable).with_name("backproof"))
    finished = subprocess.run([program, *arguments], cwd=folder, env=environment, capture_output=True, text=True)
    assert PASSWORD not in finished.stdout + finished.stderr
    assert "Traceback" not in finished.stderr
    return finished


@pytest.fixture(scope="module")
def shop(postgres16: Target) -> Iterator[Shop]:
    name = f"command_{os.getpid()}"
    execute(postgres16, f"CREATE DATABASE {name}")
    database = postgres16.to(name)
    execute(database, SHOP)
    with workspace("command") as folder:
        checks = [{"name": "orders", "sql": "SELECT count(*) FROM orders", "expect": "= 2000"}]
        fleet = described(database, folder, checks=checks)
        (folder / "fleet.yaml").write_text(yaml.safe_dump(fleet))
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("PREFECT", "BACKPROOF"))
        }
        environment["XDG_STATE_HOME"] = str(folder / "state")
        try:
            finished = command(folder, environment, "--json", "backup", "shop")
            assert finished.returncode == 0, finished.stderr
            yield Shop(postgres16, database, folder, environment, json.loads(finished.stdout), finished.stderr)
        finally:
            for record in folder.glob("state/backproof/*/server.json"):
                if server := recorded(record.parent):
                    server.stop()
            execute(postgres16, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def dropped(shop: Shop) -> Iterator[Callable[[str], str]]:
    """Names of databases that are dropped afterwards."""
    names: list[str] = []

    def name(name: str) -> str:
        names.append(f"{name}_{os.getpid()}")
        return names[-1]

    yield name
    for each in names:
        execute(shop.server, f"DROP DATABASE IF EXISTS {each} WITH (FORCE)")


def test_a_backup_is_sealed_copied_and_proven_and_says_so(shop: Shop) -> None:
    check_keys(shop.backup, example("backup"))
    run = shop.backup["run"]
    assert run["outcome"] == "proven"
    assert [copy["committed"] for copy in run["copies"]] == [True, True]
    assert run["proof"]["verdict"] == "passed"
    assert run["proof"]["store"] == "far"
    assert run["proof"]["checks"] == [{"name": "orders", "passed": True, "found": "2000", "expect": "= 2000"}]


def test_a_run_warns_in_a_line_of_what_doctor_tells_in_full(shop: Shop) -> None:
    warned = [line for line in shop.said.splitlines() if "escrow" in line]
    assert len(warned) == 1
    [finding] = [each for each in shop.answer("doctor", "shop")["findings"] if each["check"] == "pg_dump"]
    if finding["status"] == "warning":  # where the programs here lack a security fix
        assert finding["brief"] in shop.said.splitlines()
        assert finding["found"] not in shop.said


def test_replicate_brings_back_what_a_store_lost(shop: Shop) -> None:
    shutil.rmtree(shop.folder / "far" / "shop")
    answer = shop.answer("replicate", "shop")
    check_keys(answer, example("replicate"))
    (plan,) = answer["run"]["plans"]
    assert (answer["run"]["outcome"], plan["plan"]) == ("complete", "shop")
    assert shop.backup["run"]["backup"] in [each["backup"] for each in plan["brought"]]
    near, far = (
        {path.relative_to(place): path.read_bytes() for path in place.rglob("*") if path.is_file()}
        for place in (shop.folder / "near", shop.folder / "far")
    )
    assert far == near
    assert "Every store holds what is kept.\n" in shop.run("replicate").stdout


def test_list_reads_from_the_stores_what_is_there_and_proven(shop: Shop) -> None:
    answer = shop.answer("list", "shop")
    check_keys(answer, example("list"))
    listed = next(each for each in answer["backups"] if each["id"] == shop.backup["run"]["backup"])
    assert listed["proven"] is True
    assert [copy["store"] for copy in listed["copies"]] == ["near", "far"]
    words = shop.run("list").stdout
    assert shop.backup["run"]["backup"] in words
    assert "near, far" in words


def test_show_tells_what_is_in_a_backup_and_what_proved_it(shop: Shop) -> None:
    answer = shop.answer("show", "shop", shop.backup["run"]["backup"])
    check_keys(answer, example("show"))
    check_keys(answer["backup"], example("list")["backups"][0])
    check_keys(answer["proofs"][0], example("backup")["run"]["proof"])
    rows = {table["name"]: table["rows"] for table in answer["manifest"]["tables"]}
    assert rows == {"public.orders": 2000, "public.users": 2000}
    words = shop.run("show", "shop", "latest").stdout
    assert "4,000 rows" in words
    assert "passed, from far" in words


def test_verify_proves_the_copy_that_is_named(shop: Shop) -> None:
    answer = shop.answer("verify", "shop", "--from", "near")
    check_keys(answer, example("verify"))
    check_keys(answer["run"]["proof"], example("backup")["run"]["proof"])
    assert (answer["run"]["outcome"], answer["run"]["store"]) == ("proven", "near")


def test_verify_of_a_changed_copy_fails_and_the_other_copy_stays_good(shop: Shop) -> None:
    made = shop.answer("backup", "shop", "--no-verify")["run"]
    assert made["outcome"] == "sealed"
    (archive,) = (shop.folder / "far").rglob(f"{made['backup']}.sql.gz.enc")
    archive.chmod(0o600)
    changed = bytearray(archive.read_bytes())
    changed[len(changed) // 2] ^= 1
    archive.write_bytes(changed)
    failed = shop.run("--json", "verify", "shop", "--backup", made["backup"], "--from", "far")
    assert failed.returncode == 1
    assert json.loads(failed.stdout)["run"]["outcome"] == "failed"
    assert shop.run("verify", "shop", "--backup", made["backup"], "--from", "near").returncode == 0


def test_restore_fills_a_new_database_and_refuses_it_the_second_time(shop: Shop, dropped: Callable[[str], str]) -> None:
    into = dropped("whole")
    arguments = ("restore", "shop", "--backup", "latest", "--into", into)
    answer = shop.answer(*arguments)
    check_keys(answer, example("restore"))
    assert execute(shop.server.to(into), "SELECT count(*) FROM order_notes") == [(2000,)]
    again = shop.run(*arguments)
    assert again.returncode == 1
    assert "is not empty" in again.stderr


def test_restore_never_touches_the_live_database(shop: Shop) -> None:
    refused = shop.run("restore", "shop", "--backup", "latest", "--into", shop.database.database)
    assert refused.returncode == 1
    assert "is the live database" in refused.stderr


def test_restore_of_one_table_counts_it_and_says_what_was_left_out(shop: Shop, dropped: Callable[[str], str]) -> None:
    into = dropped("some")
    finished = shop.run("--json", "restore", "shop", "--backup", "latest", "--into", into, "--tables", "orders")
    assert finished.returncode == 0, finished.stderr
    restored = json.loads(finished.stdout)["restored"]
    assert (restored["tables"], restored["rows"]) == (["public.orders"], 2000)
    assert "orders_user_id_fkey" in finished.stderr
    assert execute(shop.server.to(into), "SELECT count(*) FROM orders") == [(2000,)]


def test_a_misspelt_table_is_answered_with_the_nearest(shop: Shop, dropped: Callable[[str], str]) -> None:
    into = dropped("typo")
    refused = shop.run("restore", "shop", "--backup", "latest", "--into", into, "--tables", "ordres")
    assert refused.returncode == 1
    assert "orders" in refused.stderr
    assert execute(shop.server, f"SELECT count(*) FROM pg_database WHERE datname = '{into}'") == [(0,)]


def test_what_the_server_lacks_is_told_before_anything_is_made(shop: Shop, dropped: Callable[[str], str]) -> None:
    role = f"clerk_{os.getpid()}"
    execute(shop.server, f"CREATE ROLE {role}")
    execute(shop.database, f"GRANT SELECT ON users TO {role}")
    shop.answer("backup", "shop", "--no-verify")
    execute(shop.database, f"REVOKE ALL ON users FROM {role}; DROP ROLE {role}")
    into = dropped("lacking")
    arguments = ("restore", "shop", "--backup", "latest", "--into", into)
    refused = shop.run(*arguments)
    try:
        assert refused.returncode == 1
        assert f"the server lacks role {role}" in refused.stderr
        assert execute(shop.server, f"SELECT count(*) FROM pg_database WHERE datname = '{into}'") == [(0,)]
        assert shop.run(*arguments, "--create-missing-roles").returncode == 0
    finally:
        execute(shop.server, f"DROP DATABASE IF EXISTS {into} WITH (FORCE)")
        execute(shop.server, f"DROP ROLE IF EXISTS {role}")


def test_export_writes_what_gzip_reads_for_its_owner_alone_and_says_that_it_is_plain(shop: Shop) -> None:
    arguments = ("export", "shop", "--backup", "latest", "--to", "plain.sql.gz")
    finished = shop.run("--json", *arguments)
    assert finished.returncode == 0, finished.stderr
    check_keys(json.loads(finished.stdout), example("export"))
    assert "is plain data" in finished.stderr
    file = shop.folder / "plain.sql.gz"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert b"CREATE TABLE public.orders" in gzip.decompress(file.read_bytes())
    kept = file.read_bytes()
    assert shop.run(*arguments).returncode == 1
    assert file.read_bytes() == kept


def test_an_encrypted_export_is_the_archive_itself_and_needs_no_warning(shop: Shop) -> None:
    backup = shop.backup["run"]["backup"]
    finished = shop.run("export", "shop", "--backup", backup, "--to", "archive.enc", "--encrypted")
    assert finished.returncode == 0
    assert "plain data" not in finished.stderr
    (archive,) = (shop.folder / "near").rglob(f"{backup}.sql.gz.enc")
    assert (shop.folder / "archive.enc").read_bytes() == archive.read_bytes()


def test_doctor_answers_with_every_check(shop: Shop) -> None:
    answer = shop.answer("doctor", "shop")
    check_keys(answer, example("doctor"))
    assert answer["ok"] is True
    assert {"store near", "store far", "signing key"} <= {finding["check"] for finding in answer["findings"]}


def test_doctor_says_whether_the_newest_backup_could_be_restored(shop: Shop) -> None:
    answer = json.loads(shop.run("--json", "doctor", "shop", "--restore").stdout)
    check_keys(answer, example("doctor --restore"))
    # What later tests of this file take away from the server is named, in whatever order they run.
    checks = [finding["check"] for finding in answer["findings"]]
    assert checks == (["archive", "server"] if answer["ok"] else ["archive", "role"])


def test_doctor_prints_the_grants(shop: Shop) -> None:
    answer = shop.answer("doctor", "shop", "--print-grants")
    check_keys(answer, example("doctor --print-grants"))
    assert "GRANT" in answer["backup"]


def changed_fleet(shop: Shop, change: Callable[[dict[str, Any]], None]) -> Path:
    fleet = yaml.safe_load((shop.folder / "fleet.yaml").read_text())
    change(fleet)
    path = shop.folder / "changed.yaml"
    path.write_text(yaml.safe_dump(fleet))
    return path


def test_doctor_finds_a_wrong_password_and_says_what_to_do(shop: Shop) -> None:
    def change(fleet: dict[str, Any]) -> None:
        fleet["databases"]["shop-db"]["password"] = "wrong"

    finished = shop.run("--json", "--fleet", str(changed_fleet(shop, change)), "doctor", "shop")
    assert finished.returncode == 1
    failed = [each for each in json.loads(finished.stdout)["findings"] if each["status"] == "failed"]
    assert failed
    assert all(each["remedy"] for each in failed)


def test_a_backup_with_a_wrong_password_is_one_fact_and_leaves_no_trace(shop: Shop) -> None:
    def change(fleet: dict[str, Any]) -> None:
        fleet["databases"]["shop-db"]["password"] = "wrong"

    before = sorted(path for path in (shop.folder / "near").rglob("*") if path.is_file())
    finished = shop.run("--json", "--fleet", str(changed_fleet(shop, change)), "backup", "shop")
    assert finished.returncode == 1
    check_keys(json.loads(finished.stdout), example("error"))
    assert sorted(path for path in (shop.folder / "near").rglob("*") if path.is_file()) == before


def test_a_backup_without_its_last_store_is_safe_but_degraded(shop: Shop) -> None:
    def change(fleet: dict[str, Any]) -> None:
        (shop.folder / "a file").touch()
        fleet["stores"]["far"]["path"] = str(shop.folder / "a file" / "no folder")

    finished = shop.run("--json", "--fleet", str(changed_fleet(shop, change)), "backup", "shop")
    assert finished.returncode == 3, finished.stderr
    run = json.loads(finished.stdout)["run"]
    assert run["outcome"] == "degraded"
    assert [copy["committed"] for copy in run["copies"]] == [True, False]
    assert run["proof"]["store"] == "near"


def test_status_reads_a_real_backup(shop: Shop) -> None:
    found = shop.answer("status")
    check_keys(found, example("status"))
    assert found["plans"][0]["rpo_met"]
    assert shop.run("status", "shop").stdout.startswith("Plan ")


def test_list_goes_on_without_a_store_and_fails_without_any(shop: Shop) -> None:
    def lose(*names: str) -> Callable[[dict[str, Any]], None]:
        def change(fleet: dict[str, Any]) -> None:
            for name in names:
                (shop.folder / "a file").touch()
                fleet["stores"][name]["path"] = str(shop.folder / "a file" / name)

        return change

    some = shop.run("--json", "--fleet", str(changed_fleet(shop, lose("far"))), "list")
    assert some.returncode == 3
    answer = json.loads(some.stdout)
    assert [each["store"] for each in answer["unreachable"]] == ["far"]
    assert answer["backups"]
    none = shop.run("--json", "--fleet", str(changed_fleet(shop, lose("near", "far"))), "list")
    assert none.returncode == 1
    assert "error" in json.loads(none.stdout)


def test_a_fleet_with_another_signing_key_trusts_none_of_it(shop: Shop) -> None:
    def change(fleet: dict[str, Any]) -> None:
        fleet["signing"]["private_key"] = "A" * 43 + "="

    fleet = changed_fleet(shop, change)
    finished = shop.run("--json", "--fleet", str(fleet), "restore", "shop", "--backup", "latest", "--into", "never")
    assert finished.returncode == 1
    assert json.loads(finished.stdout)["error"]["kind"] == "BadSignature"


def test_a_fleet_with_another_key_can_not_open_a_backup(shop: Shop) -> None:
    def change(fleet: dict[str, Any]) -> None:
        fleet["keys"]["main"]["aes256"] = "A" * 43 + "="

    fleet = changed_fleet(shop, change)
    finished = shop.run("--json", "--fleet", str(fleet), "restore", "shop", "--backup", "latest", "--into", "never")
    assert finished.returncode == 1
    assert json.loads(finished.stdout)["error"]["kind"] == "WrongKey"


def test_the_way_out_works_without_prefect(shop: Shop, dropped: Callable[[str], str]) -> None:
    """Nothing answers at PREFECT_API_URL, and list, show, export and restore do not even ask."""
    gone = replace(shop, environment={**shop.environment, "PREFECT_API_URL": "http://127.0.0.1:9/api"})
    assert gone.answer("list", "shop")["backups"]
    assert gone.answer("restore", "shop", "--backup", "latest", "--into", dropped("rescue"), "--create-missing-roles")


def test_diff_counts_and_writes_the_rows_and_salvage_puts_the_missing_ones_back(shop: Shop) -> None:
    backup = shop.backup["run"]["backup"]
    of = ("shop", "--backup", backup, "--table", "orders")
    execute(shop.database, "DELETE FROM orders WHERE id > 1990; DELETE FROM users WHERE id = 2000")
    execute(shop.database, "UPDATE orders SET note = 'other' WHERE id = 1")
    answer = shop.answer("diff", *of, "--to", "rows.csv")
    check_keys(answer, example("diff"))
    assert answer["diff"]["rows"] == {"backup": 2000, "live": 1990, "missing": 10, "changed": 1, "new": 0}
    assert len((shop.folder / "rows.csv").read_text().splitlines()) == 13
    assert stat.S_IMODE((shop.folder / "rows.csv").stat().st_mode) == 0o600
    assert "Missing   10" in shop.run("diff", *of).stdout
    assert shop.run("salvage", *of, "--reason", "a test").returncode == 2
    assert shop.run("salvage", *of, "--missing").returncode == 2
    put_back = [
        {"table": "public.orders", "inserted": 10, "left_out": 0},
        {"table": "public.users", "inserted": 1, "left_out": 0},
    ]
    tried = shop.answer("salvage", *of, "--missing", "--dry-run")["salvage"]
    assert (tried["tables"], tried["recovery"]) == (put_back, None)
    made = shop.answer("salvage", *of, "--missing", "--reason", "a test")
    check_keys(made, example("salvage"))
    assert made["salvage"]["tables"] == put_back
    listed = shop.answer("recovery", "list", "shop")["recoveries"]
    assert (listed[0]["recovery"], listed[0]["reason"]) == (made["salvage"]["recovery"], "a test")
    assert "Put back 0 rows of public.orders" in shop.run("salvage", *of, "--missing", "--reason", "again").stdout
    execute(shop.database, "UPDATE orders SET note = md5('1') WHERE id = 1")
    newer = seal(Fleet(load(shop.folder / "fleet.yaml", shop.environment)), "shop", "manual").manifest.id
    latest = ("salvage", "shop", "--backup", "latest", "--table", "orders", "--missing")
    would, did = shop.answer(*latest, "--dry-run"), shop.answer(*latest, "--reason", "the same")
    assert would["salvage"]["backup"] == did["salvage"]["backup"] != newer, "the newest that is proven, tried or done"


def test_recover_replaces_some_tables(shop: Shop) -> None:
    of = ("recover", "shop", "--tables", "orders", "--reason", "a test")
    assert shop.run(*of, "--mode", "in-place", "--yes").returncode == 2
    assert shop.run("recover", "shop", "--accept-orphans", "--reason", "a test", "--yes").returncode == 2
    assert "--yes" in shop.run(*of).stderr
    execute(shop.database, "UPDATE orders SET note = 'other'")
    finished = shop.run(*of, "--backup", shop.backup["run"]["backup"], "--yes")
    assert finished.returncode == 0, finished.stderr
    assert execute(shop.database, "SELECT count(*) FROM orders WHERE note = md5(id::text)") == [(2000,)]
    assert "recovered" in finished.stdout
