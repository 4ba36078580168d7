"""When things happen: from cron schedules to moments, as Prefect's scheduler computes them. Pure; no clock.

Prefect walks along the wall clock of the schedule's zone, and so does this. Where clocks are set forward, a time that
does not exist that day comes an hour earlier (02:30 becomes 01:30, before the switch); where they are set back, a time
that comes twice counts the first time. In UTC there is neither.
"""

import hashlib
import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import islice, pairwise, takewhile
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from backproof.fleet.week_before import week_before
from backproof.fleet.whole import FleetSpec

_A_WEEK = timedelta(days=7)
_LOOKED_AHEAD = timedelta(days=400)
_MOST_LOOKED_AT = 20_000
"""Two weeks of a schedule that fires each minute: what is regular for so long stays so."""


_FARTHEST_OVERTAKEN = timedelta(hours=3)
"""No clock was ever set by more, save for a whole day."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One schedule: what it starts, and when."""

    slug: str
    """Names it within its deployment: ``daily``, ``daily-2``."""
    kind: str
    """``daily``, ``monthly``, ``retention`` …"""
    cron: str
    """As it runs, in the fleet's time zone: already spread."""
    rule: str | None = None
    """In place of it, what the scheduler is given (RFC 5545): it starts a week before each moment of ``cron``."""


def of_plan(spec: FleetSpec, plan: str) -> tuple[Entry, ...]:
    """The backups of a plan. Where there are several plans, each starts at its own minute of the fleet's ``spread``."""
    window = spec.spread if len(spec.plans) > 1 else timedelta()
    schedules = spec.plans[plan].schedules
    kinds = {"daily": schedules.daily, "monthly": schedules.monthly}
    return _entries({kind: [spread(text, window, plan) for text in crons] for kind, crons in kinds.items()})


def recovery_tests(spec: FleetSpec, plan: str) -> tuple[Entry, ...]:
    """The recovery tests of a plan, spread as its backups are."""
    window = spec.spread if len(spec.plans) > 1 else timedelta()
    return _entries(
        {"recovery-test": [spread(text, window, plan) for text in spec.plans[plan].schedules.recovery_test]}
    )


def notices(spec: FleetSpec, plan: str) -> tuple[Entry, ...]:
    """What tells of each recovery test a week before; of a schedule of which that can't be said, there is none."""
    tests = recovery_tests(spec, plan)
    named = [(each, week_before(each.cron)) for each in tests]
    return tuple(
        Entry(each.slug.replace("recovery-test", "notice", 1), "recovery-test-notice", each.cron, rule)
        for each, rule in named
        if rule
    )


def of_fleet(spec: FleetSpec) -> tuple[Entry, ...]:
    """What is done for all plans together."""
    return _entries({name: getattr(spec.schedules, name) for name in type(spec.schedules).model_fields})


