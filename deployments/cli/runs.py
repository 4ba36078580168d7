"""``backproof backup`` and ``backproof verify``: the scheduler's own flows, run from a terminal."""

import os
import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from typing import TYPE_CHECKING, Any

import click

from backproof.errors import BackproofError, Damaged
from deployments.cli import exits, speaking
from deployments.cli.findings import print_proof, print_timings
from deployments.cli.session import Session, pass_session
from deployments.cli.wording import size

if TYPE_CHECKING:
    from backproof.fleet import Fleet
    from backproof.records import Proof, Timing
    from flows.record import BackupRun, VerificationRun


@click.command("backup", short_help="Take a backup, copy it to every store, and prove it.")
@click.argument("plan")
@click.option("--kind", type=click.Choice(["daily", "monthly", "manual"]), default="manual", show_default=True)
@click.option("--verify/--no-verify", default=True, show_default=True, help="Prove the backup by restoring it.")
@pass_session
def backup_command(session: Session, plan: str, kind: str, verify: bool) -> int:
    """Take a backup of PLAN, copy it to every store, and prove it by restoring it.

    Runs the scheduler's own flow: against PREFECT_API_URL where it is set, else against a private Prefect server. Exit
    status 3: the backup is safe; a copy, or the chance to prove it, is missing.
    """
    prepare(session, plan, warn=False)  # the run's own preflight warns
    from flows.backup import backup
    from flows.record import BackupRun

    run = BackupRun.model_validate(result(backup, plan, kind, verify))
    for sentence in run.problems:  # the warnings were told when preflight found them
        speaking.warn(sentence)
    session.answer({"run": run.model_dump(mode="json")}, lambda: _say_backup(run))
    return {"proven": exits.DONE, "sealed": exits.DONE, "degraded": exits.DEGRADED, "failed": exits.FAILED}[run.outcome]


@click.command("verify", short_help="Prove a backup by restoring it.")
@click.argument("plan")
@click.option("--backup", default="latest", show_default=True, metavar="ID", help="Its id, or latest.")
@click.option("--from", "store", metavar="STORE", help="Prove this store's copy; else the plan's last store's.")
@pass_session
def verify_command(session: Session, plan: str, backup: str, store: str | None) -> int:
    """Prove a backup of PLAN: restore it into a throwaway server, dump that again, and compare all of it.

    Exit status 1: the proof failed. Exit status 4: it could not run, which says nothing of the backup.
    """
    try:
        prepare(session, plan, store=store)
        from flows.record import VerificationRun
        from flows.verification import verification

        run = VerificationRun.model_validate(result(verification, plan, backup, store))
    except BackproofError as error:
        # A damaged manifest is a finding; anything else only kept us from looking.
        if isinstance(error, Damaged):
            raise
        session.fail(error)
        return exits.COULD_NOT_RUN
    session.answer({"run": run.model_dump(mode="json")}, lambda: _say_verification(run))
    return {"proven": exits.DONE, "failed": exits.FAILED, "could-not-run": exits.COULD_NOT_RUN}[run.outcome]


def prepare(session: Session, plan: str | None, warn: bool = True, store: str | None = None) -> "Fleet":
    """Check what can be checked without Prefect; then choose its server, before anything imports it."""
    fleet = session.fleet(plan, warn)
    if store is not None:
        fleet.store(store)
    from deployments.servers.prefect import ensure_api

    os.environ["BACKPROOF_FLEET"] = str(session.fleet_path.absolute())
    with redirect_stdout(sys.stderr):
        ensure_api()
    return fleet


def result(flow: Callable[..., Any], *parameters: object) -> dict[str, Any]:
    """Run a flow here and now; what it explains as an error of ours is raised as that."""
    from deployments.servers.terminal import terminal_run

    # Whatever a library prints must not get between us and whoever reads our document.
    with redirect_stdout(sys.stderr), terminal_run():
        given = flow(*parameters, return_state=True).result(raise_on_failure=False)
    if isinstance(given, BaseException):
        raise given
    result: dict[str, Any] = given
    return result


def _say_backup(run: "BackupRun") -> None:
    said = {
        "proven": "proven",
        "sealed": "sealed, and not proven",
        "degraded": "safe, but degraded",
        "failed": "NOT good",
    }
    speaking.say(f"{run.backup} of {run.plan} is {said[run.outcome]}.")
    speaking.say("")
    held = [copy.store for copy in run.copies if copy.committed]
    sizes = f"{size(run.stored_bytes)} stored, {size(run.plain_bytes)} of SQL, {size(run.live_bytes)} live"
    speaking.print_facts({"Copies": ", ".join(held), "Size": sizes})
    _say_proof(run.proof)
    _say_timings(run.timings)


def _say_verification(run: "VerificationRun") -> None:
    said = {"proven": "is proven", "failed": "is NOT good", "could-not-run": "could not be proven"}
    reason = f" {run.reason}" if run.proof is None else ""  # a proof tells its own
    speaking.say(f"{run.backup} of {run.plan}, from {run.store}, {said[run.outcome]}.{reason}")
    _say_proof(run.proof)
    _say_timings(run.timings)


def _say_proof(proof: "Proof | None") -> None:
    if proof is not None:
        speaking.say("")
        print_proof(proof)


def _say_timings(timings: "Sequence[Timing]") -> None:
    if timings:
        speaking.say("")
        print_timings(timings)
