"""What PostgreSQL's stock tools lose and end with 0, and what we say of the same: each test shows both halves.

What other files show already is listed in docs/proving.md.
"""

import gzip
import os
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from pydantic import SecretStr

from backproof import catalog
from backproof.engines.postgresql import ENGINE
from backproof.errors import AccessDenied, Damaged, DumpFailed, RestoreFailed
from backproof.fleet import Fleet
from backproof.operations.prove import prove
from backproof.operations.restore import restore
from backproof.operations.seal import seal
from backproof.records import Manifest, Target
from tests.support import stock
from tests.support.fleets import PLAN, fleet_of
from tests.support.postgres_fixtures import FreshDatabase, connection, execute
from tests.support.round_trip import taken

SHOP = """
CREATE TABLE users (id serial PRIMARY KEY, name text);
CREATE TABLE orders (id int, user_id int);
CREATE INDEX orders_user ON orders (user_id);
INSERT INTO users (name) SELECT 'user ' || n FROM generate_series(1, 2000) n;
INSERT INTO orders SELECT n, n FROM generate_series(1, 5000) n;
"""
ON_ERROR = ("-v", "ON_ERROR_STOP=1")


@pytest.fixture
def shop(postgres18: Target, fresh_database: FreshDatabase) -> Target:
    return fresh_database(postgres18, SHOP)


@pytest.fixture
def fleet(shop: Target, tmp_path: Path) -> Fleet:
    return fleet_of(shop, tmp_path)


@pytest.fixture
def plain(shop: Target, tmp_path: Path) -> Fleet:
    """Nothing is encrypted: no cipher's tag finds what is not whole."""
    near = {"near": {"type": "local", "path": str(tmp_path / "near")}}
    return fleet_of(shop, tmp_path, near, encryption="none", key=None)


def dumped(target: Target, *arguments: str) -> bytes:
    finished = stock.pg_dump(target, *arguments)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def rows(target: Target, table: str) -> int:
    [[count]] = execute(target, f"SELECT count(*) FROM {table}")
    return int(count)


def archive_of(fleet: Fleet, manifest: Manifest) -> Path:
    [(_, archive)] = [(each, each) for each in (Path(fleet.store("near").location())).rglob(f"{manifest.id}.sql.gz*")]
    return archive


def changed(archive: Path, change: Callable[[bytes], bytes]) -> None:
    archive.chmod(0o600)
    archive.write_bytes(change(archive.read_bytes()))


def expect_refused(fleet: Fleet, manifest: Manifest) -> None:
    """Neither proven nor restored: nothing comes back of what is not whole."""
    proof = prove(fleet, PLAN, manifest.id, "near")
    assert proof.verdict == "failed"
    with pytest.raises(Damaged):
        restore(fleet, PLAN, manifest.id, "never_made")
    assert execute(fleet.target(PLAN), "SELECT 1 FROM pg_database WHERE datname = 'never_made'") == []


def test_a_plain_dump_cut_between_statements(shop: Target, plain: Fleet, fresh_database: FreshDatabase) -> None:
    text = dumped(shop)
    cut = text[: text.index(b"COPY public.users")]
    half = fresh_database(shop.to("postgres"))
    assert stock.psql(half, *ON_ERROR, stdin=cut).returncode == 0
    assert rows(half, "orders") == 5000
    assert rows(half, "users") == 0
    manifest = seal(plain, PLAN, "manual").manifest
    archive = archive_of(plain, manifest)
    end = min(member.offset for member in manifest.members if member.section == "finish")
    changed(archive, lambda stored: stored[:end])
    assert subprocess.run(["gzip", "-t"], input=archive.read_bytes(), check=False).returncode == 0
    some = fresh_database(shop.to("postgres"))
    assert stock.psql(some, *ON_ERROR, stdin=gzip.decompress(archive.read_bytes())).returncode == 0
    assert execute(some, "SELECT 1 FROM pg_indexes WHERE indexname = 'orders_user'") == []
    expect_refused(plain, manifest)


def test_a_script_whose_errors_psql_passes_over(shop: Target, fresh_database: FreshDatabase) -> None:
    text = dumped(shop).replace(b"user 7\n", b"user 7\ttoo much\n")
    half = fresh_database(shop.to("postgres"))
    assert stock.psql(half, stdin=text).returncode == 0
    assert rows(half, "users") == 0
    source = taken(ENGINE, shop).replaced(lambda _, member: member.replace(b"user 7\n", b"user 7\ttoo much\n"))
    with pytest.raises(RestoreFailed):
        ENGINE.restore(source, fresh_database(shop.to("postgres")))


