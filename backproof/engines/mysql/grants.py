"""The exact SQL that lets an account back up a schema, and restore it: every line is needed, and no more than they are.

Measured with MariaDB 10.11, line by line; what the documentation asks for beside it (PROCESS, BINLOG MONITOR, rights on
all schemas) is not needed. Names of schemas are patterns in a GRANT, so their ``_`` and ``%`` are escaped.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from pymysql.connections import Connection

from backproof.engines import Grants
from backproof.engines.mysql import privileges
from backproof.engines.mysql.binaries import Flavour, flavour_of
from backproof.engines.mysql.connect import connected, rows
from backproof.engines.mysql.names import pattern, quote_account, quote_ident
from backproof.errors import BackproofError
from backproof.records import Target

_OF_BOTH = tuple(f"SELECT ON `mysql`.`{table}`" for table in ("db", "tables_priv", "columns_priv", "procs_priv"))
_ROLES = ("SELECT ON `mysql`.`roles_mapping`", "SELECT (`Host`, `User`, `is_role`) ON `mysql`.`user`")

ACCOUNTS: dict[Flavour, tuple[str, ...]] = {"mariadb": (*_OF_BOTH, *_ROLES), "mysql": _OF_BOTH}
"""Rights to read which accounts have rights, and no password: that column stays closed."""

_FUNCTIONS_IN_VIEWS = """
    SELECT count(*) FROM information_schema.VIEWS v JOIN information_schema.ROUTINES r
      ON r.ROUTINE_TYPE = 'FUNCTION' AND v.VIEW_DEFINITION LIKE concat('%%`', r.ROUTINE_NAME, '`(%%')
     AND r.ROUTINE_SCHEMA = v.TABLE_SCHEMA
    WHERE v.TABLE_SCHEMA = %s
"""
_WITHOUT_TRANSACTIONS = """
    SELECT count(*) FROM information_schema.TABLES t
    WHERE t.TABLE_SCHEMA = %s AND t.TABLE_TYPE = 'BASE TABLE'
      AND t.ENGINE NOT IN (SELECT e.ENGINE FROM information_schema.ENGINES e WHERE e.TRANSACTIONS = 'YES')
"""
_KINDS = """
    SELECT EXISTS (SELECT 1 FROM information_schema.VIEWS WHERE TABLE_SCHEMA = %s),
           EXISTS (SELECT 1 FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = %s),
           EXISTS (SELECT 1 FROM information_schema.EVENTS WHERE EVENT_SCHEMA = %s),
           EXISTS (SELECT 1 FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = %s)
"""
_DEFINERS = """
    SELECT count(*) FROM (
        SELECT DEFINER FROM information_schema.VIEWS WHERE TABLE_SCHEMA = %s
        UNION SELECT DEFINER FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = %s
        UNION SELECT DEFINER FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = %s
        UNION SELECT DEFINER FROM information_schema.EVENTS WHERE EVENT_SCHEMA = %s
    ) d WHERE DEFINER <> %s
"""
_LOGGED = """
    SELECT count(*) FROM (
        SELECT 1 FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = %s
        UNION ALL SELECT 1 FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = %s AND ROUTINE_TYPE = 'FUNCTION'
    ) d WHERE @@GLOBAL.log_bin AND NOT @@GLOBAL.log_bin_trust_function_creators
"""


@dataclass(frozen=True, slots=True)
class _Needs:
    """What the schema asks of an account; the defaults are for a server that can't be asked."""

    account: str
    flavour: Flavour = "mariadb"
    views: bool = True
    triggers: bool = True
    events: bool = True
    routines: bool = True
    functions_in_views: bool = True
    without_transactions: bool = True
    foreign_definers: bool = True
    logged_code: bool = True
    """Whether there are triggers or functions, and the server lets only SUPER make those."""
    unknown: str = ""
    """Why the server could not be asked."""


def grants(target: Target) -> Grants:
    """Least-privilege SQL for ``target.user`` on ``target.database``, to be run by an administrator.

    Reads the server for what is needed; where it can't be asked, such as before the account exists, everything that may
    be needed is printed, and so is the reason.
    """
    try:
        with connected(target) as connection:
            needs = _asked(connection, target)
    except BackproofError as error:
        needs = _Needs(account=quote_account(target.user, "%"), unknown=error.fact)
    return Grants(backup=_text(_backup(target, needs)), restore=_text(_restore(target, needs)))


def beside_pattern(schema: str) -> str:
    """The same for what is restored beside it, and set aside."""
    return pattern(f"{schema}_").removesuffix("`") + "%`"


