"""What a fleet is made of, as typed specs: flat, naming each other by string.

The blocks of Prefect subclass these, so that each field is defined once. Docstrings of fields become the words of their
forms and of ``docs/fleet.md``.
"""

from datetime import timedelta
from typing import Any, Literal

from pydantic import Field, SecretStr, ValidationInfo, field_validator

from backproof.fleet.durations import Duration, Period, Window, parse
from backproof.fleet.fields import (
    Command,
    FilePath,
    Key,
    KeyArn,
    Keys,
    Name,
    OptionalKey,
    PemOrPath,
    PublicKey,
    Schedules,
    Spec,
    Text,
    Zone,
)
from backproof.fleet.recovery_test_specs import RecoveryTestSpec

_SHORTEST_SILENCE = timedelta(minutes=2)


class SigningSpec(Spec):
    """Who signs manifests and proofs, and whose signatures count."""

    private_key: Key
    """Ed25519 private key: base64 of 32 bytes."""
    also_trust: tuple[PublicKey, ...] = ()
    """Public keys (base64 of 32 bytes) of earlier or other signers whose manifests and proofs are trusted too."""


class KeyRingSpec(Spec):
    """The keys that open a plan's archives."""

    aes256: OptionalKey = None
    """The key new archives are encrypted with: base64 of 32 bytes."""
    kms: KeyArn | None = None
    """Instead of ``aes256``: a key in AWS KMS, by its ARN. It never leaves there."""
    credentials: Name | None = None
    """Which credentials KMS is asked with; none: the machine's own."""
    endpoint_url: str | None = None
    """For key services other than Amazon's that speak KMS's protocol."""
    old: Keys = ()
    """Earlier keys, kept so that earlier archives stay readable."""
    old_kms: tuple[KeyArn, ...] = ()
    """Earlier keys in KMS, by their ARNs."""
    escrow_public_key: PemOrPath | None = None
    """Public half of the offline escrow key: a file, or the PEM text itself. It opens every archive if all is lost."""
    escrow_private_key: FilePath | None = None
    """Private half, a PEM file: only on the day it is needed, never as a rule."""
    escrow_passphrase: SecretStr | None = None
    """What the private half is locked with."""

    @field_validator("kms")
    @classmethod
    def _one_current_key(cls, kms: str | None, info: ValidationInfo) -> str | None:
        if kms is not None and info.data.get("aes256") is not None:
            raise ValueError("is given beside aes256; new archives are sealed with one of them: move the other to old")
        return kms


class CredentialsSpec(Spec):
    """An access key for S3 and KMS. Who names none uses the machine's own: environment, profile or instance role."""

    access_key_id: Text
    """The key's id."""
    secret_access_key: SecretStr
    """The key's secret."""
    session_token: SecretStr | None = None
    """For temporary credentials."""


class LocalStoreSpec(Spec):
    """A folder that holds archives."""

    path: FilePath
    """The folder; made where it does not exist."""


class S3StoreSpec(Spec):
    """A bucket, or a part of one, that holds archives."""

    bucket: Text
    """The bucket's name."""
    region: Text
    """The region the bucket is in."""
    prefix: str = ""
    """Put before every key, such as ``backups/``; empty for the whole bucket."""
    endpoint_url: str | None = None
    """For S3 servers other than Amazon's."""
    credentials: Name | None = None
    """Which credentials to use; none: the machine's own."""
    storage_class: str | None = None
    """Such as STANDARD_IA; none: the bucket's default."""


class AdminSpec(Spec):
    """A second, more powerful user of a database's server."""

    user: Text
    """Who may make and rename databases."""
    password: SecretStr | None = None
    """Their password."""


class DatabaseSpec(Spec):
    """A database to protect, and who reads it."""

    engine: Text
    """What kind of database: postgresql, mysql or mariadb."""
    host: Text = "127.0.0.1"
    """A host name, an address, or a folder that holds a Unix socket."""
    port: int = Field(ge=1, le=65535)
    """The server's port, 5432 or 3306 as a rule."""
    name: Text
    """The database's name on its server."""
    user: Text
    """Who reads it; ``backproof doctor --print-grants`` prints the rights this takes."""
    password: SecretStr | None = None
    """Their password."""
    admin: AdminSpec | None = None
    """Makes databases: for restores, recovery, and proofs on the server. Left out: the reader does, where it may."""
    options: dict[str, str] = Field(default_factory=dict)
    """Further connection parameters in the driver's own words, such as ``sslmode: verify-full``."""


