"""Some tables instead of all: replaced by a backup's, with the way back; or missing rows put back, which needs none.

The way back is the same as the way there, with the safety backup: it was sealed while the application stood still.
"""

from collections.abc import Sequence

from pydantic import JsonValue

from backproof.archive.reader import ArchiveReader
from backproof.errors import NotFound, Obstructed
from backproof.operations.good_copy import from_a_good_copy
from backproof.operations.tables import room
from backproof.operations.tables import salvage as put_back
from backproof.records import Orphans, ReplacedTables, Target
from backproof.recovery import sealing, steps
from backproof.recovery.context import Recovery
from backproof.recovery.entries import Facts
from backproof.recovery.steps import Group, Step


def prepare(recovery: Recovery) -> Facts:
    """Which tables are meant, and which rows would point at nothing afterwards; refused before anything is changed."""
    sealing.wait_for_backups(recovery)
    archive, request = recovery.archive(), recovery.request
    tables = recovery.engine.resolve(archive, request.tables)
    found = _replaced(recovery, archive, tables, {}, dry_run=True).orphans
    if found and not request.accept_orphans:
        raise Obstructed(
            f"rows would point at nothing: {_named(found)}",
            "Replace the tables that they point at as well, or say --accept-orphans.",
        )
    return {"tables": list(tables), "orphans": [str(each) for each in found]}


def links(recovery: Recovery) -> Facts:
    """The foreign keys that are live, for whoever goes on after a crash."""
    return recovery.engine.links_of(recovery.live, _tables(recovery))


def replace(recovery: Recovery) -> Facts:
    """The backup's tables take the place of the live ones."""
    known = recovery.journal.facts("replace", "begun")
    made = _replaced(recovery, recovery.archive(), _tables(recovery), known)
    return made.model_dump(mode="json")


def unchanged(recovery: Recovery) -> str:
    """That the tables are what they were; empty: they may be others."""
    return "" if recovery.journal.last("replace", "noted") else "the tables were not changed"


def no_way_back(recovery: Recovery) -> str:
    """Why the tables can't be what they were again; empty: they can, or they are."""
    if recovery.request.mode != "tables" or unchanged(recovery):
        return ""
    facts = recovery.journal.facts("safety")
    return "" if facts.get("backup") else f"there is no safety backup: {facts.get('why not')}"


def kept(recovery: Recovery) -> Target:
    """Where an engine keeps what was live while no backup holds it."""
    return recovery.live.to(recovery.request.aside)


def back_replace(recovery: Recovery) -> Facts:
    """Those of the safety backup take their place again.

    Raises:
        NotFound: there is none.
    """
    if why := unchanged(recovery):
        return {"tables": why}
    facts, known = recovery.journal.facts("safety"), recovery.journal.facts("replace", "begun")
    if why := no_way_back(recovery):
        raise NotFound(
            why,
            f"`backproof recovery give-up {recovery.journal.recovery} --reason '…'` ends it; then recover the tables of"
            " another backup.",
        )

    def use(archive: ArchiveReader, _: str) -> Facts:
        there = [table for table in _tables(recovery) if _has(recovery, archive, table)]
        made = _replaced(recovery, archive, there, known, back=True) if there else None
        return {
            **(made.model_dump(mode="json") if made else {}),
            "not there before": [table for table in _tables(recovery) if table not in there],
        }

    found, _ = from_a_good_copy(recovery.fleet, recovery.plan, str(facts["backup"]), None, use)
    return found


def keep(recovery: Recovery) -> Facts:
    """Copy and prove the safety backup, which holds what was replaced."""
    facts = recovery.journal.facts("safety")
    if facts.get("backup") is None:
        return facts
    return {**facts, **sealing.proven(recovery, str(facts["backup"]), str(facts["store"]))}


def drop_kept(recovery: Recovery) -> Facts:
    """What was replaced, and is in no backup, goes at the very end."""
    if why := _nothing_kept(recovery):
        return {"dropped": None, "why not": why}
    recovery.engine.drop(kept(recovery))
    return {"dropped": kept(recovery).database}


def _nothing_kept(recovery: Recovery) -> str:
    return "" if recovery.journal.facts("replace").get("kept") else "none were kept"


def salvage(recovery: Recovery) -> Facts:
    """Put the missing rows of one table back."""
    request = recovery.request
    made = put_back(
        recovery.fleet,
        request.plan,
        request.backup,
        request.tables[0],
        request.key,
        request.fire_triggers,
        store=request.stores[0] if len(request.stores) == 1 else None,
        jobs=recovery.around.jobs,
        now=recovery.around.now,
    )
    return made.model_dump(mode="json")


def _replaced(
    recovery: Recovery,
    archive: ArchiveReader,
    tables: Sequence[str],
    known: dict[str, JsonValue],
    *,
    dry_run: bool = False,
    back: bool = False,
) -> ReplacedTables:
    with room(recovery.fleet, recovery.plan, "tables") as made:
        return recovery.engine.replace_tables(
            archive,
            recovery.live,
            made,
            tables,
            known,
            accept_orphans=back or recovery.request.accept_orphans,
            dry_run=dry_run,
            jobs=recovery.around.jobs or 1,
            tool_folders=recovery.fleet.tool_folders,
            changing=lambda: _note(recovery, back),
            kept=None if dry_run or recovery.journal.facts("safety").get("backup") else kept(recovery),
        )


def _note(recovery: Recovery, back: bool) -> None:
    if not back:
        recovery.journal.write("replace", "noted", {"changing": True})


def _tables(recovery: Recovery) -> tuple[str, ...]:
    found = recovery.journal.facts("prepare").get("tables")
    return tuple(map(str, found)) if isinstance(found, list) else ()


def _has(recovery: Recovery, archive: ArchiveReader, table: str) -> bool:
    try:
        recovery.engine.resolve(archive, [table])
    except NotFound:
        return False
    return True


def _named(found: Sequence[Orphans]) -> str:
    return "; ".join(map(str, found))


TABLES: Sequence[Group] = (
    (steps.CHECK,),
    (Step("prepare", "look what would point at nothing", prepare, tries=3),),
    (steps.NOTIFY,),
    (steps.ON,),
    (Step("safety", "seal a safety backup", sealing.safety, live=True, tries=3, idle=sealing.not_sealed),),
    (Step("replace", "replace the tables", replace, links, live=True, tries=3),),
    (steps.TRIAL,),
    (steps.OFF,),
    (steps.WATCH,),
    (Step("keep", "prove the safety backup", keep, settled=True, tries=3, idle=sealing.not_sealed),),
    (Step("drop-kept", "drop the tables that were replaced", drop_kept, settled=True, tries=3, idle=_nothing_kept),),
)

SALVAGE: Sequence[Group] = ((Step("salvage", "put the missing rows back", salvage, tries=3),),)

BACK = Step("back-replace", "replace the tables by those of the safety backup", back_replace, tries=3, idle=unchanged)
