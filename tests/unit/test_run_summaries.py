"""Words, pictures and records of a run: pure, so tested without a server."""

from datetime import timedelta
from typing import Any
from xml.etree import ElementTree

import pytest

from backproof.errors import StoreUnavailable
from backproof.records import Timing
from backproof.trend import Measures
from flows.picture import phases_svg
from flows.record import BackupRun, CopyResult
from flows.recovery_summary import proposal_summary
from flows.summary import backup_summary
from flows.trend import sizes_svg
from tasks import words
from tasks.recover import Proposed
from tests.support.manifests import TAKEN_AT


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1.0 kB"),
        (999_949_999, "999.9 MB"),
        (1e9, "1.0 GB"),
        (5e15, "5000.0 TB"),
    ],
)
def test_sizes_in_words(count: float, said: str) -> None:
    assert words.size(count) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.04, "0.0 s"), (59.9, "59.9 s"), (59.96, "1 min 0 s"), (125, "2 min 5 s"), (4320, "1 h 12 min")],
)
def test_durations_in_words(seconds: float, said: str) -> None:
    assert words.duration(seconds) == said


def test_no_rate_is_made_up_where_nothing_was_measured() -> None:
    assert [words.rate(None, 1), words.rate(5, 0), words.rate(2_000_000, 2)] == ["", "", "1.0 MB/s"]


def timings(*phases: tuple[str, float, float]) -> list[Timing]:
    return [
        Timing(phase=name, started_at=TAKEN_AT + timedelta(seconds=start), elapsed_seconds=seconds)
        for name, start, seconds in phases
    ]


def test_the_picture_is_well_formed_brings_its_background_and_keeps_inside_it() -> None:
    svg = phases_svg(timings(("seal <a & b>", 0, 4), ("copy to far", 4, 0.001), ("prove", 4, 6)))
    tree = ElementTree.fromstring(svg)
    rectangles = [element for element in tree.iter() if element.tag.endswith("rect")]
    width, height = float(tree.attrib["width"]), float(tree.attrib["height"])
    assert (rectangles[0].attrib["fill"], rectangles[0].attrib["width"]) == ("#ffffff", tree.attrib["width"])
    for each in rectangles:
        assert float(each.attrib.get("x", 0)) + float(each.attrib["width"]) <= width + 2
        assert float(each.attrib.get("y", 0)) + float(each.attrib["height"]) <= height
        assert float(each.attrib["width"]) >= 2, "a short phase is still seen"


def test_no_phases_make_no_picture() -> None:
    assert phases_svg([]) == ""


def run_of(**changes: Any) -> BackupRun:
    facts: dict[str, Any] = {
        "plan": "shop",
        "kind": "daily",
        "backup": "backup_2025-11-07_020000",
        "taken_at": TAKEN_AT,
        "outcome": "degraded",
        "stored_bytes": 1,
        "plain_bytes": 1,
        "live_bytes": 1,
        "copies": (CopyResult(store="far", committed=False, reason="a | b\nc"),),
        "proof": None,
        "problems": ("no copy in far",),
        "warnings": (),
        "timings": (),
    }
    return BackupRun(**facts | changes)


def past(days: int, stored: int, proven: float | None = 9.0) -> Measures:
    taken_at = TAKEN_AT - timedelta(days=days)
    return Measures(
        backup=f"backup_{taken_at:%Y-%m-%d_%H%M%S}",
        kind="daily",
        taken_at=taken_at,
        stored_bytes=stored,
        plain_bytes=4 * stored,
        live_bytes=9 * stored,
        rows=1000 + stored,
        sealed_seconds=2.0,
        proven_seconds=proven,
    )


def test_what_a_reason_holds_can_not_break_the_table() -> None:
    assert "| far | missing: a \\| b c |" in backup_summary(run_of())


