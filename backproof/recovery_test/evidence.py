"""What the stores show for the checklist of a rollback. Nothing is changed."""

import hashlib
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

from backproof import catalog
from backproof.errors import BackproofError
from backproof.fleet import Fleet
from backproof.recovery.context import Request, places
from backproof.recovery.entries import Facts
from backproof.recovery.human_steps import read as people_of
from backproof.recovery.journal import WHOLE, Journal, journals
from backproof.recovery.naming import is_report, report_key
from backproof.recovery_test.context import Rehearsal
from backproof.recovery_test.record import Cited

SAFETY, NOTIFIED, CAUSES = "Safety backup exists", "Team notified", "Root cause and alternative plan recorded"

_CAUSE = re.compile("root cause", re.IGNORECASE)
_ALTERNATIVE = re.compile("alternative", re.IGNORECASE)
_QUARTER = timedelta(days=92)
_WHEN_ALL_ANSWER = "Run the test again when all stores answer."


def quarter_begins(now: datetime) -> datetime:
    """What a test looks back to: the quarter that ends with it."""
    return now.astimezone(UTC) - _QUARTER


def rollback_evidence(rehearsal: Rehearsal) -> None:
    """Judge what the stores tell."""
    since = quarter_begins(rehearsal.started_at)
    known, doubts = _recoveries(rehearsal, since)
    _safety(rehearsal, known, doubts)
    _notified(rehearsal)
    _causes(rehearsal, known, doubts, since)
    rehearsal.cites += _reports(rehearsal.fleet, rehearsal.plan, known)


def _recoveries(rehearsal: Rehearsal, since: datetime) -> tuple[list[Journal], list[str]]:
    fleet, plan, around = rehearsal.fleet, rehearsal.plan, rehearsal.around
    try:
        known, doubts = journals(places(fleet, plan, around.local), fleet.signer, plan, around.now)
    except BackproofError as error:
        return [], [error.fact]
    return [each for each in known if each.entries[0].at >= since], doubts


def _safety(rehearsal: Rehearsal, recoveries: Sequence[Journal], doubts: Sequence[str]) -> None:
    """There is a proven backup to go back to, and every recovery has left one of what was live before it."""
    listing = catalog.listing(rehearsal.fleet, rehearsal.plan)
    proven = next((each for each in listing.backups if each.proven_at is not None), None)
    if proven is None:
        rehearsal.judge(SAFETY, "fail", "no backup of the plan is proven: nothing could be gone back to")
        return
    copies = [copy.store for copy in proven.copies if copy.archive and copy.manifest and copy.verdict != "failed"]
    told = f"{proven.id} is proven, and whole in {', '.join(copies)}"
    without = [each.recovery for each in recoveries if _took_none(each)]
    if without:
        rehearsal.judge(SAFETY, "fail", f"{told}; but no safety backup was taken in {', '.join(without)}")
        return
    if doubts:
        rehearsal.judge(SAFETY, "not run", f"{told}; but {'; '.join(doubts)}", _WHEN_ALL_ANSWER)
        return
    after = f"; each of {len(recoveries)} recoveries took a safety backup" if recoveries else ""
    rehearsal.judge(SAFETY, "pass", told + after)


def _took_none(journal: Journal) -> bool:
    """Whether it replaced a live database and took no backup of that. One that retention has deleted since counts."""
    request = Request.model_validate(_tuples(journal.facts(WHOLE, "opened")))
    closed = journal.closed
    if closed is None or closed.facts.get("result") != "recovered" or request.lost or request.mode == "salvage":
        return False
    taken = [journal.facts(step).get("backup") for step in ("safety", "keep", "back-safety")]
    return not any(taken)


def _notified(rehearsal: Rehearsal) -> None:
    notify = rehearsal.fleet.plan(rehearsal.plan).notify
    names = list(dict.fromkeys((*notify.report, *notify.failure)))
    before = rehearsal.recorded.state if rehearsal.recorded else None
    parts = []
    if before is not None and before.told:
        parts.append(f"{', '.join(before.told)} by the notice of {before.recorded_at:%Y-%m-%d}")
    if rehearsal.told:
        parts.append(f"{', '.join(rehearsal.told)} when it began")
    if parts:
        rehearsal.judge(NOTIFIED, "pass", f"told were {' and '.join(parts)}")
    elif names:
        rehearsal.judge(NOTIFIED, "fail", f"none of {', '.join(names)} could be told")
    else:
        rehearsal.judge(NOTIFIED, "not run", "the plan names nobody in notify.report or notify.failure")


def _causes(rehearsal: Rehearsal, recoveries: Sequence[Journal], doubts: Sequence[str], since: datetime) -> None:
    lacking = [f"{each.recovery} lacks {' and '.join(lacks)}" for each in recoveries if (lacks := list(_lacking(each)))]
    if lacking:
        rehearsal.judge(CAUSES, "fail", "; ".join(lacking), _how_to_note(recoveries))
    elif doubts:
        rehearsal.judge(CAUSES, "not run", "; ".join(doubts), _WHEN_ALL_ANSWER)
    elif recoveries:
        named = ", ".join(each.recovery for each in recoveries)
        rehearsal.judge(CAUSES, "pass", f"both are recorded for {named}")
    else:
        rehearsal.judge(CAUSES, "pass", f"there was no recovery since {since:%Y-%m-%d}")


def _lacking(journal: Journal) -> Iterator[str]:
    texts = [str(each.facts.get("text", "")) for each in journal.entries if (each.step, each.what) == (WHOLE, "noted")]
    people = people_of(journal.entries)
    ticked = any(step.step == "cause" and step.done_at is not None for step in people.steps)
    if not ticked and not any(map(_CAUSE.search, texts)):
        yield "the root cause"
    if not any(map(_ALTERNATIVE.search, texts)):
        yield "the alternative plan"


def _how_to_note(recoveries: Sequence[Journal]) -> str:
    name = recoveries[0].recovery
    return f"`backproof recovery note {name} 'root cause: …'`, and `… 'alternative plan: …'`."


def _reports(fleet: Fleet, plan: str, recoveries: Sequence[Journal]) -> Iterator[Cited]:
    for journal in recoveries:
        own = report_key(plan, journal.recovery, 0).partition(".report")[0]
        for store in fleet.stores(plan):
            try:
                name = max(each.key for each in store.list(f"{own}.report") if is_report(each.key))
                document = catalog.document(store, name)
            except (BackproofError, ValueError):  # it does not answer, or has none
                continue
            yield Cited(what="recovery", name=name, sha256=hashlib.sha256(document).hexdigest())
            break


def _tuples(facts: Facts) -> dict[str, object]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in facts.items()}
