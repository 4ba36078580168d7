"""Where things lie in a store: key <-> (plan, kind, taken_at, part), a bijection.

::

    shop/daily/backup_2025-11-07_020000.sql.gz.enc       the archive
    shop/daily/backup_2025-11-07_020000.sql.gz           the archive, where a plan encrypts nothing
    shop/daily/backup_2025-11-07_020000.manifest.json
    shop/daily/backup_2025-11-07_020000.proof_2025-11-07_021500_passed.json
    shop/daily/backup_2025-11-07_020000.pin.json         whoever wrote it wants the backup kept
    shop/daily/backup_2025-11-07_020000.removal.json     what is left of the backup is to be deleted
    shop/incident/incident_2025-11-07_021500_3f9a1c2b.opened.json           somebody must act: see ``escalation``
    shop/incident/incident_2025-11-07_021500_3f9a1c2b.level_1.json          who was told
    shop/incident/incident_2025-11-07_021500_3f9a1c2b.acknowledged.json     and who answered
    shop/recovery/recovery_2025-11-07_141500.0007_exchange_begun.json       a journal: see ``recovery.naming``

Moments are UTC, to the second. A key that ``parse`` does not know is not ours: nothing of Backproof lists, reads or
deletes it.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Literal, get_args

from backproof.records import Kind, Verdict


@dataclass(frozen=True, slots=True)
class ProofPart:
    """The part of a backup that is a proof: when it was made, and what it says."""

    finished_at: datetime
    verdict: Verdict

    def __post_init__(self) -> None:
        object.__setattr__(self, "finished_at", _to_the_second(self.finished_at))


Part = Literal["sql.gz.enc", "sql.gz", "manifest.json", "pin.json", "removal.json"] | ProofPart

ENCRYPTED: Literal["sql.gz.enc"] = "sql.gz.enc"
PLAIN: Literal["sql.gz"] = "sql.gz"
MANIFEST: Literal["manifest.json"] = "manifest.json"
PIN: Literal["pin.json"] = "pin.json"
REMOVAL: Literal["removal.json"] = "removal.json"

_PARTS = (ENCRYPTED, PLAIN, MANIFEST, PIN, REMOVAL)

KINDS: tuple[Kind, ...] = get_args(Kind)
_VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
_PLAN = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_MOMENT = r"([0-9]{4})-([0-9]{2})-([0-9]{2})_([0-9]{2})([0-9]{2})([0-9]{2})"
_ID = re.compile(rf"backup_{_MOMENT}")
_STEM = re.compile(
    rf"([a-z0-9][a-z0-9-]{{0,62}})/({'|'.join(KINDS)})/(backup_([0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}})_([0-9]{{6}}))"
)
_MARK = re.compile(r"[0-9a-f]{8}")
_INCIDENT_PART = re.compile(r"opened|joined_[0-9a-f]{8}|level_[1-9][0-9]?|acknowledged|resolved")
_INCIDENT = re.compile(rf"incident/incident_{_MOMENT}_([0-9a-f]{{8}})\.({_INCIDENT_PART.pattern})\.json")
_PROOF = re.compile(rf"proof_{_MOMENT}_({'|'.join(_VERDICTS)})\.json")


@dataclass(frozen=True, slots=True)
class Name:
    """What one object in a store is.

    Raises:
        ValueError: the plan is not ``[a-z0-9][a-z0-9-]{0,62}``, the kind or the part is unknown, or a moment has no
            time zone. Moments are brought to UTC and cut to the second.
    """

    plan: str
    kind: Kind
    taken_at: datetime
    part: Part

    def __post_init__(self) -> None:
        if not _PLAN.fullmatch(self.plan):
            raise ValueError(f"{self.plan!r} can't be a plan's name: lower-case letters, digits and '-', at most 63")
        if self.kind not in KINDS:
            raise ValueError(f"{self.kind!r} is no kind of backup: {', '.join(KINDS)}")
        if not isinstance(self.part, ProofPart) and self.part not in _PARTS:
            raise ValueError(f"{self.part!r} is no part of a backup")
        object.__setattr__(self, "taken_at", _to_the_second(self.taken_at))

    @property
    def id(self) -> str:
        """The backup it belongs to."""
        return backup_id(self.taken_at)

    def with_part(self, part: Part) -> "Name":
        """Another part of the same backup."""
        return Name(self.plan, self.kind, self.taken_at, part)


@dataclass(frozen=True, slots=True)
class IncidentName:
    """What one document of an incident is.

    Raises:
        ValueError: the plan, the mark or the part can't be, or the moment has no time zone.
    """

    plan: str
    opened_at: datetime
    mark: str
    """Eight hex digits, that tell it from others of the plan."""
    part: str
    """``opened``, ``joined_MARK``, ``level_1`` …, ``acknowledged`` or ``resolved``."""

    def __post_init__(self) -> None:
        if not _PLAN.fullmatch(self.plan):
            raise ValueError(f"{self.plan!r} can't be a plan's name: lower-case letters, digits and '-', at most 63")
        if not _MARK.fullmatch(self.mark):
            raise ValueError(f"{self.mark!r} is no mark of an incident: eight hex digits")
        if not _INCIDENT_PART.fullmatch(self.part):
            raise ValueError(f"{self.part!r} is no part of an incident")
        object.__setattr__(self, "opened_at", _to_the_second(self.opened_at))


def incident_key(name: IncidentName) -> str:
    """The key under which a store holds it."""
    return f"{incident_prefix(name.plan)}incident_{_moment(name.opened_at)}_{name.mark}.{name.part}.json"


def incident_prefix(plan: str) -> str:
    """What the keys of a plan's incidents begin with."""
    return f"{plan}/incident/"


