"""A run of retention in markdown, for its artifact. Pure."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from backproof.errors import BackproofError
from backproof.operations.prune import Kept, Pruned
from backproof.operations.removing import Removed
from backproof.recovery_test.due import TestDue
from flows.summary import document, listed, table
from tasks import words

_ROWS = 100
"""Of a table: an artifact is to be read. ``backproof prune PLAN --dry-run --json`` tells all."""


def totals(outcome: Pruned | BackproofError) -> dict[str, Any]:
    """The sums of one plan: plain and small."""
    if isinstance(outcome, BackproofError):
        return {"deleted": 0, "kept": None, "freed_bytes": 0, "problems": [str(outcome)]}
    return {
        "deleted": len([each for each in _gone(outcome) if each.stores]),
        "kept": len(outcome.kept),
        "freed_bytes": outcome.freed_bytes,
        "problems": list(outcome.problems),
    }


def retention_summary(
    fleet: str,
    outcomes: Mapping[str, Pruned | BackproofError],
    dry_run: bool,
    rehearsed: Mapping[str, TestDue | BackproofError | None] | None = None,
) -> str:
    """What was deleted and kept, plan by plan, and why; and which plans were not rehearsed this quarter."""
    sums = {plan: totals(outcome) for plan, outcome in outcomes.items()}
    head = ("plan", "would be deleted" if dry_run else "deleted", "kept", "freed", "")
    rows = [
        (
            plan,
            str(each["deleted"]),
            "?" if each["kept"] is None else str(each["kept"]),
            words.size(each["freed_bytes"]),
            "⚠ see below" if each["problems"] else "✓",
        )
        for plan, each in sums.items()
    ]
    title = f"## {fleet}: retention" + (", a dry run: nothing was deleted" if dry_run else "")
    plans = (_plan(plan, each, dry_run) for plan, each in outcomes.items())
    return document(title, table(head, rows), _tests(rehearsed or {}), *plans)


def _tests(rehearsed: Mapping[str, TestDue | BackproofError | None]) -> str:
    told = [
        f"⚠ {each.sentence}. {each.remedy}" for each in rehearsed.values() if isinstance(each, TestDue) and each.overdue
    ]
    told += [
        f"⚠ {plan}: when it was last rehearsed is not known. {each}"
        for plan, each in rehearsed.items()
        if isinstance(each, BackproofError)
    ]
    return document("### Recovery tests", listed(told)) if told else ""


def _plan(plan: str, outcome: Pruned | BackproofError, dry_run: bool) -> str:
    if isinstance(outcome, BackproofError):
        return document(f"### {plan}", f"⚠ It could not be looked through. {outcome}")
    return document(
        f"### {plan}",
        listed([f"⚠ {problem}" for problem in outcome.problems]),
        _removed("To be deleted" if dry_run else "Deleted", outcome.removed, dry_run),
        _removed("Leftovers, of no use to anybody", outcome.leftovers, dry_run),
        _waiting(outcome.waiting),
        _kept(outcome.kept),
    )


def _gone(outcome: Pruned) -> tuple[Removed, ...]:
    return (*outcome.removed, *outcome.leftovers)


def _removed(title: str, removed: tuple[Removed, ...], dry_run: bool) -> str:
    rows = [(f"`{each.backup}`", each.kind, _done(each), words.size(each.freed_bytes), each.why) for each in removed]
    where = "would be deleted from" if dry_run else "deleted from"
    return _titled(title, ("backup", "kind", where, "size", "why"), rows)


def _done(removed: Removed) -> str:
    parts = [", ".join(removed.stores)] if removed.stores else []
    parts += [f"kept: {each}" for each in removed.kept]
    return "; ".join([*parts, *(f"⚠ {each}" for each in removed.problems)]) or "–"


def _waiting(waiting: tuple[Kept, ...]) -> str:
    rows = [(f"`{each.backup}`", each.kind, each.why) for each in waiting]
    return _titled("Listed: no backup, and not deleted yet", ("what is left of", "kind", "why"), rows)


def _kept(kept: tuple[Kept, ...]) -> str:
    """What is kept for its period is counted; what is kept though it is past it is named."""
    counted: Counter[str] = Counter(each.kind for each in kept if _by_period(each))
    sentence = ", ".join(f"{count} {kind}" for kind, count in counted.items())
    rows = [(f"`{each.backup}`", each.kind, each.why) for each in kept if not _by_period(each)]
    return document(
        f"Kept for their period: {sentence}." if sentence else "",
        _titled("Kept, whatever their age", ("backup", "kind", "why"), rows),
    )


def _by_period(kept: Kept) -> bool:
    return kept.why.startswith(("until ", "always "))


def _titled(title: str, head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    if not rows:
        return ""
    more = f"… and {len(rows) - _ROWS:,} more" if len(rows) > _ROWS else ""
    return document(f"**{title}**", table(head, rows[:_ROWS]), more)
