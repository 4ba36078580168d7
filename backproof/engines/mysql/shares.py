"""Dividing a schema's rows among several runs of the dump tool: whole tables, about equal bytes each.

A run reads its tables either by key or as they lie (see ``dumptool.rows``), and writes them as bytes or as text
(``writing``), so there is a set of runs for each kind.
The first of a set has all of its tables but those the further ones were given. It names none of them: naming thousands
of tables costs the tool a query each while writers wait.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from backproof.engines.mysql.inventory import TableFacts
from backproof.parallel import shares as dividing

NAMED_AT_MOST = 100
"""Tables that a run asks for by name; for more it names those that it leaves out."""


@dataclass(frozen=True, slots=True)
class Share:
    """What one run of the dump tool reads."""

    tables: tuple[TableFacts, ...]
    by_key: bool
    as_bytes: bool
    everything_but: bool = False
    """Whether the run is told what to leave out instead of what to read."""


def shares(tables: Iterable[TableFacts], jobs: int, tool_writes_bytes: bool) -> list[Share]:
    """A share for each run, none of them empty.

    Args:
        tables: all whose rows are dumped.
        jobs: runs in all; a few more at most where there are tables of several kinds.
        tool_writes_bytes: whether the dump tool can.
    """
    kinds: dict[tuple[bool, bool], list[TableFacts]] = {}
    for facts in tables:
        kinds.setdefault((not facts.by_key, not (facts.as_bytes and tool_writes_bytes)), []).append(facts)
    whole = sum(map(_bytes, kinds.values())) or 1
    # Only a first run may leave out instead of naming: of the further ones none has many tables.
    return [
        Share(tuple(group), not as_they_lie, not as_text, len(group) > NAMED_AT_MOST)
        for (as_they_lie, as_text), kind in sorted(kinds.items())
        for group in _divided(kind, max(1, round(jobs * _bytes(kind) / whole)))
        if group
    ]


def _bytes(tables: Iterable[TableFacts]) -> int:
    return sum(facts.data_bytes for facts in tables)


def _divided(tables: list[TableFacts], jobs: int) -> list[list[TableFacts]]:
    """The first run's tables, then those of the further ones."""
    largest = sorted(tables, key=lambda facts: -facts.data_bytes)
    worthwhile = [facts for facts in largest if facts.data_bytes >= dividing.WORTHWHILE_BYTES]
    movable = worthwhile[: min(dividing.MOVED_AT_MOST, NAMED_AT_MOST)] if jobs > 1 else []
    rest = _bytes(tables) - _bytes(movable)
    given = dividing.divided([(facts.name, facts.data_bytes) for facts in movable], rest, jobs)
    by_name = {facts.name: facts for facts in movable}
    moved = {name for share in given for name in share}
    groups = [
        [facts for facts in tables if facts.name not in moved],
        *([by_name[name] for name in share] for share in given),
    ]
    # The largest first: its rows fill the pipe at once, and that the tool has begun shows.
    return [sorted(group, key=lambda facts: -facts.data_bytes) for group in groups]
