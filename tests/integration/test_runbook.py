"""``backproof estimate`` and ``backproof runbook``, and whether a runbook's commands still work, on a real server."""

import json
import os
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from backproof.fleet import Fleet
from backproof.fleet.loading import parse
from backproof.fleet.writing import written
from backproof.records import Target
from backproof.runbook import Answer, documentation, facts, lines
from backproof.runbook_page import page
from backproof.runbook_trial import program
from deployments.cli import main
from tests.support.archives import escrow_pair
from tests.support.documents import check_keys, example
from tests.support.engine_harness import HARNESSES
from tests.support.fleets import PLAN, built
from tests.support.pages_of_commands import blocks
from tests.support.recovering import Live, world

TODAY = datetime.now(UTC).date()


@pytest.fixture(scope="module")
def live(postgres18: Target, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    harness = next(each for each in HARNESSES if each.engine == "postgresql")
    with world(harness, postgres18, tmp_path_factory.mktemp("runbook")) as made:
        yield made.live()


def described(live: Live, **plan: Any) -> dict[str, Any]:
    description: dict[str, Any] = yaml.safe_load(live.file.read_text())
    description["plans"][PLAN] |= plan
    return description


def fleet_of(live: Live, **plan: Any) -> Fleet:
    return built(described(live, **plan), live.file.parent)


def reviewed(days_ago: int) -> dict[str, str]:
    day: date = TODAY - timedelta(days=days_ago)
    return {"runbook_reviewed": day.isoformat(), "runbook_review_every": "30d"}


def command(live: Live, *words: str) -> Result:
    return CliRunner().invoke(main, ["--fleet", str(live.file), *words], prog_name="backproof")


def all_work(words: Sequence[str]) -> Answer:
    return Answer(0, "")


def test_a_recovery_is_estimated_by_what_was_measured(live: Live) -> None:
    answer = command(live, "--json", "estimate", PLAN)
    document = json.loads(answer.stdout)
    check_keys(document, example("estimate"))
    found = document["estimate"]
    assert answer.exit_code == 0
    assert found["backup"] == found["measured_in"] == live.world.backup
    assert found["expected"]["by"] == "rate"
    assert found["expected"]["points"] == 1
    assert 0 < found["expected"]["seconds"] < found["objective_seconds"] == 1800
    assert [each["phase"] for each in found["phases"]] == ["check the copy", "restore", "checks"]
    assert found["expected"]["seconds"] == pytest.approx(
        sum(each["elapsed_seconds"] for each in found["phases"]), abs=0.1
    )
    assert not found["forecast"]["known"]
    words = command(live, "estimate", PLAN).stdout
    assert "A recovery takes about" in words
    assert "can't be known: one restoration was measured" in words


def test_a_runbook_has_the_plans_own_commands_people_and_places_and_no_secret(live: Live, tmp_path: Path) -> None:
    levels = [{"name": "ada on call", "notify": ["pager"], "wait": "10m"}, {"name": "grace", "notify": ["pager"]}]
    fleet = fleet_of(live, escalation=levels, recovery_test={"responsible": "margaret", **reviewed(10)})
    known = facts(fleet, PLAN, datetime.now(UTC))
    text = page(fleet, PLAN, known)
    for expected in (
        live.world.backup,
        f"$ backproof recover {PLAN} --show",
        f"$ backproof recover {PLAN} --from far",
        "ada on call",
        "10m",
        "margaret",
        fleet.store("far").location(),
        fleet.signer.fingerprint,
        f"due **{TODAY + timedelta(days=20)}**",
        "| may be lost (RPO) | 1d",
        "| a recovery may take (RTO) | 30m |",
    ):
        assert expected in text, expected
    spec = fleet.spec
    secrets = [spec.signing.private_key.get_secret_value(), *(str(each.password) for each in spec.databases.values())]
    secrets += [ring.aes256.get_secret_value() for ring in spec.keys.values() if ring.aes256]
    secrets += [each.password.get_secret_value() for each in spec.databases.values() if each.password]
    assert not any(secret in text for secret in secrets if secret.strip("*"))
    later = facts(fleet, PLAN, datetime.now(UTC))
    assert page(fleet, PLAN, later) == text, "the same facts give the same page"
    assert {block.lines.split()[1] for block in blocks(text)} == {"backproof"}


def test_the_runbook_is_written_over_an_earlier_one(live: Live, tmp_path: Path) -> None:
    file = tmp_path / "runbook.md"
    file.write_text("earlier")
    answer = command(live, "--json", "runbook", PLAN, "--to", str(file))
    document = json.loads(answer.stdout)
    check_keys(document, example("runbook"))
    assert file.read_text() == document["runbook"]["page"]
    assert document["runbook"]["review"]["status"] == "not run"
    assert [each.name for each in tmp_path.iterdir()] == ["runbook.md"]
    assert command(live, "runbook", PLAN).stdout == file.read_text()


def test_the_commands_of_a_runbook_are_executed_and_work(live: Live) -> None:
    fleet, before = fleet_of(live, recovery_test=reviewed(10)), live.world.databases()
    environment = {**os.environ, "XDG_STATE_HOME": str(live.file.parent / "state")}
    with program(fleet, environment) as run:
        point = documentation(fleet, PLAN, datetime.now(UTC), run)
        assert point.status == "pass", point.evidence
        assert point.evidence.startswith("9 commands of the runbook were executed")
        unknown = run(["show", PLAN, "backup_1999-01-01_000000"])
    assert unknown.status == 1
    assert "backup_1999-01-01_000000" in unknown.said
    assert live.world.databases() == before


def test_a_command_that_does_not_work_any_more_is_named(live: Live) -> None:
    fleet = fleet_of(live, recovery_test=reviewed(10))

    def renamed(words: Sequence[str]) -> Answer:
        return Answer(2, "No such command 'recovery'.") if words[0] == "recovery" else Answer(0, "")

    point = documentation(fleet, PLAN, datetime.now(UTC), renamed)
    assert point.status == "fail"
    assert f"`backproof recovery list {PLAN}` ended with status 2: No such command" in point.evidence


def test_a_warning_is_an_answer_and_an_error_is_none(live: Live) -> None:
    fleet = fleet_of(live, recovery_test=reviewed(10))
    warned = documentation(fleet, PLAN, datetime.now(UTC), lambda _: Answer(3, ""))
    assert warned.status == "pass"

    def refused(words: Sequence[str]) -> Answer:
        return Answer(1, "no plan is called 'shop'") if words[0] == "ready" else Answer(0, "")

    assert documentation(fleet, PLAN, datetime.now(UTC), refused).status == "fail"


@pytest.mark.parametrize(
    ("review", "status", "evidence"),
    [
        ({}, "not run", "no person has reviewed it"),
        (reviewed(31), "fail", "the next review was due"),
        (reviewed(30), "pass", "the next review is due"),
        (reviewed(-2), "fail", "still to come"),
    ],
    ids=["never", "too long ago", "just in time", "tomorrow"],
)
def test_the_review_of_a_runbook_counts_for_its_time(
    live: Live, review: dict[str, str], status: str, evidence: str
) -> None:
    noon = datetime(TODAY.year, TODAY.month, TODAY.day, 12, tzinfo=UTC)
    point = documentation(fleet_of(live, recovery_test=review), PLAN, noon, all_work)
    assert (point.name, point.status) == ("Documentation accurate", status)
    assert evidence in point.evidence


def test_what_is_tried_changes_nothing(live: Live) -> None:
    for line in (line for each in lines(fleet_of(live), PLAN).values() for line in each if line.tried_as):
        assert line.tried_as[0] in ("ready", "estimate", "status", "list", "show", "recovery", "recover")
        assert line.tried_as[0] != "recover" or "--show" in line.tried_as
        assert line.tried_as[0] != "recovery" or line.tried_as[1] == "list"


def test_a_fleet_that_is_written_is_read_as_it_was(live: Live, tmp_path: Path) -> None:
    description = described(live)
    description["databases"]["shop-db"]["password"] = "a $$word ${HOME} of $$$$ its own".replace("${HOME}", "")
    description["notifications"] = {
        "ops": {"type": "webhook", "url": "http://127.0.0.1/$$x", "headers": {"Authorization": "Bearer $$1"}},
        "mail": {
            "type": "email",
            "host": "127.0.0.1",
            "sender": "a@b.example",
            "to": ["c@d.example"],
            "password": "p$$",
        },
    }
    description["stores"]["cloud"] = {"type": "s3", "bucket": "b", "region": "eu-west-1", "credentials": "aws"}
    description["credentials"] = {"aws": {"access_key_id": "a", "secret_access_key": "s$$"}}
    (live.file.parent / "escrow.pem").write_bytes(escrow_pair()[0])
    description["keys"]["main"]["escrow_public_key"] = "escrow.pem"
    fleet = built(description, live.file.parent)
    assert parse(written(fleet.spec), {}, tmp_path / "elsewhere.yaml") == fleet.spec
