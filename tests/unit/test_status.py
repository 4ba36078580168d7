"""``backproof status``: the screen, the document, the metrics and the exit statuses, over folder stores."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result
from prometheus_client.parser import text_string_to_metric_families

from backproof.errors import AccessDenied
from backproof.fleet import Fleet
from backproof.naming import ENCRYPTED, MANIFEST, Name, ProofPart, key
from backproof.operations import clock
from backproof.operations.status import next_run, status
from backproof.records import Target
from deployments.cli import main
from tests.support.committed import commit, prove
from tests.support.documents import check_keys, example
from tests.support.fleets import PLAN, built, described

NOWHERE = Target(host="127.0.0.1", port=1, database="shop", user="nobody")
NOW = datetime(2025, 11, 7, 9, 3, tzinfo=UTC)
LAST = datetime(2025, 11, 7, 2, tzinfo=UTC)
DAY = timedelta(days=1)
BOTH = ("near", "far")

Run = Callable[..., Result]


@pytest.fixture
def description(tmp_path: Path) -> dict[str, Any]:
    """Plans shop, blog and wiki, each in the stores near and far."""
    made = described(NOWHERE, tmp_path)
    made["plans"] |= {name: dict(made["plans"][PLAN]) for name in ("blog", "wiki")}
    made["spread"] = "0s"
    return made


@pytest.fixture
def fleet(description: dict[str, Any], tmp_path: Path) -> Fleet:
    return built(description, tmp_path)


@pytest.fixture
def run(description: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the command at nine in the morning."""
    monkeypatch.setattr(clock, "utc_now", lambda: NOW)
    path = tmp_path / "fleet.yaml"
    path.write_text(yaml.safe_dump(description))
    path.chmod(0o600)
    return lambda *arguments: CliRunner().invoke(main, ["--fleet", str(path), "status", *arguments])


def days(fleet: Fleet, plan: str, count: int, rows: int = 1) -> None:
    """A proven backup a day, the last one this morning."""
    for number in range(count):
        commit(fleet, plan, LAST - number * DAY, BOTH, rows=rows)


GOLDEN = """\
Plan   Status   Newest          Proven           Promised     Copies    Size   Usual   Next run (UTC)           \
Recovery test
blog   FAILED   7 h 3 min ago   31 h 3 min ago   24 h + 2 h   0 of 2   407 B   407 B   2025-11-08 02:00 daily   never
shop   ok       7 h 3 min ago   7 h 3 min ago    24 h + 2 h   2 of 2   407 B   407 B   2025-11-08 02:00 daily   never
wiki   FAILED   never           never            24 h + 2 h   0 of 2       –       –   2025-11-08 02:00 daily   never

FAILED: the newest proven backup of blog is 31 h 3 min old, and its objective is 24 h. Look at the last runs of \
blog-backup, or take one now: `backproof backup blog`.
FAILED: the newest backup of blog, backup_2025-11-07_020000, did not come back as it was: its proof failed. \
`backproof show blog backup_2025-11-07_020000` says what differs.
FAILED: no backup of wiki was ever taken. `backproof backup wiki` takes one.
DEGRADED: store far lacks backup_2025-11-07_020000 of blog. `backproof replicate blog` brings it there.

3 plans: 1 ok, 2 FAILED. 2025-11-07 09:03 UTC.
"""


def test_the_screen_shows_how_each_plan_stands_and_what_to_do(fleet: Fleet, run: Run) -> None:
    days(fleet, PLAN, 5)
    commit(fleet, "blog", LAST, ("near",), "failed")
    for number in range(1, 4):
        commit(fleet, "blog", LAST - number * DAY, BOTH)
    result = run()
    assert result.exit_code == 0
    assert result.output == GOLDEN


def test_one_plan_alone_is_shown_alone(fleet: Fleet, run: Run) -> None:
    days(fleet, PLAN, 1)
    assert run(PLAN).output.splitlines()[-1] == "1 plan: 1 ok. 2025-11-07 09:03 UTC."
    assert run("shpo").exit_code == 1


def test_check_is_silent_where_all_is_well(fleet: Fleet, run: Run) -> None:
    for plan in (PLAN, "blog", "wiki"):
        days(fleet, plan, 1)
    result = run("--check")
    assert (result.exit_code, result.output) == (0, "")


def test_check_fails_for_a_plan_that_never_backed_up(fleet: Fleet, run: Run) -> None:
    days(fleet, PLAN, 1)
    days(fleet, "blog", 1)
    result = run("--check")
    assert result.exit_code == 1
    assert result.output == "FAILED: no backup of wiki was ever taken. `backproof backup wiki` takes one.\n"


