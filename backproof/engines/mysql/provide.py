"""What a server must have before an archive can be restored on it: found without changing anything, and then made."""

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

import pymysql
from pymysql.connections import Connection

from backproof.engines import PIECE_BYTES
from backproof.engines.mysql.connect import connected, rows
from backproof.engines.mysql.names import quote_ident
from backproof.engines.mysql.privileges import held
from backproof.records import Lack, Manifest, Target

_ACCOUNT = re.compile(r"`(?P<user>(?:[^`]|``)*)`(?:@`(?P<host>(?:[^`]|``)*)`)?")
_STATEMENT_BYTES = 2 * 1024 * 1024
"""More than the dump tool makes of small rows; a longer statement holds a single one."""

_KNOWN = "SELECT ENGINE FROM information_schema.ENGINES WHERE SUPPORT IN ('YES', 'DEFAULT')"
_RUNS_CODE = ("TRIGGER ", "FUNCTION ")
_IN_A_NAME = ("VIEW ", "TRIGGER ", "PROCEDURE ", "FUNCTION ", "EVENT ")


def lacks(target: Target, manifest: Manifest) -> list[Lack]:
    """What the target's server lacks for this archive; ``target.database`` need not exist yet.

    Raises:
        ConnectionLost, AccessDenied: the server can't be asked.
    """
    with connected(target, database=False) as connection:
        return [
            *_missing_accounts(connection, manifest),
            *_missing_engines(connection, manifest),
            *_other_settings(connection, manifest),
            *_missing_locales(connection, manifest),
            *_missing_rights(connection, target, manifest),
        ]


def provide(target: Target, manifest: Manifest, lacks: Iterable[Lack]) -> None:
    """Create missing accounts, locked, and roles; other lacks are a person's to fill.

    Nobody becomes powerful by it. On a scratch server alone they may do everything: views and routines run in their
    names there, and nobody can log in as them.
    """
    missing = [lack.name for lack in lacks if lack.kind == "role"]
    with connected(target, database=False) as connection:
        scratch = _is_scratch(connection)
        for name in missing:
            rows(connection, _creation(name))
            if scratch:
                rows(connection, f"GRANT ALL PRIVILEGES ON *.* TO {name}")


def _creation(name: str) -> str:
    """A role, which has no host, or an account that nobody can use."""
    match = _ACCOUNT.fullmatch(name)
    return f"CREATE USER {name} ACCOUNT LOCK" if match and match["host"] is not None else f"CREATE ROLE {name}"


def _wanted(manifest: Manifest) -> list[str]:
    found = manifest.database.globals
    members = [
        member["account"] for rights in _mapping(found.get("roles")).values() for member in rights.get("members") or ()
    ]
    definers = found.get("definers")
    named = {*_mapping(found.get("accounts")), *_mapping(found.get("roles")), *members}
    if isinstance(definers, list):
        named.update(str(each) for each in definers)
    return sorted(name for name in named if _ACCOUNT.fullmatch(name))


def _missing_accounts(connection: Connection, manifest: Manifest) -> Iterator[Lack]:
    try:
        present = {(user, host) for user, host in rows(connection, "SELECT User, Host FROM mysql.user")}
    except pymysql.Error:
        return  # who may not look finds out from what can't be granted
    for name in _wanted(manifest):
        if _parts(name) not in present:
            yield Lack(kind="role", name=name, remedy=f"{_creation(name)}, or --create-missing-roles.")


def _parts(name: str) -> tuple[str, str]:
    """User and host, as the server keeps them."""
    match = _ACCOUNT.fullmatch(name)
    user, host = (match["user"], match["host"] or "") if match else (name, "")
    return user.replace("``", "`"), host.replace("``", "`")


def _missing_engines(connection: Connection, manifest: Manifest) -> Iterator[Lack]:
    known = {str(name).lower() for (name,) in rows(connection, _KNOWN)}
    for name in sorted(_mapping(manifest.database.server.get("engines"))):
        if name and name.lower() not in known:
            remedy = f"Install the plugin of {name} there: the server would take another engine without a word."
            yield Lack(kind="extension", name=f"engine {name}", remedy=remedy)


def _other_settings(connection: Connection, manifest: Manifest) -> Iterator[Lack]:
    recorded = _mapping(manifest.database.server.get("variables"))
    ((packet, case),) = rows(connection, "SELECT @@global.max_allowed_packet, @@lower_case_table_names")
    if str(recorded.get("lower_case_table_names", case)) != str(case):
        yield Lack(
            kind="setting",
            name=f"lower_case_table_names={recorded['lower_case_table_names']}",
            remedy=f"That server has {case}, which makes other names of the same. It is chosen when a server is made.",
        )
    longest = max((member.plain_bytes for member in manifest.members if member.table is not None), default=0)
    needed = longest if longest > PIECE_BYTES + _STATEMENT_BYTES else min(longest, _STATEMENT_BYTES)
    if int(packet) < needed:
        remedy = f"SET GLOBAL max_allowed_packet = {1 << (needed - 1).bit_length()} there: it has {packet}."
        yield Lack(kind="setting", name=f"max_allowed_packet of {needed} bytes", remedy=remedy)


def _missing_locales(connection: Connection, manifest: Manifest) -> Iterator[Lack]:
    if (collation := manifest.database.settings.get("collation")) and not rows(
        connection,
        "SELECT 1 FROM information_schema.COLLATIONS WHERE COLLATION_NAME = %s"
        " UNION SELECT 1 FROM information_schema.COLLATION_CHARACTER_SET_APPLICABILITY WHERE %s IN (COLLATION_NAME)",
        [collation, collation],
    ):
        yield Lack(kind="locale", name=str(collation), remedy="Restore to a server that knows this collation.")


def _missing_rights(connection: Connection, target: Target, manifest: Manifest) -> Iterator[Lack]:
    mine = held(connection, target.database)
    user = quote_ident(target.user)
    if "CREATE" not in mine:
        yield Lack(
            kind="privilege", name="CREATE", remedy=f"Give {user} what doctor --print-grants prints for a restore."
        )
    if "SUPER" in mine:
        return
    keys = manifest.entries
    ((logging, trusting),) = rows(connection, "SELECT @@global.log_bin, @@global.log_bin_trust_function_creators")
    if logging and not trusting and any(key.startswith(_RUNS_CODE) for key in keys):
        remedy = f"SET GLOBAL log_bin_trust_function_creators = 1 there, or GRANT SUPER ON *.* TO {user}."
        yield Lack(kind="privilege", name="SUPER for triggers and functions with a binary log", remedy=remedy)
    if "SET USER" not in mine and any(key.startswith(_IN_A_NAME) for key in keys) and _others(connection, manifest):
        remedy = f"GRANT SET USER ON *.* TO {user} there, or restore as another user."
        yield Lack(kind="privilege", name="SET USER, since some objects run in others' names", remedy=remedy)


def _others(connection: Connection, manifest: Manifest) -> bool:
    ((me,),) = rows(connection, "SELECT CURRENT_USER()")
    user, _, host = me.rpartition("@")
    definers = manifest.database.globals.get("definers")
    own = f"{quote_ident(user)}@{quote_ident(host)}"
    return isinstance(definers, list) and any(each != own for each in definers)


def _is_scratch(connection: Connection) -> bool:
    """Ours alone: it listens on no network, and would not survive a crash."""
    with suppress(pymysql.Error):
        return rows(connection, "SELECT @@skip_networking, @@innodb_doublewrite") in ([(1, 0)], [(1, "OFF")])
    return False


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
