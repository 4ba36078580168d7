"""Archives that are validly signed and hostile, through a recovery: nothing outside the restored database happens.

And honest ones, whose events, sequences and subscriptions would reach what is live: they don't, while it is.
"""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from psycopg2.extensions import make_dsn
from pydantic import SecretStr

from backproof.engines.postgresql.connect import quote_literal
from backproof.fleet import Fleet
from backproof.fleet.specs import AdminSpec
from backproof.operations.seal import seal
from backproof.records import Target
from backproof.recovery.context import Recovery
from backproof.recovery.run import carry_out, perform
from backproof.recovery.steps import Step
from tests.support.engine_harness import MYSQL, POSTGRESQL, Harness
from tests.support.fleets import PLAN
from tests.support.forging import Alter, forge, replacing
from tests.support.prefect_fixtures import eventually
from tests.support.recovering import Live, World, world

ODD = {
    POSTGRESQL.engine: """
        CREATE TABLE "../../../x'; DROP TABLE parent; --""\\! y" (id int);
        CREATE ROLE "../odd ""role';" ; GRANT SELECT ON parent TO "../odd ""role';";
        INSERT INTO "../../../x'; DROP TABLE parent; --""\\! y" VALUES (7);
    """,
    MYSQL.engine: """
        CREATE TABLE `../../../x'; DROP TABLE parent; --``"\\! y` (id int);
        INSERT INTO `../../../x'; DROP TABLE parent; --``"\\! y` VALUES (7);
    """,
}
PARENT = {POSTGRESQL.engine: b"CREATE TABLE public.parent", MYSQL.engine: b"CREATE TABLE `parent`"}
"""Before which a forger puts a line of his own."""

POSTGRESQL_LINES = {
    "a shell": r"\! touch {trace}",
    "a pipe": r"\o |touch {trace}",
    "a file that is read": r"\i {trace}",
    "a copy by psql": r"\copy (SELECT 1) TO '{trace}'",
    "a copy to a program": "COPY (SELECT 1) TO PROGRAM 'touch {trace}';",
    "a copy from a program": "COPY public.bare FROM PROGRAM 'touch {trace}; echo 1';",
    "a copy to a file": "COPY (SELECT 1) TO '{trace}';",
    "code at once": "DO $$ BEGIN EXECUTE 'COPY (SELECT 1) TO PROGRAM ''touch {trace}'''; END $$;",
    "the server's settings": "ALTER SYSTEM SET application_name = 'hostile';",
    "another database": "DROP DATABASE {live} WITH (FORCE);",
    "a way to another": r"\connect {live}",
}
MYSQL_LINES = {
    "a shell": r"\! touch {trace}",
    "a shell by name": "system touch {trace};",
    "a file that is read": "source {trace};",
    "a log": r"\T {trace}",
    "a file that is written": "SELECT 1 INTO OUTFILE '{trace}';",
    "another schema's rows": "INSERT INTO `{live}`.`bare` VALUES (666);",
    "another schema": "USE `{live}`; DROP TABLE `bare`;",
    "a schema gone": "DROP DATABASE `{live}`;",
    "a right": "GRANT ALL ON *.* TO 'hostile'@'%';",
    "a setting": "SET GLOBAL general_log = 1;",
}
CASES = [
    pytest.param(harness, line, id=f"{harness.engine}, {name}")
    for harness, lines in ((POSTGRESQL, POSTGRESQL_LINES), (MYSQL, MYSQL_LINES))
    for name, line in lines.items()
]
AMONG_ROWS = {
    POSTGRESQL.engine: (
        b"COPY public.parent (id, name) FROM stdin;",
        b"COPY public.parent FROM PROGRAM 'touch {trace}';",
    ),
    MYSQL.engine: (b"'parent 10');\n", b"'parent 10');\nSELECT 1 INTO OUTFILE '{trace}';\n"),
}


@pytest.fixture(scope="module")
def worlds(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[Harness], World]]:
    """One an engine, when needed."""
    with ExitStack() as stack:
        made: dict[str, World] = {}

        def of(harness: Harness) -> World:
            if harness.engine not in made:
                server = request.getfixturevalue("postgres15" if harness is POSTGRESQL else "mariadb")
                if harness is POSTGRESQL:
                    stack.callback(harness.run, server, 'DROP ROLE IF EXISTS "../odd ""role\';"')
                folder = tmp_path_factory.mktemp("hostile")
                made[harness.engine] = stack.enter_context(world(harness, server, folder, ODD[harness.engine]))
            return made[harness.engine]

        yield of


