"""How a plan stands with its recovery tests, as ``backproof status`` shows it."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from backproof.fleet import Fleet
from backproof.recovery_test.naming import test_id
from backproof.recovery_test.standing import quarter_of, standing
from deployments.cli import main
from tests.support.documents import example
from tests.support.fleets import PLAN, built, described
from tests.support.histories import NOWHERE
from tests.support.recovery_tests import recovery_test, shelve

NOW = datetime(2026, 2, 20, 12, 0, tzinfo=UTC)
OCTOBER, JANUARY = datetime(2025, 10, 7, 9, 0, tzinfo=UTC), datetime(2026, 1, 6, 9, 0, tzinfo=UTC)
LATER = datetime(2026, 2, 3, 9, 0, tzinfo=UTC)


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    description = described(NOWHERE, tmp_path)
    (tmp_path / "fleet.yaml").write_text(yaml.safe_dump(description))
    return built(description, tmp_path)


def lay(fleet: Fleet, at: datetime, **more: Any) -> None:
    shelve(fleet, recovery_test(test=test_id(at), started_at=at, ended_at=at, **more))


def test_a_plan_without_any_has_none_this_quarter(fleet: Fleet) -> None:
    found = standing(fleet, PLAN, NOW)
    assert (found.last, found.this_quarter, found.scheduled) == (None, False, True)
    assert standing(fleet, PLAN, NOW, silent=["far"]).this_quarter is None, "it may have one"


def test_a_test_of_the_last_quarter_is_none_of_this(fleet: Fleet) -> None:
    lay(fleet, OCTOBER)
    found = standing(fleet, PLAN, NOW)
    assert found.last is not None
    assert (found.last.at, found.last.verdict, found.this_quarter) == (OCTOBER, "passed", False)
    lay(fleet, JANUARY, verdict="failed")
    found = standing(fleet, PLAN, NOW)
    assert found.last is not None
    assert (found.last.verdict, found.this_quarter) == ("failed", True)


def test_an_incomplete_one_is_shown_and_is_none(fleet: Fleet) -> None:
    lay(fleet, LATER, verdict="incomplete")
    found = standing(fleet, PLAN, NOW)
    assert found.last is not None
    assert (found.last.verdict, found.this_quarter) == ("incomplete", False)
    lay(fleet, JANUARY)
    found = standing(fleet, PLAN, NOW)
    assert found.last is not None
    assert (found.last.verdict, found.this_quarter) == ("incomplete", True), "one before it was whole"


def test_a_test_from_the_future_is_none_yet(fleet: Fleet) -> None:
    lay(fleet, datetime(2026, 3, 1, tzinfo=UTC))
    assert standing(fleet, PLAN, NOW).this_quarter is False


def test_a_quarter_begins_with_its_first_month() -> None:
    begins = [quarter_of(datetime(2026, month, 28, tzinfo=UTC)).month for month in range(1, 13)]
    assert begins == [1, 1, 1, 4, 4, 4, 7, 7, 7, 10, 10, 10]


def test_status_shows_it_to_a_person_and_to_a_program(fleet: Fleet, tmp_path: Path) -> None:
    lay(fleet, OCTOBER)

    def said(*arguments: str) -> str:
        return CliRunner().invoke(main, ["--fleet", str(tmp_path / "fleet.yaml"), *arguments, "status"]).stdout

    assert "2025-10-07 passed, none this quarter" in said()
    (plan,) = json.loads(said("--json"))["plans"]
    assert plan["recovery_test"].keys() == example("status")["plans"][0]["recovery_test"].keys()
    assert plan["recovery_test"]["last"] == {
        "test": test_id(OCTOBER),
        "at": "2025-10-07T09:00:00Z",
        "verdict": "passed",
    }
