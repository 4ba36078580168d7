"""Whether a recovery that has ended can be taken back: found out before anything is changed for it."""

from backproof import catalog
from backproof.errors import NotFound, Obstructed
from backproof.recovery.context import Recovery, places, sharing
from backproof.recovery.journal import WHOLE, Journal, journals


def require_way_back(recovery: Recovery) -> None:
    """A recovery that has ended can be taken back: found out before the application is stopped for it.

    Raises:
        Obstructed: it can't; says what to do instead.
    """
    fleet, request, own = recovery.fleet, recovery.request, recovery.journal.recovery
    for plan in sharing(fleet, recovery.plan):
        known, _ = journals(places(fleet, plan, recovery.around.local), fleet.signer, plan, recovery.around.now)
        for each in known:
            if each.recovery > own and _stands(each):
                raise Obstructed(
                    f"{each.recovery} has replaced {request.live} since",
                    f"Take that one back first: backproof rollback {each.recovery} --reason '…'.",
                )
    if request.mode != "swap":
        _require_safety_backup(recovery)
        return
    aside = [] if request.lost else [recovery.live.to(request.aside)]
    if gone := [each.database for each in aside if not recovery.engine.exists(each)]:
        raise Obstructed(f"{gone[0]}, which was live before, is gone", _instead(recovery, "keep"))
    found = [each for one in (recovery.live, *aside) for each in recovery.engine.obstacles(one) if not each.acceptable]
    if found:
        raise Obstructed(
            "; ".join(f"{each.kind} {each.name}: {each.what.rstrip('.')}" for each in found),
            " ".join(dict.fromkeys(each.remedy for each in found)),
        )


def _stands(journal: Journal) -> bool:
    """Whether what it brought is live."""
    closed, mode = journal.closed, journal.facts(WHOLE, "opened").get("mode")
    return mode != "salvage" and (closed is None or closed.facts.get("result") == "recovered")


def _require_safety_backup(recovery: Recovery) -> None:
    facts = recovery.journal.facts("safety")
    if recovery.request.mode == "in-place" and recovery.request.lost:
        return
    if facts.get("backup") is None:
        raise Obstructed(f"there is no safety backup: {facts.get('why not')}", "There is nothing to bring back.")
    try:
        catalog.find(recovery.fleet, recovery.plan, str(facts["backup"]))
    except NotFound as error:
        raise Obstructed(
            f"the safety backup is gone: {error.fact}", f"Recover another: backproof list {recovery.plan}"
        ) from None


def _instead(recovery: Recovery, step: str) -> str:
    backup = recovery.journal.facts(step).get("backup")
    if backup is None:
        return f"No backup of it was sealed. Recover another: backproof list {recovery.plan}"
    return f"What it held is in {backup}: backproof recover {recovery.plan} --backup {backup} --reason '…'"
