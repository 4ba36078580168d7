"""What a schema is beside its SQL stream: read on the connection of the dump's consistent point, as plain JSON.

Three parts, for what is compared after a round trip must be told from what may differ between two servers:

``settings``: what it takes to create an empty schema that fits; comes back equal.
    ``charset``, ``collation``, ``comment`` (MariaDB; else empty).
``globals``: what has to be applied by hand; comes back equal. The schema's own name is in none of it.
    ``accounts``: {account: {``schema``: [right], ``tables``: {table: [right]}, ``columns``: {table: {column: [right]}},
    ``routines``: {"PROCEDURE pr": [right]}}} for each account with rights on this very schema (rights on all schemas
    are not the schema's); accounts are spelled ```user`@`host```, and ``PUBLIC`` is everybody; tables, columns and
    routines as entries spell them; ``GRANT OPTION`` is a right among the others.
    ``roles``: {role: the same, and ``members``: [{``account``, ``admin``}]} for each role with such rights.
    ``definers``: accounts in whose name views, triggers, routines and events run.
``server``: what may differ elsewhere; for people, and for whoever sets up a server that fits.
    ``flavour``, ``server_uid`` or ``server_uuid`` (of MySQL), ``consistent_point`` (how commits were held) and
    ``writers_held_seconds``, ``binary_log``: {``file``, ``position``, ``gtid``}, ``variables``: {name: value},
    ``engines``: {engine: tables}, ``encrypted``: [table] (those that say so of themselves). Never a password.
"""
# ruff: noqa: S608 - names are of this module, or quoted

from collections import Counter
from collections.abc import Iterable
from typing import Any

from pydantic import JsonValue

from backproof.engines.mysql.inventory import Catalogue
from backproof.engines.mysql.names import quote_account, quote_ident, spell
from backproof.engines.mysql.point import Point
from backproof.engines.mysql.privileges import matches, most_specific
from backproof.errors import AccessDenied
from backproof.findings import listed

VARIABLES = (
    "character_set_server",
    "collation_server",
    "default_storage_engine",
    "event_scheduler",
    "explicit_defaults_for_timestamp",
    "innodb_page_size",
    "innodb_strict_mode",
    "log_bin",
    "log_bin_trust_function_creators",
    "lower_case_table_names",
    "max_allowed_packet",
    "read_only",
    "server_id",
    "server_uid",
    "server_uuid",
    "sql_mode",
    "system_time_zone",
    "time_zone",
    "version",
    "version_comment",
)
"""Global ones that decide whether a restore succeeds, or tell a person where this came from."""

_NAMES = {
    "GRANT": "GRANT OPTION",
    "CREATE TMP TABLE": "CREATE TEMPORARY TABLES",
    "DELETE VERSIONING ROWS": "DELETE HISTORY",
}
"""Where the system's tables have another word for a right than GRANT has."""

_UNSEEN = (
    "Accounts and roles with rights on this schema are not in the backup: the backup account may not read them. "
    "`backproof doctor PLAN --print-grants` prints the right."
)

_DEFINERS = """
    SELECT DEFINER FROM information_schema.VIEWS WHERE TABLE_SCHEMA = %s
    UNION SELECT DEFINER FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = %s
    UNION SELECT DEFINER FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = %s
    UNION SELECT DEFINER FROM information_schema.EVENTS WHERE EVENT_SCHEMA = %s
"""

_ENCRYPTED = """
    SELECT TABLE_NAME FROM information_schema.TABLES
    WHERE TABLE_SCHEMA = %s AND CREATE_OPTIONS RLIKE '(?i)`?encrypted`?=.?yes' ORDER BY 1
"""

Rights = dict[str, Any]


def read_settings(point: Point) -> dict[str, JsonValue]:
    """What CREATE DATABASE needs."""
    comment = ", SCHEMA_COMMENT" if _has_column(point, "information_schema", "SCHEMATA", "SCHEMA_COMMENT") else ", ''"
    ((charset, collation, said),) = point.rows(
        f"SELECT DEFAULT_CHARACTER_SET_NAME, DEFAULT_COLLATION_NAME{comment} FROM information_schema.SCHEMATA"
        " WHERE SCHEMA_NAME = %s",
        [point.target.database],
    )
    return {"charset": charset, "collation": collation, "comment": said}


