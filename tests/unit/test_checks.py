"""The small grammar of a plan's checks, and that they run read-only."""

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
import sqlalchemy

from backproof.errors import ConfigurationError
from backproof.fleet import CheckSpec
from backproof.operations import checks


@pytest.mark.parametrize(
    ("expect", "holds", "fails"),
    [
        ("> 0", [1], [0]),
        (">= 10", [10], [Decimal("9.99")]),
        ("<5", [4.5], [5]),
        ("<= 5", [5], [6]),
        ("= 42", [42], [43]),
        ("!= 0", [1], [0]),
        ("= -1.5", [Decimal("-1.5")], [1.5]),
        ("= 'ready'", ["ready"], ["Ready"]),
        ("= 'it''s'", ["it's"], ["its"]),
        ("!= ''", ["x"], [""]),
        ("between 10 and 20", [20], [21]),
        ("BETWEEN -1 AND 1", [0], [-2]),
        ("empty", [], [0]),
        ("not empty", [None], []),
        ("null", [None], [0]),
        ("not null", [0], [None]),
    ],
)
def test_an_expectation_tells_right_from_wrong(expect: str, holds: list[object], fails: list[object]) -> None:
    assert checks.judge(expect)(holds)
    assert not checks.judge(expect)(fails)


@pytest.mark.parametrize("expect", ["> 0", "= 42", "between 1 and 2", "= 'x'", "not null", "null"])
def test_no_row_holds_nothing_but_empty(expect: str) -> None:
    assert not checks.judge(expect)([])


@pytest.mark.parametrize("expect", ["> 0", "between 1 and 2"])
def test_null_and_text_are_no_numbers(expect: str) -> None:
    assert not checks.judge(expect)([None])
    assert not checks.judge(expect)(["many"])


@pytest.mark.parametrize("expect", ["", "positive", "> many", "=> 1", "between 1", "= ready"])
def test_what_the_grammar_does_not_know_is_refused_with_examples(expect: str) -> None:
    with pytest.raises(ConfigurationError, match="Write a comparison"):
        checks.judge(expect)


def check(sql: str, expect: str = "> 0") -> CheckSpec:
    return CheckSpec(name="a check", sql=sql, expect=expect)


@pytest.fixture
def url(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """SQLite knows no SET TRANSACTION; the real servers are asked in tests/integration."""
    real = sqlalchemy.text
    monkeypatch.setattr(sqlalchemy, "text", lambda sql: real("SELECT 1" if sql.startswith("SET ") else sql))
    return f"sqlite:///{tmp_path / 'checked.db'}"


TAKEN_AT = datetime(2025, 11, 7, 2, tzinfo=UTC)


def test_a_check_that_holds_shows_what_was_found(url: str) -> None:
    (result,) = checks.run(url, [check("SELECT 5")], TAKEN_AT)
    assert (result.passed, result.found) == (True, "5")


def test_a_statement_that_fails_is_a_failed_check_not_a_crash(url: str) -> None:
    (result,) = checks.run(url, [check("SELECT * FROM nowhere")], TAKEN_AT)
    assert not result.passed
    assert "nowhere" in result.found


def test_a_text_found_is_told_by_its_length_only(url: str) -> None:
    (result,) = checks.run(url, [check("SELECT 'somebody@example.org'", "= 'x'")], TAKEN_AT)
    assert "somebody" not in result.found


def test_the_moment_of_the_backup_is_bound(url: str) -> None:
    (result,) = checks.run(url, [check("SELECT :taken_at", "not null")], TAKEN_AT)
    assert result.passed
