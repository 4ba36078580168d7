"""The frozen records that travel between the rooms of the house, and into the stores as JSON.

Times are aware UTC ``datetime``, sizes are bytes, durations are seconds; names say so.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, SecretStr

Kind = Literal["daily", "monthly", "manual", "safety"]
Section = Literal["schema", "data", "finish"]
Verdict = Literal["passed", "failed", "could-not-run"]


class Record(BaseModel):
    """Immutable, and strict about what it is made of."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Target(Record):
    """A database on a server, and who connects to it."""

    host: str
    """A host name, an address, or a folder that holds a Unix socket."""
    port: int
    database: str
    user: str
    password: SecretStr | None = None
    options: dict[str, str] = Field(default_factory=dict)
    """Further connection parameters in the driver's own words: ``sslmode``, ``sslrootcert`` …"""

    def to(self, database: str) -> "Target":
        """The same server and user, another database."""
        return self.model_copy(update={"database": database})

    def __str__(self) -> str:
        return f"{self.user}@{self.host}:{self.port}/{self.database}"


class Timing(Record):
    """One measured phase, by wall clock."""

    phase: str
    started_at: datetime
    elapsed_seconds: float
    bytes: int | None = None
    """What the phase moved, where a rate makes sense."""


class Member(Record):
    """One gzip member of an archive: a piece of SQL that stands alone."""

    section: Section
    table: str | None
    """As the dump writes it, qualified and quoted; None for what belongs to no table."""
    rows: int
    offset: int
    """Where it starts in the gzip stream, before encryption."""
    length: int
    """Its gzip bytes."""
    plain_bytes: int
    sha256: str
    """Of its gzip bytes, so that it can be checked before it is unpacked."""

    @property
    def end(self) -> int:
        """Where the next one starts."""
        return self.offset + self.length


class Table(Record):
    """One table's content, by digest."""

    name: str
    columns: tuple[str, ...]
    """As the dump lists them, unquoted, in dump order."""
    rows: int
    row_bytes: int
    sha256: str
    """Of its row bytes in dump order, as the dump tool writes them."""
    charset: str | None = None
    """Which character set its rows are written in, where a dump tool has several; None: the dump's own."""
    longest_statement_bytes: int | None = None
    """The longest statement of rows; None where rows are no statements, or nobody looked, as in earlier backups."""
    needs: tuple[str, ...] = ()
    """Keys of the entries (``TYPE public.mood``) that its definition stands on, for restoring it without the rest."""


class Database(Record):
    """What an open dump knows of its database before the first byte is read."""

    engine: str
    server_version: str
    tool_version: str
    taken_at: datetime
    """The moment of the consistent point, by the database server's clock."""
    live_bytes: int
    """What the database occupies on its server."""
    server: dict[str, JsonValue]
    """Identity and settings that matter: ``system_identifier``, log position …"""
    settings: dict[str, JsonValue]
    """Encoding, collation, locale: what it takes to create an empty database that fits."""
    globals: dict[str, JsonValue]
    """Beside the SQL stream: roles, owner, privileges, settings, tablespaces … Never a password."""
    not_carried: tuple[str, ...] = ()
    """What the dump can't carry, a sentence each."""


class Inventory(Record):
    """What the catalogue says is there, at the dump's consistent point; to be held against what the dump holds."""

    rows: dict[str, int]
    """Table name (as in ``Table.name``) to exact row count."""
    objects: tuple[str, ...]
    """Entry keys that the dump must hold, such as ``TRIGGER public.orders audit``."""
    needs: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Table name to the entry keys it stands on."""


class Encryption(Record):
    """How an archive is encrypted: an AWS Encryption SDK message."""

    suite: Literal["AES-256-GCM-HKDF-SHA512-COMMIT-KEY"] = "AES-256-GCM-HKDF-SHA512-COMMIT-KEY"
    frame_bytes: int
    key_fingerprint: str
    escrow_fingerprint: str | None


class Manifest(Record):
    """What an archive is: facts, digests, member index. Signed, written last, deleted first."""

    format: Literal[1] = 1
    plan: str
    id: str
    kind: Kind
    taken_at: datetime
    backproof_version: str
    database: Database
    stored_bytes: int
    """The archive as it lies in a store."""
    stored_sha256: str
    gzip_bytes: int
    """The gzip stream: equals ``stored_bytes`` where there is no encryption."""
    plain_bytes: int
    encryption: Encryption | None
    members: tuple[Member, ...]
    tables: tuple[Table, ...]
    entries: dict[str, str]
    """Entry key to the SHA-256 of its canonical text: every definition, grant, comment and sequence value."""
    timings: tuple[Timing, ...]


class Pin(Record):
    """A backup that retention never deletes, until it is unpinned. Signed; it lies beside the backup in every store."""

    format: Literal[1] = 1
    plan: str
    backup: str
    kind: Kind
    why: str
    """In the words of whoever pinned it."""
    pinned_at: datetime


class Removal(Record):
    """What is left of a backup is to be deleted. Signed; it lies beside that until all of it is gone.

    Retention writes it before it deletes a manifest, so that a killed run is finished by the next. A sweep writes it
    for what has no manifest in any store, and deletes that in a later run at the earliest.
    """

    format: Literal[1] = 1
    plan: str
    backup: str
    kind: Kind
    why: Literal["retention", "leftover"]
    decided_at: datetime


class Difference(Record):
    """One object that is not the same after the round trip."""

    object: str
    """An entry key (``TRIGGER public.orders audit``), ``TABLE DATA public.orders``, or ``GLOBAL …``."""
    what: str
    """One sentence, without data: which rows, which part, which members."""
    accepted: str | None = None
    """The plan's reason, where it accepts this difference by name."""


