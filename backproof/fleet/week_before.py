"""A week before each moment of a cron schedule, as a rule of its own (RFC 5545). Pure.

Cron can't say it: a week before the first Tuesday is the last one of the month before. As a rule it can be said of most
schedules, exactly and for ever; of the others (both a day of the month and a weekday, a fifth Tuesday, a 29 February)
nothing is said rather than something that is wrong in some months.
"""

from backproof.fleet.cron import DAYS, MONTHS

_RFC_DAYS = ("SU", "MO", "TU", "WE", "TH", "FR", "SA")
_LENGTHS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_ANCHOR = "DTSTART:20200101T000000"
"""Where the rules begin: said, since Prefect would say it otherwise, and what is applied should be what is there."""
_EVERY_MONTH = list(range(1, 13))


def week_before(cron: str) -> str | None:
    """The rule, two lines or three; None where there is no exact one.

    Args:
        cron: a schedule that ``cron.check`` accepts.
    """
    minute, hour, day, month, weekday = cron.lower().split()
    months = _numbers(month, 1, 12, MONTHS)
    at = f"BYHOUR={_joined(_numbers(hour, 0, 23))};BYMINUTE={_joined(_numbers(minute, 0, 59))};BYSECOND=0"
    if day == "*" and weekday == "*":
        rules = [f"FREQ=DAILY;{at}"] if months == _EVERY_MONTH else None
    elif day == "*":
        rules = _by_weekday(weekday, months, at)
    else:
        rules = _by_day(day, months, at) if weekday == "*" else None
    return "\n".join([_ANCHOR, *(f"RRULE:{rule}" for rule in rules)]) if rules else None


def _by_weekday(weekday: str, months: list[int], at: str) -> list[str] | None:
    items = weekday.split(",")
    if not any("#" in item for item in items):
        named = sorted({number % 7 for number in _numbers(weekday, 0, 7, DAYS)})
        days = ",".join(_RFC_DAYS[number] for number in named)
        return [f"FREQ=WEEKLY;BYDAY={days};{at}"] if months == _EVERY_MONTH else None
    first: list[str] = []
    later: list[str] = []
    for item in items:
        name, _, nth = item.partition("#")
        if nth not in ("1", "2", "3", "4"):
            return None
        day = _RFC_DAYS[_numbers(name, 0, 7, DAYS)[0] % 7]
        if nth == "1":
            first.append(f"-1{day}")
        else:
            later.append(f"{int(nth) - 1}{day}")
    return [
        *([f"FREQ=MONTHLY;BYMONTH={_joined(_before(months))};BYDAY={','.join(first)};{at}"] if first else []),
        *([f"FREQ=MONTHLY;BYMONTH={_joined(months)};BYDAY={','.join(later)};{at}"] if later else []),
    ]


def _by_day(day: str, months: list[int], at: str) -> list[str] | None:
    if day == "l":
        return [f"FREQ=MONTHLY;BYMONTH={_joined(months)};BYMONTHDAY=-8;{at}"]
    if "l" in day.split(","):
        return None
    days = _numbers(day, 1, 31)
    shortest = min(_LENGTHS[month - 1] for month in months)
    if max(days) > shortest:
        return None  # it does not fire in each of these months
    first, later = [number - 8 for number in days if number <= 7], [number - 7 for number in days if number > 7]
    return [
        *([f"FREQ=MONTHLY;BYMONTH={_joined(_before(months))};BYMONTHDAY={_joined(first)};{at}"] if first else []),
        *([f"FREQ=MONTHLY;BYMONTH={_joined(months)};BYMONTHDAY={_joined(later)};{at}"] if later else []),
    ]


def _before(months: list[int]) -> list[int]:
    return sorted((month - 2) % 12 + 1 for month in months)


def _joined(numbers: list[int]) -> str:
    return ",".join(map(str, numbers))


def _numbers(field: str, low: int, high: int, names: tuple[str, ...] = ()) -> list[int]:
    """The numbers that a field stands for, in order."""

    def number(text: str) -> int:
        return names.index(text) + low if text in names else int(text)

    found: set[int] = set()
    for item in field.split(","):
        whole, _, step = item.partition("/")
        first, _, end = whole.partition("-")
        begin, last = (low, high) if whole == "*" else (number(first), number(end or first))
        found.update(range(begin, last + 1, int(step or 1)))
    return sorted(found)
