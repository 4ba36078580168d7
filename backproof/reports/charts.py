"""The charts of a report, drawn by Matplotlib as SVG: recovery time and size, what was and what is expected.

Colours are those of paper; ``for_page`` gives them to the page's style sheet, so that it has a dark theme too.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from backproof.recovery_test.record import Forecast, Measure, RecoveryTest
from backproof.reports import typeface, words

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from pandas import DataFrame

INK, SOFT, GRID, PAPER, SERIES, LIMIT = "#1b2430", "#5b6675", "#e1e6ec", "#ffffff", "#1f5fa8", "#b42318"
_ROLES = {INK: "ink", SOFT: "soft", GRID: "rule", PAPER: "paper", SERIES: "series", LIMIT: "fail"}
BESIDE, ALONE = (326, 200), (560, 220)
"""Width and height of a chart beside another, or alone, where its letters are 9 high; it is scaled as a whole."""
_MARKS = {"recovery test": ("o", 5.6, True), "verification": ("o", 2.8, False), "recovery": ("D", 4.6, False)}
"""Kind of measure to its mark: shape, size, filled."""
_CLASSES = ((1e9, "medium from here"), (1e10, "large from here"))
_YEAR = timedelta(days=365)


@dataclass(frozen=True, slots=True)
class Chart:
    """One picture, and what it shows in words."""

    name: str
    title: str
    said: str
    svg: str


def charts(record: RecoveryTest, outlines: bool = False, size: tuple[int, int] = BESIDE) -> tuple[Chart, ...]:
    """Those that there is something to draw in: none without a measure.

    Args:
        record: whose history is shown.
        outlines: letters as shapes, for readers that lack the typeface.
        size: width and height.
    """
    if not record.history:
        return ()
    frame = _frame(record.history)
    times = _drawn("times", outlines, size, lambda axes: _times(axes, frame, record))
    sizes = _drawn("sizes", outlines, size, lambda axes: _sizes(axes, frame, record.forecast))
    return (
        Chart("times", "Recovery time", _say_times(record), times),
        Chart("sizes", "Size of the database", _say_sizes(record.history), sizes),
    )


def for_page(svg: str) -> str:
    """A chart whose colours are the style sheet's."""
    for colour, role in _ROLES.items():
        svg = svg.replace(colour, f"var(--{role})")
    return svg


def on_paper(svg: str) -> str:
    """A chart with a background of its own, for a page whose colours nobody knows."""
    head, _, rest = svg.partition(">")
    return f'{head}><rect width="100%" height="100%" rx="6" fill="{PAPER}"/>{rest}'


def by_quarter(history: Sequence[Measure]) -> tuple[tuple[str, ...], ...]:
    """A line a quarter, oldest first: when, measures, median and longest recovery time, size at its end."""
    if not history:
        return ()
    frame = _frame(history)
    quarters = frame.groupby(frame["at"].dt.tz_convert(None).dt.to_period("Q"))
    return tuple(
        (
            f"{quarter.year}, quarter {quarter.quarter}",
            f"{len(each)}",
            words.span(float(each["seconds"].median())),
            words.span(float(each["seconds"].max())),
            words.size(float(each["size"].iloc[-1])),
        )
        for quarter, each in quarters
    )


def _frame(history: Sequence[Measure]) -> "DataFrame":
    import pandas

    rows = [(each.at, each.kind, float(each.live_bytes), each.seconds) for each in history]
    frame = pandas.DataFrame(rows, columns=["at", "kind", "size", "seconds"])
    return frame.assign(at=pandas.to_datetime(frame["at"], utc=True)).sort_values("at", kind="stable")


