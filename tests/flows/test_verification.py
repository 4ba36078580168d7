"""The flow ``verification``: which copy it takes, and that only a proof that ran and passed is called one."""

from typing import Any

import pytest

from backproof import catalog
from backproof.errors import ConnectionLost, NotFound
from backproof.records import Backup, Copy
from flows.verification import verification
from tests.support.manifests import TAKEN_AT
from tests.support.operations import BACKUP, Operations

pytestmark = pytest.mark.usefixtures("prefect_api", "fleet_file", "quick_retries")


@pytest.fixture(autouse=True)
def copies(monkeypatch: pytest.MonkeyPatch) -> list[Copy]:
    """What the stores hold: by default a committed copy in the first two, an archive without manifest in the third."""
    held = [
        Copy(store=store, archive=True, manifest=store != "secondary", stored_bytes=1)
        for store in ("secondary", "primary", "local")
    ]

    def find(_fleet: Any, _plan: str, backup: str, _store: str | None) -> tuple[tuple[Backup, ...], tuple[str, ...]]:
        if backup not in ("latest", BACKUP):
            raise NotFound(f"no backup {backup} was found", "Look again.")
        return (Backup(plan="shop", id=BACKUP, kind="daily", taken_at=TAKEN_AT, copies=tuple(held)),), ()

    monkeypatch.setattr(catalog, "find", find)
    return held


def run(*parameters: Any) -> tuple[Any, Any]:
    state = verification(*parameters, return_state=True)
    return state, state.result(raise_on_failure=False)


def test_it_proves_the_farthest_committed_copy(operations: Operations) -> None:
    state, record = run("shop")
    assert (state.name, record["outcome"], record["store"], record["backup"]) == (
        "Completed",
        "proven",
        "primary",
        BACKUP,
    )


def test_it_proves_the_copy_it_is_told_to(operations: Operations) -> None:
    _, record = run("shop", BACKUP, "local")
    assert record["store"] == "local"


def test_a_failed_proof_fails_it(operations: Operations) -> None:
    operations.verdict = "failed"
    state, record = run("shop")
    assert (state.is_failed(), record["outcome"]) == (True, "failed")


def test_a_server_that_keeps_going_away_is_no_verdict(operations: Operations) -> None:
    operations.fail("prove primary", ConnectionLost("the scratch server went away"), times=99)
    state, record = run("shop")
    assert (state.name, record["outcome"], record["proof"]) == ("Degraded", "could-not-run", None)
    assert operations.called("prove primary") == 6


def test_a_backup_that_is_nowhere_is_told(operations: Operations) -> None:
    state, error = run("shop", "backup_2020-01-01_000000")
    assert state.is_failed()
    assert isinstance(error, NotFound)