def read_globals(point: Point) -> tuple[dict[str, JsonValue], list[str]]:
    """What the dump does not carry and a restore applies by hand; and what could not be read, a sentence each."""
    definers = [account(definer) for (definer,) in point.rows(_DEFINERS, [point.target.database] * 4)]
    found: dict[str, JsonValue] = {"accounts": {}, "roles": {}, "definers": [*sorted(set(definers))]}
    try:
        rights = _rights(point)
        roles = _roles(point)
    except AccessDenied:
        return found, [_UNSEEN]
    found["accounts"] = {each: rights[each] for each in sorted(rights) if each not in roles}
    found["roles"] = {each: {**rights[each], "members": roles[each]} for each in sorted(rights) if each in roles}
    return found, []


def on_what_is_there(found: dict[str, JsonValue], catalogue: Catalogue) -> tuple[dict[str, JsonValue], list[str]]:
    """Rights without those on tables, columns and routines that are gone; and a sentence that names them, if any.

    A server keeps them, with the name, when what they are on is dropped; and refuses to grant them again. Only what
    holds CREATE may be granted on what is not there yet.
    """
    keys = {key.lower() for key in catalogue.objects}
    columns = {
        spell(each.name).lower(): {spell(name).lower() for name in each.columns} for each in catalogue.tables.values()
    }
    gone: list[str] = []

    def is_there(name: str) -> bool:
        return any(f"{kind} {name}".lower() in keys for kind in ("table", "view", "sequence"))

    def kept(account: str, rights: Rights) -> Rights:
        tables = {name: own for name, own in rights["tables"].items() if is_there(name) or "CREATE" in own}
        parts = {
            table: {name: own for name, own in of.items() if name.lower() in columns.get(table.lower(), {name.lower()})}
            for table, of in rights["columns"].items()
            if is_there(table)
        }
        left = {
            **rights,
            "tables": tables,
            "columns": {table: of for table, of in parts.items() if of},
            "routines": {name: own for name, own in rights["routines"].items() if name.lower() in keys},
        }
        gone.extend(f"{account} on {name}" for name in sorted(_named_in(rights) - _named_in(left)))
        return left

    pruned = dict(found)
    for kind in ("accounts", "roles"):
        rights: Any = found[kind]
        left = {account: kept(account, own) for account, own in rights.items()}
        pruned[kind] = {account: own for account, own in left.items() if own["schema"] or _named_in(own)}
    return pruned, [f"Rights on what is gone are not in the backup: {listed(gone, 10)}."] if gone else []


def _named_in(rights: Rights) -> set[str]:
    columns = {f"{table}.{column}" for table, of in rights["columns"].items() for column in of}
    return {*rights["tables"], *columns, *rights["routines"]}


def read_server_facts(point: Point) -> dict[str, JsonValue]:
    """What may differ on another server."""
    listed = ", ".join(["%s"] * len(VARIABLES))
    values: dict[str, JsonValue] = dict(
        sorted(point.rows(f"SHOW GLOBAL VARIABLES WHERE Variable_name IN ({listed})", VARIABLES))
    )
    identity: dict[str, JsonValue] = {
        name: values.pop(name) for name in ("server_uid", "server_uuid") if name in values
    }
    engines: dict[str, JsonValue] = dict(
        sorted(Counter(each.engine for each in point.catalogue.tables.values()).items())
    )
    log: dict[str, JsonValue] = dict(point.binary_log)
    return {
        "flavour": point.flavour,
        **identity,
        "consistent_point": point.method,
        "writers_held_seconds": round(point.held_seconds, 3),
        "binary_log": log,
        "variables": values,
        "engines": engines,
        "encrypted": [spell(name) for (name,) in point.rows(_ENCRYPTED, [point.target.database])],
    }


