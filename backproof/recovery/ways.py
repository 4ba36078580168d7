"""In which order the steps of a recovery follow each other, for each of its modes."""

from collections.abc import Mapping, Sequence

from backproof.recovery.context import Mode, Recovery
from backproof.recovery.sealing import keep, not_sealed, proven_safety, safety
from backproof.recovery.steps import (
    CHECK,
    NOTIFY,
    OFF,
    ON,
    PREPARE,
    TRIAL,
    WATCH,
    Group,
    Step,
    drop,
    exchange,
    inspection,
    nobody_there,
    plan_exchange,
    restore,
)
from backproof.recovery.tables import SALVAGE, TABLES

SWAP: Sequence[Group] = (
    (CHECK,),
    (PREPARE,),
    (NOTIFY,),
    (
        Step("restore", "restore beside the live database", restore, tries=5),
        Step("safety", "seal a safety backup", safety, tries=5, idle=not_sealed),
    ),
    (Step("inspect", "inspect what was restored", inspection, tries=2),),
    (ON,),
    (Step("exchange", "swap", exchange, plan_exchange, live=True, tries=5),),
    (TRIAL,),
    (OFF,),
    (WATCH,),
    (Step("keep", "seal and prove what was set aside", keep, settled=True, tries=3),),
)

IN_PLACE: Sequence[Group] = (
    (CHECK,),
    (PREPARE,),
    (NOTIFY,),
    (ON,),
    (Step("safety", "seal and prove a safety backup", proven_safety, live=True, tries=5, idle=not_sealed),),
    (Step("drop", "drop the live database", drop, live=True),),
    (Step("restore", "restore in its place", restore, nobody_there, live=True, tries=5),),
    (Step("inspect", "inspect what was restored", inspection, live=True, tries=2),),
    (TRIAL,),
    (OFF,),
    (WATCH,),
)


WAYS: Mapping[Mode, Sequence[Group]] = {"swap": SWAP, "in-place": IN_PLACE, "tables": TABLES, "salvage": SALVAGE}


def way(recovery: Recovery) -> Sequence[Group]:
    """The steps of a recovery, in order."""
    left_out = {"keep", "drop"} if recovery.request.lost else set()
    if not recovery.request.no_safety_backup:
        left_out.add("drop-kept")
    return [group for group in WAYS[recovery.request.mode] if group[0].name not in left_out]