class SchedulesSpec(Spec):
    """When things happen. An empty list switches one off."""

    daily: Schedules = ("0 2 * * *",)
    """When the daily backup is taken."""
    monthly: Schedules = ("0 3 1 * *",)
    """When the monthly backup is taken."""
    recovery_test: Schedules = ("0 9 * 1,4,7,10 TUE#1",)
    """When recovery is rehearsed."""


class RetentionSpec(Spec):
    """How long each kind of backup is kept; ``keep`` means always."""

    daily: Period = parse("30d")
    """Daily backups."""
    monthly: Period = parse("1y")
    """Monthly backups."""
    safety: Period = parse("30d")
    """Backups taken because of a recovery."""
    manual: Period = None
    """Backups somebody asked for."""


class RecoveryTimesSpec(Spec):
    """How long a recovery may take, by the size of the live database."""

    small: Duration = parse("30m")
    """Below 1 GB."""
    medium: Duration = parse("60m")
    """From 1 to 10 GB."""
    large: Duration = parse("3h")
    """Above 10 GB."""


class ObjectivesSpec(Spec):
    """What is promised."""

    rpo: Duration = parse("24h")
    """How old the newest proven backup may become: the recovery point objective."""
    grace: Duration = parse("2h")
    """How much later than that the alarm is raised."""
    rto: RecoveryTimesSpec = RecoveryTimesSpec()
    """How long a recovery may take: the recovery time objective."""


class CheckSpec(Spec):
    """One question put to a restored database."""

    name: Text
    """What it is called in reports."""
    sql: Text
    """One query that gives one value; ``:taken_at`` is the moment of the backup."""
    expect: Text
    """What the value must be, such as ``> 0``."""


class AcceptSpec(Spec):
    """A known difference between a backup and its restoration that does not fail the proof."""

    object: Text
    """The object, as a failed proof names it: ``TRIGGER public.orders audit``."""
    reason: Text
    """Why this is no loss."""


class WatchSpec(Spec):
    """What is looked at for a while after a recovery; what goes wrong meanwhile takes the recovery back."""

    urls: tuple[Text, ...] = ()
    """Must go on answering 200."""
    log_file: FilePath | None = None
    """The application's log: lines that are added to it count."""
    error_pattern: Text = "ERROR|CRITICAL|FATAL"
    """A regular expression: lines of the log in which it is found are errors."""
    limit: int = Field(default=0, ge=0)
    """So many errors are borne."""
    minutes: int = Field(default=5, ge=0, le=1440)
    """How long."""


class ApplicationSpec(Spec):
    """The application that lives on the database: commands are a program and its arguments, no shell reads them."""

    directory: FilePath | None = None
    """Where its commands are run."""
    maintenance_on: Command | None = None
    """Stops it from writing."""
    maintenance_off: Command | None = None
    """Lets it write again."""
    commands: tuple[Command, ...] = ()
    """Must end with exit status 0 after a recovery."""
    tests: tuple[Command, ...] = ()
    """Its own critical tests, run after a recovery."""
    health_url: str | None = None
    """Must answer 200 after a recovery."""
    timeout: Duration = parse("10m")
    """How long each of its commands may take."""
    watch: WatchSpec | None = None
    """What is looked at for a while after a recovery."""


class NotifySpec(Spec):
    """Who hears of what: names of ``notifications``, or of notification blocks that somebody made in Prefect's UI."""

    failure: tuple[Name, ...] = ()
    """A run that failed, was lost, is degraded or late, and no proven backup in time."""
    success: tuple[Name, ...] = ()
    """Every backup that was proven."""
    report: tuple[Name, ...] = ()
    """Reports of recovery tests, and that one is announced or has begun."""


class LevelSpec(Spec):
    """One level of an escalation."""

    name: Text
    """Who that is, such as ``on-call engineer``."""
    notify: tuple[Name, ...] = Field(min_length=1)
    """By which targets they are told."""
    wait: Duration = parse("30m")
    """How long they have to acknowledge, until the next level is told."""


