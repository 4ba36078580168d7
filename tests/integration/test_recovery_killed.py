"""kill -9 anywhere in a recovery: another process goes on to its end, and destroys nothing twice."""

import os
from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.support.dying import run_recovery, state_of
from tests.support.engine_harness import HARNESSES
from tests.support.fleets import PLAN
from tests.support.killing import Dying, Moment
from tests.support.recovering import Live, World, world

MOMENTS = int(os.environ.get("BACKPROOF_RECOVERY_MOMENTS", "3"))
"""Of each way of recovery on each engine; ``make sweep`` takes more."""


@pytest.fixture(
    scope="module",
    params=[(harness, harness.servers[0]) for harness in HARNESSES],
    ids=lambda pair: pair[0].engine,
)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    harness, server = request.param
    with world(harness, request.getfixturevalue(server), tmp_path_factory.mktemp("recovery")) as made:
        yield made


@pytest.mark.parametrize(("mode", "ends"), [("swap", "recovered"), ("in-place", "recovered"), ("swap", "rolled back")])
def test_a_killed_recovery_is_gone_on_with(made: World, mode: str, ends: str) -> None:
    live = made.live(fleet=mode, verify_on="server", stores=["near"])
    wanted = live.content()
    if ends == "rolled back":
        live.application.fails("tests")
        _damage(live)
        wanted = live.content()
    with closing(Dying(live.file, "recover")) as dying:
        for number in range(MOMENTS):
            _damage(live)
            moment = Moment((number + 0.7) / MOMENTS, whom="tree" if number % 2 else "process")
            dying.die(moment, lambda: _damage(live))
            outcome = run_recovery(live.fleet, lambda _: None)
            assert outcome.result == ends, moment
            assert live.content() == wanted, moment
            assert live.application.told[-1] == "off", moment
            _expect_nothing_twice(live)
    made.clean()


def _damage(live: Live) -> None:
    """Also puts away what the last one has set aside."""
    engine = live.fleet.engine(PLAN)
    for name in live.world.databases():
        if name.startswith(f"{live.target.database}_"):
            engine.drop(live.target.to(name))
    live.run("UPDATE parent SET name = 'gone'")


def _expect_nothing_twice(live: Live) -> None:
    """Of the newest recovery: what destroys was done once, by its journal."""
    from backproof.recovery.context import places
    from backproof.recovery.journal import journals

    around = state_of(live.fleet)
    known, _ = journals(places(live.fleet, PLAN, around.local), live.fleet.signer, PLAN, around.now)
    done = [(entry.step, entry.what) for entry in known[0].entries]
    for step in ("exchange", "drop"):
        assert done.count((step, "done")) <= 1
        assert done.count((step, "begun")) <= 1