def test_a_folder_dump_cut_between_rows(
    shop: Target, plain: Fleet, fresh_database: FreshDatabase, tmp_path: Path
) -> None:
    folder = tmp_path / "folder"
    dumped(shop, "-Fd", "-Z0", "-f", str(folder))
    [data] = [each for each in folder.glob("*.dat") if each.read_bytes().startswith(b"1\t1\n")]
    data.write_bytes(data.read_bytes()[: len("1\t1\n")])
    half = fresh_database(shop.to("postgres"))
    assert stock.pg_restore(half, "-j2", "--exit-on-error", folder).returncode == 0
    assert rows(half, "orders") == 1
    manifest = seal(plain, PLAN, "manual").manifest
    [member] = [each for each in manifest.members if each.table == "public.orders"]
    rows_of_it = gzip.decompress(archive_of(plain, manifest).read_bytes()[member.offset :][: member.length])
    shorter = gzip.compress(rows_of_it.replace(b"5000\t5000\n", b""), mtime=0)
    end = member.offset + member.length
    changed(archive_of(plain, manifest), lambda stored: stored[: member.offset] + shorter + stored[end:])
    expect_refused(plain, manifest)


def test_a_custom_dump_with_a_flipped_byte(
    shop: Target, plain: Fleet, fresh_database: FreshDatabase, tmp_path: Path
) -> None:
    file = tmp_path / "custom"
    dumped(shop, "-Fc", "-Z0", "-f", str(file))
    file.write_bytes(file.read_bytes().replace(b"user 77\n", b"user 76\n"))
    half = fresh_database(shop.to("postgres"))
    assert stock.pg_restore(half, "--exit-on-error", file).returncode == 0
    assert execute(half, "SELECT name FROM users WHERE id = 77") == [("user 76",)]
    manifest = seal(plain, PLAN, "manual").manifest
    middle = manifest.stored_bytes // 2
    changed(archive_of(plain, manifest), lambda old: old[:middle] + bytes([old[middle] ^ 1]) + old[middle + 1 :])
    expect_refused(plain, manifest)


