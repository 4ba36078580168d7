"""The flow ``backup``: take a backup of a plan, copy it to every store, and prove that it comes back."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.futures import PrefectFuture, wait
from prefect.states import Completed, Failed

from backproof.errors import BackproofError
from backproof.operations.copy import Copied
from blocks import load_fleet
from flows.fields import BackupKind, PlanName, Prove
from flows.naming import run_name, tag
from flows.overdue import one_for_all, scheduled_kind
from flows.record import BackupRun, backup_run
from flows.summary import backup_summary
from tasks.copy import copy
from tasks.deadlines import renew
from tasks.look_back import look_back
from tasks.preflight import preflight
from tasks.prove import prove
from tasks.publish import PROVEN, publish
from tasks.seal import seal
from tasks.stopping import stopping_cleanly
from tasks.sweep import sweep

T = TypeVar("T")


@flow(name="backup", flow_run_name=run_name, persist_result=False)
def backup(plan: PlanName, kind: BackupKind = "manual", verify: Prove = True) -> State:
    """Take a backup of a plan, copy it to every store, and prove that it comes back.

    Args:
        plan: What to back up. A plan says which database, into which stores, and what is checked.
        kind: How long it is kept depends on it, as the plan's `retention` says. By hand, `manual` is right.
        verify: Restore it into a throwaway server, dump that again, compare everything: only then it is proven.

    Returns:
        ``Completed``, ``Completed`` named ``Degraded`` (the backup is safe; a copy, or the chance to prove, is missing)
        or ``Failed`` (a proof that failed). The data is a ``BackupRun`` as plain JSON.

    Raises:
        BackproofError: there is no backup, and why.
    """
    with stopping_cleanly():
        tag(plan)
        if (skipped := one_for_all()) is not None:
            return skipped
        kind = scheduled_kind(kind)
        sweep.submit(plan).wait()
        findings = preflight.submit(plan).result()
        sealed = seal.submit(plan, kind).result()

        stores = load_fleet(plan).plan(plan).stores
        copies = {
            store: copy.submit(plan, sealed.backup, sealed.store, store, sealed.stored_bytes)
            for store in stores
            if store != sealed.store
        }
        proof = None
        if verify:
            farthest = _farthest(sealed.store, stores, copies)
            proof = prove.submit(plan, sealed.backup, farthest, sealed.plain_bytes)
        everything: list[PrefectFuture[Any]] = [*copies.values(), *([proof] if proof else [])]
        wait(everything)

        copied = {store: _outcome(copying) for store, copying in copies.items()}
        proved = _outcome(proof) if proof else None
        warnings = tuple(finding.line() for finding in findings if finding.status == "warning")
        run = backup_run(plan, kind, stores, sealed, copied, proved, warnings)
        history = _outcome(look_back.submit(plan, sealed.taken_at))
        publish.submit(
            f"{plan}-backup", backup_summary(run, history), run.outcome, _event(run), plan, _facts(run)
        ).wait()
        if proved is not None:
            renew.submit(plan).wait()
        return _state(run)


def _farthest(sealed_into: str, stores: Sequence[str], copies: Mapping[str, PrefectFuture[Copied]]) -> str:
    """The copy a disaster would leave: of the plan's last store, once it is there; else of the one before.

    The other copies go on meanwhile, and while it is proven.
    """
    for store in reversed(stores):
        if store == sealed_into:
            return store
        copies[store].wait()
        if copies[store].state.is_completed():
            return store
    return sealed_into


def _outcome(future: "PrefectFuture[T]") -> T | BackproofError:
    """What a step gave, or the error that we know how to explain; any other is a mistake of ours and fails the run."""
    given = future.result(raise_on_failure=False)
    if isinstance(given, BaseException) and not isinstance(given, BackproofError):
        raise given
    return given


def _event(run: BackupRun) -> str | None:
    """A degraded backup may be proven too: a copy is missing, but what there is came back."""
    return PROVEN if run.proof is not None and run.proof.verdict == "passed" else None


def _facts(run: BackupRun) -> dict[str, Any]:
    return run.model_dump(mode="json", include={"plan", "kind", "backup", "taken_at", "stored_bytes", "live_bytes"})


def _state(run: BackupRun) -> State:
    data = run.model_dump(mode="json")
    if run.outcome == "failed" and run.proof:
        return Failed(message=f"The proof of {run.backup} failed. {run.proof.reason}", data=data)
    if run.outcome == "degraded":
        return Completed(name="Degraded", message=f"{run.backup} is safe. {' '.join(run.problems)}", data=data)
    return Completed(message=f"{run.backup} is {run.outcome}.", data=data)