def spread(text: str, window: timedelta, name: str) -> str:
    """The schedule, later by some minutes of a window: always the same for a name, evenly over many names.

    A schedule that fires several times an hour stays within its hour, and none goes past midnight, where the first of
    the month and Tuesday would be other days. So ``* * * * *`` does not move at all.
    """
    minute_field, hour_field, *days = text.split()
    minutes, hours = _numbers(minute_field, 59), _numbers(hour_field, 23)
    within_the_hour = len(minutes) > 1 or hour_field.startswith("*")
    room = 60 - minutes[-1] if within_the_hour else 24 * 60 - (hours[-1] * 60 + minutes[-1])
    choices = min(int(window.total_seconds()) // 60, room)
    later = _number_of(name) % choices if choices > 1 else 0
    if not later:
        return text
    carried = (minutes[0] + later) // 60
    moved = ",".join(str((minute + later) % 60) for minute in minutes)
    hour = ",".join(str(each + carried) for each in hours) if carried else hour_field
    return " ".join((moved, hour, *days))


def next_times(crons: Iterable[str], zone: str, after: datetime, count: int) -> list[datetime]:
    """The next moments, in UTC, at which any of some schedules fires; fewer where it never fires so often."""
    return list(islice(_moments(crons, zone, after), count))


def next_of(entry: Entry, zone: str, after: datetime, count: int) -> list[datetime]:
    """The next moments, in UTC, at which a schedule starts something; fewer where it never fires so often."""
    if entry.rule is None:
        return next_times([entry.cron], zone, after, count)
    place = ZoneInfo(zone)
    tests = next_times([entry.cron], zone, after + _A_WEEK - _FARTHEST_OVERTAKEN, count + 1)
    before = (_moment(each.astimezone(place).replace(tzinfo=None) - _A_WEEK, place) for each in tests)
    return [each for each in before if each >= after][:count]


def longest_gap(crons: tuple[str, ...], zone: str, after: datetime) -> tuple[timedelta, datetime] | None:
    """The longest time between two starts in the year to come, and when it begins; None: it fires at most once."""
    return _longest_gap(crons, zone, after.replace(minute=0, second=0, microsecond=0))


@lru_cache(maxsize=256)  # of a thousand plans most share their schedules
def _longest_gap(crons: tuple[str, ...], zone: str, after: datetime) -> tuple[timedelta, datetime] | None:
    ahead = islice(_moments(crons, zone, after), _MOST_LOOKED_AT)
    times = list(takewhile(lambda moment: moment <= after + _LOOKED_AHEAD, ahead))
    gaps = [(later - earlier, earlier) for earlier, later in pairwise(times)]
    return max(gaps, key=lambda gap: gap[0], default=None)


def _entries(kinds: dict[str, Iterable[str]]) -> tuple[Entry, ...]:
    return tuple(
        Entry(kind if number == 1 else f"{kind}-{number}", kind, cron)
        for kind, crons in kinds.items()
        for number, cron in enumerate(crons, 1)
    )


def _moments(crons: Iterable[str], zone: str, after: datetime) -> Iterator[datetime]:
    last = None
    for moment in heapq.merge(*(_of_one(cron, zone, after) for cron in crons)):
        if moment != last:
            yield moment
        last = moment


def _of_one(cron: str, zone: str, after: datetime) -> Iterator[datetime]:
    """In order, each once, at or after ``after``."""
    place = ZoneInfo(zone)
    wall_clock = after.astimezone(place).replace(tzinfo=None)
    last = after - timedelta(microseconds=1)
    try:
        on_the_wall = CronSim(cron, wall_clock - timedelta(seconds=1))
    except CronSimError:  # a day that no year has, such as 30 February
        return
    for moment in _in_order(on_the_wall, place):
        if moment > last:
            yield moment
            last = moment


def _in_order(wall_clock_times: Iterable[datetime], place: ZoneInfo) -> Iterator[datetime]:
    """A time that does not exist comes earlier, and so may overtake the one before it on the wall clock."""
    waiting: list[datetime] = []
    for naive in wall_clock_times:
        moment = _moment(naive, place)
        while waiting and waiting[0] < moment - _FARTHEST_OVERTAKEN:
            yield heapq.heappop(waiting)
        heapq.heappush(waiting, moment)
    yield from sorted(waiting)


def _moment(naive: datetime, place: ZoneInfo) -> datetime:
    first = naive.replace(tzinfo=place)
    exists = first.astimezone(UTC).astimezone(place).replace(tzinfo=None) == naive
    return (first if exists else first.replace(fold=1)).astimezone(UTC)


def _numbers(field: str, last: int) -> list[int]:
    """The minutes or hours that a field stands for, in order."""
    numbers: set[int] = set()
    for item in field.split(","):
        whole, _, step = item.partition("/")
        first, _, end = whole.partition("-")
        low, high = (0, last) if whole == "*" else (int(first), int(end or first))
        numbers.update(range(low, high + 1, int(step or 1)))
    return sorted(numbers)


def _number_of(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
