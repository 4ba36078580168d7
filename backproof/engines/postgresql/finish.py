"""The order of what comes after the data: side by side where that is safe, as the dump has it elsewhere. Pure.

pg_dump writes the section in an order in which everything exists before it is used. Two kinds of entries take nearly
all the time: those that build an index, and foreign keys that scan their table. The first are brought forward and run
side by side, as they stand on tables alone. Foreign keys run beside them, each as soon as the table it points at has
its keys, where only triggers, rules and the like come before them in the dump; else each unbroken run of them runs side
by side where the dump has it. The rest keeps its order; event triggers come last of all, so that they do not fire on
the restore itself.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from backproof.engines import Entry
from backproof.engines.postgresql.closure import FRAME
from backproof.engines.postgresql.script import created, referenced
from backproof.parallel import schedule
from backproof.records import Table

_ALTERED = re.compile(rb"\nALTER TABLE ")
_OF_AN_INDEX = re.compile(rb"COMMENT ON (?:INDEX|CONSTRAINT) ")
_OF_AN_EVENT_TRIGGER = re.compile(rb"(?:COMMENT|SECURITY LABEL .*) ?ON EVENT TRIGGER ", re.DOTALL)

Step = schedule.Step[Entry]

_BUILD = frozenset({"INDEX", "CONSTRAINT"})
_LINK = "FK CONSTRAINT"
_OTHER = ""
_CALLED = frozenset({"FUNCTION", "PROCEDURE", "AGGREGATE"})
"""Kinds that pg_dump at times puts behind a key, and that an index behind them may call."""
_PASSED = frozenset({"TRIGGER", "RULE", "STATISTICS", "COMMENT"})
"""Kinds on which no foreign key stands."""
_ROW_BYTES = 400
"""To sort a row into an index, or to look up what it points at, takes as long as to go through so many bytes of it."""


@dataclass(frozen=True, slots=True)
class Stage:
    """Steps that follow what came before; side by side, or one after the other."""

    steps: tuple[Step, ...]
    side_by_side: bool


def work_of(table: Table) -> int:
    """How much it is to build one index on a table, or to check one key, in bytes gone through."""
    return table.row_bytes + _ROW_BYTES * table.rows


def stages(finish: Iterable[Entry], roots: Mapping[str, str], work: Mapping[str, int]) -> list[Stage]:
    """Divide the finish section into stages.

    Args:
        finish: its entries, in file order.
        roots: partition to the outermost table it is a partition of.
        work: table name to ``work_of`` it.

    Returns:
        Stages in order; every statement is in exactly one, but for settings, which are part of each step.
    """
    steps = _steps(finish, roots, work)
    late = {name for step in steps if (name := created(step.entries[0]))}
    first, rest, last = [], [], []
    movable = links_movable = True
    for step in steps:
        kind = step.entries[0].kind
        movable = movable and kind not in _CALLED
        known = bool(step.tables)
        links_movable = links_movable and (kind in _PASSED or (known and kind in {*_BUILD, _LINK}))
        is_of_a_later_view = bool(late & {("MATERIALIZED VIEW", name) for name in step.tables})
        builds = known and kind in _BUILD and movable and not is_of_a_later_view
        if builds or (kind == _LINK and links_movable):
            first.append(step)
        elif kind == "EVENT TRIGGER" or _OF_AN_EVENT_TRIGGER.search(step.entries[0].text):
            last.append(step)
        else:
            rest.append(step)
    runs = [Stage(tuple(run), sort != _OTHER) for sort, run in groupby(rest, _sort)]
    found = (Stage(_weighed(first), True), *runs, Stage(tuple(last), False))
    return [stage for stage in found if stage.steps]


def _weighed(steps: Sequence[Step]) -> tuple[Step, ...]:
    """Each step with the weight of all that is to be done on its tables: the longest chain begins first."""
    chains = Counter[str]()
    for step in steps:
        chains.update(dict.fromkeys(step.tables, step.weight))
    return tuple(replace(step, weight=max(chains[table] for table in step.tables)) for step in steps)


def _sort(step: Step) -> str:
    kind = step.entries[0].kind
    return _OTHER if not step.tables else _LINK if kind == _LINK else "INDEX"


def _steps(finish: Iterable[Entry], roots: Mapping[str, str], work: Mapping[str, int]) -> list[Step]:
    """One step an entry; a comment stays with its index or key."""
    steps: list[Step] = []
    for entry in finish:
        if steps and steps[-1].tables and entry.kind == "COMMENT" and _OF_AN_INDEX.search(entry.text):
            steps[-1] = replace(steps[-1], entries=(*steps[-1].entries, entry))
        elif entry.kind not in FRAME:
            steps.append(_step(entry, roots, work))
    return steps


def _step(entry: Entry, roots: Mapping[str, str], work: Mapping[str, int]) -> Step:
    table = entry.table
    if entry.kind == _LINK and table is not None:
        target = referenced(entry) or table
        pointed_at = roots.get(target, target)
        both = frozenset({roots.get(table, table), pointed_at})
        return Step((entry,), alone=both, weight=work.get(table, 0), needs=pointed_at)
    if entry.kind in _BUILD and table is not None:
        whole = roots.get(table, table)
        only, both = frozenset({table}), frozenset({table, whole})
        shares = entry.kind == "INDEX" and not _ALTERED.search(entry.text)
        alone, shared = (frozenset[str](), both) if shares else (only, both - only)
        return Step((entry,), alone, shared, work.get(table, 0), makes=whole)
    return Step((entry,))