def _backup(target: Target, needs: _Needs) -> Iterator[str]:
    schema, account = pattern(target.database), needs.account
    yield from _opening(target, needs, "back up")
    yield "-- Holds commits for a moment, so that several readers see the same one."
    yield f"GRANT RELOAD ON *.* TO {account};"
    yield "-- Without each of these something would be missing in a dump, and nobody would say so."
    for right in ("SELECT", "TRIGGER", "EVENT"):
        yield f"GRANT {right} ON {schema}.* TO {account};"
    yield _routines(needs)
    if needs.views:
        yield f"GRANT SHOW VIEW ON {schema}.* TO {account};"
    if needs.functions_in_views:
        yield "-- Views that call functions can't be described without it."
        yield f"GRANT EXECUTE ON {schema}.* TO {account};"
    if needs.without_transactions:
        yield "-- Small tables without transactions are locked while they are read."
        yield f"GRANT LOCK TABLES ON {schema}.* TO {account};"
    yield "-- Accounts with rights on the schema, and no password: that column stays closed."
    for right in ACCOUNTS[needs.flavour]:
        yield f"GRANT {right} TO {account};"
    yield "-- Not needed, but preflight then sees long transactions, and whether a replica is behind:"
    monitor = "SLAVE MONITOR" if needs.flavour == "mariadb" else "REPLICATION CLIENT"
    yield f"-- GRANT PROCESS, {monitor} ON *.* TO {account};"


def _routines(needs: _Needs) -> str:
    right = "SELECT ON `mysql`.`proc`" if needs.flavour == "mariadb" else "SHOW_ROUTINE ON *.*"
    return f"GRANT {right} TO {needs.account};"


def _restore(target: Target, needs: _Needs) -> Iterator[str]:
    account, beside = needs.account, beside_pattern(target.database)
    yield from _opening(target, needs, "restore")
    yield f"-- Into new schemas whose names begin with {target.database}_ and no others. What other accounts may do"
    yield "-- there is granted by whoever may grant it: a restore by this account says what it is."
    yield "-- A recovery takes more, on the live schema too: `backproof recover PLAN --show` names each right."
    # MySQL asks for more than MariaDB does.
    of_tables = "SELECT, INSERT, CREATE, DROP, ALTER" + (", INDEX, REFERENCES" if needs.flavour == "mysql" else "")
    yield f"GRANT {of_tables} ON {beside}.* TO {account};"
    more = {
        "CREATE VIEW": needs.views,
        "TRIGGER": needs.triggers,
        "EVENT": needs.events,
        "CREATE ROUTINE": needs.routines,
    }
    for right in (right for right, needed in more.items() if needed):
        yield f"GRANT {right} ON {beside}.* TO {account};"
    if needs.logged_code:
        yield "-- The binary log is on, and log_bin_trust_function_creators off: then only SUPER makes triggers and"
        yield "-- functions. SET GLOBAL log_bin_trust_function_creators = 1; is the milder way."
        yield f"GRANT SUPER ON *.* TO {account};"
    elif needs.foreign_definers:
        yield "-- Views, triggers and routines are made in the name of their definers."
        yield f"GRANT {'SET USER' if needs.flavour == 'mariadb' else 'SET_USER_ID'} ON *.* TO {account};"


def _opening(target: Target, needs: _Needs, purpose: str) -> Iterator[str]:
    yield f"-- As an administrator: what {needs.account} needs to {purpose} {quote_ident(target.database)}."
    if needs.unknown:
        yield f"-- The server could not be asked: {' '.join(needs.unknown.split())}."
        yield "-- So this is all that may be needed; ask again when the account has these rights."
        yield "-- It may be there already, locked, where a recovery has made it."
        yield f"-- CREATE USER IF NOT EXISTS {needs.account};"
        yield f"-- ALTER USER {needs.account} IDENTIFIED BY '…' ACCOUNT UNLOCK;"


def _asked(connection: Connection, target: Target) -> _Needs:
    schema = target.database
    ((version, current),) = rows(connection, "SELECT VERSION(), CURRENT_USER()")
    user, _, host = str(current).rpartition("@")
    account, flavour = quote_account(user, host), flavour_of(str(version))
    seen = privileges.held(connection, schema)
    if any(privileges.unseen(seen, flavour == "mariadb")) or "SHOW VIEW" not in seen:
        return _Needs(account, flavour, unknown="this account does not see all that is in the schema")
    ((views, triggers, events, routines),) = rows(connection, _KINDS, [schema] * 4)
    return _Needs(
        account=account,
        flavour=flavour,
        views=bool(views),
        triggers=bool(triggers),
        events=bool(events),
        routines=bool(routines),
        functions_in_views=_any(connection, _FUNCTIONS_IN_VIEWS, schema),
        without_transactions=_any(connection, _WITHOUT_TRANSACTIONS, schema),
        foreign_definers=_any(connection, _DEFINERS, *[schema] * 4, str(current)),
        logged_code=_any(connection, _LOGGED, schema, schema),
    )


def _any(connection: Connection, sql: str, *args: str) -> bool:
    return rows(connection, sql, args) != [(0,)]


def _text(lines: Iterator[str]) -> str:
    return "\n".join(lines) + "\n"
