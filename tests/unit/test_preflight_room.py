"""Room is looked at before anything is dumped, by what the last backup took."""

from pathlib import Path

import pytest

from backproof.fleet import Fleet
from backproof.operations import preflight as preflights
from backproof.operations.preflight import preflight, require
from backproof.records import Finding
from tests.support.fleets import PLAN, built, described
from tests.support.manifests import DATABASE, manifest_of
from tests.unit.test_catalog import NOWHERE

TERABYTES = 10**15


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return built(described(NOWHERE, tmp_path), tmp_path)


def found(fleet: Fleet, monkeypatch: pytest.MonkeyPatch, stored_bytes: int, live_bytes: int) -> dict[str, Finding]:
    database = DATABASE.model_copy(update={"live_bytes": live_bytes})
    last = manifest_of(stored_bytes=stored_bytes, database=database)
    monkeypatch.setattr(preflights.catalog, "manifest", lambda *_: (last, "near"))
    return {finding.check: finding for finding in preflight(fleet, PLAN)}


def test_a_store_too_small_for_another_backup_fails_the_check(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    findings = found(fleet, monkeypatch, TERABYTES, 1)
    assert findings["store near"].status == "failed"
    assert "a backup needs" in findings["store near"].found
    assert findings["store near"].remedy


def test_a_scratch_folder_too_small_for_a_proof_is_a_warning(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    findings = found(fleet, monkeypatch, 1, TERABYTES)
    assert findings["scratch folder"].status == "warning"
    assert findings["store near"].status == "ok"


def test_a_store_that_may_be_too_small_for_a_first_backup_is_a_warning(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = Finding(check="database", status="ok", found="reached", live_bytes=TERABYTES)
    monkeypatch.setattr(type(fleet.engine(PLAN)), "findings", lambda *_: [found])
    findings = {finding.check: finding for finding in preflight(fleet, PLAN)}
    assert findings["store near"].status == "warning"
    assert "a first backup may need" in findings["store near"].found
    assert findings["scratch folder"].status == "warning"
    require(findings.values())


def test_room_enough_is_said_to_be_there(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    findings = found(fleet, monkeypatch, 1, 1)
    assert (findings["scratch folder"].status, findings["store near"].status) == ("ok", "ok")
