"""The rehearsal of a rollback, on the staging server: the restored copy takes another's place, and gives it back.

What stands for the live database there is an empty one with a table of ours, by which it is told from the restored one.
"""

from sqlalchemy import create_engine, inspect

from backproof.engines import Engine
from backproof.errors import RestoreFailed
from backproof.records import Target
from backproof.recovery_test.context import Rehearsal

REHEARSED = "Rollback rehearsed"
_MARK = "backproof_rehearsal"


def stand_ins(copy: Target) -> tuple[Target, Target]:
    """What stands for the live database beside a staging copy, and for what is set aside; of a test's own name."""
    return copy.to(f"{copy.database}_live"), copy.to(f"{copy.database}_before")


def rehearse(rehearsal: Rehearsal) -> None:
    """Exchange, and undo; each is timed, and looked at afterwards."""
    engine, copy, manifest = rehearsal.engine, rehearsal.place(), rehearsal.backup_of_it()
    live, aside = stand_ins(copy)
    tables = _tables(engine, copy)
    try:
        engine.create(live, manifest)
        _mark(engine, live)
        planned = engine.plan_exchange(live, copy.database, aside.database, rehearsal.archive())
        try:
            with rehearsal.watch.phase("swap"):
                engine.exchange(live, planned)
            _require(engine, live, marked=False, when="after the swap", tables=tables)
            _require(engine, aside, marked=True, when="after the swap")
        finally:
            with rehearsal.watch.phase("roll back"):
                engine.undo(live, planned)
        _require(engine, live, marked=True, when="after the rollback")
        _require(engine, copy, marked=False, when="after the rollback", tables=tables)
    finally:
        for target in (live, aside):
            engine.drop(target)
    rehearsal.counted.append("swap")
    swap, back = (_seconds(rehearsal, name) for name in ("swap", "roll back"))
    rehearsal.judge(
        REHEARSED,
        "pass",
        f"on {rehearsal.staging} the restored copy took another database's place in {swap:.2f} s and gave it back in "
        f"{back:.2f} s; what was live before was live again",
    )


def _mark(engine: Engine, target: Target) -> None:
    database = create_engine(engine.sqlalchemy_url(target))
    try:
        with database.begin() as connection:
            connection.exec_driver_sql(f"CREATE TABLE {_MARK} (id int PRIMARY KEY)")
    finally:
        database.dispose()


def _tables(engine: Engine, target: Target) -> frozenset[str]:
    database = create_engine(engine.sqlalchemy_url(target))
    try:
        return frozenset(inspect(database).get_table_names())
    finally:
        database.dispose()


def _require(engine: Engine, target: Target, marked: bool, when: str, tables: frozenset[str] = frozenset()) -> None:
    found = _tables(engine, target)
    if (_MARK in found) != marked or not tables <= found:
        raise RestoreFailed(f"{when}, {target.database} is not the database that it should be")


def _seconds(rehearsal: Rehearsal, phase: str) -> float:
    return next(each.elapsed_seconds for each in rehearsal.watch.timings if each.phase == phase)
