"""Checking of cron schedules: five fields, as Prefect's scheduler reads them."""

import re

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_FIELDS: tuple[tuple[str, int, int, dict[str, int]], ...] = (
    ("minute", 0, 59, {}),
    ("hour", 0, 23, {}),
    ("day of the month", 1, 31, {}),
    ("month", 1, 12, {name: number for number, name in enumerate(MONTHS, 1)}),
    ("day of the week", 0, 7, {name: number for number, name in enumerate(DAYS)}),
)
_RANGE = re.compile(r"(\*|(\w+)(?:-(\w+))?)(?:/([0-9]{1,2}))?", re.ASCII)
_NTH = re.compile(r"(\w+)#([1-5])", re.ASCII)


def check(text: str) -> str:
    """Return the schedule as it is, if a scheduler will accept it.

    ``*``, numbers, names (``jan``, ``tue``), ranges, steps and lists; ``L`` for the last day of the month,
    ``TUE#1`` for the first Tuesday.

    Raises:
        ValueError: names the field that is wrong, and its limits.
    """
    parts = text.split()
    if len(parts) != len(_FIELDS):
        raise ValueError(
            f"{text!r} is no cron schedule: it needs five fields (minute hour day month weekday), such as '0 2 * * *'"
        )
    for part, (field, low, high, names) in zip(parts, _FIELDS, strict=True):
        for item in part.split(","):
            if not _good(item.lower(), field, low, high, names):
                limits = f"{low} to {high}" + (f" or {next(iter(names))} to {list(names)[-1]}" if names else "")
                raise ValueError(f"{text!r} is no cron schedule: {item!r} is no {field} ({limits})")
    return text


def _good(item: str, field: str, low: int, high: int, names: dict[str, int]) -> bool:
    if item == "l":
        return field == "day of the month"
    if nth := _NTH.fullmatch(item):
        return field == "day of the week" and _number(nth[1], low, high, names) is not None
    match = _RANGE.fullmatch(item)
    if match is None or (match[4] is not None and not 1 <= int(match[4]) <= high):
        return False
    if match[1] == "*":
        return True
    first = _number(match[2], low, high, names)
    last = first if match[3] is None else _number(match[3], low, high, names)
    if first is None or last is None:
        return False
    # A step without a range ("5/10") is read differently by different schedulers.
    return first <= last and (match[4] is None or match[3] is not None)


def _number(text: str, low: int, high: int, names: dict[str, int]) -> int | None:
    number = names.get(text, int(text) if text.isdecimal() and len(text) <= 2 else -1)
    return number if low <= number <= high else None
