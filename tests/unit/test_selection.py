"""Which backup a recovery takes, and what it says where it finds none."""

from datetime import UTC, datetime, timedelta

import pytest

from backproof.errors import NotFound
from backproof.records import Backup, Copy, Kind
from backproof.selection import NEWEST, select, yet_to_come

NOON = datetime(2025, 11, 7, 12, tzinfo=UTC)
COPY = Copy(store="near", archive=True, manifest=True, stored_bytes=1)


def backup(hour: int, kind: Kind = "daily", proven: bool = True) -> Backup:
    at = NOON.replace(hour=hour)
    proven_at = at + timedelta(minutes=5) if proven else None
    return Backup(
        plan="shop", id=f"backup_{at:%Y-%m-%d_%H%M%S}", kind=kind, taken_at=at, copies=(COPY,), proven_at=proven_at
    )


@pytest.mark.parametrize("latest", NEWEST)
def test_the_latest_is_proven_under_either_name_and_no_safety_backup(latest: str) -> None:
    known = [backup(8), backup(9), backup(10, proven=False), backup(11, "safety")]
    assert select(known, latest).backup == known[1]


def test_where_none_is_old_enough_the_oldest_is_named_and_that_moments_are_utc() -> None:
    known = [backup(8, proven=False), *(backup(hour) for hour in range(9, 20)), backup(20, "safety")]
    with pytest.raises(NotFound) as refused:
        select(known, before=NOON.replace(hour=9))
    assert refused.value.fact == (
        "no proven backup before 2025-11-07 09:00:00 UTC was found;"
        " the oldest is backup_2025-11-07_090000, of 2025-11-07 09:00:00 UTC"
    )
    assert "UTC unless it has an offset" in refused.value.remedy


def test_where_none_is_proven_safety_backups_are_told_last() -> None:
    with pytest.raises(NotFound, match="was found: backup_2025-11-07_080000: it is not proven; backup_2025-11-07_2"):
        select([backup(8, proven=False), *(backup(hour, "safety") for hour in range(9, 21))])


def test_a_backup_of_the_future_says_that_a_clock_is_wrong() -> None:
    known = backup(14)
    assert yet_to_come(known, NOON.replace(hour=15)) == ()
    assert yet_to_come(known, known.taken_at - timedelta(seconds=50)) == ()
    [told] = yet_to_come(known, NOON)
    assert "taken at 2025-11-07 14:00 UTC, which is yet to come" in told
    assert "(2025-11-07 12:00 UTC): set it right" in told
