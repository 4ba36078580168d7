"""What a recovery test does, step by step, and what each needs of those before it.

A step that fails takes nothing with it but what needs it: the others still show what they can.
"""

from collections.abc import Callable
from dataclasses import dataclass

from backproof import runbook
from backproof.alarms import Message, moment
from backproof.errors import AccessDenied, BackproofError, CannotProve, ConfigurationError, MissingTool, NoSpace
from backproof.recovery_test import downloading, login, rollback, staging
from backproof.recovery_test.context import Rehearsal
from backproof.recovery_test.downloading import DECOMPRESSION, DOWNLOADS
from backproof.recovery_test.judging import responsible
from backproof.recovery_test.rollback import REHEARSED
from backproof.recovery_test.staging import CONNECTS, CRITICAL, FUNCTIONS, RESTORE

DOCUMENTED = "Documentation accurate"

Work = Callable[[Rehearsal], None]


@dataclass(frozen=True)
class Step:
    """One step."""

    name: str
    """Of its phase, too."""
    work: Work
    needs: tuple[str, ...] = ()
    """Steps that must have ended well."""
    judges: tuple[str, ...] = ()
    """Points that fail with it; and are not run where it can't be."""
    counted: bool = False
    """Whether a recovery has it as well."""
    blameless: tuple[type[BackproofError], ...] = ()
    """Errors that say nothing of the backup: then its points are not run."""
    tries: int = 1
    """How often it is begun when what stands in the way may pass."""
    timed: bool = True
    """Whether it is one phase."""
    matters: bool = True
    """Whether a test in which it fails has not passed; where it judges points, they say so."""


def announce(rehearsal: Rehearsal) -> None:
    """Tell the team that it begins."""
    fleet, plan = rehearsal.fleet, rehearsal.plan
    its = fleet.plan(plan)
    who = responsible(rehearsal.spec, its.escalation)
    rehearsal.told = rehearsal.around.tell(
        Message(
            f"{plan}: a recovery test has begun",
            f"Plan: {plan}\nWhat: a backup of {its.database} is brought back on a staging server; nothing live is "
            f"touched\nSince: {moment(rehearsal.started_at)}\nResponsible: {who}\n"
            f"What to do: Nothing. Its report follows. Id: {rehearsal.test}",
        )
    )


def documentation(rehearsal: Rehearsal) -> None:
    """The runbook's commands, executed; and when somebody has read it."""
    with rehearsal.runner(rehearsal.fleet) as run:
        point = runbook.documentation(rehearsal.fleet, rehearsal.plan, rehearsal.around.now(), run)
    rehearsal.judge(DOCUMENTED, point.status, point.evidence)


_CANNOT_RUN = (AccessDenied, CannotProve, ConfigurationError, MissingTool, NoSpace)

STEPS: tuple[Step, ...] = (
    Step("tell the team", announce, timed=False, matters=False),
    Step("download", downloading.download, (), (DOWNLOADS,), counted=True, blameless=(NoSpace,), tries=3),
    Step("decrypt and decompress", downloading.decompress, ("download",), (DECOMPRESSION,), counted=True),
    Step(
        "make a place", staging.make_place, ("decrypt and decompress",), (RESTORE,), counted=True, blameless=_CANNOT_RUN
    ),
    Step("restore", staging.restore, ("make a place",), (RESTORE,), counted=True),
    Step("verify", staging.verify, ("restore",), (RESTORE,), counted=True),
    Step("write the proof", staging.write_proof, ("verify",), timed=False),
    Step("look up production", staging.know_production),
    Step("critical data", staging.critical_data, ("verify",), (CRITICAL,), counted=True),
    Step("mask and switch off", staging.shield, ("restore",), (CONNECTS,)),
    Step("let the application in", login.admit, ("mask and switch off",), (CONNECTS,), blameless=(AccessDenied,)),
    Step("start the application", staging.start_application, ("let the application in",), (CONNECTS,), counted=True),
    Step("critical tests", staging.critical_tests, ("start the application",), (FUNCTIONS,), counted=True),
    Step("all tests", staging.full_tests, ("critical tests",), (FUNCTIONS,)),
    Step("stop the application", staging.stop_application, (), (CONNECTS,)),
    Step("rehearse a rollback", rollback.rehearse, ("restore",), (REHEARSED,), timed=False),
    Step("check the documentation", documentation, (), (DOCUMENTED,)),
)
