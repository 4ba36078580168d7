"""A backup beside earlier ones: a table, and a picture of sizes. Pure."""

from collections.abc import Callable, Sequence
from html import escape

from backproof.trend import Measures, usual
from flows.picture import data_uri
from tasks import words

_WIDTH, _HEIGHT, _BASE, _TALLEST, _LEFT = 760, 190, 150, 96, 12
_THIS, _EARLIER = "#2e7d4f", "#9fb3c8"

_Say = Callable[[float], str]
_LINES: tuple[tuple[str, Callable[[Measures], float | None], _Say], ...] = (
    ("archive", lambda each: each.stored_bytes, words.size),
    ("SQL", lambda each: each.plain_bytes, words.size),
    ("database", lambda each: each.live_bytes, words.size),
    ("rows", lambda each: each.rows, lambda count: f"{count:,.0f}"),
    ("sealing", lambda each: each.sealed_seconds, words.duration),
    ("proving", lambda each: each.proven_seconds, words.duration),
)


def trend_rows(history: Sequence[Measures]) -> list[tuple[str, ...]]:
    """A line a number: this backup, the one before, what is usual, and how far this one is from it.

    Args:
        history: oldest first; the last is the one to compare. At least two.
    """
    *earlier, this = history
    rows = []
    for what, of, say in _LINES:
        now, before, as_usual = of(this), of(earlier[-1]), usual(earlier, of)
        said = tuple("–" if number is None else say(number) for number in (now, before, as_usual))
        rows.append((what, *said, _change(now, as_usual)))
    return rows


def sizes_svg(history: Sequence[Measures]) -> str:
    """The archives' sizes, a bar each, oldest first; the last is the one that the page is about."""
    largest = max(max(each.stored_bytes for each in history), 1)
    step = min(90.0, (_WIDTH - 2 * _LEFT) / len(history))
    last = len(history) - 1
    bars = [
        _bar(_LEFT + number * step, step, each, largest, _THIS if number == last else _EARLIER)
        for number, each in enumerate(history)
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{_HEIGHT}" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        'font-family="system-ui, sans-serif" font-size="11">'
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" rx="6" fill="#ffffff"/>'
        f'<text x="{_LEFT}" y="21" font-size="12" fill="#1f2933" font-weight="600">'
        f"Archives of the last {len(history)} backups</text>{''.join(bars)}</svg>"
    )


def sizes_image(history: Sequence[Measures]) -> str:
    """That picture in markdown, with its content in words for who can't see it."""
    said = ", ".join(f"{each.taken_at:%d %B} {words.size(each.stored_bytes)}" for each in history)
    return f"![Archive sizes, oldest first: {said}]({data_uri(sizes_svg(history))})"


def _bar(left: float, step: float, each: Measures, largest: int, colour: str) -> str:
    height = max(2.0, _TALLEST * each.stored_bytes / largest)
    middle = left + step / 2
    label = f'<text x="{middle:.1f}" text-anchor="middle" fill="#52606d"'
    return (
        f'<rect x="{left + 6:.1f}" y="{_BASE - height:.1f}" width="{step - 12:.1f}" height="{height:.1f}" rx="2" '
        f'fill="{colour}"/>'
        f'{label} y="{_BASE - height - 5:.1f}">{escape(words.size(each.stored_bytes))}</text>'
        f'{label} y="{_BASE + 15}">{each.taken_at:%d %b}</text>'
        f'{label} y="{_BASE + 29}">{each.taken_at:%H:%M}</text>'
    )


def _change(now: float | None, before: float | None) -> str:
    if now is None or not before:
        return ""
    percent = round(100 * (now / before - 1))
    return "as usual" if percent == 0 else f"{percent:+d} %"
