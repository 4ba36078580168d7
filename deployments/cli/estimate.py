"""``backproof estimate``: how long would a recovery take now, and when does it take longer than promised?"""

from typing import TYPE_CHECKING

import click

from deployments.cli import exits, speaking
from deployments.cli.session import Session, pass_session
from deployments.cli.wording import rate, several, size, span

if TYPE_CHECKING:
    from backproof.measures import Forecast
    from backproof.recovery.estimate import Estimate


@click.command("estimate", short_help="How long would a recovery take? And when too long?")
@click.argument("plan")
@pass_session
def estimate_command(session: Session, plan: str) -> int:
    """Say how long a recovery of PLAN would take now, by what recovery tests, verifications and recoveries took.

    And when the database outgrows its recovery time objective. Read from the stores alone. Exit status 3: it takes
    longer than promised, or will within two quarters.
    """
    from datetime import UTC, datetime

    from backproof.forecast import soon
    from backproof.recovery.estimate import estimate

    now = datetime.now(UTC)
    found = estimate(session.fleet(plan, warn=False), plan, now)
    session.answer({"estimate": found.model_dump(mode="json")}, lambda: _say(found))
    return exits.DEGRADED if found.within is False or soon(found.forecast, now) else exits.DONE


def _say(found: "Estimate") -> None:
    limit = span(found.objective_seconds)
    speaking.say(
        f"Plan {found.plan}: {found.backup}, of a database of {size(found.live_bytes)}; the objective is {limit}."
    )
    takes = found.expected
    if takes is None:
        speaking.say(f"How long a recovery takes, nobody has measured: `backproof verify {found.plan}` does.")
        return
    speaking.say(f"A recovery takes about {span(takes.seconds)}, by {several(takes.points, 'measure')}.")
    if takes.seconds_low is not None and takes.seconds_high is not None:
        speaking.say(f"Nine times of ten it takes {span(takes.seconds_low)} to {span(takes.seconds_high)}.")
    if found.within is False:
        speaking.warn("that is longer than promised: use a faster server, or promise less (objectives.rto)")
    if found.phases:
        speaking.say("")
        speaking.say(f"As {found.measured_in} measured it:")
        rows = [
            [each.phase, span(each.elapsed_seconds), rate(each.bytes, each.elapsed_seconds)] for each in found.phases
        ]
        speaking.print_table(["Phase", "Time", "Rate"], rows)
        speaking.say("")
    speaking.say(_outlook(found.forecast))


def _outlook(found: "Forecast") -> str:
    if not found.known:
        return f"When the objective is outgrown can't be known: {found.why_not}."
    growth = (
        f"It grows by {size(round(found.growth_bytes_per_day or 0))} a day" if _grows(found) else "It does not grow"
    )
    if not found.warns:
        return f"{growth}; the objective is not outgrown within ten years."
    earliest, latest = (
        f"{at:%Y-%m-%d}" if at else "more than ten years ahead"
        for at in (found.outgrown_earliest, found.outgrown_latest)
    )
    day = f"{found.outgrown_at:%Y-%m-%d}" if found.outgrown_at else "an unknown day"
    return f"{growth}; the objective is outgrown on {day}, nine times of ten between {earliest} and {latest}."


def _grows(found: "Forecast") -> bool:
    return (found.growth_bytes_per_day or 0) >= 1
