"""What is right by the letter of fleet.yaml and should still be known. Pure; no clock, no server."""

from collections.abc import Callable, Iterator
from datetime import datetime
from itertools import combinations
from pathlib import Path

from backproof.fleet import timetable
from backproof.fleet.durations import spell
from backproof.fleet.specs import LocalStoreSpec, S3StoreSpec
from backproof.fleet.week_before import week_before
from backproof.fleet.whole import FleetSpec

_NAMED = 4
_EMPTIED_FOLDERS = tuple(map(Path, ("/tmp", "/var/tmp", "/dev/shm", "/run")))  # noqa: S108


def advice(spec: FleetSpec, now: datetime) -> list[str]:
    """Warnings, a sentence each: what would go wrong with a fleet that nobody has made a mistake in.

    Args:
        spec: the fleet.
        now: schedules are looked at for the year that begins then.
    """
    return [
        *_grouped(spec, without_escrow),
        *_grouped(spec, lambda spec, plan: _too_rare(spec, plan, now)),
        *_grouped(spec, _without_notice),
        *_same_place(spec),
        *_not_lasting(spec),
    ]


def without_escrow(spec: FleetSpec, plan: str) -> str | None:
    """What to say of a plan whose archives only one key opens, or none; None where all is well."""
    ring = spec.plans[plan].key
    if ring is None:
        return f"plan {plan} says encryption: none: whoever reaches a store can read its backups"
    if spec.keys[ring].escrow_private_key is not None and spec.keys[ring].escrow_public_key is None:
        return (
            f"plan {plan} seals no new backup for the escrow key, whose private half only opens earlier ones: "
            f"name its public half in keys.{ring}.escrow_public_key (openssl pkey -in PRIVATE -pubout)"
        )
    if spec.keys[ring].escrow_public_key is None:
        return (
            f"plan {plan} has no escrow key: if key ring {ring} is lost, so is every backup; "
            "make one with `backproof keys escrow` and keep it offline"
        )
    return None


def _grouped(spec: FleetSpec, question: Callable[[FleetSpec, str], str | None]) -> Iterator[str]:
    """What is said of many plans is said once."""
    said: dict[str, list[str]] = {}
    for plan in spec.plans:
        if warning := question(spec, plan):
            said.setdefault(warning.replace(f"plan {plan}", "", 1), []).append(plan)
    for warning, plans in said.items():
        if len(plans) <= _NAMED:
            yield from (f"plan {plan}{warning}" for plan in plans)
        else:
            more = f"the same is so of {len(plans) - 1:,} more plans, such as {', '.join(plans[1:_NAMED])}"
            yield f"plan {plans[0]}{warning} ({more})"


def _too_rare(spec: FleetSpec, plan: str, now: datetime) -> str | None:
    """A schedule can't keep a promise that is shorter than its own longest gap."""
    schedules, rpo = spec.plans[plan].schedules, spec.plans[plan].objectives.rpo
    crons = (*schedules.daily, *schedules.monthly)
    if not crons:
        return f"plan {plan} has no schedule: it is backed up only by hand, and its RPO is {spell(rpo)}"
    longest = timetable.longest_gap(crons, spec.timezone, now)
    if longest is None:
        return f"plan {plan} is backed up at most once in the year to come, and its RPO is {spell(rpo)}"
    gap, since = longest
    if gap <= rpo:
        return None
    return (
        f"plan {plan}: its schedules can't meet its RPO of {spell(rpo)}: "
        f"from {since:%Y-%m-%d %H:%M} UTC there is no backup for {spell(gap)}"
    )


def _without_notice(spec: FleetSpec, plan: str) -> str | None:
    """A week before some schedules can't be said as a schedule."""
    untold = [text for text in spec.plans[plan].schedules.recovery_test if week_before(text) is None]
    if not untold:
        return None
    return (
        f"plan {plan}: nobody hears of recovery tests ('{untold[0]}') a week before: no schedule can say when that is; "
        "name a day of the month, or one such as TUE#1"
    )


def _same_place(spec: FleetSpec) -> Iterator[str]:
    """Two copies that one outage takes."""
    told: set[tuple[str, str]] = set()
    for name, plan in spec.plans.items():
        for first, second in combinations(plan.stores, 2):
            one, other = spec.stores[first], spec.stores[second]
            if (first, second) not in told and _where(one) == _where(other) is not None:
                told.add((first, second))
                place = f"in region {one.region}" if isinstance(one, S3StoreSpec) else "in the same folder"
                at = f" at {one.endpoint_url}" if isinstance(one, S3StoreSpec) and one.endpoint_url else ""
                yield f"stores {first} and {second} of plan {name} are both {place}{at}: one outage takes both"


def _where(store: LocalStoreSpec | S3StoreSpec) -> tuple[str, str | None] | None:
    if isinstance(store, S3StoreSpec):
        return (store.region, store.endpoint_url)
    return ("folder", str(store.path))


def _not_lasting(spec: FleetSpec) -> Iterator[str]:
    """A folder that is gone tomorrow."""
    used = {store for plan in spec.plans.values() for store in plan.stores}
    for name, store in spec.stores.items():
        if name not in used or not isinstance(store, LocalStoreSpec):
            continue
        if spec.work_pool.type != "process":
            yield (
                f"store {name} is a folder, and runs of a {spec.work_pool.type} work pool live on a machine that does "
                "not last: what lies there goes with it, unless it is a volume"
            )
        elif any(store.path.is_relative_to(folder) for folder in _EMPTIED_FOLDERS):
            yield f"store {name} is a folder that the system empties: {store.path}"
