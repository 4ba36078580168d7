"""Taking a recovery back: what was live becomes live again, whatever was done since."""

from collections.abc import Sequence

from backproof.alarms import Message, moment
from backproof.archive.reader import ArchiveReader
from backproof.errors import NotFound, RestoreFailed
from backproof.operations.good_copy import from_a_good_copy
from backproof.operations.restore import filled
from backproof.recovery.context import Recovery
from backproof.recovery.entries import Facts
from backproof.recovery.inspecting import inspect
from backproof.recovery.journal import ROLLBACK
from backproof.recovery.sealing import not_sealed, proven, safety, sealed_when_free
from backproof.recovery.steps import Group, Step, lacking, planned_exchange, told_nobody
from backproof.recovery.tables import BACK
from backproof.recovery.ways import way


def is_live_changed(recovery: Recovery) -> bool:
    """Whether anything of the live database, or of what lives on it, was begun to be changed."""
    return any(step.live and recovery.journal.last(step.name, "begun") for group in way(recovery) for step in group)


def back_safety(recovery: Recovery) -> Facts:
    """What users have written since is sealed before it goes; what stays beside is theirs, too."""
    return safety(recovery) if _used(recovery) else _UNUSED


def back_proven_safety(recovery: Recovery) -> Facts:
    """What users have written since is about to be dropped: sealed and proven first, also where nothing was before."""
    return _sealed_and_proven(recovery, None) if _used(recovery) else _UNUSED


def back_keep(recovery: Recovery) -> Facts:
    """What users have written since, which is set aside by now, is sealed and proven: after they are served again."""
    return _sealed_and_proven(recovery, recovery.request.beside) if _used(recovery) else _UNUSED


def _sealed_and_proven(recovery: Recovery, database: str | None) -> Facts:
    facts = recovery.journal.facts("back-safety", "noted")
    if not facts:
        sealed = sealed_when_free(recovery, database)
        facts = {"backup": sealed.manifest.id, "store": sealed.store}
        recovery.journal.write("back-safety", "noted", facts)
    return {**facts, **proven(recovery, str(facts["backup"]), str(facts["store"]))}


def _used(recovery: Recovery) -> bool:
    """Whether users may have written to what was recovered."""
    later = recovery.journal.facts(ROLLBACK, "begun").get("later")
    return bool(later) or recovery.journal.last("maintenance-off", "begun") is not None


_NOBODY = "nobody was let at what was recovered"
_UNUSED: Facts = {"backup": None, "why not": _NOBODY}


def _unused(recovery: Recovery) -> str:
    return "" if _used(recovery) else _NOBODY


def back_on(recovery: Recovery) -> Facts:
    """Nobody writes while it is taken back; where the application was let go on already."""
    if not _used(recovery):
        return {"maintenance_on": f"not run: {_NOT_OFF}"}
    return recovery.application.maintenance_on()


_NOT_OFF = "it is on, or never came on"


def back_exchange(recovery: Recovery) -> Facts:
    """What was set aside takes its place again."""
    if why := _not_exchanged(recovery):
        return {"exchange": why}
    planned, told = planned_exchange(recovery), ""
    try:
        recovery.engine.undo(recovery.live, planned)
    except RestoreFailed as error:
        # Such as a trigger that was broken before, and can't be made again.
        if recovery.engine.exchanged(recovery.live, planned) != "before":
            raise
        told = str(error)
    return {"live": "as before the exchange", **({"but": told} if told else {})}


def _not_exchanged(recovery: Recovery) -> str:
    return "" if recovery.journal.last("exchange", "begun") else "the exchange was not begun"


def _not_dropped(recovery: Recovery) -> str:
    return (
        "" if recovery.journal.last("drop", "begun") or recovery.request.lost else "the live database was not dropped"
    )


def back_restore(recovery: Recovery) -> Facts:
    """In place, the safety backup is restored, where the live database was begun to be dropped.

    Raises:
        NotFound: there is no safety backup.
    """
    if why := _not_dropped(recovery):
        return {"live": why}
    facts = recovery.journal.facts("safety")
    if facts.get("backup") is None:
        if recovery.request.lost:
            if recovery.journal.last("restore", "begun"):  # what is there is ours
                recovery.engine.drop(recovery.live)
            return {"live": "there was none"}
        raise NotFound(
            f"there is no safety backup of {recovery.request.live}: {facts.get('why not')}",
            "Recover another backup; what was live is gone.",
        )

    def use(archive: ArchiveReader, _: str) -> Facts:
        engine, live = recovery.engine, recovery.live
        if _used(recovery):
            archive.verify_members()  # all of it is good, or what users work with stays
        engine.drop(live)
        with filled(engine, live, archive.manifest):
            engine.restore(archive, live, recovery.around.jobs or 1, progress=recovery.around.progress)
            engine.apply_globals(live, archive.manifest)
        return inspect(recovery.fleet, engine, live, archive)

    found, passed_over = from_a_good_copy(recovery.fleet, recovery.plan, str(facts["backup"]), None, use)
    return {**found, "passed over": list(passed_over)}


