"""What a server must have before an archive can be restored on it: found without changing anything, and then made."""

import re
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

import pymysql
from pymysql.connections import Connection

from backproof.engines import PIECE_BYTES
from backproof.engines.mysql.connect import connected, rows
from backproof.engines.mysql.full_disk import awaiting_room
from backproof.engines.mysql.names import quote_account, quote_ident, quote_literal
from backproof.engines.mysql.privileges import held
from backproof.findings import listed
from backproof.records import Lack, Manifest, Target

_ACCOUNT = re.compile(r"`(?P<user>(?:[^`]|``)*)`(?:@`(?P<host>(?:[^`]|``)*)`)?")
_STATEMENT_BYTES = 2 * 1024 * 1024
"""More than the dump tool makes of small rows; a longer statement holds a single one."""

_KNOWN = "SELECT ENGINE FROM information_schema.ENGINES WHERE SUPPORT IN ('YES', 'DEFAULT')"
_KEY_PLUGINS = "SELECT 1 FROM information_schema.PLUGINS WHERE PLUGIN_TYPE = 'ENCRYPTION' AND PLUGIN_STATUS = 'ACTIVE'"
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
            *_missing_keys(connection, manifest),
            *_other_settings(connection, manifest),
            *_other_ways(connection, manifest),
            *_missing_locales(connection, manifest),
            *_missing_rights(connection, target, manifest),
        ]


def provide(target: Target, manifest: Manifest, lacks: Iterable[Lack]) -> None:
    """Create missing accounts, locked, and roles with their members; other lacks are a person's to fill.

    Nobody becomes powerful by it. On a scratch server alone they may do everything: views and routines run in their
    names there, and nobody can log in as them.
    """
    missing = [lack.name for lack in lacks if lack.kind == "role"]
    with awaiting_room(target), connected(target, database=False) as connection:
        scratch = _is_scratch(connection)
        for name in missing:
            # Whoever unlocks it must give it a password, too.
            secret = f" IDENTIFIED BY {quote_literal(secrets.token_urlsafe(24))}" if _is_account(name) else ""
            rows(connection, creation(name).replace(" ACCOUNT LOCK", f"{secret} ACCOUNT LOCK"))
            if scratch:
                rows(connection, f"GRANT ALL PRIVILEGES ON *.* TO {name}")
        for statement in memberships(manifest, frozenset(missing)):
            rows(connection, statement)
        for role in _not_its_makers(manifest, missing, _own_account(connection)):
            rows(connection, f"REVOKE {role} FROM {_own_account(connection)}")


def creation(name: str, only_missing: bool = False) -> str:
    """A role, which has no host, or an account that nobody can use."""
    new = f"IF NOT EXISTS {name}" if only_missing else name
    return f"CREATE USER {new} ACCOUNT LOCK" if _is_account(name) else f"CREATE ROLE {new}"


def _is_account(name: str) -> bool:
    match = _ACCOUNT.fullmatch(name)
    return match is not None and match["host"] is not None


def memberships(manifest: Manifest, made: frozenset[str]) -> Iterator[str]:
    """Statements for those that concern who was just made; between others nothing is changed."""
    for role, members in _members(manifest):
        for member, admin in members.items():
            if {role, member} & made and _ACCOUNT.fullmatch(member):
                yield f"GRANT {role} TO {member}{' WITH ADMIN OPTION' if admin else ''}"


def _not_its_makers(manifest: Manifest, made: Iterable[str], me: str) -> Iterator[str]:
    """Who creates a role has it: these roles it did not have."""
    yield from (role for role, members in _members(manifest) if role in made and me not in members)


def _members(manifest: Manifest) -> Iterator[tuple[str, dict[str, bool]]]:
    """Each role, and who has it, with the right to pass it on or without."""
    for role, facts in _mapping(manifest.database.globals.get("roles")).items():
        yield role, {member["account"]: member["admin"] for member in facts.get("members") or ()}


def _own_account(connection: Connection) -> str:
    ((me,),) = rows(connection, "SELECT CURRENT_USER()")
    user, _, host = str(me).rpartition("@")
    return quote_account(user, host)


def wanted(manifest: Manifest, definers_too: bool) -> list[str]:
    """Whom the archive's schema knows."""
    found = manifest.database.globals
    members = [
        member["account"] for rights in _mapping(found.get("roles")).values() for member in rights.get("members") or ()
    ]
    definers = found.get("definers") if definers_too else None
    named = {*_mapping(found.get("accounts")), *_mapping(found.get("roles")), *members}
    if isinstance(definers, list):
        named.update(str(each) for each in definers)
    return sorted(name for name in named if _ACCOUNT.fullmatch(name))


def _missing_accounts(connection: Connection, manifest: Manifest) -> Iterator[Lack]:
    try:
        present = {(user, host) for user, host in rows(connection, "SELECT User, Host FROM mysql.user")}
    except pymysql.Error:
        return  # who may not look finds out from what can't be granted
    # A definer that is not on the very server the archive comes from was not there before.
    for name in wanted(manifest, definers_too=not comes_from(connection, manifest)):
        if _parts(name) not in present:
            yield Lack(kind="role", name=name, remedy=f"{creation(name)}, or --create-missing-roles.")


def comes_from(connection: Connection, manifest: Manifest) -> bool:
    """Whether the archive comes from this server.

    The id is made of a machine and a port: a scratch server beside the live one has the same.
    """
    found = dict(rows(connection, "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('server_uid', 'server_uuid')"))
    recorded = {name: manifest.database.server.get(name) for name in found}
    return bool(found) and found == recorded and not _is_scratch(connection)


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


