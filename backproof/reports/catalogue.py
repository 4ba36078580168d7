"""Which reports there are, over the stores of their plans; and reading them, whichever one store is down.

A report exists in a store when its JSON does, which is written last there.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime

from backproof.catalog import document
from backproof.errors import BackproofError, Damaged, NotFound
from backproof.fleet import Fleet
from backproof.recovery_test.naming import REPORT_JSON, TestName, key, parse, prefix, started_at
from backproof.recovery_test.record import RecoveryTest
from backproof.reports.checking import checked

_AT_A_TIME = 8
"""Stores that are listed, or reports that are read, at a time: over a network each is mostly waiting."""


@dataclass(frozen=True)
class Held:
    """What the stores of a plan list of one recovery test."""

    plan: str
    test: str
    started_at: datetime
    parts: dict[str, list[str]] = field(default_factory=dict)
    """Part of a key (``report.pdf``, ``closed-2026-01-1.json``) to the stores that list it, in the plan's order."""


@dataclass(frozen=True)
class Shelf:
    """The recovery tests of some plans, newest first, and a sentence for each store that could not be asked."""

    tests: tuple[Held, ...]
    doubts: tuple[str, ...]
    silent: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """By plan, the stores that could not be asked."""

    @property
    def reports(self) -> tuple[Held, ...]:
        """Those that have a report."""
        return tuple(each for each in self.tests if REPORT_JSON in each.parts)


def shelf(fleet: Fleet, plans: Sequence[str], since: datetime | None = None) -> Shelf:
    """What lies there of the recovery tests of some plans.

    Args:
        fleet: where the plans are found.
        plans: their names.
        since: those that began at or after it; None: all.

    Raises:
        BackproofError: no store of a plan could be asked.
    """
    asked = [(plan, store) for plan in plans for store in fleet.plan(plan).stores]
    with ThreadPoolExecutor(_AT_A_TIME, thread_name_prefix="list") as pool:
        answers = list(pool.map(lambda each: _listed(fleet, *each), asked))
    found: dict[tuple[str, str], Held] = {}
    doubts: list[str] = []
    silent: dict[str, tuple[str, ...]] = {}
    for plan in plans:
        unasked = []
        for (of, store), answer in zip(asked, answers, strict=True):
            if of == plan and isinstance(answer, BackproofError):
                unasked.append(answer)
                silent[plan] = (*silent.get(plan, ()), store)
                doubts.append(f"store {store} could not be asked for reports of {plan}: {answer.fact}")
        if len(unasked) == len(fleet.plan(plan).stores):
            raise unasked[0]
    for (_, store), answer in zip(asked, answers, strict=True):
        for name in () if isinstance(answer, BackproofError) else answer:
            held = found.setdefault((name.plan, name.test), Held(name.plan, name.test, started_at(name.test)))
            held.parts.setdefault(name.part, []).append(store)
    kept = (each for each in found.values() if since is None or each.started_at >= since)
    return Shelf(
        tuple(sorted(kept, key=lambda each: (each.started_at, each.plan), reverse=True)), tuple(doubts), silent
    )


def read(fleet: Fleet, held: Held, part: str) -> bytes:
    """One form of a report, from the first store that has it as it was signed.

    Raises:
        NotFound: no store lists it.
        BackproofError: none that lists it has it whole; that of the first.
    """
    refused: BackproofError | None = None
    for store in held.parts.get(part, ()):
        place = key(TestName(held.plan, held.test, part))
        try:
            found = document(fleet.store(store), place)
            genuine = checked(found, fleet.signer)
            if (genuine.plan, genuine.test) != (held.plan, held.test):
                raise Damaged(
                    f"{fleet.store(store).location(place)} is the report {genuine.test} of {genuine.plan}",
                    "Find out who put it there.",
                )
            return found
        except BackproofError as error:
            refused = refused or error
    raise refused or NotFound(
        f"no store has {part} of {held.test} of {held.plan}", "`backproof reports list` shows what there is."
    )


def record(fleet: Fleet, held: Held) -> RecoveryTest:
    """The record of one report.

    Raises:
        NotFound, BackproofError: as ``read``.
    """
    return fleet.signer.verify(read(fleet, held, REPORT_JSON), RecoveryTest)


def records(fleet: Fleet, found: Sequence[Held]) -> Iterator[tuple[Held, RecoveryTest | BackproofError]]:
    """The record of each, or why it can't be had."""
    with ThreadPoolExecutor(_AT_A_TIME, thread_name_prefix="read") as pool:
        yield from zip(found, pool.map(lambda each: _record(fleet, each), found), strict=True)


def _record(fleet: Fleet, held: Held) -> RecoveryTest | BackproofError:
    try:
        return record(fleet, held)
    except BackproofError as error:
        return error


def _listed(fleet: Fleet, plan: str, store: str) -> list[TestName] | BackproofError:
    try:
        names = (parse(each.key) for each in fleet.store(store).list(prefix(plan)))
        return [name for name in names if name is not None]
    except BackproofError as error:
        return error
