"""What a backup account can see of a schema, asked as that account: the part of preflight that is about rights.

What an account may not see does not show, so rights are asked for first (see ``privileges``).
"""

from collections.abc import Iterator

import pymysql
from pymysql.connections import Connection

from backproof.engines.mysql import binaries, inventory, locks, privileges
from backproof.engines.mysql.binaries import Flavour
from backproof.engines.mysql.connect import message, number, rows
from backproof.engines.mysql.grants import ACCOUNTS
from backproof.engines.mysql.names import pattern, quote_account, quote_ident, spell
from backproof.findings import listed, missing, ok, warning
from backproof.records import Finding, Target

_KINDS = {
    "TABLE": "tables",
    "SEQUENCE": "sequences",
    "TRIGGER": "triggers",
    "PROCEDURE": "procedures",
    "FUNCTION": "functions",
    "EVENT": "events",
}

_VIEWS = "SELECT TABLE_NAME FROM information_schema.VIEWS WHERE TABLE_SCHEMA = %s ORDER BY 1"
BROKEN = frozenset({1054, 1146, 1305, 1356, 1449})
"""A view that stands on what is gone."""
_REFUSED = frozenset({1044, 1142, 1143, 1227, 1370})


class Asked:
    """One schema, asked as its backup account."""

    def __init__(self, connection: Connection, target: Target) -> None:
        self.connection = connection
        self.target = target
        ((version, account),) = rows(connection, "SELECT VERSION(), CURRENT_USER()")
        self.version = str(version)
        self.account = str(account)
        self.flavour: Flavour = binaries.flavour_of(self.version)
        self.held = privileges.held(connection, target.database)
        self.catalogue = inventory.take(connection, target.database)

    def grant(self, right: str, scope: str = "{}.*") -> str:
        """What an administrator would have to run."""
        user, _, host = self.account.rpartition("@")
        where = scope.format(pattern(self.target.database))
        return f"As an administrator: GRANT {right} ON {where} TO {quote_account(user, host)};"

    def variable(self, name: str) -> str:
        """A global variable; empty where the server has none of that name."""
        return next((str(value) for _, value in rows(self.connection, "SHOW GLOBAL VARIABLES LIKE %s", [name])), "")


def objects(asked: Asked) -> Iterator[Finding]:
    """Without these rights a dump would be incomplete and end with success."""
    schema = quote_ident(asked.target.database)
    unseen = list(privileges.unseen(asked.held, asked.flavour == "mariadb"))
    for each in unseen:
        found = (
            f"no {each.right} on {each.scope.format(schema)}: any {each.what} would be missing in a dump without a word"
        )
        yield missing(each.check, found, asked.grant(each.right, each.scope))
    if not unseen:
        kinds = [key.split()[0] for key in asked.catalogue.objects]
        counted = ", ".join(f"{kinds.count(kind)} {name}" for kind, name in _KINDS.items() if kind in kinds)
        yield ok("objects", f"{counted or 'none'}; all can be seen")


def views(asked: Asked) -> Iterator[Finding]:
    """The dump tool shows each view and describes its columns; one that it can't ends the dump."""
    schema = asked.target.database
    names = [name for (name,) in rows(asked.connection, _VIEWS, [schema])]
    hidden: list[str] = []
    closed: list[str] = []
    broken: list[str] = []
    for name in names:
        view = f"{quote_ident(schema)}.{quote_ident(name)}"
        if not answers(asked.connection, f"SHOW CREATE VIEW {view}"):
            hidden.append(spell(name))
            continue
        try:
            rows(asked.connection, f"SHOW FIELDS FROM {view}")
        except pymysql.Error as error:
            (broken if number(error) in BROKEN else closed).append(f"{spell(name)} ({message(error)})")
    if hidden:
        yield missing("views", f"no SHOW VIEW on {listed(hidden)}", asked.grant("SHOW VIEW"))
    if closed:
        yield missing("views", f"can't be described: {listed(closed)}", asked.grant("EXECUTE"))
    if broken:
        yield missing("views", f"can't be read by anybody: {listed(broken)}", "Repair them, or drop them.")
    if names and not (hidden or closed or broken):
        yield ok("views", f"{len(names)}, all readable")


def routines(asked: Asked) -> Iterator[Finding]:
    closed = rows(
        asked.connection,
        "SELECT ROUTINE_TYPE, ROUTINE_NAME FROM information_schema.ROUTINES"
        " WHERE ROUTINE_SCHEMA = %s AND ROUTINE_DEFINITION IS NULL ORDER BY 1, 2",
        [asked.target.database],
    )
    if closed:
        names = [f"{kind} {spell(name)}" for kind, name in closed]
        right = ("SELECT", "mysql.proc") if asked.flavour == "mariadb" else ("SHOW_ROUTINE", "*.*")
        yield missing("routines", f"the text can't be read of {listed(names)}", asked.grant(*right))


def one_moment(asked: Asked) -> Iterator[Finding]:
    """How several readers are brought to one moment."""
    if "RELOAD" in asked.held:
        way = locks.STAGES if asked.flavour == "mariadb" else locks.GLOBAL
        yield ok("one moment", f"commits are held for a moment by {way.name}")
    elif "LOCK TABLES" in asked.held:
        found = (
            "no RELOAD right: commits are held by LOCK TABLES, which waits for every open transaction that wrote here"
        )
        yield warning("one moment", found, asked.grant("RELOAD", "*.*"))
    else:
        yield missing(
            "one moment", "commits can't be held: neither RELOAD nor LOCK TABLES", asked.grant("RELOAD", "*.*")
        )


def accounts(asked: Asked) -> Iterator[Finding]:
    closed = [right for right in ACCOUNTS[asked.flavour] if not answers(asked.connection, probe(right))]
    if closed:
        found = f"no {listed(closed)}: accounts with rights on the schema are not in the backup"
        remedy = "`backproof doctor PLAN --print-grants` prints the rights; passwords can't be read with them."
        yield warning("accounts", found, remedy)
    else:
        yield ok("accounts", "those with rights on the schema can be read, without passwords")


def probe(right: str) -> str:
    """A query that takes a right such as ``SELECT (`User`) ON `mysql`.`user```, and gives nothing."""
    columns, _, table = right.removeprefix("SELECT").partition(" ON ")
    return f"SELECT {columns.strip(' ()') or '1'} FROM {table} LIMIT 0"  # noqa: S608 - rights are text of ours


def answers(connection: Connection, statement: str) -> bool:
    """Whether an account may run it. Raises the driver's errors, where it fails for another reason."""
    try:
        rows(connection, statement)
    except pymysql.Error as error:
        if number(error) in _REFUSED:
            return False
        raise
    return True
