"""One database as a whole: made empty, given what lies beside its SQL stream, removed."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import psycopg2
import psycopg2.errors
from psycopg2.extensions import connection as Connection
from psycopg2.extensions import cursor as Cursor

from backproof.engines.postgresql.connect import connected, message, quote_ident, quote_literal
from backproof.engines.postgresql.extensions import not_as_recorded
from backproof.engines.postgresql.unfinished import is_unfinished
from backproof.errors import AlreadyExists, ConfigurationError, NotFound
from backproof.records import Manifest, Target

_SERVERS_OWN = ("postgres", "template0", "template1")
_NAME_BYTES = 63
"""PostgreSQL would cut a longer name, and say nothing to who asked."""

_FIRST_USER_OID = 16384
_ICU_RULES_SINCE = 160000
_REMEDY = "Restore into another name; nothing that exists is overwritten."

_CATALOGUES = (
    *("pg_class", "pg_proc", "pg_type", "pg_namespace", "pg_extension", "pg_event_trigger", "pg_publication"),
    *("pg_collation", "pg_cast", "pg_operator", "pg_language", "pg_foreign_data_wrapper", "pg_default_acl"),
)
_CONTENT = (
    " UNION ALL ".join(f"(SELECT FROM {name} WHERE oid >= {_FIRST_USER_OID} LIMIT 1)" for name in _CATALOGUES)  # noqa: S608
    + " UNION ALL (SELECT FROM pg_largeobject_metadata LIMIT 1)"
)
"""A row for each kind of object that a person made; what comes with an empty database has lower numbers."""

_LISTS = frozenset(
    {
        "local_preload_libraries",
        "search_path",
        "session_preload_libraries",
        "shared_preload_libraries",
        "temp_tablespaces",
        "unix_socket_directories",
    }
)
"""Settings that are lists of names, each quoted by itself."""
_LISTED = re.compile(r'"((?:[^"]|"")*)"|([^",\s]+)')


@contextmanager
def on_server(target: Target, *, application_name: str = "backproof") -> Iterator[Connection]:
    """``connected`` for what concerns a database that may not exist: to ``postgres``, else to ``template1``."""
    with ExitStack() as stack:
        try:
            connection = stack.enter_context(connected(target.to("postgres"), application_name=application_name))
        except NotFound:
            connection = stack.enter_context(connected(target.to("template1"), application_name=application_name))
        yield connection


def create(target: Target, manifest: Manifest) -> bool:
    """Make ``target.database`` with the encoding and locale of the archive's; an existing empty one is used as it is.

    Nobody but its owner may connect to a new one before ``apply_globals`` says who may.

    Returns:
        True when it was made here.

    Raises:
        AlreadyExists: it exists and is not empty, or is the server's own.
        ConfigurationError: it exists and is of another encoding; or its name is too long.
    """
    name = quote_ident(target.database)
    _require_own_name(target.database)
    with on_server(target) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT datistemplate FROM pg_catalog.pg_database WHERE datname = %s", [target.database])
        if cursor.rowcount:
            if cursor.fetchone() == (True,):
                raise AlreadyExists(f"database {target.database} is a template of others", _REMEDY)
            _require_empty(target, manifest)
            return False
        try:
            words = [locale(manifest, connection.server_version), _owner(cursor, manifest)]
            cursor.execute(f"CREATE DATABASE {name} TEMPLATE template0 {' '.join(words)}")
        except psycopg2.errors.DuplicateDatabase:
            raise AlreadyExists(f"database {target.database} was just made by somebody else", _REMEDY) from None
        cursor.execute(f"REVOKE ALL ON DATABASE {name} FROM PUBLIC")
    if manifest.database.settings.get("public_schema") is False:
        with connected(target) as connection, connection.cursor() as cursor:
            cursor.execute("DROP SCHEMA IF EXISTS public")
    return True


def apply_globals(target: Target, manifest: Manifest) -> list[str]:
    """Owner, privileges, settings, connection limit, comment and labels, as they were.

    Returns:
        What could not be applied and why, and what extensions lack that was in them, a sentence each; the rest is.
    """
    with connected(target) as connection, connection.cursor() as cursor:
        return [*give(cursor, target.database, manifest.database.globals), *not_as_recorded(cursor, manifest)]


def give(cursor: Cursor, database: str, found: Mapping[str, Any]) -> Iterator[str]:
    """Owner, privileges and the rest, as ``globals`` read them, to the database of this session.

    Yields:
        What could not be applied and why, a sentence each.
    """
    for what, statement in global_statements(quote_ident(database), found, _grantees(cursor)):
        try:
            cursor.execute(statement)
        except psycopg2.Error as error:
            if cursor.connection.closed:
                raise
            yield f"{what} could not be applied: {message(error)}"


def _grantees(cursor: Cursor) -> Iterator[str]:
    """Who has privileges at the moment at which the first is asked for."""
    cursor.execute(
        "SELECT DISTINCT CASE e.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_catalog.pg_get_userbyid(e.grantee)::text END"
        " FROM pg_catalog.pg_database d,"
        " pg_catalog.aclexplode(coalesce(d.datacl, pg_catalog.acldefault('d', d.datdba))) e"
        " WHERE d.datname = pg_catalog.current_database()"
    )
    yield from [str(grantee) for (grantee,) in cursor.fetchall()]


def exists(target: Target) -> bool:
    """Whether there is such a database; its server must answer."""
    with on_server(target) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT FROM pg_catalog.pg_database WHERE datname = %s", [target.database])
        return bool(cursor.rowcount)


_INVALID = -2
"""The limit of connections by which a server knows a database whose removal was cut short, as by a full disk."""


def drop(target: Target) -> None:
    """Remove a database that ``create`` made, with all sessions on it; no error where there is none.

    Raises:
        Busy: a prepared transaction or an active replication slot holds it.
    """
    with on_server(target) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT datconnlimit FROM pg_catalog.pg_database WHERE datname = %s", [target.database])
        found = cursor.fetchone()
        if found is None:
            return
        if found != (_INVALID,):  # which nobody can connect to
            _drop_subscriptions(target)
        cursor.execute(f"DROP DATABASE IF EXISTS {quote_ident(target.database)} WITH (FORCE)")


def _require_own_name(database: str) -> None:
    if database in _SERVERS_OWN:
        raise AlreadyExists(f"database {database} is the server's own", _REMEDY)
    if len(database.encode()) > _NAME_BYTES:
        fact = f"the name {database[:20]}… is longer than {_NAME_BYTES} bytes"
        raise ConfigurationError(fact, "Choose a shorter one.")


def _require_empty(target: Target, manifest: Manifest) -> None:
    with connected(target) as connection, connection.cursor() as cursor:
        cursor.execute(f"SET search_path = pg_catalog; {_CONTENT}")
        if cursor.rowcount:
            if is_unfinished(cursor):
                raise AlreadyExists(
                    f"database {target.database} holds a restore that has not finished",
                    f"Where none is under way, DROP DATABASE {quote_ident(target.database)}; and restore again.",
                )
            raise AlreadyExists(f"database {target.database} exists and is not empty", _REMEDY)
        cursor.execute("SELECT pg_catalog.current_setting('server_encoding')")
        (encoding,) = cursor.fetchall()[0]
        wanted = manifest.database.settings.get("encoding", encoding)
        if encoding != wanted:
            raise ConfigurationError(
                f"database {target.database} has the encoding {encoding}, the backup's has {wanted}",
                "Drop the empty database and let the restore make it, or choose another name.",
            )


def locale(manifest: Manifest, server_version: int) -> str:
    """Encoding and locale, in the words of CREATE DATABASE."""
    settings = {key: str(value) for key, value in manifest.database.settings.items() if value}
    provider = settings.get("locale_provider", "libc")
    words = {
        "ENCODING": settings.get("encoding"),
        "LOCALE_PROVIDER": provider,
        "LC_COLLATE": settings.get("collate"),
        "LC_CTYPE": settings.get("ctype"),
        "ICU_LOCALE": settings.get("locale") if provider == "icu" else None,
        "ICU_RULES": settings.get("icu_rules") if server_version >= _ICU_RULES_SINCE else None,
        "BUILTIN_LOCALE": settings.get("locale") if provider == "builtin" else None,
    }
    return " ".join(f"{word} {quote_literal(value)}" for word, value in words.items() if value)


def _owner(cursor: Cursor, manifest: Manifest) -> str:
    """From the start the owner it had, where the restoring role is no superuser: only the database's owner, and who is
    a member of it, may make objects in ``public`` and give them to their owners."""
    cursor.execute(
        "SELECT FROM pg_catalog.pg_roles AS owner, pg_catalog.pg_roles AS me WHERE me.rolname = current_user"
        " AND NOT me.rolsuper AND owner.rolname = %s AND pg_catalog.pg_has_role(owner.oid, 'MEMBER')",
        [manifest.database.globals.get("owner")],
    )
    return f"OWNER {quote_ident(str(manifest.database.globals['owner']))}" if cursor.rowcount else ""


def global_statements(name: str, found: Mapping[str, Any], grantees: Iterable[str]) -> Iterator[tuple[str, str]]:
    """What and how; the owner first, since privileges are granted in the owner's name.

    Args:
        name: of the database, quoted.
        found: as ``globals`` read it.
        grantees: who has privileges once the owner is its owner; looked at then.

    Yields:
        The comment last, in the place of the one that says that the database is not whole.
    """
    if owner := found.get("owner"):
        yield f"owner {owner}", f"ALTER DATABASE {name} OWNER TO {quote_ident(owner)}"
    for key, value in (found.get("settings") or {}).items():
        yield f"setting {key}", f"ALTER DATABASE {name} SET {_setting(key, value)}"
    for role, settings in (found.get("role_settings") or {}).items():
        for key, value in settings.items():
            statement = f"ALTER ROLE {quote_ident(role)} IN DATABASE {name} SET {_setting(key, value)}"
            yield f"setting {key} of role {role}", statement
    if (limit := found.get("connection_limit")) is not None:
        yield "connection limit", f"ALTER DATABASE {name} CONNECTION LIMIT {int(limit)}"
    for provider, label in (found.get("security_labels") or {}).items():
        statement = f"SECURITY LABEL FOR {quote_ident(provider)} ON DATABASE {name} IS {quote_literal(label)}"
        yield f"security label of {provider}", statement
    if "acl" in found:
        yield from _privileges(name, found["acl"], grantees)
    comment = found.get("comment")
    yield "comment", f"COMMENT ON DATABASE {name} IS {'NULL' if comment is None else quote_literal(comment)}"


def _privileges(name: str, acl: Sequence[Mapping[str, Any]], grantees: Iterable[str]) -> Iterator[tuple[str, str]]:
    for grantee in grantees:
        yield f"privileges of {grantee}", f"REVOKE ALL ON DATABASE {name} FROM {_grantee(grantee)} CASCADE"
    for item in acl:
        option = " WITH GRANT OPTION" if item["grantable"] else ""
        privilege, grantee = item["privilege"], item["grantee"]
        if privilege not in ("CREATE", "CONNECT", "TEMPORARY"):
            continue
        statement = f"GRANT {privilege} ON DATABASE {name} TO {_grantee(grantee)}{option}"
        yield f"privilege {privilege} of {grantee}", statement


def _grantee(name: str) -> str:
    return "PUBLIC" if name == "PUBLIC" else quote_ident(name)


def _setting(name: str, value: str) -> str:
    parts = [quoted.replace('""', '"') or bare.lower() for quoted, bare in _LISTED.findall(value)]
    listed = ", ".join(quote_literal(part) for part in parts) if name.lower() in _LISTS else quote_literal(value)
    dotted = ".".join(quote_ident(part) for part in name.split("."))
    return f"{dotted} TO {listed or quote_literal('')}"


def _drop_subscriptions(target: Target) -> None:
    """They would keep the database from being dropped; without a slot, nobody else is told."""
    with connected(target) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT subname::text FROM pg_catalog.pg_subscription s JOIN pg_catalog.pg_database d ON d.oid = s.subdbid"
            " WHERE d.datname = pg_catalog.current_database()"
        )
        for (subscription,) in cursor.fetchall():
            name = quote_ident(subscription)
            cursor.execute(f"ALTER SUBSCRIPTION {name} DISABLE")
            cursor.execute(f"ALTER SUBSCRIPTION {name} SET (slot_name = NONE)")
            cursor.execute(f"DROP SUBSCRIPTION {name}")
