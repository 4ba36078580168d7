"""Names and keys are two spellings of one thing."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backproof.naming import (
    ENCRYPTED,
    KINDS,
    MANIFEST,
    PIN,
    PLAIN,
    REMOVAL,
    Name,
    ProofPart,
    backup_id,
    key,
    parse,
    parse_stem,
    taken_at,
)

zones = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
moments = st.datetimes(datetime(1, 1, 3), datetime(9999, 12, 29), timezones=zones)
plans = st.from_regex(r"[a-z0-9][a-z0-9-]{0,62}", fullmatch=True)
parts = st.sampled_from([ENCRYPTED, PLAIN, MANIFEST, PIN, REMOVAL]) | st.builds(
    ProofPart, moments, st.sampled_from(["passed", "failed", "could-not-run"])
)
names = st.builds(Name, plans, st.sampled_from(KINDS), moments, parts)
near_keys = st.from_regex(
    r"[a-zA-Z0-9-]{0,4}/(daily|manual|yearly)/backup_[0-9]{4}-[0-9]{2}-[0-9]{2}_[0-9]{6}"
    r"\.(sql\.gz|sql\.gz\.enc|manifest\.json|pin\.json|removal\.json|proof_[0-9]{4}-[0-1][0-9]-[0-2][0-9]_[0-2][0-9]{5}_(passed|broken)\.json)"
)


@given(names)
def test_a_name_comes_back_from_its_key(name: Name) -> None:
    assert parse(key(name)) == name


@given(near_keys | st.text() | names.map(key))
def test_a_key_that_is_known_comes_back_from_its_name(text: str) -> None:
    name = parse(text)
    assert name is None or key(name) == text


@given(names)
def test_what_stands_before_the_first_dot_tells_the_backup(name: Name) -> None:
    assert parse_stem(key(name).partition(".")[0]) == (name.plan, name.kind, name.id, name.taken_at)


@given(near_keys | st.text() | names.map(key))
def test_what_tells_no_backup_names_nothing_either(text: str) -> None:
    stem = text.partition(".")[0]
    assert (parse_stem(stem) is None) == (parse(f"{stem}.manifest.json") is None)
    assert parse(text) is None or parse_stem(stem) is not None


@given(names, names)
def test_two_names_never_share_a_key(one: Name, other: Name) -> None:
    assert (key(one) == key(other)) == (one == other)


@given(moments)
def test_an_id_gives_back_its_moment_to_the_second(moment: datetime) -> None:
    assert taken_at(backup_id(moment)) == moment.replace(microsecond=0)


def test_keys_read_as_the_documentation_shows_them() -> None:
    taken = datetime(2025, 11, 7, 2, 0, tzinfo=UTC)
    name = Name("shop", "daily", taken, ENCRYPTED)
    assert key(name) == "shop/daily/backup_2025-11-07_020000.sql.gz.enc"
    assert key(name.with_part(PLAIN)) == "shop/daily/backup_2025-11-07_020000.sql.gz"
    assert key(name.with_part(MANIFEST)) == "shop/daily/backup_2025-11-07_020000.manifest.json"
    assert key(name.with_part(PIN)) == "shop/daily/backup_2025-11-07_020000.pin.json"
    assert key(name.with_part(REMOVAL)) == "shop/daily/backup_2025-11-07_020000.removal.json"
    proof = ProofPart(taken + timedelta(minutes=15), "passed")
    assert key(name.with_part(proof)) == "shop/daily/backup_2025-11-07_020000.proof_2025-11-07_021500_passed.json"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "shop",
        "shop/daily/",
        "/daily/backup_2025-11-07_020000.sql.gz",
        "Shop/daily/backup_2025-11-07_020000.sql.gz",
        "../daily/backup_2025-11-07_020000.sql.gz",
        "shop/weekly/backup_2025-11-07_020000.sql.gz",
        "shop/daily/backup_2025-02-30_020000.sql.gz",
        "shop/daily/backup_2025-11-07_020060.sql.gz",
        "shop/daily/backup_2025-11-07_020000.sql.gz\n",
        "shop/daily/backup_2025-11-07_020000.sql.gz.tmp",
        "shop/daily/backup_２０２５-11-07_020000.sql.gz",
        "shop/daily/extra/backup_2025-11-07_020000.sql.gz",
        "shop/daily/backup_2025-11-07_020000.proof_2025-11-07_021500_perhaps.json",
        "shop/daily/backup_2025-11-07_020000.proof_2025-13-07_021500_passed.json",
    ],
)
def test_what_is_not_ours_has_no_name(text: str) -> None:
    assert parse(text) is None


@pytest.mark.parametrize("plan", ["", "-shop", "Shop", "a" * 64, "shop\n", "a/b", ".."])
def test_a_plan_whose_name_would_break_a_key_is_refused(plan: str) -> None:
    with pytest.raises(ValueError, match="plan"):
        Name(plan, "daily", datetime(2025, 11, 7, tzinfo=UTC), PLAIN)


def test_a_moment_without_time_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        backup_id(datetime(2025, 11, 7))


@pytest.mark.parametrize(
    "text", ["", "latest", "backup_2025-11-07", "backup_2025-11-07_020000\n", "backup_2025-02-30_020000"]
)
def test_what_is_no_id_has_no_moment(text: str) -> None:
    with pytest.raises(ValueError, match="backup"):
        taken_at(text)
