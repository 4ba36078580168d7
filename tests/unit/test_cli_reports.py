"""``backproof reports`` on folder stores: listed, pulled, checked, closed; with one store down, and with forgeries."""

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from backproof.errors import AlreadyExists, BackproofError, NotFound
from backproof.fleet import Fleet
from backproof.recovery_test.naming import REPORT_HTML, REPORT_JSON, REPORT_PDF, TestName, key, prefix, test_id
from backproof.reports import publish
from backproof.reports.carrying import Carried, carry
from backproof.reports.catalogue import shelf
from backproof.reports.checking import checked
from backproof.reports.issues import close, issues, open_issues
from deployments.cli import main
from tests.support.documents import check_keys, example
from tests.support.fleets import PLAN, built, described
from tests.support.histories import NOWHERE
from tests.support.recovery_tests import WHEN, failed, issue, recovery_test, shelve, shelved

Run = Callable[..., Result]
NAME = f"{PLAN}_recovery-test_2026-01-06_090000.pdf"


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    """Two plans; of one a test of October that passed, and one of January that failed."""
    description = described(NOWHERE, tmp_path)
    description["plans"]["ledger"] = description["plans"][PLAN]
    (tmp_path / "fleet.yaml").write_text(yaml.safe_dump(description))
    fleet = built(description, tmp_path)
    shelve(fleet, recovery_test(started_at=datetime(2025, 10, 7, 9, 0, tzinfo=UTC)))
    shelve(fleet, failed())
    return fleet


@pytest.fixture
def run(fleet: Fleet, tmp_path: Path) -> Run:
    def run(*arguments: str) -> Result:
        return CliRunner().invoke(main, ["--fleet", str(tmp_path / "fleet.yaml"), *arguments], prog_name="backproof")

    return run


def test_reports_are_listed_newest_first_with_what_is_open(run: Run) -> None:
    told = run("reports", "list")
    assert told.exit_code == 0, told.output
    january, october = (line for line in told.stdout.splitlines() if "recovery-test_" in line)
    assert " ".join(january.split()) == "shop recovery-test_2026-01-06_090000 failed 1 h 34 min 1 h 0 min 3 near, far"
    assert "passed" in october
    assert "4 issues open:" in told.stdout
    assert "Grace Olsen" in told.stdout
    assert run("reports", "list", "--plan", "ledger").stdout.startswith("There is no report.")
    assert "2025-10-07" not in run("reports", "list", "--since", "2026-01").stdout
    check_keys(json.loads(run("--json", "reports", "list").stdout), example("reports list"))


def test_reports_are_pulled_from_whichever_store_has_them(run: Run, fleet: Fleet, tmp_path: Path) -> None:
    for path in (tmp_path / "near" / prefix(PLAN)).glob("*2026-01-06*.pdf"):
        path.write_bytes(path.read_bytes().replace(b"....", b".,..", 1))
    told = run(
        "reports", "pull", "--since", "2026-01", "--plan", PLAN, "--format", "pdf", "--to", str(tmp_path / "out")
    )
    assert told.exit_code == 0, told.output
    assert [path.name for path in (tmp_path / "out").iterdir()] == [NAME]
    assert checked((tmp_path / "out" / NAME).read_bytes(), fleet.signer).test == "recovery-test_2026-01-06_090000"
    assert "written: " in told.stdout
    again = json.loads(run("--json", "reports", "pull", "--plan", PLAN, "--to", str(tmp_path / "out")).stdout)
    assert [each["outcome"] for each in again["pulled"]] == ["there already", "written"]
    check_keys(again, example("reports pull"))


def test_a_file_that_is_there_is_never_written_over(run: Run, tmp_path: Path) -> None:
    (tmp_path / NAME).write_text("mine")
    told = run("reports", "pull", "--plan", PLAN, "--to", str(tmp_path))
    assert told.exit_code == 1
    assert "is there, and is another file" in told.stdout
    assert (tmp_path / NAME).read_text() == "mine"
    assert not [path for path in tmp_path.iterdir() if path.name.endswith("unfinished")]


def test_what_no_key_of_the_fleet_has_signed_is_not_pulled(run: Run, fleet: Fleet, tmp_path: Path) -> None:
    for store in ("near", "far"):
        place = tmp_path / store / key(TestName(PLAN, failed().test, REPORT_PDF))
        place.write_bytes(place.read_bytes()[:-20] + b"A" * 19 + b"\n")
    told = run("reports", "pull", "--plan", PLAN, "--since", "2026", "--to", str(tmp_path / "out"))
    assert told.exit_code == 1
    assert "failed: " in told.stdout
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("down", ["near", "far"])
def test_any_one_store_may_be_down(run: Run, fleet: Fleet, tmp_path: Path, down: str) -> None:
    _take_away(tmp_path / down)
    told = run("reports", "list")
    assert told.exit_code == 3
    assert f"store {down} could not be asked" in told.stderr
    assert told.stdout.count("recovery-test_") == 2
    pulled = run("reports", "pull", "--plan", PLAN, "--format", "html", "--to", str(tmp_path / "out"))
    assert pulled.exit_code == 3
    assert len(list((tmp_path / "out").iterdir())) == 2
    assert len(open_issues(fleet, PLAN)) == 4
    closed = run("reports", "close", PLAN, "2026-01-2", "--how", "put back", "--by", "Ada")
    assert closed.exit_code == 3, closed.output
    assert len(open_issues(fleet, PLAN)) == 3


