"""A picture of a run's phases: one bar each, on the run's own time line. Pure."""

from base64 import b64encode
from collections.abc import Sequence
from html import escape

from backproof.records import Timing
from tasks import words

_WIDTH, _ROW, _LABEL, _PLOT, _TOP = 760, 26, 190, 380, 34
_COLOURS = {"copy": "#2f6fb3", "seal": "#2e7d4f", "consistent": "#2e7d4f"}
_OTHER = "#8a5a9e"


def phases_svg(timings: Sequence[Timing]) -> str:
    """An SVG that brings its own background, so that it reads on a light and on a dark page."""
    if not timings:
        return ""
    began = min(timing.started_at for timing in timings)
    ends = [(timing.started_at - began).total_seconds() + timing.elapsed_seconds for timing in timings]
    span = max(*ends, 0.001)
    height = _TOP + _ROW * len(timings) + 12
    rows = [
        _row(_TOP + _ROW * number, timing, (timing.started_at - began).total_seconds() / span, span)
        for number, timing in enumerate(timings)
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" viewBox="0 0 {_WIDTH} {height}" '
        'font-family="system-ui, sans-serif" font-size="12">'
        f'<rect width="{_WIDTH}" height="{height}" rx="6" fill="#ffffff"/>'
        f'<text x="12" y="21" fill="#1f2933" font-weight="600">Phases, {escape(words.duration(span))} in all</text>'
        f"{''.join(rows)}</svg>"
    )


def data_uri(svg: str) -> str:
    """For a markdown image."""
    return f"data:image/svg+xml;base64,{b64encode(svg.encode()).decode()}"


def _row(top: int, timing: Timing, start: float, span: float) -> str:
    width = max(2.0, _PLOT * timing.elapsed_seconds / span)
    left = _LABEL + min(_PLOT * start, _PLOT - 2.0)
    colour = _COLOURS.get(timing.phase.split()[0], _OTHER)
    said = words.duration(timing.elapsed_seconds)
    if speed := words.rate(timing.bytes, timing.elapsed_seconds):
        said += f", {speed}"
    return (
        f'<text x="12" y="{top + 15}" fill="#1f2933">{escape(timing.phase)}</text>'
        f'<rect x="{_LABEL}" y="{top + 3}" width="{_PLOT}" height="16" fill="#eef1f4"/>'
        f'<rect x="{left:.1f}" y="{top + 3}" width="{width:.1f}" height="16" rx="2" fill="{colour}"/>'
        f'<text x="{_LABEL + _PLOT + 10}" y="{top + 15}" fill="#52606d">{escape(said)}</text>'
    )
