"""Bring to every store of a plan what it lacks of the reports of recovery tests, and of what closed their issues."""

from backproof.errors import AlreadyExists, BackproofError
from backproof.fleet import Fleet
from backproof.records import Record
from backproof.recovery_test.naming import REPORT_HTML, REPORT_JSON, REPORT_PDF, TestName, key
from backproof.reports.catalogue import Held, read, shelf
from backproof.reports.issues import is_closing, signed_closing

_FORMS = (REPORT_HTML, REPORT_PDF, REPORT_JSON)
"""The record last: a report exists in a store once that is there."""


class Carried(Record):
    """What was brought, and what is lacking still."""

    documents: int
    """So many were written."""
    problems: tuple[str, ...]
    """A sentence for each store that could not be asked, and each document that could not be brought."""


def carry(fleet: Fleet, plan: str) -> Carried:
    """Give every store what another has, as it was signed. Nothing is overwritten.

    Args:
        fleet: where the plan is found.
        plan: its name.

    Raises:
        BackproofError: no store of the plan could be asked.
    """
    found = shelf(fleet, [plan])
    stores = [store for store in fleet.plan(plan).stores if store not in found.silent.get(plan, ())]
    done, problems, refusing = 0, list(found.doubts), set[str]()
    for held in found.tests:
        for part in _parts(held):
            lacking = [store for store in stores if store not in held.parts[part] and store not in refusing]
            if not lacking:
                continue
            try:
                signed = _signed(fleet, held, part)
            except BackproofError as error:
                problems.append(f"{', '.join(lacking)} can't be given {part} of {held.test}: {error.fact}")
                continue
            for store in lacking:
                try:
                    fleet.store(store).put(key(TestName(plan, held.test, part)), [signed], len(signed))
                    done += 1
                except AlreadyExists:
                    continue  # by somebody else in this moment
                except BackproofError as error:
                    refusing.add(store)
                    problems.append(f"store {store} lacks {part} of {held.test}: {error.fact}")
    return Carried(documents=done, problems=tuple(problems))


def _parts(held: Held) -> list[str]:
    return [part for part in (*_FORMS, *filter(is_closing, held.parts)) if part in held.parts]


def _signed(fleet: Fleet, held: Held, part: str) -> bytes:
    return signed_closing(fleet, held, part) if is_closing(part) else read(fleet, held, part)