@pytest.fixture
def trace() -> Iterator[Path]:
    """A file that anybody could make, and nobody is to."""
    folder = Path(tempfile.mkdtemp(prefix="backproof-hostile-"))
    folder.chmod(0o777)
    yield folder / "trace"
    left = list(folder.iterdir())
    shutil.rmtree(folder)
    assert left == [], "it was made"


def refused(live: Live, alter: Alter) -> str:
    """Why a forged archive is refused; nothing has changed then."""
    before, databases = live.content(), live.world.databases()
    forge(live.fleet, PLAN, "near", alter)
    _, outcome = live.recover(no_safety_backup="it is a test")
    assert outcome.result == "nothing changed", outcome
    assert live.content() == before
    assert live.world.databases() == databases
    assert live.application.told == [], "the application was neither asked nor stopped"
    return outcome.why


@pytest.mark.parametrize(("harness", "line"), CASES)
def test_what_no_dump_tool_writes_is_refused_and_does_nothing(
    worlds: Callable[[Harness], World], trace: Path, harness: Harness, line: str
) -> None:
    made = worlds(harness)
    live = made.live(verify_on="server", stores=["near"])
    asked = "SHOW application_name" if harness is POSTGRESQL else "SELECT @@global.general_log"
    before, old = harness.run(made.server, asked), PARENT[harness.engine]
    hostile = line.format(trace=trace, live=live.target.database).encode()
    refused(live, replacing(old, hostile + b"\n" + old))
    assert harness.run(made.server, asked) == before
    made.clean()


@pytest.mark.parametrize("harness", [POSTGRESQL, MYSQL], ids=lambda harness: harness.engine)
def test_rows_that_are_more_than_rows_are_refused(
    worlds: Callable[[Harness], World], trace: Path, harness: Harness
) -> None:
    made = worlds(harness)
    live = made.live(verify_on="server", stores=["near"])
    old, new = AMONG_ROWS[harness.engine]
    table = harness.parent.format(database="")
    refused(live, replacing(old, new.replace(b"{trace}", str(trace).encode()), table))
    made.clean()


@pytest.mark.parametrize("harness", [POSTGRESQL, MYSQL], ids=lambda harness: harness.engine)
def test_names_that_are_paths_and_commands_are_names(worlds: Callable[[Harness], World], harness: Harness) -> None:
    made = worlds(harness)
    live = made.live(verify_on="server", stores=["near"])
    whole, databases = live.content(), live.world.databases()
    live.run("DELETE FROM child")
    recovery, outcome = live.recover()
    assert (outcome.result, outcome.problems) == ("recovered", ())
    assert live.content() == whole
    assert live.world.databases() == databases | {recovery.request.aside}
    made.clean()


def test_a_definer_that_is_somebody_else_does_nothing_while_it_is_restored(
    worlds: Callable[[Harness], World],
) -> None:
    """A trigger in the name of an administrator, which writes elsewhere when a row comes: restored rows fire none."""
    made = worlds(MYSQL)
    live = made.live(verify_on="server", stores=["near"])
    elsewhere = live.target.database
    live.run("CREATE TABLE seen_here (what int)")
    forge(
        live.fleet,
        PLAN,
        "near",
        replacing(
            b"SET NEW.name = COALESCE(NEW.name, 'nobody')", f"INSERT INTO `{elsewhere}`.seen_here VALUES (1)".encode()
        ),
    )
    recovery = live.begin(accept_mentions=True)
    counted: list[object] = []

    def run_step(recovery: Recovery, step: Step) -> None:
        perform(recovery, step)
        if step.name == "inspect":
            counted.extend(live.run("SELECT count(*) FROM seen_here"))

    outcome = carry_out(recovery, run_step)
    assert (outcome.result, counted) == ("rolled back", [(0,)]), "it names what is live, and takes nobody's place"
    assert live.run("SELECT count(*) FROM seen_here") == [(0,)]
    made.clean()


# --- restored beside what is live


