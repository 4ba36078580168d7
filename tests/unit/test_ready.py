"""``backproof ready`` on folder stores: which backup it looks at, and what it says of the others."""

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from backproof import catalog
from backproof.fleet import Fleet
from backproof.recovery.choosing import Wish, choose
from deployments.cli import main
from tests.support.documents import check_keys, example
from tests.support.fleets import PLAN, built, described
from tests.support.histories import NOWHERE, days_ago, put

Ready = Callable[..., Result]


@pytest.fixture
def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fleet:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    description = described(NOWHERE, tmp_path)
    (tmp_path / "fleet.yaml").write_text(yaml.safe_dump(description))
    return built(description, tmp_path)


@pytest.fixture
def ready(fleet: Fleet, tmp_path: Path) -> Ready:
    def ready(*asked: str) -> Result:
        file = str(tmp_path / "fleet.yaml")
        return CliRunner().invoke(main, ["--fleet", file, "ready", PLAN, *asked], prog_name="backproof")

    return ready


def test_it_looks_at_what_would_be_recovered_to_a_moment(fleet: Fleet, ready: Ready) -> None:
    first, second, newest = (put(fleet, days_ago(days)).id for days in (9, 5, 2))
    unproven = put(fleet, days_ago(4), proven=False).id
    before = days_ago(3)
    document = json.loads(ready("--json", "--before", before.isoformat()).stdout)
    check_keys(document, example("ready"))
    chosen = choose(fleet, PLAN, catalog.listing(fleet, PLAN), Wish(before=before))
    assert document["backup"] == chosen.backup.id == second
    assert [each.split(":")[0] for each in document["passed_over"]] == [newest, unproven]
    assert document["passed_over"] == list(chosen.selection.passed_over)
    [backup] = [each for each in document["findings"] if each["check"] == "backup"]
    assert backup["status"] == "warning", "the plan promises less than the two days that lie between"
    assert f"{second}, proven, 2 days before that moment" in backup["found"]

    words = ready("--before", before.isoformat()).stdout
    assert f"Before: {before:%Y-%m-%d %H:%M:%S} UTC" in words
    assert f"Not taken: {newest}: it was taken" in words
    assert f"Not taken: {unproven}: it is not proven" in words

    near = json.loads(ready("--json", "--before", (days_ago(5) + timedelta(hours=1)).isoformat()).stdout)
    assert near["backup"] == second
    assert [each["status"] for each in near["findings"] if each["check"] == "backup"] == ["ok"]
    assert json.loads(ready("--json", "--before", days_ago(6).isoformat()).stdout)["backup"] == first


def test_a_backup_may_be_named_also_one_that_is_not_proven(fleet: Fleet, ready: Ready) -> None:
    newest = put(fleet, days_ago(1)).id
    unproven = put(fleet, days_ago(4), proven=False).id
    document = json.loads(ready("--json", "--backup", unproven).stdout)
    found = [(each["status"], each["found"]) for each in document["findings"] if each["check"] == "backup"]
    assert document["backup"] == unproven
    assert found[0] == ("ok", f"{unproven}, NOT PROVEN, 4 days old")
    assert ("warning", f"{unproven}: it is not proven") in found
    assert json.loads(ready("--json", "--backup", "latest").stdout)["backup"] == newest


def test_where_no_backup_fits_it_could_not_be_recovered(fleet: Fleet, ready: Ready) -> None:
    oldest = put(fleet, days_ago(2)).id
    answer = ready("--json", "--before", days_ago(3).isoformat())
    document = json.loads(answer.stdout)
    assert (answer.exit_code, document["ready"], document["backup"]) == (1, False, None)
    [backup] = [each for each in document["findings"] if each["check"] == "backup"]
    assert f"the oldest is {oldest}" in backup["found"]
    both = ready("--before", days_ago(3).isoformat(), "--backup", oldest)
    assert (both.exit_code, "a backup and a moment were both given" in both.stderr) == (1, True)


def test_a_moment_that_is_yet_to_come_is_told(fleet: Fleet, ready: Ready) -> None:
    put(fleet, days_ago(1))
    words = ready("--before", days_ago(-100000).isoformat()).stdout
    assert "is yet to come: is it a moment of another zone?" in words
