"""What can go wrong, told as one fact and what to do about it.

::

    BackproofError
    ├── Transient               worth a retry: the same call may succeed in a moment
    │   ├── ConnectionLost      a server went away, refused, reset or timed out
    │   ├── Busy                a lock is held: another backup of the plan, DDL during the dump
    │   ├── StoreUnavailable    a store answered 5xx, throttled, reset or stalled
    │   └── KeyUnavailable      a key service did so
    └── Permanent               a person must act
        ├── ConfigurationError  fleet.yaml, a block or a parameter is wrong
        ├── MissingTool         a program, or the right version of it, is not here
        ├── AccessDenied        wrong password, missing right, forbidden bucket
        │   └── Hidden          whether it is there at all, this account may not see
        ├── Locked              the store keeps an object from being deleted: Object Lock, a legal hold
        ├── NoSpace             a disk is full, or would be
        ├── AlreadyExists       what is written once is there already
        ├── NotFound            no such plan, backup, store, table, database
        ├── WrongKey            the key does not open this archive
        ├── Damaged             bytes are not what was written: changed, cut, extended, spliced
        │   └── BadSignature    a manifest or proof is not signed by a key this fleet trusts
        ├── DumpFailed          the database could not be dumped completely
        ├── RestoreFailed       the database refused what the archive holds
        ├── CannotProve         a proof could not run: no verdict on the backup
        ├── ApplicationFailed   what lives on a database does not work as its plan says that it must
        └── Obstructed          a recovery can't begin: something would be lost, or stands in the way

The class is the retry policy: tasks retry ``Transient`` and nothing else. A message never holds a secret or a row.
"""


class BackproofError(Exception):
    """One fact with its values, then what to do.

    Args:
        fact: what is so, with its values; no secret, no row of data. A clause without a final full stop.
        remedy: what a person can do; one or two full sentences. Empty only where nothing can be said.
    """

    def __init__(self, fact: str, remedy: str = "") -> None:
        self.fact = fact
        self.remedy = remedy
        super().__init__(f"{fact}. {remedy}" if remedy else fact)

    def __reduce__(self) -> tuple[type["BackproofError"], tuple[str, str]]:
        """Pickle by parts: Prefect carries exceptions between processes."""
        return type(self), (self.fact, self.remedy)


class Transient(BackproofError):
    """Worth a retry."""


class ConnectionLost(Transient):
    """A server went away, refused, reset or timed out."""


class Busy(Transient):
    """A lock is held by somebody else."""


class StoreUnavailable(Transient):
    """A store answered 5xx, throttled, reset or stalled."""


class KeyUnavailable(Transient):
    """A key service answered 5xx, throttled, reset or stalled."""


class Permanent(BackproofError):
    """A person must act."""


class ConfigurationError(Permanent):
    """fleet.yaml, a block or a parameter is wrong."""


class MissingTool(Permanent):
    """A program, or the right version of it, is not on this machine."""


class AccessDenied(Permanent):
    """Wrong password, missing right, forbidden bucket."""


class Hidden(AccessDenied):
    """It may be there or not: this account may not see it."""


class Locked(Permanent):
    """The store keeps an object from being deleted for now."""


class NoSpace(Permanent):
    """A disk is full, or would be."""


class AlreadyExists(Permanent):
    """What is written once is there already."""


class NotFound(Permanent):
    """No such plan, backup, store, table or database."""


class WrongKey(Permanent):
    """The key at hand does not open this archive."""


class Damaged(Permanent):
    """Bytes are not what was written: changed, cut, extended or spliced."""


class BadSignature(Damaged):
    """A manifest or proof is not signed by a key this fleet trusts."""


class DumpFailed(Permanent):
    """The database could not be dumped completely."""


class RestoreFailed(Permanent):
    """The database refused what the archive holds."""


class CannotProve(Permanent):
    """A proof could not run. That is no verdict on the backup, and never a pass."""


class ApplicationFailed(Permanent):
    """The application on a database does not work as its plan says that it must."""


class Obstructed(Permanent):
    """A recovery can't begin, or go on: something of the live database stands in the way, or would be lost."""
