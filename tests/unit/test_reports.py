"""What a report says, that it is signed to the last byte, and that the same record always gives the same one."""

import hashlib
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from itertools import pairwise

import pytest

from backproof.archive.signing import Signer
from backproof.errors import BackproofError, BadSignature, Damaged
from backproof.recovery_test.naming import REPORT_HTML, REPORT_JSON, REPORT_PDF
from backproof.recovery_test.record import Forecast, RecoveryTest
from backproof.reports import words
from backproof.reports.charts import by_quarter, charts
from backproof.reports.checking import checked
from backproof.reports.drawing import drawn
from backproof.reports.message import issue_lines, report_message
from backproof.reports.view import forecast_sentence, time_line, view
from tests.support.recovery_tests import (
    FORECAST,
    UNKNOWN,
    WHEN,
    failed,
    first,
    history,
    incomplete,
    issue,
    phases,
    recovery_test,
)

SIGNER = Signer(bytes(range(32)))


@pytest.fixture(scope="module")
def documents() -> dict[str, bytes]:
    """One report in its three forms."""
    return drawn(recovery_test(), SIGNER)


def test_each_form_of_a_report_is_known_and_names_its_record(documents: dict[str, bytes]) -> None:
    record = recovery_test()
    found = {checked(document, SIGNER).format: checked(document, SIGNER) for document in documents.values()}
    assert set(found) == {"html", "pdf", "json"}
    for genuine in found.values():
        assert (genuine.plan, genuine.test) == ("shop", record.test)
        assert genuine.signed_by == SIGNER.fingerprint
        assert genuine.record_sha256 == found["json"].record_sha256
    assert found["json"].verdict == "passed"
    assert SIGNER.verify(documents[REPORT_JSON], RecoveryTest) == record


@pytest.mark.parametrize("part", [REPORT_HTML, REPORT_PDF, REPORT_JSON])
def test_one_changed_byte_anywhere_breaks_the_signature(documents: dict[str, bytes], part: str) -> None:
    document = documents[part]
    for place in _places(len(document)):
        changed = bytearray(document)
        changed[place] ^= 1
        with pytest.raises(Damaged):
            checked(bytes(changed), SIGNER)


