"""A recovery in markdown: what it would do, for whoever approves; and what it was. Pure."""

from collections.abc import Sequence

from backproof.recovery.report import RecoveryReport
from backproof.recovery.run import Outcome
from flows.summary import document, listed, phases, table
from tasks import words
from tasks.recover import Proposed

_TITLES = {
    "recovered": "{plan} is recovered",
    "rolled back": "{plan}: the recovery was taken back; what was live before is live",
    "nothing changed": "{plan} was not recovered; nothing has changed",
    "not ended": "{plan}: the recovery has stopped halfway, and waits to be gone on with",
    "rollback failed": "{plan}: the recovery failed, and so did taking it back",
}


def proposal_summary(found: Proposed) -> str:
    """What somebody has to know before they agree."""
    expected = "nobody has measured" if found.expected_seconds is None else words.duration(found.expected_seconds)
    what = f"{', '.join(found.tables)} of {found.database}" if found.tables else found.database
    facts = [
        ("replaced", f"**{what}**{_standing(found)}"),
        ("taken at", f"{found.taken_at:%Y-%m-%d %H:%M:%S} UTC, {'proven' if found.proven else '**not proven**'}"),
        ("would be lost", f"what was written in the last **{words.duration(found.loses_seconds)}**"),
        ("size", f"{words.size(found.plain_bytes)} of SQL"),
        ("takes", f"{expected}, from {', '.join(found.stores)}"),
        ("how", found.mode),
    ]
    return document(
        f"## {found.plan}: {what} would be replaced",
        table(("backup", f"`{found.backup}`"), facts),
        _part("### In the way", found.obstacles),
        _part("### Good to know", found.warnings),
        _part("### Not taken", found.passed_over),
    )


def _standing(found: Proposed) -> str:
    if found.unseen:
        return " (which the admin of fleet.yaml may not see, if it is there)"
    return " (which is not there)" if found.lost else ""


def recovery_summary(made: RecoveryReport, outcome: Outcome, problems: Sequence[str]) -> str:
    """What a recovery was."""
    took = "" if made.elapsed_seconds is None else words.duration(made.elapsed_seconds)
    met = made.elapsed_seconds is not None and made.elapsed_seconds <= made.objective_seconds
    limit = f"objective {words.duration(made.objective_seconds)}{'' if met else ', **missed**'}"
    stopped = made.maintenance_seconds
    facts = [
        ("backup", f"`{made.backup}`"),
        ("took", f"{took}, {limit}" if made.result == "recovered" else took),
        ("application stopped", "" if stopped is None else f"for {words.duration(stopped)}"),
        ("reason", made.reason),
        ("by", made.by),
        ("safety backups", ", ".join(f"`{each}`" for each in made.safety_backups)),
        ("set aside", f"`{made.set_aside}`" if made.set_aside else ""),
        ("take it back", f"`backproof rollback {made.recovery} --reason '…'`" if made.result == "recovered" else ""),
    ]
    written = [(name, f"{count:+,}") for name, count in made.rows_written.items()]
    return document(
        f"## {_TITLES[outcome.result].format(plan=made.plan)}",
        listed([each for each in (outcome.why, outcome.also, *outcome.problems, *problems) if each]),
        table(("recovery", f"`{made.recovery}`"), [fact for fact in facts if fact[1]]),
        "### Checklist",
        table(("point", "", "evidence"), [(each.point, each.status, each.evidence) for each in made.checklist]),
        phases(made.phases),
        _part("### Rows that what was set aside has, and the backup has not", [], table(("table", "rows"), written)),
    )


def _part(title: str, sentences: Sequence[str], more: str = "") -> str:
    return document(title, listed(sentences), more) if sentences or more else ""
