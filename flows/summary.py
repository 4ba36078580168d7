"""A run in markdown, for its artifact. Pure."""

from collections.abc import Sequence

from backproof.records import Proof, Timing
from flows.picture import data_uri, phases_svg
from flows.record import BackupRun, VerificationRun
from tasks import words

_TITLES = {
    "proven": "proven: it came back",
    "sealed": "sealed, not proven: no proof was asked for",
    "degraded": "degraded: the backup is safe, something is missing",
    "failed": "the proof failed",
    "could-not-run": "the proof could not run",
}


def backup_summary(run: BackupRun) -> str:
    """Sizes, copies, verdict, seconds and rates of one backup."""
    return document(
        f"## {run.plan}: {_TITLES[run.outcome]}",
        f"`{run.backup}`, {run.kind}, taken at {run.taken_at:%Y-%m-%d %H:%M:%S} UTC. "
        f"{words.size(run.live_bytes)} live, {words.size(run.plain_bytes)} of SQL, "
        f"**{words.size(run.stored_bytes)}** stored.",
        listed(run.problems),
        table(
            ("store", "copy"),
            [(copy.store, "✓ committed" if copy.committed else f"missing: {copy.reason}") for copy in run.copies],
        ),
        _proof(run.proof),
        _phases(run.timings),
        listed(run.warnings),
    )


def verification_summary(run: VerificationRun) -> str:
    """The verdict on one copy of one backup."""
    return document(
        f"## {run.plan}: {_TITLES[run.outcome]}",
        f"`{run.backup}` from {run.store}. {run.reason}",
        _proof(run.proof),
        _phases(run.timings),
    )


def _proof(proof: Proof | None) -> str:
    if proof is None:
        return ""
    where = {"scratch": " on a scratch server", "server": " on the plan's server", None: ""}[proof.proven_on]
    lines = [f"Verdict on the copy in **{proof.store}**{where}: **{proof.verdict}**. {proof.reason}"]
    differences = [
        (found.object, found.what, f"accepted: {found.accepted}" if found.accepted else "")
        for found in proof.differences[:50]
    ]
    checks = [(check.name, check.found, check.expect, "✓" if check.passed else "✗") for check in proof.checks]
    lines.append(table(("object", "difference", ""), differences))
    lines.append(table(("check", "found", "expected", ""), checks))
    lines.append(listed([f"not covered: {sentence}" for sentence in proof.not_covered]))
    return document(*lines)


def _phases(timings: Sequence[Timing]) -> str:
    rows = [
        (
            timing.phase,
            words.duration(timing.elapsed_seconds),
            "" if timing.bytes is None else words.size(timing.bytes),
            words.rate(timing.bytes, timing.elapsed_seconds),
        )
        for timing in timings
    ]
    picture = phases_svg(timings)
    image = f"![The phases of the run on a time line]({data_uri(picture)})" if picture else ""
    return document(table(("phase", "time", "bytes", "rate"), rows), image)


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