REACHING = """
    CREATE SEQUENCE numbers; CREATE TABLE log (id bigint DEFAULT NEXTVAL(numbers), what varchar(9));
    CREATE EVENT every_second ON SCHEDULE EVERY 1 SECOND DO INSERT INTO log (what) VALUES ('event');
"""
EVENTS = "SELECT status FROM information_schema.events WHERE event_schema = DATABASE()"
FED = "CREATE TABLE fed (id int);"
SUBSCRIBED = (
    "SELECT subenabled, subslotname::text FROM pg_subscription JOIN pg_database d ON d.oid = subdbid"
    " WHERE datname = current_database()"
)


def test_no_event_and_no_default_of_what_is_restored_beside_reaches_what_is_live(
    mariadb: Target, tmp_path: Path
) -> None:
    with world(MYSQL, mariadb, tmp_path, REACHING) as made:
        live = made.live(verify_on="server", stores=["near"])
        live.run("DROP EVENT IF EXISTS every_second; DELETE FROM log")
        ((number,),) = live.run("SELECT next_not_cached_value FROM numbers")
        recovery = live.begin()
        found: list[object] = []

        def run_step(recovery: Recovery, step: Step) -> None:
            if step.name == "maintenance-on":
                beside = recovery.beside
                MYSQL.run(beside, "INSERT INTO log (what) VALUES ('mine')")
                MYSQL.run(beside, "DO SLEEP(2.5)")  # in which an event of each second would have come
                found.extend(live.run("SELECT count(*) FROM log"))
                found.extend(live.run("SELECT next_not_cached_value FROM numbers"))
                found.extend(MYSQL.run(beside, EVENTS))
            perform(recovery, step)

        outcome = carry_out(recovery, run_step)
        assert found == [(0,), (number,), ("DISABLED",)]
        assert (outcome.result, outcome.problems) == ("recovered", ())
        assert live.run(EVENTS) == [("ENABLED",)], "it is live now"
        assert MYSQL.run(live.target.to(recovery.request.aside), EVENTS) == []
        live.run("DROP EVENT every_second")


def test_a_subscription_that_is_restored_beside_takes_nothing_from_the_live_one(
    postgres15: Target, tmp_path: Path
) -> None:
    run = POSTGRESQL.run
    with publisher(postgres15) as (source, subscription), world(POSTGRESQL, postgres15, tmp_path, FED) as made:
        live = made.live(verify_on="server", stores=["near"])
        live.run(subscription)
        backup = seal(live.fleet, PLAN, "manual").manifest.id
        recovery = live.begin(backup=backup, accepted=("feed",))
        beside: list[object] = []

        def run_step(recovery: Recovery, step: Step) -> None:
            if step.name == "maintenance-on":
                run(source, "INSERT INTO fed VALUES (1), (2)")
                eventually(lambda: live.run("SELECT count(*) FROM fed") == [(2,)], 60, "the rows come to the live one")
                beside.extend(run(recovery.beside, SUBSCRIBED))
                beside.extend(run(recovery.beside, "SELECT count(*) FROM fed"))
            perform(recovery, step)

        outcome = carry_out(recovery, run_step)
        assert (outcome.result, outcome.problems) == ("recovered", ())
        assert beside == [(False, None), (0,)]
        assert live.run(SUBSCRIBED) == [(False, None)]
        assert live.run("SELECT count(*) FROM fed") == [(0,)]
        aside = live.target.to(recovery.request.aside)
        assert run(aside, SUBSCRIBED) == [(True, f"slot_{source.database}")], "it stays with what was set aside"
        assert run(aside, "SELECT count(*) FROM fed") == [(2,)]