def parse_incident(key: str) -> IncidentName | None:
    """What a key names, or None where it is no incident's; the inverse of ``incident_key``."""
    plan, _, rest = key.partition("/")
    match = _INCIDENT.fullmatch(rest)
    moment = _parsed(*match.groups()[:6]) if match else None
    if match is None or moment is None:
        return None
    try:
        return IncidentName(plan, moment, match[7], match[8])
    except ValueError:
        return None


@lru_cache(4096)
def backup_id(taken_at: datetime) -> str:
    """``backup_2025-11-07_020000``: UTC, cut to the second."""
    return f"backup_{_moment(_to_the_second(taken_at))}"


def taken_at(backup_id: str) -> datetime:
    """The moment in a backup's id.

    Raises:
        ValueError: it is no backup's id.
    """
    match = _ID.fullmatch(backup_id)
    moment = _parsed(*match.groups()) if match else None
    if moment is None:
        raise ValueError(f"{backup_id!r} is no backup's id: they read like backup_2025-11-07_020000")
    return moment


def key(name: Name) -> str:
    """The key under which a store holds it."""
    return f"{name.plan}/{name.kind}/{name.id}.{_suffix(name.part)}"


def parse(key: str) -> Name | None:
    """What a key names, or None where it is none of ours. ``parse(key(name)) == name`` and the other way round."""
    plan, _, rest = key.partition("/")
    kind, _, file = rest.partition("/")
    name, _, suffix = file.partition(".")
    part = _part(suffix)
    if part is None:
        return None
    try:
        return Name(plan, kind, taken_at(name), part)  # type: ignore[arg-type]  # Name refuses an unknown kind
    except ValueError:
        return None


def parse_stem(stem: str) -> tuple[str, Kind, str, datetime] | None:
    """Plan, kind, id and moment of a backup from its keys up to their first dot; None where it is none of ours."""
    match = _STEM.fullmatch(stem)
    if match is None:
        return None
    plan, kind, id_, date, time = match.groups()
    try:
        return plan, kind, id_, datetime.fromisoformat(f"{date}T{time}+00:00")  # type: ignore[return-value]
    except ValueError:
        return None


def _suffix(part: Part) -> str:
    if isinstance(part, ProofPart):
        return f"proof_{_moment(part.finished_at)}_{part.verdict}.json"
    return part


def _part(suffix: str) -> Part | None:
    for known in _PARTS:
        if suffix == known:
            return known
    match = _PROOF.fullmatch(suffix)
    if match is None:
        return None
    *digits, verdict = match.groups()
    moment = _parsed(*digits)
    return None if moment is None else ProofPart(moment, verdict)  # type: ignore[arg-type]  # the pattern lists them


def _to_the_second(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError(f"{moment} has no time zone")
    if moment.tzinfo is UTC and not moment.microsecond:
        return moment
    return moment.astimezone(UTC).replace(microsecond=0)


def _moment(moment: datetime) -> str:
    # strftime("%Y") does not pad the year on every platform
    date = f"{moment.year:04}-{moment.month:02}-{moment.day:02}"
    return f"{date}_{moment.hour:02}{moment.minute:02}{moment.second:02}"


def _parsed(*digits: str) -> datetime | None:
    year, month, day, hour, minute, second = map(int, digits)
    try:
        return datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        return None
