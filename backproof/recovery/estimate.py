"""How long a recovery of a plan would take now, by what was measured; against what is promised."""

from datetime import datetime

from backproof import catalog
from backproof.errors import BackproofError
from backproof.fleet import Fleet
from backproof.holdings import listed
from backproof.measures import Expected, Forecast
from backproof.records import Record, Timing
from backproof.recovery.measured import IN_A_RECOVERY, measures, newest_proof, past_tests
from backproof.recovery.report import objective


class Estimate(Record):
    """What a recovery now would take."""

    plan: str
    backup: str
    """The newest proven one."""
    live_bytes: int
    """Of the database when that was taken."""
    objective_seconds: float
    expected: Expected | None
    """None: nobody has measured a restoration."""
    phases: tuple[Timing, ...]
    """As they were measured last."""
    measured_in: str | None
    """The recovery test, or the backup whose verification that was; None: nothing was measured."""
    forecast: Forecast

    @property
    def within(self) -> bool | None:
        """Whether it takes no longer than promised; None: nobody knows."""
        return None if self.expected is None else self.expected.seconds <= self.objective_seconds


def estimate(fleet: Fleet, plan: str, now: datetime) -> Estimate:
    """Estimate a recovery of the newest proven backup.

    Args:
        fleet: where the plan is found.
        plan: its name.
        now: aware UTC.

    Raises:
        NotFound: the plan has no proven backup.
        BackproofError: no store could be asked.
    """
    from backproof import forecast  # numpy takes a moment to load

    manifest, _ = catalog.manifest(fleet, plan, "latest-proven")
    history, size = measures(fleet, plan, now), manifest.database.live_bytes
    limit = objective(size, fleet.plan(plan).objectives.rto)
    measured_in, phases = _phases(fleet, plan, manifest.id)
    return Estimate(
        plan=plan,
        backup=manifest.id,
        live_bytes=size,
        objective_seconds=limit.total_seconds(),
        expected=forecast.expected(history, size),
        phases=phases,
        measured_in=measured_in,
        forecast=forecast.forecast(history, limit, size, now),
    )


def _phases(fleet: Fleet, plan: str, backup: str) -> tuple[str | None, tuple[Timing, ...]]:
    """Of the newest recovery test that came to its end; without one, what a proof of that backup has in common."""
    stores = fleet.plan(plan).stores
    for test in reversed(past_tests(fleet, plan, stores)):
        if test.recovery_seconds is not None and test.phases:
            return test.test, test.phases
    try:
        held = next(each for each in listed(fleet, plan, stores).found if each.id == backup and each.said_to_pass)
    except (StopIteration, BackproofError):
        return None, ()
    proof = newest_proof(fleet, held)
    phases = tuple(each for each in proof.timings if each.phase in IN_A_RECOVERY) if proof else ()
    return (backup, phases) if phases else (None, ())
