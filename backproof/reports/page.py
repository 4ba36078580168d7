"""A report as HTML: one file that asks nobody for anything, reads by day and by night, and prints."""

import re
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from backproof.recovery_test.record import RecoveryTest
from backproof.reports import typeface
from backproof.reports.charts import by_quarter, charts, for_page
from backproof.reports.view import view

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATES = Path(__file__).parent / "templates"
_LONG = re.compile(r"[\w./:\\-]{24,}")
_JOINT = re.compile(r"[._/]+")
_COMMAND = re.compile(r"`([^`]+)`")


def page(record: RecoveryTest, record_sha256: str) -> bytes:
    """The same record always gives the same bytes.

    Args:
        record: what is shown.
        record_sha256: of its signed JSON.
    """
    shown = view(record)
    drawn = [(chart.title, chart.said, for_page(chart.svg)) for chart in charts(record)]
    template = _environment().get_template("report.html.j2")
    values = {
        "view": shown,
        "charts": [{"title": title, "said": said, "svg": svg} for title, said, svg in drawn],
        "quarters": by_quarter(record.history),
        "record_sha256": record_sha256,
    }
    letters = template.render(values, font="", css="")
    css = (TEMPLATES / "report.css").read_text()
    return template.render(values, font=typeface.embedded(letters), css=css).encode()


@lru_cache(maxsize=1)
def _environment() -> "Environment":
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    made = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, keep_trailing_newline=True
    )
    made.filters["said"] = _said
    return made


def _said(text: str) -> str:
    """Text whose long names may be broken where their parts meet, and whose commands, in backticks, show as such."""
    from markupsafe import Markup, escape

    safe = _LONG.sub(lambda name: _JOINT.sub(r"\g<0><wbr>", name[0]), str(escape(text)))
    return Markup(_COMMAND.sub(r"<code>\1</code>", safe))  # noqa: S704  # escaped before