class CheckResult(Record):
    """One SQL check of a plan, run on the restored database."""

    name: str
    passed: bool
    found: str
    expect: str


class Proof(Record):
    """The record of one verification. Signed. ``passed`` only when all of it ran and nothing differs."""

    format: Literal[1] = 1
    plan: str
    backup: str
    store: str
    """The copy that was proven."""
    verdict: Verdict
    reason: str
    """One sentence: why this verdict, and for ``could-not-run`` what to do."""
    started_at: datetime
    finished_at: datetime
    stored_sha256: str
    backproof_version: str
    proven_on: Literal["scratch", "server"] | None
    """None when nothing was started."""
    server_version: str | None
    differences: tuple[Difference, ...] = ()
    checks: tuple[CheckResult, ...] = ()
    not_covered: tuple[str, ...] = ()
    unused_accepts: tuple[str, ...] = ()
    """Accepted differences of the plan that matched nothing: stale, to be removed."""
    timings: tuple[Timing, ...] = ()


class Finding(Record):
    """One preflight check."""

    check: str
    status: Literal["ok", "warning", "failed"]
    found: str
    remedy: str = ""
    brief: str = ""
    """What a run says of it instead, where all of it would alarm on each run; ``doctor`` tells it in full."""
    passing: bool = False
    """A failure that may pass on its own: a server or store that could not be reached just now."""
    live_bytes: int | None = None
    """Of the database, where it was reached."""

    def line(self) -> str:
        """For the log of a run."""
        return self.brief or f"{self.check}: {self.found}. {self.remedy}".strip()


class Lack(Record):
    """Something an archive needs that a target server does not have."""

    kind: Literal["role", "extension", "tablespace", "locale", "privilege", "setting"]
    name: str
    remedy: str
    refuses: bool = True
    """Whether a restore is refused for it; else it is only told by who asks beforehand."""


class Obstacle(Record):
    """Something of a live database that keeps it from being replaced, or that would be lost with it."""

    kind: str
    """In the database's own words: ``prepared transaction``, ``subscription``, ``foreign key`` …"""
    name: str
    what: str
    """What happens to it, or what it prevents: one sentence."""
    remedy: str
    acceptable: bool
    """Whether a person may accept it by its name; else it has to be mended first."""


Place = Literal["before", "between", "after"]
"""How far an exchange came: nothing was changed; begun; ``incoming`` is in its place, whole."""


class Exchange(Record):
    """Who takes whose place on a server, and what it takes to finish or to undo it."""

    live: str
    """The name that applications know."""
    incoming: str
    """The name of what takes its place."""
    outgoing: str
    """The name under which what was live stays."""
    had_live: bool
    """False: there was no live database; ``undo`` then leaves none."""
    facts: dict[str, JsonValue] = Field(default_factory=dict)
    """The engine's own: identities, definitions that a change of names loses."""


class RowCounts(Record):
    """How one live table differs from a backup's, row by row."""

    backup: int
    """Rows of the backup."""
    live: int
    """Rows of the live table."""
    missing: int
    """Of the backup, whose key no live row has."""
    changed: int
    """Whose key both have, and not the same values."""
    new: int
    """Live ones whose key the backup has not."""


class Orphans(Record):
    """Rows that would point at no row any more, once tables are replaced."""

    table: str
    foreign_key: str
    parent: str
    rows: int

    def __str__(self) -> str:
        return f"{self.rows} of {self.table} by {self.foreign_key} at {self.parent}"


class ReplacedTables(Record):
    """Tables of a live database that a backup's took the place of."""

    tables: dict[str, int]
    """Each with its rows now."""
    made_anew: tuple[str, ...]
    """Those whose definition was not the backup's, or that were not there."""
    links: tuple[str, ...]
    """Foreign keys from and to them that hold again, as ``table name``."""
    tested: tuple[str, ...]
    """Those by which a row was written, in a transaction that was rolled back."""
    orphans: tuple[Orphans, ...]
    """What was accepted; by a dry run, what would be left."""
    left_out: tuple[str, ...]
    """What is not as in the backup, and why, a sentence each."""
    kept: str | None = None
    """The database in which what was live still is, where one was given for that."""


class PutBack(Record):
    """Rows of a backup that were put into one live table."""

    table: str
    inserted: int
    left_out: int
    """Rows that another live row keeps out, which has the same value where it may be there but once."""


class Copy(Record):
    """One backup's presence in one store."""

    store: str
    archive: bool
    manifest: bool
    stored_bytes: int | None
    proofs: tuple[tuple[datetime, Verdict], ...] = ()
    verdict: Verdict | None = None
    """Of the newest proof of this very copy that passed or failed, its signature checked."""
    pinned: bool = False
    """Whether a pin lies there, valid or not."""


class Backup(Record):
    """One backup of a plan, over all its stores."""

    plan: str
    id: str
    kind: Kind
    taken_at: datetime
    copies: tuple[Copy, ...]
    proven_at: datetime | None = None
    """The newest proof that passed, its signature checked, where no later one of the same copy failed and a whole copy
    is left."""
    failed_at: datetime | None = None
    """The newest proof that failed, its signature checked, where no later one of the same copy passed."""
    distrusted_at: datetime | None = None
    """The newest proof that does not count, since no key this fleet trusts signed it."""
    pinned: str | None = None
    """Why it is never deleted; None where nobody has pinned it."""


def total_seconds(timings: Sequence[Timing]) -> float:
    """Sum of the phases; phases that overlap count each."""
    return sum(timing.elapsed_seconds for timing in timings)