def _times(axes: "Axes", frame: "DataFrame", record: RecoveryTest) -> None:
    unit, name = _unit_of_time(max(float(frame["seconds"].max()), record.objective_seconds))
    forecast, last = record.forecast, frame["at"].iloc[-1].to_pydatetime()
    until = _horizon(frame)
    if forecast.known and forecast.seconds_now is not None:
        _expected(axes, forecast, record.objective_seconds, last, until, unit)
    for kind, (marker, large, filled) in _MARKS.items():
        some = frame[frame["kind"] == kind]
        if len(some):
            axes.plot(
                some["at"],
                some["seconds"] / unit,
                linestyle="none",
                marker=marker,
                markersize=large,
                markerfacecolor=SERIES if filled else PAPER,
                markeredgecolor=SERIES,
                markeredgewidth=0.9,
                label=kind,
                zorder=4,
            )
    axes.axhline(
        record.objective_seconds / unit, color=LIMIT, linewidth=1.1, linestyle=(0, (4, 2.4)), label="objective"
    )
    top = max(float(frame["seconds"].max()), record.objective_seconds, forecast.seconds_high or 0)
    _finish(axes, frame, until if forecast.known else last, top / unit, name)


def _expected(axes: "Axes", forecast: Forecast, limit: float, last: datetime, until: datetime, unit: float) -> None:
    """The line of what is expected, and the band in which it ends nine times of ten."""
    import pandas

    ends = pandas.DatetimeIndex([last, until])
    slope = (forecast.seconds_per_gigabyte or 0.0) * (forecast.growth_bytes_per_day or 0.0) / 1e9
    middle = _through(last, forecast.seconds_now or 0.0, forecast.outgrown_at, limit, slope)
    axes.plot(ends, [middle(at) / unit for at in ends], color=SERIES, linewidth=1.2, label="expected", zorder=3)
    if forecast.seconds_low is not None and forecast.seconds_high is not None:
        low = _through(last, forecast.seconds_low, forecast.outgrown_latest, limit, slope)
        high = _through(last, forecast.seconds_high, forecast.outgrown_earliest, limit, slope)
        axes.fill_between(
            ends,
            [max(low(at), 0) / unit for at in ends],
            [max(high(at), low(at)) / unit for at in ends],
            color=SERIES,
            alpha=0.16,
            linewidth=0,
            label="9 times of 10",
            zorder=2,
        )


def _through(
    last: datetime, now: float, outgrown: datetime | None, limit: float, slope: float
) -> Callable[[datetime], float]:
    """A straight line from what is expected now to the day on which it meets the limit; without one, by its slope."""
    days = (outgrown - last).total_seconds() / 86400 if outgrown else 0.0
    daily = (limit - now) / days if days > 1 else slope
    return lambda at: now + daily * (at - last).total_seconds() / 86400


def _sizes(axes: "Axes", frame: "DataFrame", forecast: Forecast) -> None:
    largest = float(frame["size"].max())
    last, until = frame["at"].iloc[-1].to_pydatetime(), _horizon(frame)
    grown = largest
    if forecast.known and forecast.growth_bytes_per_day is not None:
        now = float(frame["size"].iloc[-1])
        then = max(now + forecast.growth_bytes_per_day * (until - last).days, 0.0)
        grown = max(largest, then)
    unit, name = _unit_of_size(grown)
    if grown > largest or (forecast.known and forecast.growth_bytes_per_day is not None):
        axes.plot(
            [last, until],
            [float(frame["size"].iloc[-1]) / unit, then / unit],
            color=SERIES,
            linewidth=1.2,
            linestyle=(0, (2, 2)),
            label="as it grows now",
        )
    axes.plot(
        frame["at"],
        frame["size"] / unit,
        color=SERIES,
        linewidth=1.4,
        marker="o" if len(frame) < 15 else "",
        markersize=4,
        label="measured",
    )
    for boundary, said in _CLASSES:
        if 0.2 * grown < boundary < 1.25 * grown:
            axes.axhline(boundary / unit, color=SOFT, linewidth=0.9, linestyle=(0, (1, 2)))
            axes.annotate(
                said,
                (0, boundary / unit),
                xycoords=("axes fraction", "data"),
                xytext=(4, 3),
                textcoords="offset points",
                color=SOFT,
                fontsize=8,
            )
            grown = max(grown, boundary)
    _finish(axes, frame, until if forecast.known else last, grown / unit, name)


