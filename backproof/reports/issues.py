"""What recovery tests have found: open until somebody closes it, by a signed document in every store."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from backproof.catalog import document
from backproof.errors import AlreadyExists, BackproofError, ConfigurationError, Damaged, NotFound
from backproof.fleet import Fleet
from backproof.records import Record
from backproof.recovery_test.naming import TestName, closed, key
from backproof.recovery_test.record import Issue, RecoveryTest
from backproof.reports.catalogue import Held, records, shelf


class ClosedIssue(Record):
    """How an issue was closed. Signed; it lies beside the report that found it, in every store."""

    format: Literal[1] = 1
    plan: str
    test: str
    """The test that found it."""
    issue: str
    what: str
    how: str
    """In the words of whoever closed it."""
    by: str
    closed_at: datetime


@dataclass(frozen=True, slots=True)
class Issues:
    """All that recovery tests of a plan have found."""

    open: tuple[Issue, ...]
    """By due date."""
    closed: tuple[ClosedIssue, ...]
    found_by: dict[str, str]
    """Issue to the test that found it."""
    doubts: tuple[str, ...]
    """Stores and documents that could not be read, a sentence each."""


def open_issues(fleet: Fleet, plan: str) -> tuple[Issue, ...]:
    """What recovery tests of a plan have found and nobody has closed, by due date. What can't be read counts as open.

    Raises:
        BackproofError: no store of the plan could be asked.
    """
    return issues(fleet, plan).open


def issues(fleet: Fleet, plan: str) -> Issues:
    """Open and closed, read from the reports in the stores.

    Raises:
        BackproofError: no store of the plan could be asked.
    """
    held = shelf(fleet, [plan])
    doubts = list(held.doubts)
    found: dict[tuple[str, str], Issue] = {}
    inherited: dict[tuple[str, str], Issue] = {}
    for each, record in records(fleet, held.reports):
        if isinstance(record, RecoveryTest):
            for issue in record.issues:
                found[record.test, issue.id] = issue
            for issue in record.still_open:  # of a report that is gone, perhaps
                inherited.setdefault((record.test, issue.id), issue)
        else:
            doubts.append(f"the report {each.test} of {plan} can't be read: {record.fact}")
    ended = {(each.test, each.issue): each for held_test in held.tests for each in _closed(fleet, held_test)}
    # By the test as well: one that could not read those before it may have given an id a second time.
    known = {issue for _, issue in (*found, *ended)}
    for (test, name), issue in inherited.items():
        if name not in known:
            known.add(name)
            found[test, name] = issue
    open_ = [(place, issue) for place, issue in found.items() if place not in ended]
    open_.sort(key=lambda each: (each[1].due_at, each[1].id))
    found_by = {issue: test for test, issue in ended} | {issue.id: test for (test, _), issue in reversed(open_)}
    closed_ones = sorted(ended.values(), key=lambda each: (each.issue, each.test))
    return Issues(tuple(issue for _, issue in open_), tuple(closed_ones), found_by, tuple(doubts))


def close(fleet: Fleet, plan: str, issue: str, how: str, by: str, at: datetime) -> tuple[ClosedIssue, list[str]]:
    """Close an issue, once, in every store of the plan that takes it.

    Args:
        fleet: where the plan is found.
        plan: whose issue it is.
        issue: its id, such as ``2026-01-1``.
        how: what was done.
        by: who says so.
        at: now, aware UTC.

    Returns:
        What was written, and a sentence for each store that has it not.

    Raises:
        NotFound: no open issue has this id.
        AlreadyExists: it was closed before.
        ConfigurationError: nothing is said of how.
        BackproofError: no store took it.
    """
    if not how.strip():
        raise ConfigurationError("nothing is said of how the issue was closed", 'Say it: --how "…".')
    known = issues(fleet, plan)
    meant = next((each for each in known.open if each.id == issue), None)
    for each in known.closed:
        if meant is None and each.issue == issue:
            raise AlreadyExists(
                f"issue {issue} of {plan} was closed by {each.by}: {each.how}", "Nothing is left to do."
            )
    if meant is None:
        names = ", ".join(each.id for each in known.open)
        raise NotFound(f"plan {plan} has no open issue {issue}", f"There are: {names}." if names else "It has none.")
    ended = ClosedIssue(
        plan=plan,
        test=known.found_by[issue],
        issue=issue,
        what=meant.what,
        how=" ".join(how.split()),
        by=by,
        closed_at=at,
    )
    return ended, _write(fleet, ended)


def _write(fleet: Fleet, ended: ClosedIssue) -> list[str]:
    place, signed = key(TestName(ended.plan, ended.test, closed(ended.issue))), fleet.signer.sign(ended)
    refused: list[tuple[str, BackproofError]] = []
    stores = fleet.stores(ended.plan)
    for store in stores:
        try:
            store.put(place, [signed], len(signed))
        except AlreadyExists:
            continue  # by somebody else in this moment
        except BackproofError as error:
            refused.append((store.name, error))
    if len(refused) == len(stores):
        raise refused[0][1]
    return [f"store {name} does not know that {ended.issue} is closed: {error.fact}" for name, error in refused]


def is_closing(part: str) -> bool:
    """Whether it is a document that says that an issue is closed."""
    return part.startswith("closed-")


def signed_closing(fleet: Fleet, held: Held, part: str) -> bytes:
    """The document that says that an issue is closed, from the first store that has it as it was signed.

    Raises:
        BackproofError: none has; that of the first.
    """
    return _read_closing(fleet, held, part)[0]


def _closed(fleet: Fleet, held: Held) -> Iterator[ClosedIssue]:
    for part in filter(is_closing, held.parts):
        with suppress(BackproofError):  # open, until a document is read that says otherwise
            yield _read_closing(fleet, held, part)[1]


def _read_closing(fleet: Fleet, held: Held, part: str) -> tuple[bytes, ClosedIssue]:
    refused: BackproofError | None = None
    for store in held.parts[part]:
        place = key(TestName(held.plan, held.test, part))
        try:
            written = document(fleet.store(store), place)
            found = fleet.signer.verify(written, ClosedIssue)
        except BackproofError as error:
            refused = refused or error
            continue
        if (found.plan, found.test, closed(found.issue)) == (held.plan, held.test, part):
            return written, found
        refused = refused or Damaged(f"{fleet.store(store).location(place)} is about another issue")
    raise refused or NotFound(f"no store has {part} of {held.test} of {held.plan}")
