"""What a recovery test leaves in Prefect: markdown, a table of measures, a picture that reads on any background."""

import base64
import re

import pytest

from flows.recovery_test_summary import measures_table, recovery_test_summary, trend_image
from tests.support.recovery_tests import KINDS, failed, history, incomplete, recovery_test, wide


@pytest.fixture(scope="module")
def summaries() -> dict[str, str]:
    """Of every kind of test."""
    return {
        kind: recovery_test_summary(made(), ["/srv/near/report.pdf"], ["far is full"]) for kind, made in KINDS.items()
    }


def test_a_summary_has_verdict_issues_checklists_and_where_the_report_is(summaries: dict[str, str]) -> None:
    said = summaries["failed"]
    assert said.startswith("## shop: recovery test failed\n")
    for text in (
        "- far is full",
        "**1 h 34 min**, objective 1 h, **missed**",
        "### Still open from before",
        "2025-10-1: The runbook names a server that is gone.",
        "| Critical data present and accurate | ✗ **fail** |",
        "`/srv/near/report.pdf`",
        "`backproof reports pull --plan shop --since 2026-01-06 --to .`",
    ):
        assert text in said
    assert "– not run" in summaries["incomplete"]
    assert "✗" not in summaries["passed"]


def test_what_did_not_pass_comes_first_of_many_tables() -> None:
    bad = wide().critical_data[-1].model_copy(update={"status": "fail"})
    said = recovery_test_summary(wide().model_copy(update={"critical_data": (*wide().critical_data[:-1], bad)}))
    rows = [line for line in said.splitlines() if line.startswith(("| `public.table", "| `analytics"))]
    assert len(rows) == 30
    assert "public.table_59" in rows[0]
    assert "30 tables more in the report." in said


def test_the_picture_has_a_background_and_is_told_in_words() -> None:
    image = trend_image(recovery_test())
    words, picture = re.fullmatch(r"!\[(.*)\]\(data:image/svg\+xml;base64,(.*)\)", image).groups()  # type: ignore[union-attr]
    svg = base64.b64decode(picture).decode()
    assert words.startswith("Recovery times, the newest last.")
    assert '<rect width="100%" height="100%" rx="6" fill="#ffffff"/>' in svg[:600]
    assert "<text" not in svg  # whoever shows it may lack the typeface
    assert trend_image(incomplete()) == ""


def test_measures_are_a_table_the_newest_first() -> None:
    rows = measures_table(history(40), 3600)
    assert len(rows) == 40
    assert rows[0] == {
        "when": "6 January 2026, 09:00 UTC",
        "measured by": "recovery test",
        "recovery time": "21 min 39 s",
        "of the objective": "36.1 %",
        "size": "5.2 GB",
    }
    assert measures_table(failed().history, 3600)[0]["of the objective"] == "157 %"