@pytest.mark.parametrize("part", [REPORT_HTML, REPORT_PDF, REPORT_JSON])
def test_what_is_cut_off_or_added_breaks_the_signature(documents: dict[str, bytes], part: str) -> None:
    document = documents[part]
    changes = (
        document[:-1],
        document[: len(document) // 2],
        document + b"\n",
        document + b" ",
        document + document[-400:],
    )
    for changed in (*changes, b""):
        with pytest.raises(Damaged):
            checked(changed, SIGNER)


def test_a_last_line_of_another_report_does_not_fit() -> None:
    one, other = (drawn(recovery_test(plan=plan), SIGNER)[REPORT_HTML] for plan in ("shop", "ledger"))
    begins = one.rindex(b"<!-- backproof report")
    with pytest.raises(BadSignature, match="is not what"):
        checked(one[:begins] + other[other.rindex(b"<!-- backproof report") :], SIGNER)


def test_a_report_of_a_key_that_nobody_trusts_is_refused(documents: dict[str, bytes]) -> None:
    stranger = Signer(bytes(32))
    for document in documents.values():
        with pytest.raises(BadSignature, match="this fleet trusts"):
            checked(document, stranger)
    late = Signer(bytes(32), also_trust=[SIGNER.public_key])
    assert checked(documents[REPORT_PDF], late).signed_by == SIGNER.fingerprint


def test_what_is_no_report_is_refused() -> None:
    for document in (b"", b"GIF89a", b"{}", b"%PDF-1.7\n%%EOF\n", b"<!doctype html>\n<p>hello</p>\n"):
        with pytest.raises(BackproofError) as caught:
            checked(document, SIGNER)
        assert caught.value.fact


def test_the_same_record_gives_the_same_bytes_in_any_process(documents: dict[str, bytes]) -> None:
    program = (
        "import hashlib; from backproof.archive.signing import Signer; from backproof.reports.drawing import drawn;"
        "from tests.support.recovery_tests import recovery_test;"
        "documents = drawn(recovery_test(), Signer(bytes(range(32))));"
        "print(*(hashlib.sha256(each).hexdigest() for each in documents.values()))"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True, timeout=240)
    assert said.stdout.split() == [hashlib.sha256(document).hexdigest() for document in documents.values()]


def test_what_draws_is_not_imported_by_what_reads() -> None:
    program = (
        "import sys, backproof.reports, backproof.reports.catalogue, backproof.reports.issues,"
        "backproof.reports.message, backproof.reports.checking, deployments.cli;"
        "print(sorted({'matplotlib', 'typst', 'jinja2', 'pandas', 'fontTools'} & set(sys.modules)))"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True, timeout=120)
    assert said.stdout.strip() == "[]"


@pytest.mark.parametrize(("count", "said"), [(0, []), (1, [("times", 1), ("sizes", 1)]), (40, [("times", 40)])])
def test_a_chart_is_drawn_where_there_is_something_to_draw(count: int, said: list[tuple[str, int]]) -> None:
    shown = {chart.name: chart for chart in charts(recovery_test(history=history(count)))}
    assert bool(shown) == bool(count)
    for name, marks in said:
        assert shown[name].svg.count("<use ") >= marks
        assert "<text" in shown[name].svg
    if count:
        assert "<text" not in charts(recovery_test(history=history(count)), outlines=True)[0].svg


def test_quarters_are_counted_from_all_measures() -> None:
    rows = by_quarter(history(40))
    assert [row[0] for row in rows] == ["2025, quarter 2", "2025, quarter 3", "2025, quarter 4", "2026, quarter 1"]
    assert sum(int(row[1]) for row in rows) == 40
    assert by_quarter(()) == ()


def test_a_manager_reads_verdict_time_and_what_to_do() -> None:
    passed, bad, open_ = view(recovery_test()), view(failed()), view(incomplete())
    assert [each.verdict for each in (passed, bad, open_)] == ["Passed", "Failed", "Incomplete"]
    assert [each.figures[0].value for each in (passed, bad, open_)] == ["21 min 39 s", "1 h 34 min", "–"]
    assert [each.figures[0].mark for each in (passed, bad, open_)] == ["pass", "fail", "not run"]
    assert [each.figures[2].value for each in (passed, bad, open_)] == ["8 of 8", "5 of 8", "0 of 8"]
    assert passed.to_do == ()
    assert [row.cells[0] for row in bad.to_do] == ["2026-01-1", "2026-01-2", "2026-01-3", "2025-10-1"]
    assert bad.to_do[-1].cells[4] == "21 Oct 2025, overdue"
    assert bad.figures[1].value == "everything"


def test_phases_lie_where_they_were_on_the_time_line() -> None:
    bars, ticks = time_line(phases())
    assert bars[0].left == 0
    assert all(bar.left >= 0 and bar.left + bar.width <= 1.0001 for bar in bars)
    assert all(one.left + one.width <= other.left for one, other in pairwise(bars))
    assert [tick.said for tick in ticks] == ["0", "5 min", "10 min", "15 min", "20 min"]
    assert time_line(()) == ((), ())


@pytest.mark.parametrize(
    ("forecast", "said"),
    [
        (FORECAST, "1 h is outgrown in November 2030, between October 2029 and April 2032"),
        (UNKNOWN, "can't be known yet. Two measures or fewer tell nothing"),
        (
            FORECAST.model_copy(update={"outgrown_at": None, "outgrown_latest": None}),
            "not outgrown within ten years as a rule, and may be in October 2029",
        ),
        (
            Forecast(known=True, points=9, seconds_now=60.0, growth_bytes_per_day=-1e6),
            "The database shrinks by 365.0 MB a year. 1 h is not outgrown within ten years.",
        ),
    ],
)
def test_a_forecast_is_said_in_words(forecast: Forecast, said: str) -> None:
    assert said in forecast_sentence(forecast, 3600)


@pytest.mark.parametrize(("years", "warns"), [(0.3, True), (1.9, True), (2.1, False), (5, False), (None, False)])
def test_a_report_warns_of_an_objective_that_is_outgrown_soon_and_says_calmly_what_is_far(
    years: float | None, warns: bool
) -> None:
    at = None if years is None else WHEN + timedelta(days=365 * years)
    record = recovery_test(forecast=FORECAST.model_copy(update={"outgrown_at": at, "outgrown_earliest": WHEN}))
    assert view(record).warns == warns
    assert ('class="said warns"' in drawn(record, SIGNER)[REPORT_HTML].decode()) == warns


def test_what_somebody_else_wrote_is_text_and_nothing_else() -> None:
    evil = '<script>alert(1)</script> & "quotes" `rm` #panic() $x$ \x1b[31m \u202e'
    documents = drawn(recovery_test(summary=evil, responsible=evil, versions={evil: evil}), SIGNER)
    page = documents[REPORT_HTML].decode()
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "\x1b" not in page
    assert "\u202e" not in page


def test_stakeholders_are_told_verdict_issues_and_where_the_report_is() -> None:
    message = report_message(failed(), ["/srv/near/shop/report.pdf"], ["store far has no report: full"])
    assert message.subject == "shop: recovery test failed, 1 h 34 min of 1 h"
    for said in (
        "Plan: shop",
        "Verdict: failed; 5 of 8 points of the checklist passed",
        "/srv/near/shop/report.pdf",
        "backproof reports pull --plan shop --since 2026-01-06 --format pdf --to .",
        "2026-01-1: ",
        "2025-10-1: The runbook names a server that is gone. Correct the section on DNS. "
        "(Grace Olsen, by 21 October 2025, overdue)",
        "store far has no report: full",
        'backproof reports close shop ISSUE --how "…"',
    ):
        assert said in message.body
    assert report_message(recovery_test(), []).body.endswith("What to do: nothing.")
    assert "it did not come to its end" in report_message(incomplete(), []).body


def test_an_issue_is_overdue_once_its_day_is_past() -> None:
    known = issue(1, "A.", "B.")
    assert "overdue" not in issue_lines([known], WHEN)[0]
    assert "overdue" in issue_lines([known], WHEN + timedelta(days=15))[0]


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 s"),
        (3.84, "3.8 s"),
        (59.6, "1 min"),
        (61, "1 min 1 s"),
        (3599.7, "1 h"),
        (5640, "1 h 34 min"),
        (93600, "26 h"),
        (172800, "2 d"),
        (190800, "2 d 5 h"),
    ],
)
def test_spans_read_as_people_say_them(seconds: float, said: str) -> None:
    assert words.span(seconds) == said


@pytest.mark.parametrize(
    ("clause", "said"),
    [("it was started", "It was started"), ("backup_2026-01-06 is there", "backup_2026-01-06 is there"), ("", "")],
)
def test_a_clause_becomes_a_sentence(clause: str, said: str) -> None:
    assert words.sentence(clause) == said


def test_one_measure_is_no_history() -> None:
    assert "can't be known yet" in view(first()).forecast
    assert view(first()).figures[3].value == "not known"


def _places(length: int) -> Iterator[int]:
    """Some of every region, all of the beginning's and the end's first and last bytes."""
    yield from range(8)
    yield from range(8, length - 500, max(1, length // 150))
    yield from range(max(8, length - 500), length)