@pytest.mark.parametrize(
    ("hours", "verdict", "status"),
    [(1, "passed", 0), (1, None, 0), (3, None, 1), (1, "failed", 1), (3, "could-not-run", 1)],
)
def test_check_judges_the_newest_backup(fleet: Fleet, run: Run, hours: int, verdict: Any, status: int) -> None:
    days(fleet, PLAN, 1)
    commit(fleet, PLAN, NOW - timedelta(hours=hours), BOTH, verdict)
    assert run("--check", PLAN).exit_code == status


def test_check_tells_a_store_that_does_not_answer_from_a_broken_promise(
    fleet: Fleet, run: Run, description: dict[str, Any]
) -> None:
    days(fleet, PLAN, 1)
    far = Path(description["stores"]["far"]["path"])
    far.rename(far.with_name("elsewhere"))
    far.write_text("no folder")
    asked = run("--check", PLAN)
    assert asked.exit_code == 3
    assert asked.output.startswith("DEGRADED: store far could not be asked: ")
    assert run(PLAN).exit_code == 3
    assert run("--check").exit_code == 1  # the others have no backup at all


def test_a_lacking_copy_degrades_a_check_and_no_look(fleet: Fleet, run: Run) -> None:
    commit(fleet, PLAN, LAST, ("near",))
    assert run(PLAN).exit_code == 0
    assert run("--check", PLAN).exit_code == 3


def test_the_document_is_as_documented(fleet: Fleet, run: Run) -> None:
    days(fleet, PLAN, 4)
    commit(fleet, "blog", LAST, ("near",))
    for arguments in (("--json",), ("--json", "--check")):
        document = json.loads(run(*arguments).stdout)
        check_keys(document, example("status"))
        assert [(plan["plan"], plan["status"]) for plan in document["plans"]] == [
            ("blog", "degraded"),
            ("shop", "ok"),
            ("wiki", "failed"),
        ]
    shop = document["plans"][1]
    assert shop["newest"] == shop["proven"]
    assert (shop["newest"]["age_seconds"], shop["rpo_seconds"], shop["rpo_met"]) == (25380.0, 86400.0, True)
    assert document["plans"][2]["newest"] is None


def test_metrics_are_what_prometheus_reads(fleet: Fleet, run: Run) -> None:
    days(fleet, PLAN, 4)
    commit(fleet, "blog", LAST, ("near",), "failed")
    found = run("--prometheus")
    assert found.exit_code == 0
    families = {family.name: family for family in text_string_to_metric_families(found.output)}
    assert all(name.startswith("backproof_") for name in families)
    assert all(family.documentation and family.type == "gauge" for family in families.values())
    samples = {
        (
            sample.name.removeprefix("backproof_"),
            *(sample.labels[label] for label in sorted(sample.labels)),
        ): sample.value
        for family in families.values()
        for sample in family.samples
    }
    assert samples["backup_timestamp_seconds", "tests", PLAN] == LAST.timestamp()
    assert samples["proof_timestamp_seconds", "tests", PLAN] == LAST.timestamp() + 600
    assert samples["backup_size_bytes", "tests", PLAN] == samples["backup_usual_size_bytes", "tests", PLAN] > 0
    assert samples["rpo_seconds", "tests", PLAN] == 86400
    assert [samples["rpo_met", "tests", plan] for plan in (PLAN, "blog", "wiki")] == [1, 0, 0]
    assert [samples["backup_proven", "tests", plan] for plan in (PLAN, "blog")] == [1, 0]
    assert ("backup_timestamp_seconds", "tests", "wiki") not in samples
    assert samples["plan_status", "tests", "blog", "failed"] == 1
    assert samples["plan_status", "tests", "blog", "ok"] == 0
    assert samples["backup_copy_good", "tests", PLAN, "far"] == 1
    assert samples["backup_copy_good", "tests", "blog", "far"] == 0
    assert samples["store_reachable", "tests", "wiki", "near"] == 1
    assert samples["status_timestamp_seconds", "tests"] == NOW.timestamp()