def test_a_cut_dump_that_lists_as_whole(shop: Target, fleet: Fleet, tmp_path: Path) -> None:
    file = tmp_path / "custom"
    dumped(shop, "-Fc", "-f", str(file))
    whole = stock.offline("pg_restore", "-l", file)
    file.write_bytes(file.read_bytes()[: -file.stat().st_size // 3])
    listed = stock.offline("pg_restore", "-l", file)
    assert listed.returncode == 0
    assert listed.stdout.count(b"\n") == whole.stdout.count(b"\n")
    manifest = seal(fleet, PLAN, "manual").manifest
    changed(archive_of(fleet, manifest), lambda stored: stored[: -len(stored) // 3])
    assert catalog.listing(fleet, PLAN).backups[0].proven_at is None
    expect_refused(fleet, manifest)


def test_one_table_that_comes_without_its_key_and_defaults(
    shop: Target, fleet: Fleet, fresh_database: FreshDatabase, tmp_path: Path
) -> None:
    archive = tmp_path / "custom"
    dumped(shop, "-Fc", "-f", str(archive))
    bare = fresh_database(shop.to("postgres"))
    assert stock.pg_restore(bare, "--exit-on-error", "-t", "users", archive).returncode == 0
    known = """
        SELECT (SELECT count(*) FROM pg_constraint WHERE contype = 'p' AND conrelid > 16384),
               (SELECT count(*) FROM pg_attrdef)
    """
    assert (rows(bare, "users"), execute(bare, known)) == (2000, [(0, 0)])
    seal(fleet, PLAN, "manual")
    into = f"{shop.database}_users"
    restore(fleet, PLAN, "latest", into, tables=["users"])
    try:
        assert (rows(shop.to(into), "users"), execute(shop.to(into), known)) == (2000, [(1, 1)])
    finally:
        ENGINE.drop(shop.to(into))


def test_a_table_truncated_between_two_dumps_of_one_snapshot(shop: Target) -> None:
    with closing(connection(shop)) as holder, holder.cursor() as cursor:
        cursor.execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT pg_export_snapshot()")
        snapshot = f"--snapshot={cursor.fetchone()[0]}"
        cursor.execute("SELECT count(*) FROM users")
        assert b"CREATE TABLE public.orders" in dumped(shop, "--section=pre-data", snapshot)
        execute(shop, "SET lock_timeout = '5s'; TRUNCATE orders")
        data = dumped(shop, "--section=data", snapshot)
    assert b"COPY public.orders (id, user_id) FROM stdin;\n\\.\n" in data
    execute(shop, "INSERT INTO orders SELECT n, n FROM generate_series(1, 5000) n")
    with ENGINE.dump(shop, jobs=2) as dump:
        list(dump.schema())
        with pytest.raises(Exception, match="lock timeout"):
            execute(shop, "SET lock_timeout = '100ms'; TRUNCATE orders")
        pieces = [piece for stream in dump.data() for piece in stream]
        list(dump.finish())
    assert sum(piece.rows for piece in pieces if piece.table == "public.orders") == 5000


def test_what_the_database_itself_is_set_to(shop: Target, fleet: Fleet, fresh_database: FreshDatabase) -> None:
    """Settings, limit, comment, and who may connect: a copy that lets in whom the database refuses."""
    name, role = shop.database, f"outsider_{os.getpid()}"
    execute(
        shop,
        f"CREATE ROLE {role}; ALTER DATABASE {name} SET work_mem = '7MB'; ALTER DATABASE {name} CONNECTION LIMIT 9;"
        f"COMMENT ON DATABASE {name} IS 'the shop'; REVOKE CONNECT ON DATABASE {name} FROM PUBLIC;"
        f"ALTER ROLE {role} IN DATABASE {name} SET work_mem = '3MB'",
    )
    known = f"""
        SELECT datconnlimit, shobj_description(oid, 'pg_database'), has_database_privilege('{role}', oid, 'CONNECT'),
               (SELECT string_agg(setconfig::text, ' ' ORDER BY setconfig) FROM pg_db_role_setting
                WHERE setdatabase = d.oid)
        FROM pg_database d WHERE datname = current_database()
    """
    into = f"{name}_restored"
    try:
        copy = fresh_database(shop.to("postgres"))
        assert stock.psql(copy, *ON_ERROR, stdin=dumped(shop)).returncode == 0
        assert execute(copy, known) == [(-1, None, True, None)]
        seal(fleet, PLAN, "manual")
        restore(fleet, PLAN, "latest", into)
        assert execute(shop.to(into), known) == [(9, "the shop", False, "{work_mem=3MB} {work_mem=7MB}")]
        assert execute(shop.to(into), known) == execute(shop, known)
    finally:
        ENGINE.drop(shop.to(into))
        execute(shop, f"DROP OWNED BY {role}; ALTER ROLE {role} IN DATABASE {name} RESET ALL; DROP ROLE {role}")


def test_subscriptions_that_only_a_superuser_dumps(shop: Target) -> None:
    role = f"reader_{os.getpid()}"
    execute(
        shop,
        f"CREATE ROLE {role} LOGIN PASSWORD 'pw'; GRANT pg_read_all_data TO {role};"
        "CREATE SUBSCRIPTION feed CONNECTION 'host=127.0.0.1 port=1 dbname=x' PUBLICATION p"
        " WITH (connect = false, slot_name = NONE, enabled = false)",
    )
    reader = shop.model_copy(update={"user": role, "password": SecretStr("pw")})
    try:
        assert b"CREATE SUBSCRIPTION feed" in dumped(shop)
        assert b"CREATE SUBSCRIPTION" not in dumped(reader)
        [finding] = [each for each in ENGINE.findings(reader) if each.check == "subscriptions"]
        assert (finding.status, "the backup lacks them" in finding.found) == ("warning", True)
        said = taken(ENGINE, reader).manifest.database.not_carried
        assert any("subscriptions (such as feed) are not in the backup" in sentence for sentence in said)
    finally:
        execute(shop, f"DROP SUBSCRIPTION feed; DROP OWNED BY {role}; DROP ROLE {role}")


def test_a_dump_that_fails_in_a_pipe(shop: Target, tmp_path: Path) -> None:
    role = f"poor_{os.getpid()}"
    execute(shop, f"CREATE ROLE {role} LOGIN PASSWORD 'pw'")
    try:
        poor = shop.model_copy(update={"user": role, "password": SecretStr("pw")})
        program = stock.postgresql_binaries.find("pg_dump", stock.MAJOR)
        command = f"{program} -h {shop.host} -p {shop.port} -U {role} {shop.database} | gzip > out.gz"
        environment = {"PGPASSWORD": "pw", "PATH": os.environ["PATH"]}
        ended = subprocess.run(["sh", "-c", command], cwd=tmp_path, env=environment, check=False, capture_output=True)
        assert ended.returncode == 0
        assert gzip.decompress((tmp_path / "out.gz").read_bytes()) == b""
        fleet = fleet_of(poor, tmp_path)
        with pytest.raises((AccessDenied, DumpFailed)):
            seal(fleet, PLAN, "manual")
        assert catalog.backups(fleet, PLAN) == []
    finally:
        execute(shop, f"DROP ROLE {role}")


def test_a_materialized_view_whose_rows_are_made_anew(
    shop: Target, fleet: Fleet, fresh_database: FreshDatabase
) -> None:
    """A dump holds its query, not its rows: what that query reads elsewhere, it reads elsewhere."""
    execute(shop, "CREATE MATERIALIZED VIEW where_it_was AS SELECT current_database()::text AS name")
    copy = fresh_database(shop.to("postgres"))
    assert stock.psql(copy, *ON_ERROR, stdin=dumped(shop)).returncode == 0
    assert execute(copy, "SELECT name FROM where_it_was") == [(copy.database,)]
    manifest = seal(fleet, PLAN, "manual").manifest
    said = [*manifest.database.not_carried, *prove(fleet, PLAN, manifest.id, "near").not_covered]
    assert any("where_it_was" in sentence for sentence in said), said
