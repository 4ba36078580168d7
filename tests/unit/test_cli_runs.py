"""How the end of a run becomes an exit status, a document and words."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from backproof.errors import AccessDenied, BackproofError, BadSignature, ConnectionLost, DumpFailed, NotFound
from backproof.records import CheckResult, Difference, Proof, Timing, Verdict
from deployments.cli import main, runs
from flows.record import BackupRun, CopyResult, VerificationRun
from tests.support.documents import check_keys, example

MOMENT = datetime(2025, 11, 7, 2, 0, 21, tzinfo=UTC)
TIMINGS = (Timing(phase="seal", started_at=MOMENT, elapsed_seconds=1.4, bytes=11_824_911),)
Run = Callable[..., Result]
DIFFERENCE = Difference(object="TRIGGER public.orders audit", what="is missing")


def proof(verdict: Verdict) -> Proof:
    return Proof(
        plan="shop",
        backup="backup_2025-11-07_020000",
        store="far",
        verdict=verdict,
        reason="1 object differs" if verdict == "failed" else "all of it came back",
        started_at=MOMENT,
        finished_at=MOMENT,
        stored_sha256="0" * 64,
        backproof_version="0.1.0",
        proven_on="scratch",
        server_version="16.14",
        differences=(DIFFERENCE,) if verdict == "failed" else (),
        checks=(CheckResult(name="recent orders", passed=True, found="7", expect="> 0"),),
        not_covered=("Role passwords are not in a backup.",),
        timings=TIMINGS,
    )


def backup_run(outcome: str) -> BackupRun:
    degraded = outcome == "degraded"
    return BackupRun(
        plan="shop",
        kind="manual",
        backup="backup_2025-11-07_020000",
        taken_at=MOMENT,
        outcome=outcome,  # type: ignore[arg-type]
        stored_bytes=4_213_544,
        plain_bytes=11_824_911,
        live_bytes=31_064_547,
        copies=(
            CopyResult(store="near", committed=True, stored_bytes=4_213_544),
            CopyResult(store="far", committed=not degraded, reason="503 Slow Down" if degraded else ""),
        ),
        proof={"proven": proof("passed"), "failed": proof("failed")}.get(outcome),
        problems=("no copy in far: 503 Slow Down",) if degraded else (),
        warnings=("escrow key: the plan has none.",),
        timings=TIMINGS,
    )


def verification_run(outcome: str) -> VerificationRun:
    return VerificationRun(
        plan="shop",
        backup="backup_2025-11-07_020000",
        store="far",
        outcome=outcome,  # type: ignore[arg-type]
        reason="no binaries of PostgreSQL 14 are here" if outcome == "could-not-run" else "as the proof says",
        proof={"proven": proof("passed"), "failed": proof("failed")}.get(outcome),
        timings=TIMINGS,
    )


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], Run]:
    """A command whose flow ends as it is told. That real flows end so is shown in tests/flows and tests/integration."""

    def ends(end: Any) -> Run:
        def result(flow: object, *parameters: object) -> dict[str, Any]:
            if isinstance(end, BaseException):
                raise end
            given: dict[str, Any] = end.model_dump(mode="json")
            return given

        monkeypatch.setattr(runs, "prepare", lambda *given, **named: None)
        monkeypatch.setattr(runs, "result", result)
        return lambda *arguments: CliRunner().invoke(main, arguments, prog_name="backproof")

    return ends


@pytest.mark.parametrize(("outcome", "status"), [("proven", 0), ("sealed", 0), ("degraded", 3), ("failed", 1)])
def test_a_backup_ends_with_the_status_of_its_outcome(ends: Callable[[Any], Run], outcome: str, status: int) -> None:
    run = ends(backup_run(outcome))
    assert run("backup", "shop").exit_code == status
    as_json = run("--json", "backup", "shop")
    assert as_json.exit_code == status
    document = json.loads(as_json.stdout)
    assert document["run"]["outcome"] == outcome
    check_keys(document, example("backup"))


@pytest.mark.parametrize(("outcome", "status"), [("proven", 0), ("failed", 1), ("could-not-run", 4)])
def test_a_verification_ends_with_the_status_of_its_outcome(
    ends: Callable[[Any], Run], outcome: str, status: int
) -> None:
    run = ends(verification_run(outcome))
    assert run("verify", "shop").exit_code == status
    as_json = run("--json", "verify", "shop")
    assert as_json.exit_code == status
    check_keys(json.loads(as_json.stdout), example("verify"))


def test_a_failed_proof_names_the_objects_and_never_looks_like_a_pass(ends: Callable[[Any], Run]) -> None:
    shown = ends(backup_run("failed"))("backup", "shop").stdout
    assert "is NOT good" in shown
    assert "differs: TRIGGER public.orders audit: is missing" in shown
    assert "proven" not in shown


def test_a_degraded_backup_says_on_stderr_what_is_missing(ends: Callable[[Any], Run]) -> None:
    result = ends(backup_run("degraded"))("backup", "shop")
    assert "warning: no copy in far: 503 Slow Down" in result.stderr
    assert "Copies   near\n" in result.stdout


def test_a_proof_says_what_it_does_not_cover(ends: Callable[[Any], Run]) -> None:
    assert "not covered: Role passwords" in ends(verification_run("proven"))("verify", "shop").stdout


def test_a_backup_that_fails_is_one_fact_and_a_remedy_without_a_traceback(ends: Callable[[Any], Run]) -> None:
    run = ends(DumpFailed("pg_dump ended with status 1", "Run `backproof doctor`."))
    result = run("backup", "shop")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr == "error: pg_dump ended with status 1.\nRun `backproof doctor`.\n"


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ConnectionLost("the server went away"), 4),
        (AccessDenied("the bucket is forbidden"), 4),
        (BadSignature("the manifest is not signed by a key this fleet trusts"), 1),
        (NotFound("there is no backup"), 4),
    ],
)
def test_a_verification_that_only_could_not_look_is_told_from_one_that_found_something(
    ends: Callable[[Any], Run], error: BackproofError, status: int
) -> None:
    result = ends(error)("--json", "verify", "shop")
    assert result.exit_code == status
    document = json.loads(result.stdout)
    assert document["error"]["fact"] == error.fact
    check_keys(document, example("error"))


def test_an_interrupted_run_ends_as_shells_expect(ends: Callable[[Any], Run]) -> None:
    result = ends(KeyboardInterrupt())("backup", "shop")
    assert result.exit_code == 130
    assert "Traceback" not in result.output


def test_verify_without_a_fleet_file_could_not_run(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["--fleet", str(tmp_path / "fleet.yaml"), "verify", "shop"])
    assert result.exit_code == 4