def lacks_keys(connection: Connection, manifest: Manifest) -> list[str]:
    """The tables that say they are encrypted, where a server has no plugin that knows keys."""
    encrypted = manifest.database.server.get("encrypted")
    if not isinstance(encrypted, list) or not encrypted or rows(connection, _KEY_PLUGINS):
        return []
    return [str(each) for each in encrypted]


def _missing_keys(connection: Connection, manifest: Manifest) -> Iterator[Lack]:
    if tables := lacks_keys(connection, manifest):
        remedy = f"Install one there, such as file_key_management: {listed(tables)} can't be made without."
        yield Lack(kind="extension", name="a key management plugin", remedy=remedy)


def _other_settings(connection: Connection, manifest: Manifest) -> Iterator[Lack]:
    recorded = _mapping(manifest.database.server.get("variables"))
    ((packet, case, from_memory),) = rows(
        connection, "SELECT @@global.max_allowed_packet, @@lower_case_table_names, @@global.local_infile"
    )
    if str(recorded.get("lower_case_table_names", case)) != str(case):
        yield Lack(
            kind="setting",
            name=f"lower_case_table_names={recorded['lower_case_table_names']}",
            remedy=f"That server has {case}, which makes other names of the same. It is chosen when a server is made.",
        )
    needed = longest_statement_bytes(manifest)
    if int(packet) < needed:
        remedy = f"SET GLOBAL max_allowed_packet = {1 << (needed - 1).bit_length()} there: it has {packet}."
        if from_memory:
            remedy += " Rows that LOAD DATA takes, which is most, come even so."
        name = f"max_allowed_packet of {needed} bytes"
        yield Lack(kind="setting", name=name, remedy=remedy, refuses=not from_memory)


def longest_statement_bytes(manifest: Manifest) -> int:
    """What a server's ``max_allowed_packet`` has to take."""
    known = [table.longest_statement_bytes for table in manifest.tables if table.rows]
    if None not in known:
        return max((length for length in known if length is not None), default=0)
    # An earlier backup: a member is about as long as a statement, or holds several.
    longest = max((member.plain_bytes for member in manifest.members if member.table is not None), default=0)
    return longest if longest > PIECE_BYTES + _STATEMENT_BYTES else min(longest, _STATEMENT_BYTES)


def _other_ways(connection: Connection, manifest: Manifest) -> Iterator[Lack]:
    """What a restore does without, since its sessions bring their own, and what comes to use the database does not."""
    recorded = _mapping(manifest.database.server.get("variables"))
    ((mode, page, scheduler),) = rows(
        connection, "SELECT @@global.sql_mode, @@global.innodb_page_size, @@global.event_scheduler"
    )

    def lack(name: str, remedy: str) -> Lack:
        return Lack(kind="setting", name=f"{name}={recorded[name]}", remedy=remedy, refuses=False)

    if set(str(recorded.get("sql_mode", mode)).split(",")) != set(str(mode).split(",")):
        yield lack("sql_mode", f"It has '{mode}': an application may be refused there what it could write before.")
    if int(recorded.get("innodb_page_size", page)) > int(page):
        yield lack("innodb_page_size", f"It has {page}, and long keys and rows may be refused: see that they come.")
    events = any(key.startswith("EVENT ") for key in manifest.entries)
    if events and recorded.get("event_scheduler") == "ON" and scheduler not in (1, "ON"):
        yield lack("event_scheduler", "Events come back, and none of them runs there before it is ON.")


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
    keys = manifest.entries
    if "CREATE" not in mine:
        yield Lack(
            kind="privilege", name="CREATE", remedy=f"Give {user} what doctor --print-grants prints for a restore."
        )
    ((logging, trusting),) = rows(connection, "SELECT @@global.log_bin, @@global.log_bin_trust_function_creators")
    distrusting = logging and not trusting
    if distrusting and _trusted(manifest) and any(key.startswith("FUNCTION ") for key in keys):
        yield Lack(
            kind="setting",
            name="log_bin_trust_function_creators",
            remedy="SET GLOBAL log_bin_trust_function_creators = 1 there: it was so, or there was no binary log, where"
            " the backup comes from, and functions may be refused without it.",
        )
    if "SUPER" in mine:
        return
    if distrusting and any(key.startswith(_RUNS_CODE) for key in keys):
        remedy = f"SET GLOBAL log_bin_trust_function_creators = 1 there, or GRANT SUPER ON *.* TO {user}."
        yield Lack(kind="privilege", name="SUPER for triggers and functions with a binary log", remedy=remedy)
    if "SET USER" not in mine and any(key.startswith(_IN_A_NAME) for key in keys) and _others(connection, manifest):
        remedy = f"GRANT SET USER ON *.* TO {user} there, or restore as another user."
        yield Lack(kind="privilege", name="SET USER, since some objects run in others' names", remedy=remedy)


def _trusted(manifest: Manifest) -> bool:
    """Whether the archive's server took functions that another with a binary log may refuse, whoever makes them."""
    variables = _mapping(manifest.database.server.get("variables"))
    return variables.get("log_bin") == "OFF" or variables.get("log_bin_trust_function_creators") == "ON"


def _others(connection: Connection, manifest: Manifest) -> bool:
    definers, own = manifest.database.globals.get("definers"), _own_account(connection)
    return isinstance(definers, list) and any(each != own for each in definers)


def _is_scratch(connection: Connection) -> bool:
    """Ours alone: it listens on no network, and would not survive a crash."""
    with suppress(pymysql.Error):
        return rows(connection, "SELECT @@skip_networking, @@innodb_doublewrite") in ([(1, 0)], [(1, "OFF")])
    return False


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
