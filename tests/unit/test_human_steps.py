"""What only people can do in a recovery: a list a scenario, ticked by who did it."""

from datetime import UTC, datetime, timedelta

import pytest

from backproof.errors import ConfigurationError, NotFound
from backproof.recovery.entries import Facts, JournalEntry
from backproof.recovery.human_steps import HUMAN, SCENARIOS, naming, read, ticking

AT = datetime(2025, 11, 7, 14, 15, tzinfo=UTC)
NOW = AT + timedelta(days=1)


def journal(*facts: Facts) -> list[JournalEntry]:
    return [
        JournalEntry(
            plan="shop", recovery="recovery_2025-11-07_141500", number=n, step=HUMAN, what="noted", at=AT, facts=f
        )
        for n, f in enumerate(facts)
    ]


def test_there_is_no_list_before_somebody_says_what_happened() -> None:
    assert (read([]).scenario, read([]).steps) == (None, ())
    with pytest.raises(NotFound, match="nobody has said what happened"):
        ticking([], "assess", "ada", AT, NOW)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_each_step_of_a_scenario_is_open_until_it_is_ticked(scenario: str) -> None:
    said = journal(naming(scenario, "ada"))
    names = [each.step for each in read(said).steps]
    assert names == list(SCENARIOS[scenario])
    for number, name in enumerate(names):
        assert read(said).steps[number].done_at is None
        said += journal(ticking(said, name, "grace", AT + timedelta(minutes=number), NOW))
    assert [(each.done_at, each.by) for each in read(said).steps] == [
        (AT + timedelta(minutes=number), "grace") for number in range(len(names))
    ]


def test_what_turns_out_to_be_another_disaster_keeps_the_ticks_that_it_has_too() -> None:
    said = journal(naming("lost-server", "ada"))
    said += journal(ticking(said, "provision", "ada", AT, NOW), naming("ransomware", "ada"))
    found = read(said)
    assert found.scenario == "ransomware"
    assert {each.step for each in found.steps if each.done_at} == {"provision"}


def test_what_is_on_no_list_is_answered_with_what_is() -> None:
    with pytest.raises(NotFound, match="There are: corruption, deletion"):
        naming("flood", "ada")
    with pytest.raises(NotFound, match="There are: assess, stop"):
        ticking(journal(naming("deletion", "ada")), "dns", "ada", AT, NOW)


def test_a_step_that_is_done_tomorrow_is_not_ticked_today() -> None:
    with pytest.raises(ConfigurationError, match="2025-11-09 14:15 UTC is yet to come"):
        ticking(journal(naming("deletion", "ada")), "stop", "ada", AT + timedelta(days=2), NOW)
