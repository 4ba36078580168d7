"""A recovery test in markdown, and its measures as a table, for its artifacts. Pure."""

from collections.abc import Sequence

from backproof.recovery_test.record import Measure, RecoveryTest, TableCompared, TestPoint
from backproof.reports import words
from backproof.reports.message import issue_lines
from backproof.reports.view import forecast_sentence
from flows.picture import data_uri
from flows.summary import document, listed, phases, table

_SIGNS = {"pass": "✓ pass", "fail": "✗ **fail**", "not run": "– not run"}
_SHOWN_TABLES = 30


def recovery_test_summary(record: RecoveryTest, places: Sequence[str] = (), problems: Sequence[str] = ()) -> str:
    """The artifact of a test.

    Args:
        record: the test.
        places: where its report lies (``backproof.reports.message.report_places``).
        problems: stores that lack it (``backproof.reports.publish``).
    """
    return document(
        f"## {record.plan}: recovery test {record.verdict}",
        words.readable(record.summary),
        listed(problems),
        table(("test", f"`{record.test}`"), _facts(record)),
        _issues(record),
        "### Checklist",
        _points(record.checklist),
        "### Rollback",
        _points(record.rollback_checklist),
        _critical(record.critical_data),
        phases(record.phases),
        _trend(record),
        _places(record, places),
    )


def measures_table(history: Sequence[Measure], objective_seconds: float) -> list[dict[str, str]]:
    """Measures, the newest first, for a table artifact under a key of its own (``<plan>-recovery-time``)."""
    return [
        {
            "when": words.moment(each.at),
            "measured by": each.kind,
            "recovery time": words.span(each.seconds),
            "of the objective": words.share(each.seconds / objective_seconds),
            "size": words.size(each.live_bytes),
        }
        for each in reversed(history)
    ]


def trend_image(record: RecoveryTest) -> str:
    """Recovery times against the objective, with what is expected: a markdown image with its own background.

    Empty where nothing was measured yet.
    """
    from backproof.reports.charts import ALONE, charts, on_paper

    shown = charts(record, outlines=True, size=ALONE)
    if not shown:
        return ""
    said = shown[0].said.replace("[", "(").replace("]", ")")
    return f"![{said}]({data_uri(on_paper(shown[0].svg))})"


def _facts(record: RecoveryTest) -> list[tuple[str, str]]:
    limit = words.span(record.objective_seconds)
    took = "it did not come to its end" if record.recovery_seconds is None else words.span(record.recovery_seconds)
    missed = record.recovery_seconds is not None and record.recovery_seconds > record.objective_seconds
    worst = record.data_loss.maximum_seconds
    facts = [
        ("recovery time", f"**{took}**, objective {limit}{', **missed**' if missed else ''}"),
        ("data loss at worst", "everything" if worst is None else words.span(worst)),
        ("backup", f"`{record.backup}`" if record.backup else "none was there"),
        ("copy", record.location),
        ("database", f"{words.size(record.live_bytes)}, {record.size_class}"),
        ("brought back to", record.staging),
        ("responsible", record.responsible),
    ]
    return [fact for fact in facts if fact[1]]


def _points(points: Sequence[TestPoint]) -> str:
    return table(("point", "", "evidence"), [(each.name, _SIGNS[each.status], each.evidence) for each in points])


def _critical(compared: Sequence[TableCompared]) -> str:
    if not compared:
        return ""
    first = sorted(compared, key=lambda each: each.status == "pass")[:_SHOWN_TABLES]
    rows = [
        (
            f"`{each.table}`",
            _SIGNS[each.status],
            f"{each.production_rows:,}",
            "not there" if each.restored_rows is None else f"{each.restored_rows:,}",
            f"± {words.share(each.tolerance)}",
        )
        for each in first
    ]
    left = len(compared) - len(first)
    return document(
        "### Critical data",
        table(("table", "", "production", "brought back", "tolerated"), rows),
        f"{words.several(left, 'table')} more in the report." if left else "",
    )


def _issues(record: RecoveryTest) -> str:
    found = issue_lines(record.issues, record.ended_at)
    still = issue_lines(record.still_open, record.ended_at)
    return document(
        "### Found by this test" if found else "",
        listed(found),
        "### Still open from before" if still else "",
        listed(still),
    )


def _trend(record: RecoveryTest) -> str:
    said = forecast_sentence(record.forecast, record.objective_seconds)
    return document(
        "### Trend", trend_image(record), f"**{said}**" if record.forecast.is_near(record.ended_at) else said
    )


def _places(record: RecoveryTest, places: Sequence[str]) -> str:
    pull = f"`backproof reports pull --plan {record.plan} --since {record.started_at:%Y-%m-%d} --to .`"
    return document("### The report", listed([*(f"`{place}`" for place in places), pull]))