@contextmanager
def publisher(server: Target) -> Iterator[tuple[Target, str]]:
    """A database that publishes ``fed``, and the statement that subscribes to it by a slot that is there already."""
    source = server.to(f"source_{os.getpid()}")
    slot = f"slot_{source.database}"
    POSTGRESQL.run(server, f"CREATE DATABASE {source.database}")
    try:
        POSTGRESQL.run(source, "CREATE TABLE fed (id int); CREATE PUBLICATION all_of_it FOR TABLE fed")
        POSTGRESQL.run(source, f"SELECT pg_create_logical_replication_slot('{slot}', 'pgoutput')")
        password = server.password.get_secret_value() if server.password else ""
        feed = make_dsn(host=server.host, port=server.port, user=server.user, dbname=source.database, password=password)
        yield (
            source,
            f"CREATE SUBSCRIPTION feed CONNECTION {quote_literal(feed)} PUBLICATION all_of_it"
            f" WITH (create_slot = false, slot_name = '{slot}', copy_data = false)",
        )
    finally:
        free = f"SELECT 1 FROM pg_replication_slots WHERE slot_name = '{slot}' AND NOT active"
        eventually(lambda: POSTGRESQL.run(server, free), 60, "nobody reads from the slot")
        POSTGRESQL.run(server, f"SELECT pg_drop_replication_slot('{slot}')")
        POSTGRESQL.run(server, f"DROP DATABASE {source.database} WITH (FORCE)")


# --- functions of the database itself


CHECKED = """
    CREATE ROLE {owner}; GRANT USAGE, CREATE ON SCHEMA public TO {owner};
    DO $$ BEGIN EXECUTE format('ALTER DATABASE %I OWNER TO {owner}', current_database()); END $$;
    ALTER TABLE parent OWNER TO {owner}; ALTER TABLE child OWNER TO {owner}; ALTER TABLE bare OWNER TO {owner};
    ALTER VIEW seen OWNER TO {owner}; SET ROLE {owner};
    CREATE FUNCTION f(i int) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN RETURN true; END $$;
    CREATE FUNCTION g(i int) RETURNS bool IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN RETURN public.f(i); END $$;
    CREATE TABLE checked (i int CHECK (public.f(i))); INSERT INTO checked SELECT generate_series(1, 9);
    CREATE INDEX by_g ON checked (public.g(i));
    RESET ROLE;
"""
HOSTILE = """
        BEGIN EXECUTE 'ALTER ROLE {owner} SUPERUSER'; EXCEPTION WHEN OTHERS THEN NULL; END;
        BEGIN EXECUTE 'RESET SESSION AUTHORIZATION'; EXCEPTION WHEN OTHERS THEN NULL; END;
        BEGIN EXECUTE $q$COPY (SELECT 1) TO PROGRAM 'touch {trace}'$q$; EXCEPTION WHEN OTHERS THEN NULL; END;
        RETURN true;
"""


def test_a_function_in_a_check_can_do_no_more_than_an_admin_who_is_no_superuser(
    postgres15: Target, tmp_path: Path, trace: Path
) -> None:
    owner, admin = f"mallory_{os.getpid()}", f"restorer_{os.getpid()}"
    run = POSTGRESQL.run
    try:
        with world(POSTGRESQL, postgres15, tmp_path, CHECKED.format(owner=owner)) as made:
            live = made.live(verify_on="server", stores=["near"])
            run(postgres15, f"CREATE ROLE {admin} LOGIN PASSWORD 'no superuser'")
            live.fleet = _with_admin(live, admin, "no superuser")
            printed = live.fleet.engine(PLAN).grants(live.fleet.restorer(PLAN)).restore
            assert "SUPERUSER" not in printed
            live.run(f"{printed}; GRANT pg_signal_backend TO {admin}")
            whole = live.content()
            live.run("DELETE FROM child")
            hostile = HOSTILE.format(owner=owner, trace=trace).encode()
            forge(live.fleet, PLAN, "near", replacing(b"RETURN true;", hostile))
            _, outcome = live.recover()
            assert (outcome.result, outcome.problems) == ("recovered", ())
            assert live.run("SELECT count(*) FROM child") == [(200,)]
            assert live.content().keys() == whole.keys()
            assert run(postgres15, f"SELECT rolsuper FROM pg_roles WHERE rolname = '{owner}'") == [(False,)]
            assert live.run("SELECT count(*) FROM checked") == [(9,)]
    finally:
        for role in (admin, owner):
            run(postgres15, f"DROP ROLE IF EXISTS {role}")


def _with_admin(live: Live, user: str, password: str) -> Fleet:
    spec = live.fleet.spec
    databases = {
        name: each.model_copy(update={"admin": AdminSpec(user=user, password=SecretStr(password))})
        for name, each in spec.databases.items()
    }
    return Fleet(spec.model_copy(update={"databases": databases}))
