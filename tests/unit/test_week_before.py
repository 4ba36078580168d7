"""A notice a week before: its rule starts a week before each moment of a schedule, in Prefect's own scheduler."""

import asyncio
import base64
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from prefect.server.schemas.schedules import RRuleSchedule

from backproof.fleet import cron, parse
from backproof.fleet.timetable import Entry, next_of, next_times
from backproof.fleet.week_before import week_before
from deployments.cli.scheduling import rows

A_WEEK = timedelta(days=7)
AFTER = datetime(2026, 1, 1, tzinfo=UTC)
EXACT = (
    "0 9 * 1,4,7,10 TUE#1",
    "7 9 * 1,4,7,10 tue#1",
    "0 9 * jan,apr,jul,oct TUE#2",
    "30 8,14 * * MON#1,WED#3",
    "0 9 1 1,4,7,10 *",
    "0 9 1,15 * *",
    "0 9 7 3 *",
    "0 9 8 * *",
    "0 9 31 1,3,5,7,8,10,12 *",
    "0 9 L * *",
    "0 9 * * TUE",
    "0 9 * * 0,7,3-4",
    "0 9 * * *",
    "*/30 9-10 28 2 *",
)
NOT_SAID = ("0 9 13 * FRI", "0 9 * * TUE#5", "0 9 * 1,4 TUE", "0 9 29 2 *", "0 9 31 * *", "0 9 * 2 *", "0 9 1,L * *")


def prefects(rule: str, zone: str, after: datetime, count: int) -> list[datetime]:
    found = asyncio.run(RRuleSchedule(rrule=rule, timezone=zone).get_dates(count, after))
    return [moment.astimezone(UTC) for moment in found]


@pytest.mark.parametrize("text", EXACT)
def test_it_is_a_week_before_each_moment_for_years(text: str) -> None:
    rule = week_before(cron.check(text))
    assert rule is not None
    tests = next_times([text], "UTC", AFTER + A_WEEK, 60)
    wanted = [each - A_WEEK for each in tests]
    assert prefects(rule, "UTC", AFTER, 60) == wanted
    assert next_of(Entry("notice", "recovery-test-notice", text, rule), "UTC", AFTER, 60) == wanted


@pytest.mark.parametrize("text", NOT_SAID)
def test_where_no_rule_is_exact_there_is_none(text: str) -> None:
    assert week_before(cron.check(text)) is None


def test_the_timetable_of_a_plan_has_its_tests_and_a_notice_of_each() -> None:
    text = """
        fleet: noticed
        signing: {private_key: KEY}
        stores: {local: {type: local, path: /nowhere}}
        databases: {db: {engine: postgresql, port: 1, name: shop, user: u}}
        plans: {shop: {database: db, encryption: none}}
    """
    spec = parse(text.replace("KEY", base64.b64encode(b"k" * 32).decode()), {}, Path("/srv/fleet.yaml"))
    shown = {row.entry.kind: row for row in rows(spec, AFTER, {}, "shop")}
    assert [each.isoformat() for each in shown["recovery-test"].next[:2]] == [
        "2026-01-06T09:00:00+00:00",
        "2026-04-07T09:00:00+00:00",
    ]
    assert shown["recovery-test-notice"].next[0].isoformat() == "2026-03-31T09:00:00+00:00"


@pytest.mark.parametrize("zone", ["Europe/Amsterdam", "America/New_York", "Australia/Lord_Howe"])
def test_by_the_clock_on_the_wall_also_where_clocks_are_set_meanwhile(zone: str) -> None:
    rule = week_before("0 9 * 1,4,7,10 TUE#1")
    assert rule is not None
    found = prefects(rule, zone, AFTER, 40)
    assert {(each.astimezone(ZoneInfo(zone)).hour, each.astimezone(ZoneInfo(zone)).minute) for each in found} == {
        (9, 0)
    }
    entry = Entry("notice", "recovery-test-notice", "0 9 * 1,4,7,10 TUE#1", rule)
    assert next_of(entry, zone, AFTER, 40) == found
