"""In which state an interrupted recovery waits: by its journal alone, since the server may be what has failed."""

from collections.abc import Mapping

from backproof.recovery.context import Mode, Recovery
from backproof.recovery.entries import JournalEntry
from backproof.recovery.journal import ROLLBACK
from backproof.recovery.tables import no_way_back

_CHANGED: Mapping[Mode, str] = {"swap": "exchange", "in-place": "restore", "tables": "replace", "salvage": "salvage"}
"""The step after which what is live is what was restored."""
_TAKEN_BACK: Mapping[Mode, str] = {"swap": "back-exchange", "in-place": "back-restore", "tables": "back-replace"}


def left(recovery: Recovery) -> str:
    """What is live, whether the application is stopped, and with which commands it is gone on."""
    journal, name = recovery.journal, recovery.journal.recovery
    if journal.closed is not None:
        return (
            f"{name} has ended ({journal.closed.facts['result']}), and that stands; where its report is missing,"
            f" `backproof recover --resume {name}` writes it"
        )
    go_on = f"`backproof recover --resume {name}`"
    back = f"`backproof rollback {name} --reason '…'`"
    give_up = f"`backproof recovery give-up {name} --reason '…'`"
    if recovery.request.mode == "salvage":
        ways = f"{go_on} goes on, {give_up} leaves it at that"
    elif why := no_way_back(recovery):
        ways = f"nothing takes it back, since {why}; {give_up} leaves it at that"
        ways = ways if journal.rolling_back else f"{go_on} goes on, {ways}"
    elif journal.rolling_back:
        ways = f"{go_on} goes on taking it back"
    else:
        ways = f"{go_on} goes on, {back} takes it back"
    return f"{name} is interrupted: {_live(recovery)}; {_application(recovery)}; {ways}"


def _live(recovery: Recovery) -> str:
    journal, request = recovery.journal, recovery.request
    what = f"{', '.join(request.tables)} in {request.live}" if request.tables else request.live
    if journal.last(ROLLBACK, "begun") and journal.last(_TAKEN_BACK.get(request.mode, ""), "done"):
        return f"{what} is what it was before"
    if not _begun(recovery):
        return f"{what} is as it was"
    if journal.rolling_back:
        return f"{what} is being taken back, and may be either"
    if journal.last(_CHANGED[request.mode], "done"):
        aside = f", and {request.aside} what was live before" if request.mode == "swap" and not request.lost else ""
        return f"{what} is what was restored{aside}"
    if request.mode == "in-place":
        return f"{what} is gone, or restored in part"
    return f"{what} may be what it was, or what was restored"


def _begun(recovery: Recovery) -> JournalEntry | None:
    """The entry behind which what is live was changed."""
    journal, request = recovery.journal, recovery.request
    if request.mode == "tables":
        return journal.last("replace", "noted")
    if request.mode == "in-place" and not request.lost:
        return journal.last("drop", "begun")
    return journal.last(_CHANGED[request.mode], "begun")


def _application(recovery: Recovery) -> str:
    if not recovery.journal.stopped:
        return "the application is not in maintenance"
    spec = recovery.fleet.plan(recovery.plan).application
    if spec is None or spec.maintenance_on is None:
        return "nothing keeps the application from writing"
    return "THE APPLICATION IS IN MAINTENANCE until then"