def test_a_summary_has_sizes_rates_copies_and_how_to_bring_it_back() -> None:
    moved = Timing(phase="copy to far", started_at=TAKEN_AT, elapsed_seconds=2, bytes=3_000_000)
    sealed = Timing(phase="seal", started_at=TAKEN_AT, elapsed_seconds=4, bytes=12_000_000)
    near, far = (CopyResult(store=store, committed=True, stored_bytes=3_000_000) for store in ("near", "far"))
    text = backup_summary(
        run_of(
            outcome="sealed",
            stored_bytes=3_000_000,
            plain_bytes=12_000_000,
            live_bytes=40_000_000,
            copies=(near, far),
            problems=(),
            timings=(sealed, moved),
        )
    )
    for line in (
        "| backup | `backup_2025-11-07_020000` |",
        "| archive | **3.0 MB**, 4.0 times smaller |",
        "| sealed at | 3.0 MB/s of SQL |",
        "| took | 4.0 s |",
        "| near | ✓ committed | 3.0 MB |  |  |",
        "| far | ✓ committed | 3.0 MB | 2.0 s | 1.5 MB/s |",
        "`backproof restore shop --backup backup_2025-11-07_020000 --into shop_copy`",
        "![The phases on a time line: seal 4.0 s, copy to far 2.0 s](data:image/svg+xml;base64,",
    ):
        assert line in text


def test_a_trend_compares_with_the_one_before_and_with_what_is_usual() -> None:
    history = [past(3, 1_000_000), past(2, 1_000_000, None), past(1, 3_000_000), past(0, 2_000_000, None)]
    text = backup_summary(run_of(), history)
    assert "|  | this one | the one before | median of the 3 before | this against the median |" in text
    assert "| archive | 2.0 MB | 3.0 MB | 1.0 MB | +100 % |" in text
    assert "| sealing | 2.0 s | 2.0 s | 2.0 s | as usual |" in text
    assert "| proving | – | 9.0 s | 9.0 s |  |" in text
    assert "![Archive sizes, oldest first: 04 November 1.0 MB," in text


@pytest.mark.parametrize(
    ("history", "said"),
    [
        ([past(0, 5)], "There is none: this is the plan's first"),
        (StoreUnavailable("near is away"), "They could not be read: near is away"),
    ],
)
def test_a_trend_that_there_is_not_is_told(history: Any, said: str) -> None:
    assert said in backup_summary(run_of(), history)


def test_no_trend_is_shown_of_a_backup_that_is_not_the_run_s() -> None:
    assert "### Against earlier backups" not in backup_summary(run_of(), [past(2, 5), past(1, 5)])


@pytest.mark.parametrize("number", [2, 11])
def test_the_picture_of_sizes_is_well_formed_and_keeps_inside_itself(number: int) -> None:
    tree = ElementTree.fromstring(sizes_svg([past(number - n, 10**n) for n in range(number)]))
    bars = [element for element in tree.iter() if element.tag.endswith("rect")][1:]
    assert len(bars) == number
    for bar in bars:
        assert float(bar.attrib["x"]) + float(bar.attrib["width"]) <= float(tree.attrib["width"])
        assert 25 <= float(bar.attrib["y"]) < float(bar.attrib["y"]) + float(bar.attrib["height"]) <= 150
    assert [bar.attrib["fill"] for bar in bars].count("#2e7d4f") == 1


@pytest.mark.parametrize(
    ("lost", "unseen", "said"),
    [
        (False, False, "**shop**"),
        (True, False, "**shop** (which is not there)"),
        (False, True, "may not see, if it is"),
    ],
)
def test_whoever_approves_a_recovery_reads_whether_there_is_a_database(lost: bool, unseen: bool, said: str) -> None:
    found = Proposed(
        plan="shop",
        backup="backup_2026-01-01_020000",
        taken_at=TAKEN_AT,
        proven=True,
        mode="swap",
        tables=(),
        database="shop",
        lost=lost,
        unseen=unseen,
        loses_seconds=60,
        expected_seconds=None,
        plain_bytes=1,
        stores=("near",),
        obstacles=(),
        passed_over=(),
        warnings=(),
    )
    [line] = [line for line in proposal_summary(found).splitlines() if "replaced" in line and line.startswith("|")]
    assert said in line
    assert ("not there" in line) == lost
