"""Escalation: whose turn it is, what they are told, and the incidents in the stores that say so."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backproof import catalog
from backproof.errors import AlreadyExists, ConfigurationError, NotFound
from backproof.escalation import Incident, IncidentEntry, goes_on, level_message, split_id, step
from backproof.fleet import Fleet, LevelSpec
from backproof.naming import IncidentName, incident_key, parse, parse_incident
from backproof.operations.incidents import acknowledge, incidents, latest_backup, open_incident, record
from backproof.records import Backup
from tests.support.fleets import PLAN, built, described
from tests.support.histories import NOWHERE, days_ago, put

NOW = datetime(2025, 11, 7, 2, 30, tzinfo=UTC)
MARK = "3f9a1c2b"
LEVELS = tuple(
    LevelSpec(name=name, notify=("pager",), wait=timedelta(minutes=minutes))
    for name, minutes in (("on-call engineer", 15), ("database administrator", 30), ("vendor", 60))
)


def entry(part: str, at: datetime = NOW, text: str = "it failed", by: str = "") -> IncidentEntry:
    return IncidentEntry(plan=PLAN, mark=MARK, opened_at=NOW, part=part, at=at, text=text, by=by)


def incident(*entries: IncidentEntry) -> Incident:
    return Incident(plan=PLAN, mark=MARK, opened_at=NOW, entries=(entry("opened"), *entries))


def backup(proven_at: datetime | None) -> Backup:
    return Backup(plan=PLAN, id="backup_2025-11-07_020000", kind="daily", taken_at=NOW, copies=(), proven_at=proven_at)


names = st.builds(
    IncidentName,
    st.from_regex(r"[a-z0-9][a-z0-9-]{0,62}", fullmatch=True),
    st.datetimes(datetime(1, 1, 3), datetime(9999, 12, 29), timezones=st.just(UTC)),
    st.from_regex(r"[0-9a-f]{8}", fullmatch=True),
    st.sampled_from(["opened", "acknowledged", "resolved", "level_1", "level_12", "joined_0123abcd"]),
)


@given(names)
def test_an_incidents_name_comes_back_from_its_key_and_is_no_backups(name: IncidentName) -> None:
    assert parse_incident(incident_key(name)) == name
    assert parse(incident_key(name)) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "shop/incident/incident_2025-11-07_021500_3f9a1c2b.level_0.json",
        "shop/incident/incident_2025-11-07_021500_3f9a1c2b.level_1.json.part",
        "shop/incident/incident_2025-11-07_021500_3F9A1C2B.opened.json",
        "Shop/incident/incident_2025-11-07_021500_3f9a1c2b.opened.json",
        "shop/incident/incident_2025-02-30_021500_3f9a1c2b.opened.json",
        "shop/daily/incident_2025-11-07_021500_3f9a1c2b.opened.json",
    ],
)
def test_what_is_no_incidents_has_no_name(text: str) -> None:
    assert parse_incident(text) is None


def test_each_level_has_its_turn_and_the_last_has_none_after_it() -> None:
    first = step(incident(), LEVELS, 1, None, NOW)
    assert (first.do, first.next_at) == ("tell", NOW + timedelta(minutes=15))
    second = step(incident(entry("level_1")), LEVELS, 2, None, NOW)
    assert (second.do, second.next_at) == ("tell", NOW + timedelta(minutes=30))
    third = step(incident(entry("level_1"), entry("level_2")), LEVELS, 3, None, NOW)
    assert (third.do, third.next_at) == ("tell", None)
    assert step(incident(), LEVELS, 4, None, NOW).do == "nothing"


def test_a_turn_that_is_repeated_does_nothing() -> None:
    assert step(incident(entry("level_1")), LEVELS, 1, None, NOW).do == "nothing"


@pytest.mark.parametrize("part", ["acknowledged", "resolved"])
def test_what_has_ended_calls_nobody(part: str) -> None:
    ended = incident(entry("level_1"), entry(part))
    assert step(ended, LEVELS, 2, None, NOW).do == "nothing"
    assert not goes_on(ended, LEVELS, NOW)


def test_a_backup_that_was_proven_since_resolves_it_and_no_older_proof_does() -> None:
    assert step(incident(), LEVELS, 2, backup(NOW + timedelta(seconds=1)), NOW).do == "close"
    assert step(incident(), LEVELS, 2, backup(NOW - timedelta(hours=1)), NOW).do == "tell"
    assert step(incident(), LEVELS, 2, backup(None), NOW).do == "tell"


def test_further_trouble_joins_until_the_last_level_has_let_its_time_pass() -> None:
    told = incident(entry("level_1"), entry("level_2"), entry("level_3"))
    assert goes_on(told, LEVELS, NOW + timedelta(minutes=59))
    assert not goes_on(told, LEVELS, NOW + timedelta(minutes=60))


def test_a_level_is_told_what_since_when_what_to_do_and_who_is_next() -> None:
    told = incident(entry("level_1", text="on-call engineer"))
    message = level_message(told, "shop-prod", LEVELS, 2, NOW + timedelta(minutes=30))
    assert message.subject == "shop: shop-3f9a1c2b needs the database administrator"
    assert message.body.splitlines() == [
        "Plan: shop",
        "What: it failed",
        "Since: 2025-11-07 02:30:00 UTC",
        "What to do: Say that you are at it: backproof ack shop-3f9a1c2b, or the deployment shop-prod.acknowledge in "
        "Prefect's UI. Then see what backproof doctor shop and the log of the run name, and mend it.",
        "Told before: on-call engineer at 2025-11-07 02:30:00 UTC",
        "Next: vendor, at 2025-11-07 03:00:00 UTC",
    ]
    assert level_message(told, "shop-prod", LEVELS, 3, None).body.endswith("Next: nobody; you are the last level")


def test_an_id_holds_the_plan_whatever_hyphens_it_has() -> None:
    assert split_id("my-shop-3f9a1c2b") == ("my-shop", "3f9a1c2b")


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return built(described(NOWHERE, tmp_path), tmp_path)


def files(fleet: Fleet, store: str) -> list[str]:
    return [stored.key for stored in fleet.store(store).list("shop/incident/")]


def test_an_incident_is_written_once_and_read_from_any_store(fleet: Fleet, tmp_path: Path) -> None:
    opened = open_incident(fleet, PLAN, MARK, "it failed\nbadly", NOW)
    assert (opened.id, opened.what, opened.opened_at) == ("shop-3f9a1c2b", "it failed badly", NOW)
    assert files(fleet, "near") == ["shop/incident/incident_2025-11-07_023000_3f9a1c2b.opened.json"]
    assert record(fleet, opened, "level_1", "on-call engineer", NOW)
    assert not record(fleet, opened, "level_1", "on-call engineer", NOW)
    (tmp_path / "near").rename(tmp_path / "far")
    assert [each.entries for each in incidents(fleet, PLAN)] == [incidents(fleet, PLAN)[0].entries]
    assert incidents(fleet, PLAN)[0].told(1) is not None


def test_the_next_store_takes_it_where_the_first_can_not(fleet: Fleet, tmp_path: Path) -> None:
    (tmp_path / "near").write_text("no folder")
    opened = open_incident(fleet, PLAN, MARK, "it failed", NOW)
    assert opened.what == "it failed"
    assert len(files(fleet, "far")) == 1


def test_what_nobody_trusted_signed_or_lies_elsewhere_counts_for_nothing(fleet: Fleet, tmp_path: Path) -> None:
    opened = open_incident(fleet, PLAN, MARK, "it failed", NOW)
    stranger = built(described(NOWHERE, tmp_path), tmp_path)
    record(stranger, opened, "acknowledged", "never mind", NOW, "a stranger")
    assert incidents(fleet, PLAN)[0].closed is None
    [genuine] = (tmp_path / "near").rglob("*.opened.json")
    genuine.with_name(genuine.name.replace("opened", "resolved")).write_bytes(genuine.read_bytes())
    assert incidents(fleet, PLAN)[0].closed is None


def test_somebody_acknowledges_once_by_any_of_its_ids(fleet: Fleet) -> None:
    opened = open_incident(fleet, PLAN, MARK, "it failed", NOW)
    record(fleet, opened, "joined_0123abcd", "it failed again", NOW)
    ended = acknowledge(fleet, "shop-0123abcd", "Ada", "on it", lambda: NOW)
    assert ended.id == "shop-3f9a1c2b"
    assert ended.closed is not None
    assert (ended.closed.by, ended.closed.text) == ("Ada", "on it")
    with pytest.raises(AlreadyExists, match="was acknowledged already by Ada"):
        acknowledge(fleet, "shop-3f9a1c2b", "Grace")


def test_an_incident_that_is_not_there_and_nobody_are_refused(fleet: Fleet) -> None:
    with pytest.raises(NotFound, match="no incident is called"):
        acknowledge(fleet, "shop-00000000", "Ada")
    with pytest.raises(NotFound, match="no plan is called"):
        acknowledge(fleet, "ship-00000000", "Ada")
    with pytest.raises(ConfigurationError, match="nobody acknowledges"):
        acknowledge(fleet, "shop-00000000", " ")


def test_incidents_are_no_backups_and_are_in_no_bodys_way(fleet: Fleet) -> None:
    put(fleet, days_ago(1))
    before: Any = catalog.listing(fleet, PLAN)
    open_incident(fleet, PLAN, MARK, "it failed", NOW)
    assert catalog.listing(fleet, PLAN) == before
    assert latest_backup(fleet, PLAN) == before.backups[0]
