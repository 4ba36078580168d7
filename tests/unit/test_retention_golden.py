"""400 days under the policy as it is stated, written down day by day, a leap day included: read them, they are short.

``python -m tests.unit.test_retention_golden`` writes the files anew.
"""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from backproof.fleet import RetentionSpec
from backproof.naming import backup_id
from backproof.records import Kind
from backproof.retention import Candidate, Decision, decide

GOLDEN = Path(__file__).parents[1] / "golden"
FIRST_DAY = datetime(2023, 2, 20, tzinfo=UTC)
"""So that the 400 days hold 29 February 2024, and the end of a year that has it."""
LAST_DAY = FIRST_DAY + timedelta(days=399)
LONG_GAP = (datetime(2023, 7, 1, tzinfo=UTC), datetime(2023, 10, 1, tzinfo=UTC))

STORIES = {
    "every-day": (None, None, None),
    "no-proofs-for-a-quarter": (LONG_GAP, None, None),
    "no-backups-for-a-quarter": (None, LONG_GAP, None),
    "only-recoveries-for-a-quarter": (None, LONG_GAP, LONG_GAP),
}
"""Name to the days without proofs, those without backups, and those with a recovery every ten days."""


def story(name: str) -> Iterator[str]:
    """A line a day: what was taken, what retention at 05:00 deleted, how many there are then."""
    unproven, untaken, recovering = STORIES[name]
    there: list[Candidate] = []
    proven: set[Candidate] = set()
    decision = None
    day = FIRST_DAY
    while day <= LAST_DAY:
        taken = [] if within(day, untaken) else list(takes(day))
        if within(day, recovering) and day.day % 10 == 0:
            taken.append(candidate("safety", day + timedelta(hours=4)))
        there += taken
        proven |= set() if within(day, unproven) else set(taken)
        decision = decide(there, RetentionSpec(), 2, day + timedelta(hours=5), proven=proven & set(there))
        gone = {fate.backup for fate in decision.doomed}
        there = [backup for backup in there if backup not in gone]
        yield line(day, taken, decision, there)
        day += timedelta(days=1)
    assert decision is not None
    yield ""
    yield from (f"{fate.backup.id} {fate.backup.kind}: {fate.why}" for fate in decision.fates if fate.keep)


def takes(day: datetime) -> Iterator[Candidate]:
    """Daily at 02:00, monthly on the 1st at 03:00."""
    yield candidate("daily", day + timedelta(hours=2))
    if day.day == 1:
        yield candidate("monthly", day + timedelta(hours=3))


def candidate(kind: Kind, at: datetime) -> Candidate:
    return Candidate("shop", kind, backup_id(at), at)


def within(day: datetime, gap: tuple[datetime, datetime] | None) -> bool:
    return gap is not None and gap[0] <= day < gap[1]


def line(day: datetime, taken: list[Candidate], decision: Decision, there: list[Candidate]) -> str:
    gone = "".join(f" -{fate.backup.kind} {fate.backup.taken_at:%Y-%m-%d}" for fate in decision.doomed)
    came = "".join(f" +{backup.kind}" for backup in taken)
    counted = Counter(backup.kind for backup in there)
    refused = f" refused: {'; '.join(decision.refused)}" if decision.refused else ""
    safety = f", {counted['safety']} safety" if counted["safety"] else ""
    return f"{day:%Y-%m-%d}{came}{gone} = {counted['daily']} daily, {counted['monthly']} monthly{safety}{refused}"


@pytest.mark.parametrize("name", STORIES)
def test_400_days_go_as_they_are_written_down(name: str) -> None:
    assert list(story(name)) == (GOLDEN / f"retention-{name}.txt").read_text().splitlines()


def test_the_written_days_hold_what_the_policy_promises() -> None:
    """Read from the file, by other rules than those that wrote it."""
    days = (GOLDEN / "retention-every-day.txt").read_text().split("\n\n")[0].splitlines()
    assert len(days) == 400
    counts = [tuple(int(word) for word in day.split(" = ")[1].split() if word.isdigit()) for day in days]
    assert {daily for daily, _ in counts[29:]} == {30}, "a month of dailies on each day"
    monthlies = {day.split()[0]: monthly for day, (_, monthly) in zip(days, counts, strict=True)}
    assert monthlies["2024-02-29"] == 12, "a year of monthlies on the leap day too"
    assert {count for day, count in monthlies.items() if day >= "2024-02-02"} == {12}
    assert any(day.startswith("2024-02-29 +daily -daily 2024-01-30 =") for day in days)
    assert any(day.startswith("2024-03-01 +daily +monthly -monthly 2023-03-01 -daily 2024-01-31 =") for day in days)


def test_however_many_recoveries_there_were_the_last_good_dailies_stay() -> None:
    """Read from the file: from 20 July on two proven safety backups are newer than every daily."""
    days = (GOLDEN / "retention-only-recoveries-for-a-quarter.txt").read_text().split("\n\n")[0].splitlines()
    autumn = [day for day in days if "2023-08-01" <= day[:10] <= "2023-09-30"]
    assert {day.split(" = ")[1][:19] for day in autumn} == {"2 daily, 4 monthly,"}
    assert sum("-safety" in day for day in autumn) == 6


if __name__ == "__main__":
    for each in STORIES:
        (GOLDEN / f"retention-{each}.txt").write_text("\n".join(story(each)) + "\n")
