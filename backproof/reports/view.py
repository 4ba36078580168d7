"""What a report shows, in words and shares of a width: one for the page, the PDF and the messages. Pure."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from backproof.records import Timing
from backproof.recovery_test.record import Forecast, Issue, RecoveryTest, Status, TableCompared, TestPoint
from backproof.reports import words

Mark = Literal["pass", "fail", "not run", "plain"]
_TICKS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)
_VERDICTS: dict[str, Mark] = {"passed": "pass", "failed": "fail", "incomplete": "not run"}


@dataclass(frozen=True, slots=True)
class Figure:
    """One number that a manager reads first."""

    label: str
    value: str
    note: str
    mark: Mark
    part: float | None = None
    """How much of what is allowed was used; above 1 it was too much. None: there is nothing to measure by."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One phase on the time line; left and width are shares of all of it."""

    phase: str
    took: str
    rate: str
    left: float
    width: float


@dataclass(frozen=True, slots=True)
class Tick:
    """A moment on the time line."""

    left: float
    said: str


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table, and what is to be seen at its beginning."""

    cells: tuple[str, ...]
    mark: Mark = "plain"


@dataclass(frozen=True, slots=True)
class View:
    """A report, ready to be set."""

    plan: str
    test: str
    title: str
    day: str
    started: str
    mark: Mark
    verdict: str
    summary: str
    figures: tuple[Figure, ...]
    to_do: tuple[Row, ...]
    """Issue, what, remedy, owner, due, found; those of this test, then those still open."""
    facts: tuple[tuple[str, str], ...]
    bars: tuple[Bar, ...]
    ticks: tuple[Tick, ...]
    checklist: tuple[Row, ...]
    passed: str
    rollback: tuple[Row, ...]
    rollback_passed: str
    critical: tuple[Row, ...]
    critical_note: str
    data_loss: tuple[tuple[str, str], ...]
    forecast: str
    warns: bool
    """Whether the objective is outgrown so soon that somebody should see to it."""
    issues: tuple[Row, ...]
    still_open: tuple[Row, ...]
    controls: tuple[str, ...]
    versions: tuple[tuple[str, str], ...]
    identities: tuple[tuple[str, str], ...]
    cites: tuple[Row, ...]
    measured: tuple[str, ...]


def view(record: RecoveryTest) -> View:
    """All that a report shows, but for its charts."""
    bars, ticks = time_line(record.phases)
    found = tuple(_issue(each, record.ended_at) for each in record.issues)
    still = tuple(_issue(each, record.ended_at) for each in record.still_open)
    return View(
        plan=record.plan,
        test=record.test,
        title=f"Recovery test of {record.plan}",
        day=words.day(record.started_at),
        started=words.moment(record.started_at),
        mark=_VERDICTS[record.verdict],
        verdict=words.verdict(record.verdict),
        summary=words.readable(record.summary),
        figures=(_time(record), _loss(record), _points(record), _outgrown(record.forecast)),
        to_do=found + still,
        facts=_facts(record),
        bars=bars,
        ticks=ticks,
        checklist=tuple(map(_point, record.checklist)),
        passed=_passed(record.checklist),
        rollback=tuple(map(_point, record.rollback_checklist)),
        rollback_passed=_passed(record.rollback_checklist),
        critical=tuple(map(_table, record.critical_data)),
        critical_note=_held_against(record),
        data_loss=_data_loss(record),
        forecast=forecast_sentence(record.forecast, record.objective_seconds),
        warns=record.forecast.is_near(record.ended_at),
        issues=found,
        still_open=still,
        controls=tuple(map(words.readable, record.controls)),
        versions=_named(record.versions),
        identities=_named(record.identities),
        cites=tuple(Row((words.readable(each.what), words.readable(each.name), each.sha256)) for each in record.cites),
        measured=tuple(map(words.readable, record.measured)),
    )


def time_line(timings: tuple[Timing, ...]) -> tuple[tuple[Bar, ...], tuple[Tick, ...]]:
    """Phases where they lie on the time line of all of them."""
    if not timings:
        return (), ()
    began = min(timing.started_at for timing in timings)
    starts = [(timing.started_at - began).total_seconds() for timing in timings]
    all_of_it = max(*(start + each.elapsed_seconds for start, each in zip(starts, timings, strict=True)), 0.1)
    bars = tuple(
        Bar(
            phase=words.readable(timing.phase),
            took=words.span(timing.elapsed_seconds),
            rate=words.rate(timing.bytes, timing.elapsed_seconds),
            left=start / all_of_it,
            width=timing.elapsed_seconds / all_of_it,
        )
        for start, timing in zip(starts, timings, strict=True)
    )
    step = next((step for step in _TICKS if all_of_it / step <= 6), _TICKS[-1])
    while all_of_it / step > 6:
        step *= 2
    ticks = tuple(Tick(at / all_of_it, _tick(at, all_of_it)) for at in range(0, int(all_of_it) + 1, step))
    return bars, ticks


def forecast_sentence(forecast: Forecast, objective_seconds: float) -> str:
    """When a recovery outgrows what is promised, in a sentence or two."""
    if not forecast.known:
        return f"When a recovery outgrows its objective can't be known yet. {words.sentence(forecast.why_not)}".strip()
    said = [f"Read from {words.several(forecast.points, 'measure')}."]
    if forecast.seconds_now is not None:
        between = _between(forecast.seconds_low, forecast.seconds_high)
        said.append(f"A recovery now takes {words.span(forecast.seconds_now)}{between}.")
    if forecast.seconds_per_gigabyte is not None:
        fixed = f"{words.span(forecast.fixed_seconds)} and " if forecast.fixed_seconds else ""
        said.append(f"That is {fixed}{words.span(forecast.seconds_per_gigabyte)} for each GB.")
    if forecast.growth_bytes_per_day is not None:
        said.append(_growth(forecast.growth_bytes_per_day))
    limit = words.span(objective_seconds)
    if forecast.outgrown_at is None:
        said.append(f"{limit} is not outgrown within ten years{_earliest(forecast)}.")
    else:
        said.append(f"{limit} is outgrown in {words.month(forecast.outgrown_at)}{_window(forecast)}.")
    return " ".join(said)


def _time(record: RecoveryTest) -> Figure:
    limit = words.span(record.objective_seconds)
    if record.recovery_seconds is None:
        return Figure("Recovery time", words.NOTHING, f"It did not come to its end. Promised: {limit}", "not run")
    part = record.recovery_seconds / record.objective_seconds
    over = record.recovery_seconds - record.objective_seconds
    note = f"of {limit} promised" if over <= 0 else f"{words.span(over)} more than the {limit} promised"
    return Figure("Recovery time", words.span(record.recovery_seconds), note, "fail" if over > 0 else "pass", part)


def _loss(record: RecoveryTest) -> Figure:
    loss = record.data_loss
    limit = words.span(loss.objective_seconds)
    if loss.maximum_seconds is None:
        note = f"At times there was no proven backup. Promised: at most {limit}"
        return Figure("Data loss, at worst", "everything", note, "fail")
    kept = loss.maximum_seconds <= loss.objective_seconds
    note = f"of {limit} allowed" if kept else f"{limit} is allowed"
    if loss.typical_seconds is not None:
        note += f"; typically {words.span(loss.typical_seconds)}"
    part = loss.maximum_seconds / loss.objective_seconds
    return Figure("Data loss, at worst", words.span(loss.maximum_seconds), note, "pass" if kept else "fail", part)


def _points(record: RecoveryTest) -> Figure:
    count = {said: sum(point.status == said for point in record.checklist) for said in ("pass", "fail", "not run")}
    others = [f"{count[said]} {word}" for said, word in (("fail", "failed"), ("not run", "not run")) if count[said]]
    mark: Mark = "fail" if count["fail"] else "not run" if count["not run"] else "pass"
    note = ", ".join(others) or "every point passed"
    return Figure("Checklist", f"{count['pass']} of {len(record.checklist)}", note, mark)


def _outgrown(forecast: Forecast) -> Figure:
    label = "Outgrows its objective"
    if not forecast.known:
        return Figure(label, "not known", "too little history", "plain")
    if forecast.outgrown_at is None:
        note = (
            f"{forecast.outgrown_earliest:%B %Y} at the earliest" if forecast.outgrown_earliest else "as it grows now"
        )
        return Figure(label, "not in ten years", note, "plain")
    return Figure(label, words.month(forecast.outgrown_at), _window(forecast).strip(" ,") or "as it grows now", "plain")


def _window(forecast: Forecast) -> str:
    earliest, latest = forecast.outgrown_earliest, forecast.outgrown_latest
    if earliest is None:
        return ""
    until = "later than ten years from now" if latest is None else words.month(latest)
    return f", between {words.month(earliest)} and {until}"


def _earliest(forecast: Forecast) -> str:
    earliest = forecast.outgrown_earliest
    return "" if earliest is None else f" as a rule, and may be in {words.month(earliest)}"


def _between(low: float | None, high: float | None) -> str:
    return (
        "" if low is None or high is None else f", nine times of ten between {words.span(low)} and {words.span(high)}"
    )


def _growth(bytes_per_day: float) -> str:
    yearly = bytes_per_day * 365
    if abs(yearly) < 1:
        return "The database does not grow."
    return f"The database {'grows' if yearly > 0 else 'shrinks'} by {words.size(abs(yearly))} a year."


def _facts(record: RecoveryTest) -> tuple[tuple[str, str], ...]:
    backup = record.backup or "none was there to bring back"
    kind = f", {record.backup_kind}" if record.backup_kind else ""
    facts = (
        ("Database", f"{record.database} ({record.engine}), {words.size(record.live_bytes)}: {record.size_class}"),
        ("Backup", f"{backup}{kind}"),
        ("Taken", words.moment(record.taken_at) if record.taken_at else ""),
        (
            "Copy",
            f"{record.location or record.store or ''}, {words.size(record.stored_bytes)}" if record.backup else "",
        ),
        ("Brought back to", record.staging),
        ("Test", record.test),
        ("Ran", f"{words.moment(record.started_at)}, for {_lasted(record)}"),
        ("Started by", record.by),
        ("Responsible", record.responsible),
        ("Called in a disaster", "; ".join(record.contacts)),
    )
    return tuple((name, words.readable(value)) for name, value in facts if value)


def _lasted(record: RecoveryTest) -> str:
    return words.span((record.ended_at - record.started_at).total_seconds())


def _point(point: TestPoint) -> Row:
    return Row((words.readable(point.name), words.sentence(point.evidence)), point.status)


def _passed(points: tuple[TestPoint, ...]) -> str:
    return f"{sum(point.status == 'pass' for point in points)} of {len(points)} passed"


def _table(found: TableCompared) -> Row:
    now = "not there" if found.restored_rows is None else f"{found.restored_rows:,}"
    differs = words.NOTHING if found.restored_rows is None else words.change(found.production_rows, found.restored_rows)
    cells = (
        words.readable(found.table),
        f"{found.production_rows:,}",
        now,
        differs,
        f"± {words.share(found.tolerance)}",
    )
    return Row(cells, found.status)


def _held_against(record: RecoveryTest) -> str:
    if not record.critical_data:
        return "No table was compared."
    if record.production_at is None:
        return "What production had was not recorded before."
    return f"Rows brought back, against those that production had on {words.moment(record.production_at)}."


def _data_loss(record: RecoveryTest) -> tuple[tuple[str, str], ...]:
    loss = record.data_loss
    worst = "there was a time without any" if loss.maximum_seconds is None else words.span(loss.maximum_seconds)
    typical = words.NOTHING if loss.typical_seconds is None else words.span(loss.typical_seconds)
    return (
        ("At worst", worst),
        ("Typically", f"{typical}, or less half of the time"),
        ("Objective", f"{words.span(loss.objective_seconds)}"),
        ("Quarter", f"{words.day(loss.since)} to {words.day(loss.until)}"),
    )


def _issue(issue: Issue, now: datetime) -> Row:
    due = words.short_day(issue.due_at) + (", overdue" if issue.due_at < now else "")
    said = map(words.readable, (issue.what, issue.remedy, issue.owner))
    cells = (issue.id, *said, due, words.short_day(issue.found_at))
    return Row(cells, "fail" if issue.due_at < now else "plain")


def _named(values: dict[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple((words.readable(name), words.readable(value)) for name, value in values.items())


def _tick(seconds: int, all_of_it: float) -> str:
    if seconds > 0.92 * all_of_it:
        return ""  # it would stand over what is beside the time line
    return "0" if seconds == 0 else words.span(seconds).removesuffix(".0 s") + (" s" if seconds < 10 else "")


def status_word(status: Status) -> str:
    """What is read out beside a mark."""
    return words.verdict(status)
