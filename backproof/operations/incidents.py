"""Incidents: read from every store of a plan, written to the first one that takes them."""

from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime

from backproof import catalog
from backproof.errors import AlreadyExists, BackproofError, ConfigurationError, Damaged, NotFound
from backproof.escalation import ACKNOWLEDGED, OPENED, Incident, IncidentEntry, split_id
from backproof.fleet import Fleet
from backproof.naming import IncidentName, incident_key, incident_prefix, parse_incident
from backproof.operations.clock import utc_now
from backproof.records import Backup
from backproof.stores import Store

_LONGEST = 1000
"""Characters of a text that somebody may enter."""

_DOCUMENT_BYTES = 64 * 1024
"""No entry is larger; what claims to be is not read."""


def incidents(fleet: Fleet, plan: str) -> list[Incident]:
    """Every incident of a plan, newest first; an entry counts when its signature holds.

    Raises:
        BackproofError: no store could be asked.
    """
    found: dict[tuple[datetime, str], dict[str, IncidentEntry]] = defaultdict(dict)
    refused: list[BackproofError] = []
    stores = fleet.stores(plan)
    for store in stores:
        try:
            for name in _listed(store, plan):
                entries = found[name.opened_at, name.mark]
                if name.part not in entries and (entry := _read(fleet, store, name)):
                    entries[name.part] = entry
        except BackproofError as error:
            refused.append(error)
    if len(refused) == len(stores):
        raise refused[0]
    return [
        Incident(
            plan=plan,
            mark=mark,
            opened_at=opened_at,
            entries=tuple(sorted(entries.values(), key=lambda entry: entry.at)),
        )
        for (opened_at, mark), entries in sorted(found.items(), reverse=True)
        if OPENED in entries
    ]


def open_incident(fleet: Fleet, plan: str, mark: str, what: str, now: datetime) -> Incident:
    """Write that somebody must act.

    Raises:
        BackproofError: no store took it.
    """
    opened_at = now.astimezone(UTC).replace(microsecond=0)
    incident = Incident(plan=plan, mark=mark, opened_at=opened_at, entries=())
    record(fleet, incident, OPENED, what, now)
    return next(each for each in incidents(fleet, plan) if (each.mark, each.opened_at) == (mark, opened_at))


def record(fleet: Fleet, incident: Incident, part: str, text: str, at: datetime, by: str = "") -> bool:
    """Write one entry, once, into the first store of the plan that takes it.

    Returns:
        Whether it was written; False: that entry is there already.

    Raises:
        BackproofError: no store took it.
    """
    name = IncidentName(incident.plan, incident.opened_at, incident.mark, part)
    entry = IncidentEntry(
        plan=incident.plan,
        mark=incident.mark,
        opened_at=incident.opened_at,
        part=part,
        at=at,
        text=_line(text),
        by=_line(by),
    )
    refused: list[BackproofError] = []
    for store in fleet.stores(incident.plan):
        try:
            store.put(incident_key(name), [fleet.signer.sign(entry)])
        except AlreadyExists:
            return False
        except BackproofError as error:
            refused.append(error)
        else:
            return True
    raise refused[0]


def acknowledge(
    fleet: Fleet, incident: str, by: str, note: str = "", now: Callable[[], datetime] = utc_now
) -> Incident:
    """Say that somebody is at it: no further level is told.

    Args:
        fleet: where the plan is found.
        incident: its id, ``shop-3f9a1c2b``; also that of further trouble that has joined it.
        by: who acknowledges.
        note: what they have to say.
        now: the wall clock.

    Raises:
        NotFound: there is no such incident.
        AlreadyExists: it has ended already.
    """
    plan, mark = split_id(incident)
    if not by.strip():
        raise ConfigurationError("nobody acknowledges", "Say who you are.")
    fleet.plan(plan)
    chosen = next((each for each in incidents(fleet, plan) if mark in each.marks), None)
    if chosen is None:
        raise NotFound(f"no incident is called {incident!r}", "Its messages name it; one may take a moment to open.")
    ended = chosen.closed
    if ended is None and record(fleet, chosen, ACKNOWLEDGED, note, now(), by):
        return next(each for each in incidents(fleet, plan) if each.id == chosen.id)
    who = f" by {ended.by}" if ended and ended.by else ""
    raise AlreadyExists(
        f"{chosen.id} was {ended.part if ended else ACKNOWLEDGED} already{who}", "Nothing is to be done."
    )


def latest_backup(fleet: Fleet, plan: str) -> Backup | None:
    """A plan's newest backup; None: there is none that is known of."""
    try:
        return catalog.find(fleet, plan, "latest")[0][0]
    except NotFound:
        return None


def _listed(store: Store, plan: str) -> list[IncidentName]:
    small = (stored.key for stored in store.list(incident_prefix(plan)) if stored.length <= _DOCUMENT_BYTES)
    return [name for name in map(parse_incident, small) if name is not None and name.plan == plan]


def _read(fleet: Fleet, store: Store, name: IncidentName) -> IncidentEntry | None:
    """An entry, or None where nobody we trust has written it, or it lies in a place that is not its own."""
    try:
        document = b"".join(store.read(incident_key(name)))
        entry = fleet.signer.verify(document, IncidentEntry)
    except Damaged:
        return None
    said = IncidentName(entry.plan, entry.opened_at, entry.mark, entry.part)
    return entry if said == name else None


def _line(text: str) -> str:
    return " ".join(text.split())[:_LONGEST]
