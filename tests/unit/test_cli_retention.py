"""``prune``, ``pin`` and ``unpin`` at a terminal, on folder stores."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from backproof.fleet import Fleet
from deployments.cli import main
from tests.support.documents import check_keys, example
from tests.support.fleets import PLAN, built, described
from tests.support.histories import NOWHERE, days_ago, held, ids, put

Run = Callable[..., Result]


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    """A fleet with a file, two young proven backups and an old one."""
    description = described(NOWHERE, tmp_path)
    (tmp_path / "fleet.yaml").write_text(yaml.safe_dump(description))
    fleet = built(description, tmp_path)
    for days in (1, 2, 40):
        put(fleet, days_ago(days))
    return fleet


@pytest.fixture
def run(fleet: Fleet, tmp_path: Path) -> Run:
    def run(*arguments: str) -> Result:
        return CliRunner().invoke(main, ["--fleet", str(tmp_path / "fleet.yaml"), *arguments], prog_name="backproof")

    return run


def test_prune_says_what_goes_and_what_stays_and_why(run: Run, fleet: Fleet) -> None:
    oldest = ids(fleet, "near")[0]
    told = run("prune", PLAN, "--dry-run")
    assert told.exit_code == 0
    assert "1 backup would be deleted" in told.stdout
    assert len(ids(fleet, "near")) == 3
    done = run("prune", PLAN)
    assert done.exit_code == 0
    (line,) = [line for line in done.stdout.splitlines() if oldest in line]
    assert "deleted from near, far" in line
    assert "its period ended" in line
    assert done.stdout.count(" kept ") == 2
    assert "1 backup deleted" in done.stdout
    assert len(ids(fleet, "near")) == 2


def test_a_refusal_is_told_and_ends_with_degraded(run: Run, fleet: Fleet, tmp_path: Path) -> None:
    for path in (tmp_path / "far").rglob("*"):
        path.chmod(0o700) if path.is_dir() else path.unlink()
    (tmp_path / "far" / "shop" / "daily").rmdir()
    (tmp_path / "far" / "shop").rmdir()
    (tmp_path / "far").rmdir()
    (tmp_path / "far").write_text("no folder")
    result = run("prune", PLAN)
    assert result.exit_code == 3
    assert "nothing is deleted: store far could not be listed whole" in result.stderr
    assert len(ids(fleet, "near")) == 3


def test_prune_of_an_empty_plan_says_so(run: Run, fleet: Fleet) -> None:
    for store in ("near", "far"):
        for each in list(fleet.store(store).list()):
            fleet.store(store).delete(each.key)
    assert "No backup was found" in run("prune", PLAN).stdout


def test_a_pin_is_shown_and_heeded_until_it_is_taken_away(run: Run, fleet: Fleet) -> None:
    oldest = ids(fleet, "near")[0]
    assert f"{oldest} of shop is pinned: the audit" in run("pin", PLAN, oldest, "--why", "the  audit").stdout
    assert "pin.json" in held(fleet, "near")[oldest]
    assert "pinned: the audit" in run("list", PLAN).stdout
    assert "Pinned     the audit" in run("show", PLAN, oldest).stdout
    assert run("prune", PLAN).exit_code == 0
    assert oldest in ids(fleet, "far")
    assert "no longer pinned. It was: the audit." in run("unpin", PLAN, oldest, "--why", "it is over").stdout
    assert "pinned" not in run("list", PLAN).stdout
    run("prune", PLAN)
    assert oldest not in ids(fleet, "far")


def test_pinning_twice_for_the_same_reason_is_well_and_for_another_is_refused(run: Run) -> None:
    assert run("pin", PLAN, "latest", "--why", "a").exit_code == 0
    assert run("pin", PLAN, "latest", "--why", "a").exit_code == 0
    refused = run("pin", PLAN, "latest", "--why", "b")
    assert refused.exit_code == 1
    assert "is pinned: a" in refused.stderr
    assert "Unpin it first: backproof unpin shop backup_" in refused.stderr


@pytest.mark.parametrize("why", ["", "  ", "x" * 501])
def test_a_pin_needs_a_reason_that_can_be_read(run: Run, why: str) -> None:
    result = run("pin", PLAN, "latest", "--why", why)
    assert result.exit_code == 1
    assert "Say in 1 to 500" in result.stderr


def test_a_pin_needs_a_reason_and_a_backup_that_exists(run: Run) -> None:
    assert run("pin", PLAN, "latest").exit_code == 2
    assert run("pin", PLAN, "backup_2001-01-01_020000", "--why", "x").exit_code == 1
    assert "is not pinned" in run("unpin", PLAN, "latest").stderr


def test_a_store_that_takes_no_pin_is_named_and_the_others_do(run: Run, fleet: Fleet, tmp_path: Path) -> None:
    oldest = ids(fleet, "near")[0]
    folder = tmp_path / "far" / "shop" / "daily"
    moved = folder.rename(folder.with_name("moved"))
    folder.symlink_to(moved)  # which is not followed
    result = run("pin", PLAN, oldest, "--why", "x")
    assert result.exit_code == 3
    assert "warning: store far: " in result.stderr
    assert "pin.json" in held(fleet, "near")[oldest]
    unpinned = run("unpin", PLAN, oldest)
    assert unpinned.exit_code == 3
    assert f"The pin of {oldest} of shop is gone from near only" in unpinned.stdout
    assert "unpin it again once every store can be reached" in unpinned.stdout


@pytest.mark.parametrize(
    ("arguments", "title"),
    [
        (["prune", PLAN], "prune"),
        (["prune", PLAN, "--dry-run"], "prune"),
        (["pin", PLAN, "latest", "--why", "x"], "pin"),
        (["list", PLAN], "list"),
    ],
)
def test_documents_have_the_documented_keys(run: Run, arguments: list[str], title: str) -> None:
    check_keys(json.loads(run("--json", *arguments).stdout), example(title))


def test_unpin_has_the_documented_keys(run: Run) -> None:
    run("pin", PLAN, "latest", "--why", "x")
    check_keys(json.loads(run("--json", "unpin", PLAN, "latest").stdout), example("unpin"))
