"""Words, pictures and records of a run: pure, so tested without a server."""

from datetime import timedelta
from xml.etree import ElementTree

import pytest

from backproof.records import Timing
from flows.picture import phases_svg
from flows.record import BackupRun, CopyResult
from flows.summary import backup_summary
from tasks import words
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


def test_what_a_reason_holds_can_not_break_the_table() -> None:
    run = BackupRun(
        plan="shop",
        kind="daily",
        backup="backup_2025-11-07_020000",
        taken_at=TAKEN_AT,
        outcome="degraded",
        stored_bytes=1,
        plain_bytes=1,
        live_bytes=1,
        copies=(CopyResult(store="far", committed=False, reason="a | b\nc"),),
        proof=None,
        problems=("no copy in far",),
        warnings=(),
        timings=(),
    )
    assert "| far | missing: a \\| b c |" in backup_summary(run)
