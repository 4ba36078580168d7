"""The contract of an engine, as ``backproof/engines/__init__.py`` words it, over every engine there is."""

import csv
import io
import itertools
import os
import pkgutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import pytest
import sqlalchemy

from backproof import engines
from backproof.engines import Engine, find
from backproof.errors import AlreadyExists, Busy, ConfigurationError, ConnectionLost, NotFound, Obstructed
from backproof.records import Target
from backproof.scratch import workspace
from tests.support.engine_harness import HARNESSES, Harness
from tests.support.round_trip import MemorySource, compared, expect_complete, taken

_numbers = itertools.count(1)


@dataclass(frozen=True)
class World:
    """An engine, a server of its kind, and a filled database on it."""

    harness: Harness
    engine: Engine
    server: Target
    live: Target

    def beside(self) -> Target:
        """A database that does not exist yet."""
        return self.server.to(f"contract_{os.getpid()}_{next(_numbers)}")


@pytest.fixture(
    scope="module",
    params=[(harness, server) for harness in HARNESSES for server in harness.servers],
    ids=lambda pair: pair[1],
)
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    harness, server_name = request.param
    server: Target = request.getfixturevalue(server_name)
    live = server.to(f"contract_live_{os.getpid()}")
    harness.run(server, f"CREATE DATABASE {live.database}")
    harness.run(live, harness.script)
    world = World(harness, find(harness.engine), server, live)
    yield world
    world.engine.drop(live)


@pytest.fixture(scope="module")
def source(world: World) -> MemorySource:
    return taken(world.engine, world.live)


@pytest.fixture
def beside(world: World) -> Iterator[Target]:
    target = world.beside()
    yield target
    world.engine.drop(target)


def test_every_engine_is_held_to_the_contract() -> None:
    assert {module.name for module in pkgutil.iter_modules(engines.__path__)} == {each.engine for each in HARNESSES}


def test_an_engine_is_found_by_each_of_its_names_and_an_unknown_one_is_told(world: World) -> None:
    assert world.engine.name == world.harness.engine
    for spelling in (world.engine.name, *world.engine.spellings):
        assert find(spelling) is world.engine
    with pytest.raises(ConfigurationError, match=world.engine.name):
        find("no such engine")


def test_a_dump_holds_what_the_catalogue_says_at_the_same_moment(source: MemorySource) -> None:
    expect_complete(source)


def test_pieces_of_a_table_follow_one_another_and_say_their_rows(world: World) -> None:
    with world.engine.dump(world.live) as dump:
        seen: list[str] = []
        for stream in dump.data():
            for table, pieces in itertools.groupby(stream, lambda piece: piece.table):
                columns = {piece.columns for piece in pieces}
                assert len(columns) == 1
                if table is not None:
                    seen.append(table)
        assert len(seen) == len(set(seen))
        assert {world.harness.child, world.harness.parent, world.harness.bare} <= set(seen)


def test_two_dumps_of_the_same_rows_have_the_same_digests(world: World, source: MemorySource) -> None:
    again = taken(world.engine, world.live)
    assert again.manifest.tables == source.manifest.tables
    assert again.manifest.entries == source.manifest.entries


def test_entries_joined_are_the_text(world: World, source: MemorySource) -> None:
    for section in ("schema", "finish"):
        text = b"".join(source.texts[member.offset] for member in source.manifest.members if member.section == section)
        assert b"".join(entry.text for entry in world.engine.entries(text)) == text


def test_what_is_restored_dumps_the_same_again_in_the_same_order(
    world: World, source: MemorySource, beside: Target
) -> None:
    assert world.engine.lacks(beside, source.manifest) == []
    assert world.engine.create(beside, source.manifest) is True
    assert world.engine.restore(source, beside, jobs=2, keep_order=True) == []
    assert world.engine.apply_globals(beside, source.manifest) == []
    assert compared(world.engine, source, taken(world.engine, beside), beside) == ()


def test_progress_adds_up_to_the_plain_bytes(world: World, source: MemorySource, beside: Target) -> None:
    done: list[int] = []
    world.engine.create(beside, source.manifest)
    world.engine.restore(source, beside, jobs=3, progress=done.append)
    assert sum(done) == source.manifest.plain_bytes


def test_a_database_that_holds_something_is_never_restored_into(
    world: World, source: MemorySource, beside: Target
) -> None:
    assert world.engine.create(beside, source.manifest) is True
    assert world.engine.create(beside, source.manifest) is False
    world.engine.restore(source, beside, tables=[world.harness.parent])
    with pytest.raises(AlreadyExists):
        world.engine.create(beside, source.manifest)


