"""What the contract of an engine says of an exchange, over every engine: a database in another's place, and back.

Every record goes through JSON before it is used, as it would through a journal.
"""

import itertools
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
import sqlalchemy

from backproof.engines import Engine, find
from backproof.errors import AlreadyExists, Busy, NotFound
from backproof.records import Exchange, Target
from tests.support.engine_harness import HARNESSES, Harness
from tests.support.round_trip import MemorySource, compared, taken

_numbers = itertools.count(1)


@dataclass(frozen=True)
class World:
    """An engine, a server of its kind, and an archive of a filled database on it."""

    harness: Harness
    engine: Engine
    server: Target
    source: MemorySource

    def fresh(self, name: str) -> Target:
        """A database that does not exist yet."""
        return self.server.to(f"exchange_{name}_{os.getpid()}_{next(_numbers)}")

    def restored(self, target: Target) -> None:
        self.engine.create(target, self.source.manifest)
        self.engine.restore(self.source, target)
        self.engine.apply_globals(target, self.source.manifest)


@pytest.fixture(
    scope="module",
    params=[(harness, server) for harness in HARNESSES for server in harness.servers],
    ids=lambda pair: pair[1],
)
def world(request: pytest.FixtureRequest) -> World:
    harness, server_name = request.param
    server: Target = request.getfixturevalue(server_name)
    engine = find(harness.engine)
    origin = server.to(f"exchange_origin_{os.getpid()}")
    harness.run(server, f"CREATE DATABASE {origin.database}")
    harness.run(origin, harness.script)
    source = taken(engine, origin)
    engine.drop(origin)
    return World(harness, engine, server, source)


@dataclass(frozen=True)
class Scene:
    """A live database that has gone on since its backup, and the backup restored beside it."""

    world: World
    live: Target
    incoming: Target
    outgoing: Target

    @property
    def engine(self) -> Engine:
        return self.world.engine

    def run(self, target: Target, script: str) -> list[tuple[object, ...]]:
        return self.world.harness.run(target, script)

    def planned(self) -> Exchange:
        names = (self.incoming.database, self.outgoing.database)
        plan = self.engine.plan_exchange(self.live, *names, self.world.source)
        return Exchange.model_validate_json(plan.model_dump_json())

    def differences(self, target: Target, source: MemorySource) -> list[str]:
        found = compared(self.engine, source, taken(self.engine, target), target)
        return [f"{each.object}: {each.what}" for each in found]

    def drop(self) -> None:
        for target in (self.live, self.incoming, self.outgoing):
            self.engine.drop(target)


@pytest.fixture
def scene(world: World) -> Iterator[Scene]:
    made = Scene(world, world.fresh("live"), world.fresh("incoming"), world.fresh("outgoing"))
    try:
        world.restored(made.live)
        made.run(made.live, "DELETE FROM child WHERE id > 150; INSERT INTO bare VALUES (7)")
        made.run(made.live, "CREATE TABLE later (id int); DROP VIEW seen")
        world.restored(made.incoming)
        yield made
    finally:
        made.drop()


def test_what_was_restored_is_live_and_what_was_live_is_kept(scene: Scene) -> None:
    before = taken(scene.engine, scene.live)
    plan = scene.planned()
    assert scene.engine.exchanged(scene.live, plan) == "before"
    assert scene.differences(scene.live, before) == [], "a plan changes nothing"
    scene.engine.exchange(scene.live, plan)
    assert scene.engine.exchanged(scene.live, plan) == "after"
    assert not scene.engine.exists(scene.incoming)
    assert scene.differences(scene.live, scene.world.source) == []
    assert scene.run(scene.outgoing, "SELECT count(*) FROM child") == [(150,)]
    assert scene.run(scene.outgoing, "SELECT id FROM bare") == [(7,)]


def test_what_was_live_is_live_again_after_an_undo(scene: Scene) -> None:
    before = taken(scene.engine, scene.live)
    plan = scene.planned()
    scene.engine.exchange(scene.live, plan)
    scene.engine.undo(scene.live, plan)
    assert scene.engine.exchanged(scene.live, plan) == "before"
    assert not scene.engine.exists(scene.outgoing)
    assert scene.differences(scene.live, before) == []
    assert scene.run(scene.incoming, "SELECT count(*) FROM child") == [(200,)]


def test_both_may_be_called_again_and_change_nothing(scene: Scene) -> None:
    plan = scene.planned()
    scene.engine.undo(scene.live, plan)
    assert scene.run(scene.live, "SELECT count(*) FROM child") == [(150,)], "nothing was there to be undone"
    for _ in range(2):
        for _ in range(2):
            scene.engine.exchange(scene.live, plan)
            assert scene.engine.exchanged(scene.live, plan) == "after"
            assert scene.run(scene.live, "SELECT count(*) FROM child") == [(200,)]
        for _ in range(2):
            scene.engine.undo(scene.live, plan)
            assert scene.engine.exchanged(scene.live, plan) == "before"
            assert scene.run(scene.live, "SELECT count(*) FROM child") == [(150,)]


