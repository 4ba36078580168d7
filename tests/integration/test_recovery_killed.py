"""kill -9 anywhere in a recovery: another process goes on to its end, and destroys nothing twice."""

import os
from collections.abc import Sequence
from contextlib import closing

import pytest

from backproof.recovery.context import places
from backproof.recovery.journal import Journal, journals
from backproof.stores import Store
from tests.support.dying import run_recovery, state_of
from tests.support.fleets import PLAN
from tests.support.killing import Dying, Moment
from tests.support.recovering import Live, World, on_each_engine
from tests.support.server_log import ServerLog

MOMENTS = int(os.environ.get("BACKPROOF_RECOVERY_MOMENTS", "1"))
"""Of each way of recovery on each engine; ``make sweep`` takes more."""
EVERY_ENTRY = MOMENTS > 2
"""Die at every entry of a journal, in each of three ways; else where something was just destroyed, unsaid as yet."""
DESTROYING = ("exchange", "drop", "replace", "back-exchange")

WAYS = [("swap", "recovered"), ("in-place", "recovered"), ("tables", "recovered"), ("swap", "rolled back")]

Entry = tuple[str, str, str]


made = on_each_engine()


@pytest.mark.timeout(4 * 3600 if EVERY_ENTRY else 300)
@pytest.mark.parametrize(("way", "ends"), WAYS)
def test_a_killed_recovery_is_gone_on_with(made: World, way: str, ends: str) -> None:
    live = made.live(fleet=way, verify_on="server", stores=["near"])
    wanted = live.content()
    if ends == "rolled back":
        live.application.fails("tests")
        _damage(live)
        wanted = live.content()
    held = _held(live)
    with closing(Dying(live.file, "recover")) as dying, closing(ServerLog(live)) as log:
        entries = _entries(_newest(live))

        def reset() -> None:
            _forget(live, held)
            _damage(live)

        for number in range(MOMENTS):
            reset()
            moment = Moment((number + 0.7) / MOMENTS, whom="tree" if number % 2 else "process")
            dying.die(moment, reset)
            _expect_gone_on_with(live, ends, wanted, moment)
        for entry in entries:
            reset()
            log.mark()
            dying.die_at(entry)
            _expect_gone_on_with(live, ends, wanted, entry)
            if way != "tables":  # whose replacement is done over, with what it has put there itself
                log.expect_nothing_twice(entry)
    made.clean()


def _expect_gone_on_with(live: Live, ends: str, wanted: object, when: object) -> None:
    known = _known(live)
    if known and known[0].closed:  # it died of its last word
        assert known[0].closed.facts["result"] == ends, when
    else:
        assert run_recovery(live.fleet, lambda _: None).result == ends, when
    assert live.content() == wanted, when
    assert live.application.told[-1] == "off", when
    done = [(entry.step, entry.what) for entry in _newest(live).entries]
    for step in DESTROYING:
        assert done.count((step, "done")) <= 1, when
        assert done.count((step, "begun")) <= 1, when


def _places(live: Live) -> Sequence[Store]:
    return places(live.fleet, PLAN, state_of(live.fleet).local)


def _known(live: Live) -> Sequence[Journal]:
    return journals(_places(live), live.fleet.signer, PLAN, state_of(live.fleet).now)[0]


def _newest(live: Live) -> Journal:
    return _known(live)[0]


def _held(live: Live) -> dict[str, set[str]]:
    return {store.name: {each.key for each in store.list()} for store in _places(live)}


def _forget(live: Live, held: dict[str, set[str]]) -> None:
    """Remove what recoveries have left in the stores: each of many is the first, and no slower than it."""
    for store in _places(live):
        for each in list(store.list()):
            if each.key not in held[store.name]:
                store.delete(each.key)


def _entries(whole: Journal) -> Sequence[Entry]:
    """Where to die, of what a whole recovery writes down."""
    names = list(dict.fromkeys((entry.step, entry.what) for entry in whole.entries))
    if EVERY_ENTRY:
        return [(*name, when) for name in names for when in ("before", "local", "after")]
    return [(step, what, "before") for step, what in names if step in DESTROYING and what == "done"][-1:]


def _damage(live: Live) -> None:
    """Also puts away what the last one has set aside."""
    engine = live.fleet.engine(PLAN)
    for name in live.world.databases():
        if name.startswith(f"{live.target.database}_"):
            engine.drop(live.target.to(name))
    live.run("UPDATE parent SET name = 'gone'")