def _finish(axes: "Axes", frame: "DataFrame", until: datetime, top: float, unit: str) -> None:
    """Axes, grid, legend; what every chart has."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    first = frame["at"].iloc[0].to_pydatetime()
    around = max((until - first) * 0.03, timedelta(days=12))
    axes.set_xlim(first - around, until + around)
    axes.set_ylim(0, top * 1.12)
    dates = AutoDateLocator(minticks=3, maxticks=6)
    axes.xaxis.set_major_locator(dates)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(dates, show_offset=False))
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 3, 5, 6, 10]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_title(unit, loc="left", fontsize=8.5, color=SOFT, pad=7)
    axes.grid(axis="y", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, labelsize=9, labelcolor=SOFT, pad=5)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(SOFT)
    axes.spines["bottom"].set_linewidth(0.8)
    axes.legend(
        loc="lower right",
        bbox_to_anchor=(1.0, 1.0),
        ncols=3,
        frameon=False,
        fontsize=8,
        labelcolor=INK,
        borderaxespad=0.1,
        handlelength=1.4,
        handletextpad=0.5,
        columnspacing=1.1,
        labelspacing=0.35,
    )


def _horizon(frame: "DataFrame") -> datetime:
    """How far ahead is shown: as far as it goes back, within one year and three."""
    last: datetime = frame["at"].iloc[-1].to_pydatetime()
    back: timedelta = last - frame["at"].iloc[0].to_pydatetime()
    return last + min(max(back, _YEAR), 3 * _YEAR)


def _drawn(name: str, outlines: bool, size: tuple[int, int], draw: "Callable[[Axes], None]") -> str:
    import io

    with _style(name, outlines):
        from matplotlib.backends.backend_svg import FigureCanvasSVG
        from matplotlib.figure import Figure

        figure = Figure(figsize=(size[0] / 72, size[1] / 72), layout="constrained")
        FigureCanvasSVG(figure)
        draw(figure.add_subplot())
        held = io.StringIO()
        figure.savefig(held, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return _tidied(held.getvalue(), name)


@contextmanager
def _style(name: str, outlines: bool) -> Iterator[None]:
    import matplotlib
    from matplotlib import font_manager

    if not any(each.name == typeface.FAMILY for each in font_manager.fontManager.ttflist):
        font_manager.fontManager.addfont(typeface.upright())
    settings: dict[str, Any] = {
        "font.family": [typeface.FAMILY, "DejaVu Sans"],
        "svg.fonttype": "path" if outlines else "none",
        "svg.hashsalt": name,
    }
    with matplotlib.rc_context(settings):
        yield


def _tidied(svg: str, name: str) -> str:
    """Only the drawing, with names of its own: two charts may stand on one page."""
    drawing = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    drawing = re.sub(r'( id="|url\(#|href="#)', rf"\1{name}-", drawing)
    return drawing.replace("'DejaVu Sans'", "system-ui, sans-serif").strip()


def _unit_of_time(longest: float) -> tuple[float, str]:
    if longest >= 10800:
        return 3600.0, "hours"
    return (60.0, "minutes") if longest >= 180 else (1.0, "seconds")


def _unit_of_size(largest: float) -> tuple[float, str]:
    for unit, name in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB")):
        if largest >= unit:
            return unit, name
    return 1e3, "kB"


def _say_times(record: RecoveryTest) -> str:
    said = ", ".join(f"{words.day(each.at)}: {words.span(each.seconds)}" for each in record.history[-12:])
    return f"Recovery times, the newest last. {said}. Objective: {words.span(record.objective_seconds)}."


def _say_sizes(history: Sequence[Measure]) -> str:
    said = ", ".join(f"{words.day(each.at)}: {words.size(each.live_bytes)}" for each in history[-12:])
    return f"Sizes of the database, the newest last. {said}."
