"""What a person finds at a deployment in the UI: lists to pick from in its form, and its description. Pure."""

from collections.abc import Iterable
from typing import Any

from backproof.fleet import FleetSpec

_WHAT_IT_LEAVES = (
    "**What a run leaves.** Its page shows each step as it goes; under **Artifacts**, rate and time left, and in the "
    "end `{key}`: {what}."
)
_ENDS = (
    "**How a run ends.** *Completed*: all of it is well. *Degraded*: the backup is safe, but a copy, or the chance to "
    "prove it, is missing. *Failed*: there is no backup, or a proof that failed; the last lines of the log say why and "
    "what to do."
)


def offer(fields: dict[str, Any], fleet: str, plans: Iterable[str], stores: Iterable[str]) -> None:
    """Let a form ask for a fleet, a plan, plans or a store with a list of those there are.

    Args:
        fields: the ``properties`` of a flow's parameter schema; changed in place.
        fleet: the only one to offer.
        plans: the names to offer.
        stores: the names to offer.
    """
    if "fleet" in fields:
        fields["fleet"]["enum"] = [fleet]
    if "plan" in fields:
        fields["plan"]["enum"] = sorted(plans)
    if "plans" in fields:
        fields["plans"]["items"] = {"type": "string", "enum": sorted(plans)}
    if "store" in fields:
        # Not "text or null", which the UI asks for with two switches: whoever picks nothing sends nothing.
        kept = {name: value for name, value in fields["store"].items() if name not in ("anyOf", "default")}
        fields["store"] = kept | {"type": "string", "enum": sorted(stores)}


def plan_backup(spec: FleetSpec, plan: str) -> str:
    """The description of ``<plan>-backup``, in markdown."""
    its = spec.plans[plan]
    engine = spec.databases[its.database].engine
    first, *others = its.stores
    copies = f", copied to {_and(others)}" if others else ""
    where = {"scratch": "a throwaway server", "server": "a temporary database of its own server"}[its.verify_on]
    return "\n\n".join(
        (
            f"Backs up **{its.database}** ({engine}): sealed into **{first}**{copies}, and proven by restoring the "
            f"copy in **{its.stores[-1]}** on {where}, dumping it again and comparing everything.",
            "**When.** On the schedules at the right, each of which can be switched off. By hand: **Run**, then "
            "**Quick run**, then **Run**; it counts as `manual`, which decides how long it is kept.",
            _WHAT_IT_LEAVES.format(key=f"{plan}-backup", what="sizes, copies, the proof, times, and earlier backups"),
            _ENDS,
        )
    )


def plan_recovery_test(spec: FleetSpec, plan: str) -> str:
    """The description of ``<plan>-recovery-test``, in markdown."""
    its = spec.plans[plan]
    staging = its.recovery_test.staging.database
    where = f"the server of **{staging}**" if staging else "a throwaway server"
    return "\n\n".join(
        (
            f"Rehearses the recovery of **{its.database}** by the stopwatch: a backup is fetched from a cloud copy, "
            f"brought back on {where}, compared with production, and used by the application. Nothing live is touched.",
            "**When.** On the schedule at the right, by default the first Tuesday of each quarter; the team hears of "
            "it a week before. By hand: **Run**, then **Quick run**, then **Run**.",
            _WHAT_IT_LEAVES.format(key=f"{plan}-recovery-test", what="the checklist with its evidence, and all times"),
            _TEST_ENDS,
        )
    )


def plan_notice(spec: FleetSpec, plan: str) -> str:
    """The description of ``<plan>-recovery-test-notice``, in markdown."""
    return "\n\n".join(
        (
            f"A week before each recovery test of **{plan}**: tells the team, looks at what the test will need, and "
            "records the state of production that the test is held against.",
            "**When.** On the schedule at the right, exactly a week before. Nobody needs to start it.",
        )
    )


_TEST_ENDS = (
    "**How a run ends.** *Completed*: every point passed. *Degraded*: not all of it was run, which is no pass. "
    "*Failed*: a point failed, or it took longer than the objective. The report is in every store of the plan: "
    "`backproof reports pull`."
)
_RECOVERY_ENDS = (
    "**How a run goes on.** It shows what it would do, and waits for approval: open the run, **Resume**, type the "
    "database's name. *Completed*: the backup is live; the former database is set aside. *Cancelled*: nobody approved. "
    "*Failed*: taken back, or nothing was changed; the last lines of the log say why and what to do."
)


def by_hand(spec: FleetSpec, flow: str, first_line: str) -> str:
    """The description of ``<fleet>.<flow>``, which a person starts for a plan from a list; in markdown."""
    return "\n\n".join(
        (
            first_line,
            f"**How.** **Run**, then **Custom run**; pick one of the {len(spec.plans)} plans of fleet "
            f"**{spec.fleet}**; **Submit**. The list is that of fleet.yaml.",
            _WHAT_IT_LEAVES.format(key=f"PLAN-{flow}", what="what was found, in numbers"),
            {"recovery": _RECOVERY_ENDS, "recovery-test": _TEST_ENDS}.get(flow, _ENDS),
        )
    )


def for_all(spec: FleetSpec, flow: str, first_line: str) -> str:
    """The description of ``<fleet>.<flow>``, which goes over a fleet's plans; in markdown."""
    return "\n\n".join(
        (
            first_line,
            f"**When.** On the schedule at the right, for all {len(spec.plans)} plans of fleet **{spec.fleet}**. By "
            "hand: **Run**, then **Quick run** for all of them, or **Custom run** to choose some.",
            "**What a run leaves.** A summary under **Artifacts** of its page. A plan that fails stops no other: the "
            "run is then *Degraded*, and says which.",
        )
    )


def _and(names: list[str]) -> str:
    *others, last = (f"**{name}**" for name in names)
    return f"{', '.join(others)} and {last}" if others else last