def test_with_no_store_at_all_nothing_is_known(run: Run, tmp_path: Path) -> None:
    _take_away(tmp_path / "near")
    _take_away(tmp_path / "far")
    for command in (("list",), ("pull", "--to", str(tmp_path)), ("close", PLAN, "2026-01-1", "--how", "x")):
        told = run("reports", *command)
        assert told.exit_code == 1
        assert "error: " in told.stderr


def test_a_report_is_checked_by_its_last_line(run: Run, fleet: Fleet, tmp_path: Path) -> None:
    run("reports", "pull", "--plan", PLAN, "--to", str(tmp_path))
    good = run("reports", "check", str(tmp_path / NAME))
    assert good.exit_code == 0
    assert f"is genuine: the report of {failed().test} of plan shop, drawn from the record" in good.stdout
    check_keys(json.loads(run("--json", "reports", "check", str(tmp_path / NAME)).stdout), example("reports check"))
    (tmp_path / NAME).write_bytes((tmp_path / NAME).read_bytes().replace(b"....", b".,..", 1))
    bad = run("reports", "check", str(tmp_path / NAME))
    assert bad.exit_code == 1
    assert f"is not what {fleet.signer.fingerprint} has signed" in bad.stderr


def test_an_issue_is_closed_once_and_told_no_more(run: Run, fleet: Fleet) -> None:
    told = run("reports", "close", PLAN, "2026-01-1", "--how", "put  back", "--by", "Ada Park")
    assert told.exit_code == 0, told.output
    assert told.stdout == "2026-01-1 of shop is closed by Ada Park: put back\n"
    assert [each.id for each in open_issues(fleet, PLAN)] == ["2025-10-1", "2026-01-2", "2026-01-3"]
    again = run("reports", "close", PLAN, "2026-01-1", "--how", "again")
    assert again.exit_code == 1
    assert "was closed by Ada Park: put back" in again.stderr
    unknown = run("reports", "close", PLAN, "2026-01-9", "--how", "x")
    assert "There are: 2025-10-1, 2026-01-2, 2026-01-3." in unknown.stderr
    assert run("reports", "close", PLAN, "2026-01-2", "--how", " ").exit_code == 1
    # of a report that nobody has any more: it is closed beside the one that repeats it
    done = json.loads(run("--json", "reports", "close", PLAN, "2025-10-1", "--how", "corrected").stdout)
    check_keys(done, example("reports close"))
    assert done["closed"]["test"] == failed().test
    assert [each.issue for each in issues(fleet, PLAN).closed] == ["2025-10-1", "2026-01-1"]


def test_a_closing_that_nobody_trusted_has_signed_closes_nothing(fleet: Fleet, tmp_path: Path) -> None:
    closed, problems = close(fleet, PLAN, "2026-01-1", "done", "Ada", WHEN)
    assert problems == []
    for path in tmp_path.glob("*/shop/recovery-test/*.closed-2026-01-1.json"):
        path.write_bytes(path.read_bytes().replace(b'"done"', b'"dont"'))
    assert closed.issue in [each.id for each in open_issues(fleet, PLAN)]


def test_an_id_that_was_given_twice_is_two_issues(fleet: Fleet) -> None:
    close(fleet, PLAN, "2026-01-1", "done", "Ada", WHEN)
    at = WHEN + timedelta(days=1)
    again = recovery_test(
        plan=PLAN,
        test=test_id(at),
        started_at=at,
        ended_at=at,
        still_open=(),
        issues=(issue(1, "Another.", "Mend it."),),
    )
    publish(fleet, again)
    assert [each.what for each in open_issues(fleet, PLAN) if each.id == "2026-01-1"] == ["Another."]
    closed, _ = close(fleet, PLAN, "2026-01-1", "this one too", "Ada", WHEN)
    assert (closed.test, "2026-01-1" in [each.id for each in open_issues(fleet, PLAN)]) == (again.test, False)


def test_a_report_that_no_store_takes_is_an_error(fleet: Fleet, tmp_path: Path) -> None:
    _take_away(tmp_path / "near")
    _take_away(tmp_path / "far")
    with pytest.raises(BackproofError):
        publish(fleet, recovery_test(plan="ledger"))


