"""What an account may do in a schema, and what it would not see there.

A MySQL server hides what an account has no right to: tables, triggers and routines are not refused, they are not
there, and a dump without them ends with success. Whether there are any can't be asked either. So a dump asks for the
rights first: without one of those below, nobody can say that the dump is complete.

``SHOW GRANTS`` is asked for roles alone: of an account it prints the password's digest as well.
"""

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass

import pymysql
from pymysql.connections import Connection

from backproof.engines.mysql.connect import rows
from backproof.engines.mysql.names import quote_ident

_ALL = "ALL PRIVILEGES"

_GRANT = re.compile(r"GRANT (?P<rights>.*?) ON (?:\*|`(?P<schema>(?:[^`]|``)*)`)\.\* TO ")


@dataclass(frozen=True, slots=True)
class Held:
    """The rights an account has at a schema as a whole, by itself, by its roles or as everybody."""

    rights: frozenset[str]
    routines: bool
    """Whether it may read the definition of any routine."""

    def __contains__(self, right: str) -> bool:
        return right in self.rights or _ALL in self.rights


@dataclass(frozen=True, slots=True)
class Unseen:
    """A right that is missing, and what would be missing in a dump without a word."""

    check: str
    right: str
    what: str
    scope: str
    """What it is granted on, where ``{}`` stands for the schema."""


_NEEDED = (
    Unseen("tables", "SELECT", "tables that this account can't see", "{}.*"),
    Unseen("triggers", "TRIGGER", "triggers", "{}.*"),
    Unseen("events", "EVENT", "events", "{}.*"),
)
_ROUTINES = Unseen("routines", "SELECT", "procedures and functions", "mysql.proc")


def unseen(held: Held, mariadb: bool = True) -> Iterator[Unseen]:
    """What a dump by this account could lack without anybody noticing."""
    yield from (each for each in _NEEDED if each.right not in held)
    # With any of these it sees that a routine exists; that it can't be read is then an error of the dump tool.
    if not held.routines and not any(right in held for right in ("EXECUTE", "ALTER ROUTINE", "CREATE ROUTINE")):
        yield _ROUTINES if mariadb else Unseen("routines", "SHOW_ROUTINE", _ROUTINES.what, "*.*")


def held(connection: Connection, schema: str) -> Held:
    """The rights of this connection's account. Raises the driver's errors."""
    ((account,),) = rows(connection, "SELECT CURRENT_USER()")
    user, _, host = account.rpartition("@")
    grantee = f"'{user}'@'{host}'"
    own = rows(connection, "SELECT GRANTEE, PRIVILEGE_TYPE FROM information_schema.USER_PRIVILEGES")
    here = rows(connection, "SELECT GRANTEE, TABLE_SCHEMA, PRIVILEGE_TYPE FROM information_schema.SCHEMA_PRIVILEGES")
    rights = {right for who, right in own if who == grantee}
    rights |= most_specific(((place, right) for who, place, right in here if who == grantee), schema)
    for role in _roles(connection):
        with suppress(pymysql.Error):  # before 10.11 nothing is granted to everybody
            rights |= _of_role(rows(connection, f"SHOW GRANTS FOR {role}"), schema)
    return Held(frozenset(rights), _reads_routines(connection) or "SHOW_ROUTINE" in rights)


def most_specific(granted: Iterable[tuple[str, str]], schema: str) -> set[str]:
    """Rights on a schema of which the server takes those of one pattern alone: the one that says most."""
    found: dict[str, set[str]] = {}
    for place, right in granted:
        if matches(place, schema):
            found.setdefault(place, set()).add(right)
    best = max(found, key=lambda place: (not _wild(place), len(re.split(r"(?<!\\)[_%]", place)[0])), default=None)
    return found[best] if best is not None else set()


def matches(pattern: str, schema: str) -> bool:
    """Whether rights granted on a pattern of schemas reach a schema."""
    expression = "".join(
        {"%": ".*", "_": "."}.get(part) or re.escape(part.removeprefix("\\") or part)
        for part in re.findall(r"\\.|.", pattern, re.DOTALL)
    )
    return re.fullmatch(expression, schema, re.DOTALL) is not None


def _wild(pattern: str) -> bool:
    return re.search(r"(?<!\\)[_%]", pattern) is not None


def _roles(connection: Connection) -> Iterator[str]:
    with suppress(pymysql.Error):
        for (role,) in rows(connection, "SELECT ROLE_NAME FROM information_schema.ENABLED_ROLES"):
            if role:
                yield quote_ident(role)
    yield "PUBLIC"


def _of_role(grants: list[tuple[str]], schema: str) -> set[str]:
    everywhere: set[str] = set()
    here: list[tuple[str, str]] = []
    for (line,) in grants:
        if match := _GRANT.match(line):
            named = [right.strip() for right in match["rights"].split(",")]
            if match["schema"] is None:
                everywhere.update(named)
            else:
                here += [(match["schema"].replace("``", "`"), right) for right in named]
    return everywhere | most_specific(here, schema)


def _reads_routines(connection: Connection) -> bool:
    try:
        rows(connection, "SELECT 1 FROM mysql.proc LIMIT 0")
    except pymysql.Error:
        return False
    return True
