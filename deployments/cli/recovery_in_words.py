"""How a recovery reads at a terminal: what it would do, and what it was."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from deployments.cli import speaking
from deployments.cli.wording import moment, several, size, span

if TYPE_CHECKING:
    from backproof.recovery.entries import JournalEntry
    from backproof.recovery.opening import Proposal
    from backproof.recovery.report import RecoveryReport


def proposal_document(proposal: "Proposal") -> dict[str, object]:
    """The same for programs."""
    return {
        "plan": proposal.plan,
        "backup": proposal.backup.id,
        "taken_at": proposal.backup.taken_at.isoformat().replace("+00:00", "Z"),
        "proven": proposal.backup.proven_at is not None,
        "mode": proposal.mode,
        "stores": list(proposal.stores),
        "database": proposal.live.database,
        "lost": proposal.lost,
        "unseen": proposal.unseen,
        "loses_seconds": round(proposal.loses.total_seconds()),
        "expected_seconds": round(proposal.expected.total_seconds(), 3) if proposal.expected else None,
        "plain_bytes": proposal.manifest.plain_bytes,
        "lacking": [each.model_dump(mode="json") for each in proposal.lacking],
        "obstacles": [each.model_dump(mode="json") for each in proposal.obstacles],
        "passed_over": list(proposal.passed_over),
        "warnings": list(proposal.warnings),
    }


def asked_for(before: datetime | None, zone: str) -> dict[str, str]:
    """The moment that was asked for, as it was understood: also by the clocks of the fleet's zone."""
    if before is None:
        return {}
    there = before.astimezone(ZoneInfo(zone))
    local = "" if there.utcoffset() == before.utcoffset() else f", which is {there:%Y-%m-%d %H:%M:%S} in {zone}"
    return {"Before": f"{before.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC{local}"}


def say_lines(lines: dict[str, str], passed_over: Iterable[str]) -> None:
    """One below the other, on stderr: it is asked about, and is no result."""
    rows = [*lines.items(), *(("Not taken", sentence) for sentence in passed_over)]
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        speaking.note(f"{name.ljust(width)}   {value}")


def say_proposal(proposal: "Proposal", before: datetime | None, zone: str, create_missing_roles: bool = False) -> None:
    """What a recovery would do.

    Args:
        proposal: what was chosen.
        before: the moment that was asked for.
        zone: the fleet's.
        create_missing_roles: they are no obstacle then.
    """
    backup, manifest = proposal.backup, proposal.manifest
    proven = f"proven {moment(backup.proven_at)} UTC" if backup.proven_at else "NOT PROVEN"
    expected = (
        f"about {span(proposal.expected.total_seconds())}" if proposal.expected else "not known: nothing measured"
    )
    lines = {
        "Replace": f"{proposal.live.database} on {proposal.live.host}:{proposal.live.port}" + _standing(proposal),
        **asked_for(before, zone),
        "With": f"{backup.id} ({backup.kind}), taken {moment(backup.taken_at)} UTC, {proven}",
        "Lost": f"what was written in the last {span(proposal.loses.total_seconds())}"
        if proposal.loses
        else "not known: by this machine's clock the backup is yet to be taken",
        "Size": f"{size(manifest.plain_bytes)} of SQL, {several(len(manifest.tables), 'table')}",
        "Takes": f"{expected}, from {', '.join(proposal.stores)}",
    }
    roles = [each.name for each in proposal.lacking if each.kind == "role"]
    if roles and create_missing_roles:
        lines["Makes"] = f"{', '.join(roles)}: without a password, and without the right to log in"
    say_lines(lines, proposal.passed_over)
    for warning in proposal.warnings:
        speaking.warn(warning)
    if roles and not create_missing_roles:
        speaking.warn(f"the server lacks {', '.join(roles)}: --create-missing-roles makes them, without login")
    for lack in proposal.lacking:
        if lack.kind != "role":
            speaking.warn(f"the server lacks {lack.kind} {lack.name}: {lack.remedy}")
    for each in proposal.obstacles:
        speaking.warn(f"{each.kind} {each.name}: {each.what} {each.remedy}")


def _standing(proposal: "Proposal") -> str:
    if proposal.unseen:
        return f" (which {proposal.live.user} may not see, if it is there)"
    return " (which is not there)" if proposal.lost else ""


def already(recovery: str, plan: str, closed: "JournalEntry") -> str:
    """What there is to go on with in a recovery that has ended."""
    ended, why = f"{moment(closed.at)} UTC", str(closed.facts.get("why", "")).rstrip(".")
    why = f": {why}." if why else "."
    another = f"It can't be gone on with; `backproof recover {plan}` begins another."
    if closed.facts["result"] == "recovered":
        return f"{recovery} succeeded at {ended}. What failed after that, if anything, is tried again."
    if closed.facts["result"] == "rolled back":
        return f"{recovery} was taken back at {ended}, and what was live before it is live{why} {another}"
    if closed.facts["result"] == "rollback failed":
        return f"{recovery} was given up at {ended}, and what is live may be anything{why} {another}"
    return f"{recovery} ended at {ended} and changed nothing{why} {another}"


def say_report(made: "RecoveryReport", also: str = "") -> None:
    """What a recovery was, for a terminal."""
    took = "–" if made.elapsed_seconds is None else span(made.elapsed_seconds)
    facts = {
        "Recovery": made.recovery,
        "Result": made.result.upper() if made.result != "recovered" else made.result,
        "Backup": made.backup,
        "Time": f"{took}, objective {span(made.objective_seconds)}",
        "Stopped": "–"
        if made.maintenance_seconds is None
        else f"the application, for {span(made.maintenance_seconds)}",
    }
    if made.why:
        facts["Why"] = made.why
    if also:
        facts["Rollback"] = also
    if made.safety_backups:
        facts["Safety"] = ", ".join(made.safety_backups)
    if made.set_aside:
        back = f"`backproof rollback {made.recovery}` brings it back, " if made.result == "recovered" else ""
        facts["Set aside"] = f"{made.set_aside}: {back}`backproof recovery discard {made.recovery}` removes it"
    if made.roles_made:
        facts["Made"] = f"{', '.join(made.roles_made)}: give each its password, and the right to log in"
    speaking.print_facts(facts)
    speaking.say("")
    speaking.print_table(
        ["Phase", "Began (UTC)", "Time"],
        [[each.phase, f"{each.started_at:%H:%M:%S}", span(each.elapsed_seconds)] for each in made.phases],
        right=["Time"],
    )
    speaking.say("")
    speaking.print_table(
        ["Checklist", "", "Evidence"], [[each.point, each.status, each.evidence] for each in made.checklist]
    )
    if made.rows_written:
        speaking.say("")
        speaking.say("Rows of what was live just before the swap, against those of the backup:")
        for table, rows in made.rows_written.items():
            speaking.say(f"  {table}: {abs(rows):,} {'more' if rows > 0 else 'fewer'}")
    for note in made.notes:
        speaking.say(f"Note of {moment(note.at)} UTC by {note.by}: {note.text}")
