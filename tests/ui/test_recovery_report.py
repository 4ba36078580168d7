"""A recovery test's report to look at: the page in a real browser, the paper as a reader draws it."""

from collections.abc import Iterator
from pathlib import Path

import pypdfium2
import pytest

from backproof.archive.signing import Signer
from backproof.recovery_test.naming import REPORT_HTML, REPORT_PDF
from backproof.reports.drawing import drawn
from tests.support.looking import boxes, not_embedded, too_faint, wrong_on_paper, wrong_on_the_page
from tests.support.pages import Ui, browser
from tests.support.recovery_tests import KINDS

pytestmark = pytest.mark.timeout(600)

PAGES = {"passed": 4, "failed": 4, "incomplete": 3, "first": 3, "wide": 5}
SERIES = (31, 95, 168)
SCALE = 2


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every kind of report, ``<kind>.report.html`` and ``.pdf``."""
    folder, signer = tmp_path_factory.mktemp("reports"), Signer(bytes(range(32)))
    for kind, made in KINDS.items():
        for part, document in drawn(made(), signer).items():
            (folder / f"{kind}.{part}").write_bytes(document)
    return folder


@pytest.fixture(scope="module")
def ui(reports: Path) -> Iterator[Ui]:
    """A browser; afterwards it must have asked for nothing but the reports."""
    with browser(reports.as_uri()) as opened:
        yield opened
        assert opened.asked
        assert opened.outside == []


@pytest.mark.parametrize("width", [1280, 900, 390])
@pytest.mark.parametrize("kind", KINDS)
def test_no_text_of_the_page_is_cut_off_or_runs_into_another(reports: Path, ui: Ui, kind: str, width: int) -> None:
    _open(reports, ui, kind, width)
    assert ui.page.evaluate("document.fonts.check('16px Inter') && [...document.fonts].length === 1")
    assert wrong_on_the_page(ui.page) == []


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("kind", ["failed", "incomplete"])
def test_all_text_can_be_read_by_day_and_by_night(reports: Path, ui: Ui, kind: str, theme: str) -> None:
    ui.page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]
    _open(reports, ui, kind, 1280)
    assert too_faint(ui.page) == []
    ui.page.emulate_media(color_scheme="light")


@pytest.mark.parametrize("kind", KINDS)
def test_the_page_has_all_that_the_record_has_and_no_empty_chart(reports: Path, ui: Ui, kind: str) -> None:
    record = KINDS[kind]()
    _open(reports, ui, kind, 1280)
    text = ui.page.locator("main").inner_text()
    said = [record.summary, record.test, *(each.name for each in (*record.checklist, *record.rollback_checklist))]
    said += [each.table for each in record.critical_data] + [each.sha256 for each in record.cites]
    said += [each.id for each in (*record.issues, *record.still_open)] + list(record.controls) + list(record.measured)
    assert [each for each in said if each not in text] == []
    charts = ui.page.locator("figure svg")
    assert charts.count() == (2 if record.history else 0)
    marks = (
        "node => [...node.querySelectorAll('use, path')].filter(each => each.getBoundingClientRect().width > 1).length"
    )
    for number in range(charts.count()):
        assert charts.nth(number).evaluate(marks) > 5
    assert ui.page.locator(".gantt .track > i").count() == len(record.phases)
    if not record.history:
        assert "Nothing was measured yet, so there is no trend to show." in text


def test_the_page_prints(reports: Path, ui: Ui, tmp_path: Path) -> None:
    _open(reports, ui, "failed", 1280)
    ui.page.pdf(path=tmp_path / "printed.pdf", prefer_css_page_size=True)
    with pypdfium2.PdfDocument(tmp_path / "printed.pdf") as printed:
        assert 3 <= len(printed) <= 6
        assert [wrong for page in printed for wrong in wrong_on_paper(page)] == []


@pytest.mark.parametrize("kind", KINDS)
def test_no_text_of_the_paper_is_cut_off_or_runs_into_another(reports: Path, kind: str) -> None:
    record = KINDS[kind]()
    with pypdfium2.PdfDocument(reports / f"{kind}.{REPORT_PDF}") as paper:
        assert len(paper) == PAGES[kind]
        assert paper.get_metadata_value("Title").startswith("Recovery test of shop")
        assert [wrong for page in paper for wrong in wrong_on_paper(page)] == []
        assert sum(not_embedded(page) for page in paper) == 0
        text = " ".join(" ".join(page.get_textpage().get_text_bounded().split()) for page in paper)
    plain = text.replace("\u200b", "").replace("\ufffe", "").replace(" ", "")
    said = [record.summary, record.test, *(each.name for each in (*record.checklist, *record.rollback_checklist))]
    said += [each.table for each in record.critical_data] + [each.sha256 for each in record.cites]
    said += [each.id for each in record.issues] + list(record.controls)
    assert [each for each in said if each.replace(" ", "") not in plain] == []


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "incomplete"])
def test_no_chart_of_the_paper_is_empty(reports: Path, kind: str) -> None:
    with pypdfium2.PdfDocument(reports / f"{kind}.{REPORT_PDF}") as paper:
        for page in paper:
            (place,) = [box for box in boxes(page) if box.text == "Size of the database"] or [None]
            if place is None:
                continue
            drawing = page.render(scale=SCALE).to_pil().convert("RGB")
            top = round((page.get_height() - place.bottom) * SCALE)
            middle = drawing.width // 2
            for left, right in ((0, middle), (middle, drawing.width)):
                pixels = drawing.crop((left, top, right, top + 145 * SCALE)).get_flattened_data()
                assert sum(max(abs(a - b) for a, b in zip(pixel, SERIES, strict=True)) < 40 for pixel in pixels) > 25
            return
    pytest.fail("there is no chart")


def _open(reports: Path, ui: Ui, kind: str, width: int) -> None:
    ui.page.set_viewport_size({"width": width, "height": 1000})
    ui.page.goto((reports / f"{kind}.{REPORT_HTML}").as_uri())
    ui.page.evaluate("document.fonts.ready.then(() => true)")