def test_a_database_that_is_not_whole_says_so_until_it_is(world: World, source: MemorySource, beside: Target) -> None:
    world.engine.create(beside, source.manifest)
    with suppress(KeyError), world.engine.unfinished(beside, source.manifest):
        assert world.engine.create(beside, source.manifest) is False, "nothing is in it yet"
        raise KeyError("whatever kills a restore before it began")
    with suppress(KeyError), world.engine.unfinished(beside, source.manifest):
        world.engine.restore(source, beside)
        raise KeyError("whatever kills a restore at its end")
    with pytest.raises(AlreadyExists, match="has not finished") as raised:
        world.engine.create(beside, source.manifest)
    assert "DROP DATABASE" in raised.value.remedy
    world.engine.drop(beside)
    world.engine.create(beside, source.manifest)
    with world.engine.unfinished(beside, source.manifest):
        world.engine.restore(source, beside)
    with pytest.raises(AlreadyExists, match="not empty"):
        world.engine.create(beside, source.manifest)
    assert taken(world.engine, beside).manifest.entries == source.manifest.entries


def test_one_table_alone_is_restored_by_reading_its_members_alone(
    world: World, source: MemorySource, beside: Target
) -> None:
    world.engine.create(beside, source.manifest)
    source.read_members.clear()
    left_out = world.engine.restore(source, beside, tables=[world.harness.child])
    assert {member.table for member in source.read_members if member.section == "data"} <= {None, world.harness.child}
    assert any(world.harness.parent in sentence for sentence in left_out)
    (wanted,) = (table for table in source.manifest.tables if table.name == world.harness.child)
    assert world.engine.digest(beside, wanted) == wanted


def test_a_table_that_is_not_there_is_refused_before_anything_is_done(
    world: World, source: MemorySource, beside: Target
) -> None:
    world.engine.create(beside, source.manifest)
    with pytest.raises(NotFound, match="chidl"):
        world.engine.restore(source, beside, tables=["chidl"])
    assert world.engine.create(beside, source.manifest) is False


def test_an_export_of_everything_is_the_archive_s_text(world: World, source: MemorySource) -> None:
    assert b"".join(world.engine.export(source, None)) == source.text


def test_an_export_of_one_table_reads_no_other_table_s_rows(world: World, source: MemorySource) -> None:
    source.read_members.clear()
    text = b"".join(world.engine.export(source, [world.harness.parent]))
    assert b"parent 10" in text
    assert {member.table for member in source.read_members if member.section == "data"} <= {None, world.harness.parent}


def test_a_digest_is_that_of_the_dump(world: World, source: MemorySource) -> None:
    for table in source.manifest.tables:
        assert world.engine.digest(world.live, table) == table


def test_dropping_what_is_not_there_is_no_error(world: World) -> None:
    world.engine.drop(world.beside())


def test_one_writer_per_plan_and_the_lock_ends_with_its_holder(world: World) -> None:
    with world.engine.lock(world.live, "shop"):
        with pytest.raises(Busy), world.engine.lock(world.live, "shop"):
            pass
        with world.engine.lock(world.live, "another plan"):
            pass
    with world.engine.lock(world.live, "shop"):
        pass


Connected = Callable[..., AbstractContextManager[Any]]


