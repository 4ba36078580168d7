"""How plans stand, as metrics for Prometheus: for the textfile collector of a node exporter."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from prometheus_client import generate_latest, write_to_textfile
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from backproof.objectives import LEVELS

if TYPE_CHECKING:
    from backproof.operations.status import PlanStatus

_Value = bool | int | datetime | timedelta | None

_METRICS: dict[str, tuple[str, tuple[str, ...]]] = {
    "backup_timestamp_seconds": ("When the newest backup was taken.", ()),
    "backup_size_bytes": ("The newest backup as it is stored.", ()),
    "backup_usual_size_bytes": ("The median size of the backups before the newest.", ()),
    "backup_proven": ("Whether the newest backup is proven.", ()),
    "backup_copy_good": ("Whether a store holds a whole copy of the newest backup that did not fail.", ("store",)),
    "proven_backup_timestamp_seconds": ("When the newest proven backup was taken.", ()),
    "proof_timestamp_seconds": ("When the newest proven backup was last proven.", ()),
    "rpo_seconds": ("How old the newest proven backup may become.", ()),
    "rpo_grace_seconds": ("How much later than that the alarm is raised.", ()),
    "rpo_met": ("Whether a proven backup is within the objective and its grace.", ()),
    "next_backup_timestamp_seconds": ("When the next backup is to be taken by schedule.", ("kind",)),
    "store_reachable": ("Whether a store could be asked for the backups of a plan.", ("store",)),
    "plan_status": ("How a plan stands: 1 for its status, 0 for the others.", ("status",)),
}
"""Name without ``backproof_`` to what it means and its labels beside ``fleet`` and ``plan``."""


def text(fleet: str, plans: "Sequence[PlanStatus]", now: datetime) -> str:
    """The metrics in Prometheus's text format."""
    return generate_latest(_Plans(fleet, plans, now)).decode()


def write(path: Path, fleet: str, plans: "Sequence[PlanStatus]", now: datetime) -> None:
    """The same into a file, in one step: whoever reads it sees the old ones or the new."""
    write_to_textfile(str(path), _Plans(fleet, plans, now))


class _Plans(Collector):
    def __init__(self, fleet: str, plans: "Sequence[PlanStatus]", now: datetime) -> None:
        self._fleet = fleet
        self._plans = plans
        self._now = now

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Each metric with all its samples; what is not known has none."""
        asked = GaugeMetricFamily("backproof_status_timestamp_seconds", "When the stores were asked.", labels=["fleet"])
        asked.add_metric([self._fleet], self._now.timestamp())
        yield asked
        made = {
            name: GaugeMetricFamily(f"backproof_{name}", about, labels=["fleet", "plan", *labels])
            for name, (about, labels) in _METRICS.items()
        }
        for plan in self._plans:
            for name, labels, value in _samples(plan):
                if value is not None:
                    made[name].add_metric([self._fleet, plan.standing.plan, *labels], _number(value))
        yield from made.values()


def _samples(plan: "PlanStatus") -> Iterator[tuple[str, tuple[str, ...], _Value]]:
    standing = plan.standing
    newest, proven = standing.newest, standing.proven
    if newest is not None:
        yield "backup_timestamp_seconds", (), newest.taken_at
        yield "backup_size_bytes", (), standing.stored_bytes
        yield "backup_usual_size_bytes", (), standing.usual_bytes
        yield "backup_proven", (), newest.proven_at is not None
        for copy in standing.copies:
            if copy.state != "unknown":
                yield "backup_copy_good", (copy.store,), copy.state == "good"
    if proven is not None:
        yield "proven_backup_timestamp_seconds", (), proven.taken_at
        yield "proof_timestamp_seconds", (), proven.proven_at
    yield "rpo_seconds", (), standing.rpo
    yield "rpo_grace_seconds", (), standing.grace
    yield "rpo_met", (), standing.kept
    if plan.next_run is not None:
        yield "next_backup_timestamp_seconds", (plan.next_run.kind,), plan.next_run.at
    for copy in standing.copies:
        yield "store_reachable", (copy.store,), copy.state != "unknown"
    for level in LEVELS:
        yield "plan_status", (level,), standing.level == level


def _number(value: bool | int | datetime | timedelta) -> float:
    if isinstance(value, datetime):
        return value.timestamp()
    return value.total_seconds() if isinstance(value, timedelta) else float(value)