def test_an_undo_after_days_brings_back_what_was_and_keeps_what_came_since(scene: Scene) -> None:
    before = taken(scene.engine, scene.live)
    plan = scene.planned()
    scene.engine.exchange(scene.live, plan)
    scene.run(scene.live, "DROP VIEW seen; CREATE VIEW seen_since AS SELECT id FROM child; INSERT INTO bare VALUES (8)")
    kept = taken(scene.engine, scene.outgoing)
    assert kept.manifest.tables == before.manifest.tables, "what is set aside is sealed like any other"
    scene.engine.undo(scene.live, plan)
    assert scene.differences(scene.live, before) == []
    assert scene.run(scene.incoming, "SELECT count(*) FROM seen_since") == [(200,)]
    assert scene.run(scene.incoming, "SELECT id FROM bare") == [(8,)]


def test_a_live_database_that_is_lost_needs_no_exchange_but_a_place(scene: Scene) -> None:
    scene.engine.drop(scene.live)
    assert not scene.engine.exists(scene.live)
    assert scene.engine.obstacles(scene.live) == []
    plan = scene.planned()
    assert not plan.had_live
    for _ in range(2):
        scene.engine.exchange(scene.live, plan)
        assert scene.engine.exchanged(scene.live, plan) == "after"
        assert scene.differences(scene.live, scene.world.source) == []
        assert not scene.engine.exists(scene.incoming)
        assert not scene.engine.exists(scene.outgoing)
    for _ in range(2):
        scene.engine.undo(scene.live, plan)
        assert scene.engine.exchanged(scene.live, plan) == "before"
        assert not scene.engine.exists(scene.live)
    assert scene.run(scene.incoming, "SELECT count(*) FROM child") == [(200,)]


@pytest.mark.parametrize("way", ["exchange", "undo"])
def test_sessions_in_the_way_are_ended(scene: Scene, way: str) -> None:
    plan = scene.planned()
    if way == "undo":
        scene.engine.exchange(scene.live, plan)
    act: Callable[[Target, Exchange], None] = getattr(scene.engine, way)
    database = sqlalchemy.create_engine(scene.engine.sqlalchemy_url(scene.live), poolclass=sqlalchemy.NullPool)
    idle, busy = database.connect(), database.connect()
    idle.execute(sqlalchemy.text("SELECT 1"))
    busy.execute(sqlalchemy.text("UPDATE parent SET name = 'never seen'"))
    act(scene.live, plan)
    for connection in (idle, busy):
        with pytest.raises(sqlalchemy.exc.DBAPIError):
            connection.execute(sqlalchemy.text("SELECT 1"))
        connection.invalidate()
        connection.close()
    for target in (scene.live, scene.outgoing if way == "exchange" else scene.incoming):
        assert scene.run(target, "SELECT count(*) FROM parent WHERE name = 'never seen'") == [(0,)]


def test_obstacles_are_none_where_nothing_is_in_the_way_and_looking_changes_nothing(scene: Scene) -> None:
    before = taken(scene.engine, scene.live)
    assert scene.engine.obstacles(scene.live) == []
    assert scene.engine.obstacles(scene.outgoing) == [], "there is no such database"
    assert scene.differences(scene.live, before) == []


def test_an_exchange_is_not_planned_with_nothing_or_over_something(scene: Scene) -> None:
    with pytest.raises(NotFound, match=scene.outgoing.database):
        scene.engine.plan_exchange(scene.live, scene.outgoing.database, "whatever", scene.world.source)
    with pytest.raises(AlreadyExists, match=scene.incoming.database):
        scene.engine.plan_exchange(scene.live, scene.incoming.database, scene.incoming.database, scene.world.source)


def test_nothing_is_taken_for_exchanged_because_what_was_restored_has_gone(scene: Scene) -> None:
    plan = scene.planned()
    scene.engine.drop(scene.incoming)
    assert scene.engine.exchanged(scene.live, plan) == "before"
    with pytest.raises(NotFound):
        scene.engine.exchange(scene.live, plan)
    assert scene.run(scene.live, "SELECT count(*) FROM child") == [(150,)]


def test_one_recovery_per_plan_whatever_becomes_of_the_database(scene: Scene) -> None:
    plan = scene.planned()
    with scene.engine.recovery_lock(scene.live, "shop"):
        for act in (lambda: None, lambda: scene.engine.exchange(scene.live, plan)):
            act()
            with pytest.raises(Busy), scene.engine.recovery_lock(scene.live, "shop"):
                pass
        with scene.engine.recovery_lock(scene.live, "another plan"):
            pass
    with scene.engine.recovery_lock(scene.live, "shop"):
        pass
    nowhere = scene.world.fresh("nowhere")
    with (
        scene.engine.recovery_lock(nowhere, "shop"),
        pytest.raises(Busy),
        scene.engine.recovery_lock(nowhere, "shop"),
    ):
        pass
