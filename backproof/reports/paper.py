"""A report as PDF: A4, set by Typst from the same values as the page."""

import json
from dataclasses import asdict
from functools import lru_cache
from typing import TYPE_CHECKING

from backproof.recovery_test.record import RecoveryTest
from backproof.reports import typeface
from backproof.reports.charts import by_quarter, charts
from backproof.reports.page import TEMPLATES
from backproof.reports.view import view

if TYPE_CHECKING:
    from typst import Fonts


def paper(record: RecoveryTest, record_sha256: str) -> bytes:
    """The same record gives the same bytes.

    Args:
        record: what is shown.
        record_sha256: of its signed JSON.
    """
    import typst

    values = {
        "view": asdict(view(record)),
        "charts": [asdict(chart) for chart in charts(record, outlines=True)],
        "quarters": by_quarter(record.history),
        "record_sha256": record_sha256,
    }
    return typst.compile(
        (TEMPLATES / "report.typ").read_bytes(),
        format="pdf",
        font_paths=_fonts(),
        sys_inputs={"data": json.dumps(values, ensure_ascii=False)},
        timestamp=record.ended_at.replace(microsecond=0),  # it takes no finer one
    )


@lru_cache(maxsize=1)
def _fonts() -> "Fonts":
    """Ours first; those of the machine for letters that none of them has."""
    import typst

    return typst.Fonts(font_paths=[str(typeface.folder()), str(typeface.fallbacks())])
