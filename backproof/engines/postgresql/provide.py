"""What a server must have before an archive can be restored on it: found without changing anything, and then made."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, cast

import psycopg2
from psycopg2.extensions import connection as Connection
from psycopg2.extensions import cursor as Cursor

from backproof.engines.postgresql.connect import quote_ident, translate
from backproof.engines.postgresql.database import on_server
from backproof.engines.postgresql.powerless import is_scratch
from backproof.errors import ConfigurationError
from backproof.records import Lack, Manifest, Target

_ATTRIBUTES = ("superuser", "createrole", "createdb", "replication", "bypassrls", "inherit")
_BUILTIN_SINCE = 170000


def lacks(target: Target, manifest: Manifest) -> list[Lack]:
    """What the target's server lacks for this archive; ``target.database`` need not exist yet.

    Raises:
        ConnectionLost, AccessDenied: the server can't be asked.
    """
    with on_server(target) as connection, connection.cursor() as cursor:
        return [
            *_missing_roles(cursor, manifest),
            *_missing_extensions(cursor, manifest),
            *_missing_tablespaces(cursor, manifest),
            *_missing_locales(connection, cursor, target, manifest),
            *_missing_rights(cursor, target),
        ]


def provide(target: Target, manifest: Manifest, lacks: Iterable[Lack]) -> None:
    """Create missing roles with their memberships, and stub tablespaces; other lacks are a person's to fill.

    Roles never get a password or the right to log in. Their other attributes they get on a scratch server alone, where
    objects that only a superuser may own must find one; elsewhere nobody becomes powerful by a restore.

    Raises:
        ConfigurationError: a tablespace is missing on a server that is no scratch server.
    """
    missing = list(lacks)
    with on_server(target) as connection, connection.cursor() as cursor:
        scratch = is_scratch(cursor)
        roles = [lack.name for lack in missing if lack.kind == "role"]
        for name in roles:
            cursor.execute(create_role(name, manifest, scratch))
        for statement in memberships(manifest, set(roles), connection.server_version):
            cursor.execute(statement)
        for lack in missing:
            if lack.kind == "tablespace":
                _create_tablespace(cursor, lack, scratch)


def _missing_roles(cursor: Cursor, manifest: Manifest) -> Iterator[Lack]:
    cursor.execute("SELECT rolname::text FROM pg_catalog.pg_roles")
    present = {name for (name,) in cursor.fetchall()}
    attributes = _mapping(manifest.database.server.get("role_attributes"))
    for name in sorted(_mapping(manifest.database.globals.get("roles")).keys() - present):
        powerful = _mapping(attributes.get(name)).get("superuser")
        note = " It was a superuser where the backup comes from; what only such may own needs that again." * bool(
            powerful
        )
        yield Lack(
            kind="role", name=name, remedy=f"CREATE ROLE {quote_ident(name)} NOLOGIN, or --create-missing-roles.{note}"
        )


def _missing_extensions(cursor: Cursor, manifest: Manifest) -> Iterator[Lack]:
    cursor.execute("SELECT name::text FROM pg_catalog.pg_available_extensions")
    present = {name for (name,) in cursor.fetchall()}
    for name, version in sorted(_mapping(manifest.database.server.get("extensions")).items()):
        if name not in present:
            yield Lack(
                kind="extension", name=name, remedy=f"Install the package with extension {name} {version} there."
            )


def _missing_tablespaces(cursor: Cursor, manifest: Manifest) -> Iterator[Lack]:
    cursor.execute("SELECT spcname::text FROM pg_catalog.pg_tablespace")
    present = {name for (name,) in cursor.fetchall()}
    for name in cast("list[str]", manifest.database.globals.get("tablespaces") or []):
        if name not in present:
            yield Lack(
                kind="tablespace", name=name, remedy=f"CREATE TABLESPACE {quote_ident(name)} LOCATION '…' there."
            )


def _missing_locales(connection: Connection, cursor: Cursor, target: Target, manifest: Manifest) -> Iterator[Lack]:
    cursor.execute("SELECT FROM pg_catalog.pg_database WHERE datname = %s", [target.database])
    if cursor.rowcount:
        return  # it has a locale already
    settings = manifest.database.settings
    provider = settings.get("locale_provider")
    for name in sorted({str(settings[key]) for key in ("collate", "ctype") if settings.get(key)}):
        try:
            # Looks the name up as CREATE DATABASE will, and changes nothing but this transaction.
            cursor.execute("SELECT pg_catalog.set_config('lc_monetary', %s, true)", [name])
        except psycopg2.errors.InvalidParameterValue:
            yield Lack(kind="locale", name=name, remedy=f"Generate the locale {name} on the database server.")
        except psycopg2.Error as error:
            raise translate(error) from None
    if provider == "builtin" and connection.server_version < _BUILTIN_SINCE:
        yield Lack(kind="locale", name="builtin", remedy="Restore to PostgreSQL 17 or later, which has this provider.")
    # One ICU collation is in every catalogue since 16; initdb adds the others where the build knows ICU.
    cursor.execute("SELECT FROM pg_catalog.pg_collation WHERE collprovider = 'i' AND collname ~ '-x-icu$' LIMIT 1")
    if provider == "icu" and not cursor.rowcount:
        yield Lack(
            kind="locale", name=f"icu {settings.get('locale')}", remedy="Use a PostgreSQL that is built with ICU."
        )


def _missing_rights(cursor: Cursor, target: Target) -> Iterator[Lack]:
    cursor.execute(
        "SELECT rolsuper OR rolcreatedb OR EXISTS (SELECT FROM pg_catalog.pg_database WHERE datname = %s)"
        " FROM pg_catalog.pg_roles WHERE rolname = current_user",
        [target.database],
    )
    if cursor.fetchone() != (True,):
        remedy = f"ALTER ROLE {quote_ident(target.user)} CREATEDB, or restore as another user."
        yield Lack(kind="privilege", name="CREATEDB", remedy=remedy)


def create_role(name: str, manifest: Manifest, scratch: bool = False) -> str:
    """Without a password or the right to log in."""
    recorded = _mapping(_mapping(manifest.database.server.get("role_attributes")).get(name))
    chosen = _ATTRIBUTES if scratch else ("inherit",)
    words = [word.upper() if recorded[word] else f"NO{word.upper()}" for word in chosen if word in recorded]
    return f"CREATE ROLE {quote_ident(name)} NOLOGIN {' '.join(words)}"


def memberships(manifest: Manifest, made: set[str], server_version: int) -> Iterator[str]:
    """Statements for those that concern a role that was just made; between roles that were there nothing is changed."""
    for member, facts in _mapping(manifest.database.globals.get("roles")).items():
        for membership in cast("list[dict[str, Any]]", _mapping(facts).get("member_of") or []):
            role = membership["role"]
            if made & {member, role}:
                yield f"GRANT {quote_ident(role)} TO {quote_ident(member)}{_options(membership, server_version)}"


def _options(membership: Mapping[str, Any], server_version: int) -> str:
    if server_version < 160000:
        return " WITH ADMIN OPTION" if membership["admin"] else ""
    given = {word: membership.get(word) for word in ("admin", "inherit", "set")}
    return " WITH " + ", ".join(f"{word.upper()} {str(on).upper()}" for word, on in given.items() if on is not None)


def _create_tablespace(cursor: Cursor, lack: Lack, scratch: bool) -> None:
    if not scratch:
        raise ConfigurationError(f"tablespace {lack.name} does not exist there", lack.remedy)
    cursor.execute("SET allow_in_place_tablespaces = on")
    cursor.execute(f"CREATE TABLESPACE {quote_ident(lack.name)} LOCATION ''")


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
