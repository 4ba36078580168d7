"""A run in markdown, for its artifact. Pure."""

from collections.abc import Sequence

from backproof.errors import BackproofError
from backproof.records import Proof, Timing
from backproof.trend import Measures
from flows.picture import data_uri, phases_svg
from flows.record import BackupRun, CopyResult, VerificationRun
from flows.trend import sizes_image, trend_rows
from tasks import words

_TITLES = {
    "proven": "{} is proven: it came back",
    "sealed": "{} is sealed, not proven: no proof was asked for",
    "degraded": "{} is degraded: the backup is safe, something is missing",
    "failed": "{}: the proof failed",
    "could-not-run": "{}: the proof could not run",
}

History = Sequence[Measures] | BackproofError
"""This backup and those before it, oldest first; or why they could not be read."""


def backup_summary(run: BackupRun, history: History = ()) -> str:
    """What a backup is, where it lies, whether it came back, how long it all took, and how earlier ones compare."""
    return document(
        f"## {_TITLES[run.outcome].format(run.plan)}",
        listed(run.problems),
        table(("backup", f"`{run.backup}`"), _facts(run)),
        "### Copies",
        table(("store", "copy", "size", "time", "rate"), [_copy(copy, run.timings) for copy in run.copies]),
        _proof(run.proof),
        _trend(run, history),
        phases(run.timings),
        _notes(run.warnings, run.proof),
    )


def verification_summary(run: VerificationRun) -> str:
    """The verdict on one copy of one backup."""
    facts = [("copy in", run.store), *([] if run.proof else [("why", run.reason)])]
    return document(
        f"## {_TITLES[run.outcome].format(run.plan)}",
        table(("backup", f"`{run.backup}`"), facts),
        _proof(run.proof),
        phases(run.timings),
        _notes((), run.proof),
    )


def _facts(run: BackupRun) -> list[tuple[str, str]]:
    seal = next((timing for timing in run.timings if timing.phase == "seal"), None)
    rate = words.rate(run.plain_bytes, seal.elapsed_seconds) if seal else ""
    smaller = f", {run.plain_bytes / run.stored_bytes:.1f} times smaller" if run.stored_bytes else ""
    facts = [
        ("kind", run.kind),
        ("taken at", f"{run.taken_at:%Y-%m-%d %H:%M:%S} UTC"),
        ("database", f"{words.size(run.live_bytes)} on its server, {words.size(run.plain_bytes)} of SQL"),
        ("archive", f"**{words.size(run.stored_bytes)}**{smaller}"),
        ("sealed at", f"{rate} of SQL" if rate else ""),
        ("took", words.duration(_span(run.timings)) if run.timings else ""),
        ("bring it back", f"`backproof restore {run.plan} --backup {run.backup} --into {run.plan}_copy`"),
    ]
    return [fact for fact in facts if fact[1]]


def _copy(copy: CopyResult, timings: Sequence[Timing]) -> tuple[str, ...]:
    if not copy.committed:
        return (copy.store, f"missing: {copy.reason}", "", "", "")
    size = "" if copy.stored_bytes is None else words.size(copy.stored_bytes)
    timing = next((timing for timing in timings if timing.phase == f"copy to {copy.store}"), None)
    if timing is None:
        return (copy.store, "✓ committed", size, "", "")
    seconds = timing.elapsed_seconds
    return (copy.store, "✓ committed", size, words.duration(seconds), words.rate(timing.bytes, seconds))


def _proof(proof: Proof | None) -> str:
    if proof is None:
        return ""
    where = {"scratch": " on a scratch server", "server": " on the plan's server", None: ""}[proof.proven_on]
    differences = [
        (found.object, found.what, f"accepted: {found.accepted}" if found.accepted else "not accepted")
        for found in proof.differences[:50]
    ]
    checks = [(check.name, check.found, check.expect, "✓" if check.passed else "✗") for check in proof.checks]
    return document(
        "### Proof",
        f"Verdict on the copy in **{proof.store}**{where}: **{proof.verdict}**. {_sentence(proof.reason)}",
        table(("object", "difference", "plan"), differences),
        table(("check", "found", "expected", "passed"), checks),
    )


def _trend(run: BackupRun, history: History) -> str:
    title = "### Against earlier backups"
    if isinstance(history, BackproofError):
        return document(title, f"They could not be read: {history}")
    if not history or history[-1].backup != run.backup:
        return ""
    if len(history) == 1:
        return document(title, "There is none: this is the plan's first that can be read.")
    number = f"the {len(history) - 1} before" if len(history) > 2 else "the one before"
    heads = ("", "this one", "the one before", f"median of {number}", "this against the median")
    return document(title, table(heads, trend_rows(history)), sizes_image(history))


def phases(timings: Sequence[Timing]) -> str:
    """Each with its time, bytes and rate, and a picture of them."""
    rows = [
        (
            timing.phase,
            words.duration(timing.elapsed_seconds),
            "" if timing.bytes is None else words.size(timing.bytes),
            words.rate(timing.bytes, timing.elapsed_seconds),
        )
        for timing in timings
    ]
    if not rows:
        return ""
    said = ", ".join(f"{phase} {seconds}" for phase, seconds, _, _ in rows)
    image = f"![The phases on a time line: {_alternative(said)}]({data_uri(phases_svg(timings))})"
    return document("### Phases", image, table(("phase", "time", "bytes", "rate"), rows))


def _notes(warnings: Sequence[str], proof: Proof | None) -> str:
    covered = [f"not covered: {sentence}" for sentence in proof.not_covered] if proof else []
    unused = [f"accepted, but no longer different: {name}" for name in proof.unused_accepts] if proof else []
    notes = listed([*warnings, *covered, *unused])
    return document("### Good to know", notes) if notes else ""


def _span(timings: Sequence[Timing]) -> float:
    began = min(timing.started_at for timing in timings)
    return max((timing.started_at - began).total_seconds() + timing.elapsed_seconds for timing in timings)


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _alternative(text: str) -> str:
    return text.replace("[", "(").replace("]", ")")


def table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """Rows under their heads; nothing where there are no rows."""
    if not rows:
        return ""
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def _cell(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ")


def listed(sentences: Sequence[str]) -> str:
    """A point each."""
    return "\n".join(f"- {sentence}" for sentence in sentences)


def document(*parts: str) -> str:
    """Paragraphs, without the empty ones."""
    return "\n\n".join(part for part in parts if part)
