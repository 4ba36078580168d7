"""The notice of a recovery test in markdown, for its artifact. Pure."""

from backproof.recovery_test.notice import Notice
from flows.summary import document, listed, table
from tasks import words


def notice_summary(given: Notice) -> str:
    """What was told, and what has to be mended before."""
    when = "nothing is scheduled" if given.due_at is None else f"{given.due_at:%Y-%m-%d %H:%M} UTC"
    facts = [("when", when), ("responsible", given.responsible), ("told", ", ".join(given.told) or "nobody")]
    if given.state is not None:
        rows = f"{len(given.state.rows)} tables, {sum(given.state.rows.values()):,} rows"
        facts.append(("production", f"{words.size(given.state.live_bytes)}, {rows}"))
    found = [(each.check, each.status, f"{each.found}. {each.remedy}".strip()) for each in given.environment]
    open_ones = [(each.id, each.what, each.owner, f"{each.due_at:%Y-%m-%d}") for each in given.still_open]
    return document(
        f"## {given.plan}: a recovery test is announced",
        listed(given.problems),
        table(("plan", given.plan), facts),
        "### Test environment",
        table(("check", "", "found"), found),
        document("### Still open", table(("issue", "what", "owner", "due"), open_ones)) if open_ones else "",
    )