def test_a_report_is_published_once_into_every_store_that_takes_it(fleet: Fleet, tmp_path: Path) -> None:
    record = recovery_test(plan="ledger", issues=(issue(1, "A.", "B."),))
    _take_away(tmp_path / "far")
    (problem,) = publish(fleet, record)
    assert problem.startswith(f"store far has no report of {record.test}, or not all of it: ")
    held = {each.key.rpartition("/")[2] for each in fleet.store("near").list(prefix("ledger"))}
    assert held == {f"{record.test}.{part}" for part in (REPORT_HTML, REPORT_PDF, REPORT_JSON)}
    (tmp_path / "far").unlink()
    before = {path: path.read_bytes() for path in (tmp_path / "near" / "ledger").rglob("*.report.*")}
    assert publish(fleet, record) == []
    assert {path: path.read_bytes() for path in before} == before
    assert [each.id for each in open_issues(fleet, "ledger")] == ["2026-01-1"]


def test_two_tests_of_one_second_are_not_taken_for_each_other(fleet: Fleet) -> None:
    publish(fleet, recovery_test(plan="ledger"))
    with pytest.raises(AlreadyExists, match="is there, and is another one"):
        publish(fleet, failed().model_copy(update={"plan": "ledger"}))


def test_a_year_of_reports_of_fifty_plans_is_pulled_in_seconds(tmp_path: Path) -> None:
    description = described(NOWHERE, tmp_path, {"near": {"type": "local", "path": str(tmp_path / "near")}})
    plan = description["plans"].pop(PLAN)
    description["plans"] = {f"plan-{number:02}": plan for number in range(50)}
    (tmp_path / "fleet.yaml").write_text(yaml.safe_dump(description))
    fleet = built(description, tmp_path)
    for name in description["plans"]:
        for quarter in range(4):
            record = recovery_test(plan=name, started_at=WHEN + timedelta(days=91 * quarter))
            for place, content in shelved(fleet, record, length=140_000).items():
                (tmp_path / "near" / place).parent.mkdir(parents=True, exist_ok=True)
                (tmp_path / "near" / place).write_bytes(content)  # not by the store: it waits for the disk each time
    begun = time.process_time()
    arguments = [
        "--fleet",
        str(tmp_path / "fleet.yaml"),
        "reports",
        "pull",
        "--since",
        "2026-01",
        "--to",
        str(tmp_path),
    ]
    told = CliRunner().invoke(main, arguments, prog_name="backproof")
    spent = time.process_time() - begun
    assert told.exit_code == 0, told.output
    assert "200 reports written, 200 asked for." in told.stdout
    assert len(list(tmp_path.glob("*.pdf"))) == 200
    assert spent < 10  # of the processor: what others do on this machine does not count


def test_a_wrong_month_is_told(run: Run) -> None:
    told = run("reports", "list", "--since", "January")
    assert told.exit_code == 2
    assert "write 2026-01 or 2026-01-06" in told.stderr


def test_an_unknown_plan_is_told(run: Run, fleet: Fleet) -> None:
    assert "Did you mean 'shop'?" in run("reports", "list", "--plan", "shpo").stderr
    with pytest.raises(NotFound):
        open_issues(fleet, "shpo")


def _take_away(folder: Path) -> None:
    """A folder of which only a file is left."""
    folder.rename(folder.with_name(f"{folder.name}-gone"))
    folder.write_text("no folder")


def test_what_a_store_missed_of_reports_is_brought_there_as_it_was_signed(fleet: Fleet, tmp_path: Path) -> None:
    far = tmp_path / "far"
    far.rename(tmp_path / "away")
    far.write_text("")
    publish(fleet, record := recovery_test(plan="ledger", issues=(issue(1, "A.", "B."),)))
    close(fleet, "ledger", "2026-01-1", "done", "Ada", WHEN)
    down = carry(fleet, "ledger")
    assert (down.documents, len(down.problems)) == (0, 1)
    far.unlink()
    (tmp_path / "away").rename(far)
    assert carry(fleet, "ledger") == Carried(documents=4, problems=())
    for path in (tmp_path / "near" / "ledger").rglob(f"{record.test}.*"):
        assert (far / path.relative_to(tmp_path / "near")).read_bytes() == path.read_bytes()
    assert carry(fleet, "ledger") == Carried(documents=0, problems=())


def test_a_report_that_nobody_trusted_has_signed_is_brought_nowhere(fleet: Fleet, tmp_path: Path) -> None:
    (held,) = shelf(fleet, [PLAN], WHEN.replace(day=1)).reports
    for path in (tmp_path / "near").rglob(f"{held.test}.report.json"):
        path.write_bytes(path.read_bytes().replace(b'"failed"', b'"passed"'))
    for path in (tmp_path / "far").rglob(f"{held.test}.report.json"):
        path.unlink()
    carried = carry(fleet, PLAN)
    assert carried.documents == 0
    assert "far can't be given report.json" in carried.problems[0]