def back_verify(recovery: Recovery) -> Facts:
    """The live database is there.

    Raises:
        NotFound: it is not.
    """
    if recovery.request.lost or recovery.engine.exists(recovery.live):
        return {"live": "lost, as before" if recovery.request.lost else recovery.request.live}
    raise NotFound(f"there is no database {recovery.request.live}", "Recover the safety backup.")


def back_off(recovery: Recovery) -> Facts:
    """The application is the users' again."""
    return recovery.application.maintenance_off()


def back_healthy(recovery: Recovery) -> Facts:
    """It answers. Where it does not, nothing of the database is to blame any more: that is told."""
    return recovery.application.healthy()


def back_clean(recovery: Recovery) -> Facts:
    """The restored database goes, unless somebody may have written to it."""
    if recovery.request.mode != "swap":
        return {}
    if _used(recovery):
        return {
            "kept": recovery.request.beside,
            "why": "users may have written to it; discard it when it is not needed",
        }
    recovery.engine.drop(recovery.beside)
    return {"dropped": recovery.request.beside}


def back_notify(recovery: Recovery) -> Facts:
    """Say plainly what happened."""
    request, why = recovery.request, recovery.journal.facts(ROLLBACK, "begun")
    silent = recovery.journal.last(_HEALTHY.name, "done") is None
    but = f"; the application does not answer: {recovery.journal.facts(_HEALTHY.name, 'failed').get('why')}"
    told = recovery.around.tell(
        Message(
            f"{request.plan}: the recovery was taken back",
            f"Plan: {request.plan}\nWhat: {request.live} is what it was before {recovery.journal.recovery}; "
            f"{request.backup} is not live{but if silent else ''}\nSince: {moment(recovery.around.now())}\n"
            f"Why: {why.get('why')}\n"
            f"What to do: See backproof recovery show {recovery.journal.recovery}, mend what failed, recover again.",
        )
    )
    return {"told": list(told)}


def _groups(*listed: Step) -> Sequence[Group]:
    return tuple((each,) for each in listed)


_SAFETY = Step(
    "back-safety",
    "seal what was written since",
    back_safety,
    tries=5,
    idle=lambda recovery: _unused(recovery) or not_sealed(recovery),
)
_PROVEN = Step("back-safety", "seal and prove what was written since", back_proven_safety, tries=5, idle=_unused)
_KEEP = Step("back-safety", "seal and prove what was written since", back_keep, tries=3, settled=True, idle=_unused)
# An application that does not obey is no reason to leave it with the wrong database.
_ON = Step(
    "back-maintenance-on",
    "maintenance on",
    back_on,
    settled=True,
    idle=lambda recovery: recovery.application.lacks("maintenance_on") or ("" if _used(recovery) else _NOT_OFF),
)
_VERIFY = Step("back-verify", "verify what is live", back_verify, tries=5)
_OFF = Step("back-maintenance-off", "maintenance off", back_off, idle=lacking("maintenance_off"))
_HEALTHY = Step(
    "back-health",
    "see whether the application answers",
    back_healthy,
    settled=True,
    idle=lacking("health_url"),
)
_CLEAN = Step("back-clean", "remove the restored database, or keep what users wrote", back_clean, tries=3, settled=True)
_NOTIFY = Step("back-notify", "tell the team", back_notify, settled=True, idle=told_nobody)

SWAP_BACK = _groups(
    _ON,
    Step("back-exchange", "swap back", back_exchange, tries=5, idle=_not_exchanged),
    _VERIFY,
    _OFF,
    _HEALTHY,
    _CLEAN,
    _NOTIFY,
    _KEEP,
)
RESTORE_BACK = _groups(
    _ON,
    _PROVEN,
    Step("back-restore", "restore the safety backup", back_restore, tries=5, idle=_not_dropped),
    _VERIFY,
    _OFF,
    _HEALTHY,
    _NOTIFY,
)
TABLES_BACK = _groups(_ON, _SAFETY, BACK, _VERIFY, _OFF, _HEALTHY, _NOTIFY)


def rollback_steps(recovery: Recovery) -> Sequence[Group]:
    """Of taking a recovery back, in order."""
    if recovery.request.mode == "tables":
        return TABLES_BACK
    return SWAP_BACK if recovery.request.mode == "swap" else RESTORE_BACK