def account(name: str) -> str:
    """``user@host`` as the catalogue has it, quoted; a role has no host."""
    user, at, host = name.rpartition("@")
    return quote_account(user, host) if at else quote_ident(name)


def _rights(point: Point) -> dict[str, Rights]:
    found: dict[str, Rights] = {}

    def of(user: str, host: str) -> Rights:
        return found.setdefault(_named(user, host), {"schema": [], "tables": {}, "columns": {}, "routines": {}})

    for user, host, rights in _schema_rights(point):
        of(user, host)["schema"] = rights
    schema = [point.target.database]
    for user, host, table, rights in point.rows(
        "SELECT User, Host, Table_name, Table_priv FROM mysql.tables_priv WHERE Db = %s AND Table_priv <> ''", schema
    ):
        of(user, host)["tables"][spell(table)] = _words(rights)
    for user, host, table, column, rights in point.rows(
        "SELECT User, Host, Table_name, Column_name, Column_priv FROM mysql.columns_priv WHERE Db = %s", schema
    ):
        of(user, host)["columns"].setdefault(spell(table), {})[spell(column)] = _words(rights)
    for user, host, kind, routine, rights in point.rows(
        "SELECT User, Host, Routine_type, Routine_name, Proc_priv FROM mysql.procs_priv WHERE Db = %s", schema
    ):
        of(user, host)["routines"][f"{kind} {spell(routine)}"] = _words(rights)
    return {each: _sorted(rights) for each, rights in found.items()}


def _schema_rights(point: Point) -> Iterable[tuple[str, str, list[str]]]:
    """Rights on the schema as a whole, granted to it by name or by a pattern."""
    columns = [
        name
        for (name,) in point.rows(
            "SELECT COLUMN_NAME FROM information_schema.COLUMNS"
            " WHERE TABLE_SCHEMA = 'mysql' AND TABLE_NAME = 'db' AND COLUMN_NAME LIKE '%%\\_priv' ORDER BY 1",
        )
    ]
    granted: dict[tuple[str, str], list[tuple[str, str]]] = {}
    selected = ", ".join(["User", "Host", "Db", *columns])
    for user, host, place, *switches in point.rows(f"SELECT {selected} FROM mysql.db"):
        if matches(place, point.target.database):
            rights = [name.removesuffix("_priv") for name, on in zip(columns, switches, strict=True) if on == "Y"]
            granted.setdefault((user, host), []).extend((place, right.replace("_", " ")) for right in rights)
    for (user, host), rights in granted.items():
        yield user, host, _words(",".join(most_specific(rights, point.target.database)))


def _roles(point: Point) -> dict[str, list[JsonValue]]:
    """Every role, and who has it."""
    if point.flavour != "mariadb":
        return {}  # there a role is an account that is locked
    found: dict[str, list[JsonValue]] = {
        _named(name, ""): [] for (name,) in point.rows("SELECT User FROM mysql.user WHERE is_role = 'Y'")
    }
    for user, host, role, admin in point.rows(
        "SELECT User, Host, Role, Admin_option FROM mysql.roles_mapping ORDER BY Role, User, Host"
    ):
        found.setdefault(_named(role, ""), []).append({"account": _named(user, host), "admin": admin == "Y"})
    return found


def _named(user: str, host: str) -> str:
    return "PUBLIC" if (user, host) == ("PUBLIC", "") else quote_account(user, host)


def _words(rights: str) -> list[str]:
    """A set of rights as the system's tables hold it, in GRANT's words."""
    return sorted(_NAMES.get(right.upper(), right.upper()) for right in rights.split(",") if right)


def _sorted(rights: Rights) -> Rights:
    return {part: dict(sorted(found.items())) if isinstance(found, dict) else found for part, found in rights.items()}


def _has_column(point: Point, schema: str, table: str, column: str) -> bool:
    return bool(
        point.rows(
            "SELECT 1 FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s AND COLUMN_NAME = %s",
            [schema, table, column],
        )
    )