def test_metrics_go_into_a_file_in_one_step_and_a_check_may_go_with_it(fleet: Fleet, run: Run, tmp_path: Path) -> None:
    days(fleet, PLAN, 1)
    place = tmp_path / "metrics"
    place.mkdir()
    (place / "backproof.prom").write_text("old")
    old = (place / "backproof.prom").stat().st_ino
    result = run(PLAN, "--check", "--prometheus", str(place / "backproof.prom"))
    assert (result.exit_code, result.output) == (0, "")
    assert [each.name for each in place.iterdir()] == ["backproof.prom"]
    assert (place / "backproof.prom").stat().st_ino != old
    assert list(text_string_to_metric_families((place / "backproof.prom").read_text()))
    missing = run(PLAN, "--prometheus", str(tmp_path / "nowhere" / "backproof.prom"))
    assert missing.exit_code == 1
    assert "cannot write" in missing.output


@pytest.mark.parametrize("other", ["--json", "--check"])
def test_metrics_on_stdout_have_it_for_themselves(run: Run, other: str) -> None:
    assert run(other, "--prometheus").exit_code == 2


def test_colours_are_for_terminals(fleet: Fleet, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    days(fleet, PLAN, 1)
    assert "\x1b" not in run().output


def test_a_proof_by_another_s_key_proves_nothing(fleet: Fleet, run: Run, tmp_path: Path) -> None:
    stranger = built(described(NOWHERE, tmp_path), tmp_path)
    manifest = commit(fleet, PLAN, LAST, BOTH, None)
    prove(fleet, manifest, "near", LAST + timedelta(hours=1), signer=stranger)
    result = run("--check", PLAN)
    assert result.exit_code == 1
    assert "no backup of shop is proven" in result.output


def test_who_may_list_and_not_read_is_told_so(fleet: Fleet, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    days(fleet, PLAN, 1)

    def denied(*_: Any) -> Any:
        raise AccessDenied("the proof may not be read", "Give the role s3:GetObject.")

    monkeypatch.setattr(type(fleet.store("near")), "read", denied)
    result = run("--check", PLAN)
    assert result.exit_code == 3
    assert result.output == (
        "DEGRADED: not all that tells of proofs could be read: the proof may not be read. Give the role s3:GetObject.\n"
    )


def test_a_damaged_archive_is_no_proven_backup(fleet: Fleet, run: Run, description: dict[str, Any]) -> None:
    days(fleet, PLAN, 1)
    for store in BOTH:
        (archive,) = Path(description["stores"][store]["path"]).rglob("*.enc")
        archive.chmod(0o600)
        archive.write_bytes(archive.read_bytes()[:-1])
    assert run("--check", PLAN).exit_code == 1


def test_of_a_thousand_backups_only_the_newest_are_read(
    fleet: Fleet, description: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    days(fleet, PLAN, 1)
    near, folder = fleet.store("near"), Path(description["stores"]["near"]["path"])
    for number in range(1, 1000):  # by name alone: what is not read need not be anything
        for part in (MANIFEST, ENCRYPTED, ProofPart(LAST - number * DAY, "passed")):
            (folder / key(Name(PLAN, "daily", LAST - number * DAY, part))).write_bytes(b"{}")
    commit(fleet, PLAN, LAST + timedelta(hours=2), BOTH, None)
    read: list[str] = []
    original = type(near).read

    def counted(store: Any, *arguments: Any) -> Any:
        read.append(arguments[0])
        return original(store, *arguments)

    monkeypatch.setattr(type(near), "read", counted)
    (found,) = status(fleet, [PLAN], NOW)
    assert found.standing.proven is not None
    assert found.standing.proven.taken_at == LAST
    assert len(read) < 6


def test_backups_of_the_future_do_not_count(fleet: Fleet, run: Run) -> None:
    days(fleet, PLAN, 1)
    commit(fleet, PLAN, NOW + 400 * DAY, BOTH)
    result = run("--check", PLAN)
    assert result.exit_code == 1
    assert result.output.startswith("FAILED: backup_2026-12-12_090300 of shop would be from the future")


def test_the_next_run_is_the_soonest_of_all_schedules(tmp_path: Path) -> None:
    schedules = {"daily": ["30 12 * * *", "0 2 * * *"], "monthly": "0 3 1 * *"}
    fleet = built(described(NOWHERE, tmp_path, schedules=schedules), tmp_path)

    def coming(now: datetime) -> tuple[str, datetime]:
        run = next_run(fleet, PLAN, now)
        assert run is not None
        return run.kind, run.at

    assert coming(NOW) == ("daily", datetime(2025, 11, 7, 12, 30, tzinfo=UTC))
    assert coming(datetime(2025, 12, 1, 2, 30, tzinfo=UTC)) == ("monthly", datetime(2025, 12, 1, 3, tzinfo=UTC))
    none = built(described(NOWHERE, tmp_path, schedules={"daily": [], "monthly": []}), tmp_path)
    assert next_run(none, PLAN, NOW) is None