@pytest.mark.parametrize("which", ["lock", "recovery_lock"])
def test_a_lock_is_given_back_before_its_connection_ends_which_a_busy_server_sees_late(
    world: World, which: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, held = import_module(f"{type(world.engine).__module__}.lock"), getattr(world.engine, which)
    taken_again = []

    def ending_late(connected: Connected) -> Connected:
        @contextmanager
        def ends_late(*arguments: Any, **options: Any) -> Iterator[Any]:
            with connected(*arguments, **options) as connection:
                yield connection
                monkeypatch.undo()
                with held(world.live, "shop"):
                    taken_again.append(True)

        return ends_late

    for name in {"connected", "on_server"} & set(vars(module)):
        monkeypatch.setattr(module, name, ending_late(getattr(module, name)))
    with held(world.live, "shop"):
        pass
    assert taken_again == [True]


def test_a_scratch_server_takes_the_archive_and_is_gone_afterwards(world: World, source: MemorySource) -> None:
    with workspace("contract") as folder, world.engine.scratch(source.manifest, folder) as target:
        world.engine.provide(target, source.manifest, world.engine.lacks(target, source.manifest))
        world.engine.restore(source, target, jobs=2, keep_order=True)
        world.engine.apply_globals(target, source.manifest)
        assert compared(world.engine, source, taken(world.engine, target), target) == ()
    with pytest.raises(ConnectionLost):
        world.engine.digest(target, source.manifest.tables[0])
    assert not folder.exists()


def test_rows_are_held_beside_the_live_ones_and_missing_ones_come_back(
    world: World, source: MemorySource, beside: Target
) -> None:
    world.engine.create(beside, source.manifest)
    world.engine.restore(source, beside, jobs=2)
    world.harness.run(beside, "DELETE FROM child WHERE id > 190 OR parent_id = 3; DELETE FROM parent WHERE id = 3")
    world.harness.run(beside, "UPDATE child SET parent_id = 1 WHERE id = 1; INSERT INTO child VALUES (1000, 1, '')")
    room = world.server.to(f"{beside.database}_room")
    file = io.BytesIO()
    with world.engine.beside(source, beside, room, "child") as held:
        counts = held.counts()
        held.write_rows(file)
        missing = counts.missing
        assert (held.table, held.key, held.left_out) == (world.harness.child, ("id",), ())
        assert (counts.backup, counts.live, counts.changed, counts.new) == (200, 201 - missing, 1, 1)
        dry = held.put_back(fire_triggers=True, dry_run=True)
        assert held.counts() == counts
        done = held.put_back(fire_triggers=True)
        assert [(each.table, each.inserted) for each in done] == [
            (world.harness.child, missing),
            (world.harness.parent, 1),
        ]
        assert dry == done
        assert (held.counts().missing, held.counts().changed) == (0, 1)
    assert not world.engine.exists(room)
    found = [row[:3] for row in csv.reader(io.StringIO(file.getvalue().decode(), newline=""))]
    assert found[:3] == [["difference", "of", "id"], ["changed", "backup", "1"], ["changed", "live", "1"]]
    assert found[-1] == ["new", "live", "1000"]
    assert len(found) == missing + 4
    with pytest.raises(ConfigurationError, match="--key"), world.engine.beside(source, beside, room, "bare"):
        pass


def test_tables_take_the_place_of_live_ones_and_foreign_keys_hold(
    world: World, source: MemorySource, beside: Target
) -> None:
    world.engine.create(beside, source.manifest)
    world.engine.restore(source, beside, jobs=2)
    room = world.server.to(f"{beside.database}_room")
    tables = world.engine.resolve(source, ["parent"])
    links = world.engine.links_of(beside, tables)
    assert len(links) == 1
    world.harness.run(
        beside, "INSERT INTO parent (id, name) VALUES (77, 'new'); UPDATE child SET parent_id = 77 WHERE id = 1"
    )
    broken = world.engine.replace_tables(source, beside, room, tables, links, dry_run=True).orphans
    assert [(each.table, each.parent, each.rows) for each in broken] == [(world.harness.child, world.harness.parent, 1)]
    told: list[str] = []
    with pytest.raises(Obstructed, match="1 of"):
        world.engine.replace_tables(source, beside, room, tables, links, changing=lambda: told.append("changing"))
    assert world.harness.run(beside, "SELECT count(*) FROM parent") == [(11,)]
    assert told == []
    world.harness.run(beside, "UPDATE child SET parent_id = 1 WHERE id = 1")
    made = world.engine.replace_tables(source, beside, room, tables, links, changing=lambda: told.append("changing"))
    assert told == ["changing"]
    assert made.tables == {world.harness.parent: 10}
    assert len(made.links) == 1
    assert world.engine.links_of(beside, tables).keys() == links.keys()
    with pytest.raises(Exception, match=r"(?i)foreign key"):
        world.harness.run(beside, "UPDATE child SET parent_id = 77 WHERE id = 1")
    assert not world.engine.exists(room)


def test_an_application_s_login_may_do_all_in_its_database_and_nothing_beside_it(
    world: World, source: MemorySource, beside: Target
) -> None:
    engine, run, name = world.engine, world.harness.run, f"contract_app_{os.getpid()}"
    before = set(run(world.server, world.harness.logins))
    engine.create(beside, source.manifest)
    engine.restore(source, beside)
    own = engine.admit(beside, name)
    try:
        assert (own.user, own.database) == (name, beside.database)
        assert any(name in str(login) for (login,) in set(run(world.server, world.harness.logins)) - before)
        assert run(own, "SELECT count(*) FROM seen") == [(200,)]
        run(own, "INSERT INTO parent (name) VALUES ('one more'); UPDATE child SET parent_id = 2; DELETE FROM child")
        run(
            own, "ALTER TABLE parent ADD COLUMN since int; CREATE TABLE made (id int); DROP VIEW seen; DROP TABLE child"
        )
        for refused in (
            f"CREATE DATABASE {beside.database}_2",
            "CREATE USER contract_other",
            f"DROP DATABASE {world.live.database}",
        ):
            with pytest.raises(Exception, match=r"(?i)denied|must be owner"):
                run(own, refused)
        with pytest.raises(Exception, match=r"(?i)denied"):
            run(own.to(world.live.database), f"SELECT count(*) FROM {world.harness.bare}")
        url = sqlalchemy.create_engine(engine.sqlalchemy_url(own))
        with url.connect() as connection:
            assert connection.execute(sqlalchemy.text("SELECT count(*) FROM parent")).scalar() == 11
        url.dispose()
    finally:
        engine.drop(beside)
        engine.dismiss(beside, name)
    assert set(run(world.server, world.harness.logins)) == before
    engine.dismiss(beside, name)
    with pytest.raises(Exception, match=r"(?i)denied|authentication failed|does not exist"):
        run(own.to(world.live.database), "SELECT 1")


def test_preflight_finds_nothing_failed_for_an_administrator(world: World) -> None:
    assert [finding for finding in world.engine.findings(world.live) if finding.status == "failed"] == []


def test_a_plan_s_checks_reach_the_database(world: World) -> None:
    database = sqlalchemy.create_engine(world.engine.sqlalchemy_url(world.live))
    with database.connect() as connection:
        assert connection.execute(sqlalchemy.text("SELECT count(*) FROM child")).scalar() == 200
    database.dispose()