class PlanSpec(Spec):
    """What is protected and how."""

    database: Name
    """Which database."""
    stores: tuple[Name, ...] = ()
    """Where archives go, in order: sealed into the first, proven from the last. Left out: every store of the fleet."""
    key: Name | None = None
    """Which key ring encrypts them. Left out: the only one there is."""
    encryption: Literal["aes256", "none"] = "aes256"
    """``none`` writes plain archives, that anybody who reaches a store can read."""
    verify_on: Literal["scratch", "server"] = "scratch"
    """Where a proof restores: a private throwaway server, or a temporary database on the plan's own server."""
    schedules: SchedulesSpec = SchedulesSpec()
    """When things happen."""
    retention: RetentionSpec = RetentionSpec()
    """How long backups are kept."""
    minimum_proven: int = Field(default=2, ge=1)
    """So many of the newest proven backups are kept whatever their age, and so many that are no safety backups."""
    objectives: ObjectivesSpec = ObjectivesSpec()
    """What is promised."""
    checks: tuple[CheckSpec, ...] = ()
    """Questions put to every restored database."""
    accept: tuple[AcceptSpec, ...] = ()
    """Known differences of a proof."""
    application: ApplicationSpec | None = None
    """The application that lives on the database."""
    recovery_test: RecoveryTestSpec = RecoveryTestSpec()
    """How recovery is rehearsed."""
    notify: NotifySpec = NotifySpec()
    """Who hears of what; what is left out is the fleet's."""
    escalation: tuple[LevelSpec, ...] = ()
    """Who is called, one after the other, until somebody acknowledges. Left out: the fleet's."""


class FleetSchedulesSpec(Spec):
    """When the whole fleet is looked after. An empty list switches one off."""

    retention: Schedules = ("30 4 * * *",)
    """When what is past its time is deleted."""
    replication: Schedules = ("45 * * * *",)
    """When missing copies are caught up with."""


class WorkPoolSpec(Spec):
    """Which workers run the flows, and how."""

    name: Name | None = None
    """The pool's name. Left out: the fleet's."""
    type: Literal["process", "docker", "kubernetes", "ecs"] = "process"
    """What a run becomes: a process on the worker's machine, a container, a pod, a task of ECS."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """Defaults of the pool's job template, such as ``image``. No secrets: Prefect shows them."""


class FleetSettings(Spec):
    """What holds for the whole fleet."""

    fleet: Name
    """Its name; what is deployed to a Prefect server bears it."""
    timezone: Zone = "UTC"
    """In which schedules are read. Elsewhere than UTC a backup at 02:00 moves or is missed when clocks change."""
    signing: SigningSpec
    """Who signs manifests and proofs."""
    scratch_folder: FilePath | None = None
    """Where throwaway servers keep their data; it must hold the largest database. None: the system's own."""
    tool_folders: tuple[FilePath, ...] = ()
    """Folders with database programs (``pg_dump`` …), looked in before the usual places."""
    schedules: FleetSchedulesSpec = FleetSchedulesSpec()
    """When the whole fleet is looked after."""
    spread: Window = parse("15m")
    """Over so long the backups of several plans that are due at once are spread; ``0s`` starts all at the minute."""
    work_pool: WorkPoolSpec = WorkPoolSpec()
    """Whose workers run the flows."""
    notify: NotifySpec = NotifySpec()
    """Who hears of what of runs for the whole fleet, and of plans that do not say."""
    escalation: tuple[LevelSpec, ...] = ()
    """Who is called, one after the other, of plans that do not say."""
    late_after: Duration = parse("15m")
    """How long a run may wait for a worker before somebody is told."""
    lost_after: Duration = parse("10m")
    """How long a run may be silent, or not begin once a worker has it, until it counts as lost; ``2m`` at the least."""

    @field_validator("lost_after")
    @classmethod
    def _longer_than_signs_of_life_are_apart(cls, value: timedelta) -> timedelta:
        if value < _SHORTEST_SILENCE:
            raise ValueError("must be 2m or longer: a run gives a sign of life once a minute")
        return value

    @property
    def pool_name(self) -> str:
        """The work pool of this fleet."""
        return self.work_pool.name or self.fleet
