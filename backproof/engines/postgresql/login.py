"""A login of its own for an application on a staged database: everything in it, and nothing on its server.

Schemas, tables and the like become its own, as they mostly are an application's, so that it may change them too. Who
owned them keeps all rights on them: views and functions run in that name. A table with row security stays with its
owner, since its policies would not hold for a new one; what they let any role do, they let this one.
"""

import secrets
from collections.abc import Iterator
from contextlib import suppress

import psycopg2.errors
from psycopg2.extensions import connection as Connection
from psycopg2.extensions import cursor as Cursor
from psycopg2.extensions import encrypt_password
from pydantic import SecretStr

from backproof.engines.postgresql.connect import connected, quote_ident, quote_literal
from backproof.engines.postgresql.database import on_server
from backproof.records import Target

_AT_ONCE = 50
"""Statements of one transaction, which holds a lock for each: a server has room for a few thousand."""

_CARRIED_OVER = ("event_triggers", "lc_monetary")
"""What the administrator's sessions are told holds for these, too: it says what a copy may set off."""

_SCHEMAS = """
    SELECT pg_catalog.format(
        'ALTER SCHEMA %%1$I OWNER TO %%2$I; GRANT ALL ON SCHEMA %%1$I TO %%3$I;'
        ' GRANT EXECUTE ON ALL ROUTINES IN SCHEMA %%1$I TO %%2$I', n.nspname, %(login)s, r.rolname)
    FROM pg_catalog.pg_namespace n JOIN pg_catalog.pg_roles r ON r.oid = n.nspowner
    WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.deptype = 'e'
                      AND d.classid = 'pg_catalog.pg_namespace'::pg_catalog.regclass AND d.objid = n.oid)
    ORDER BY n.nspname
"""

_RELATIONS = """
    SELECT CASE
        WHEN c.relkind = 'v' OR c.relrowsecurity OR c.bound OR c.of_an_extension
        THEN pg_catalog.format('GRANT ALL ON %%s TO %%I', c.name, %(login)s)
        ELSE pg_catalog.format('ALTER TABLE %%1$s OWNER TO %%2$I; GRANT ALL ON %%1$s TO %%3$I',
                               c.name, %(login)s, c.rolname)
    END
    FROM (
        SELECT c.relkind, c.relrowsecurity, r.rolname,
               pg_catalog.format('%%I.%%I', n.nspname, c.relname) AS name,
               EXISTS (SELECT FROM pg_catalog.pg_depend d
                       WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid
                         AND c.relkind = 'S' AND d.deptype IN ('a', 'i')) AS bound,
               EXISTS (SELECT FROM pg_catalog.pg_depend d
                       WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid
                         AND d.deptype = 'e') AS of_an_extension
        FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        JOIN pg_catalog.pg_roles r ON r.oid = c.relowner
        WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
    ) c
    WHERE NOT c.of_an_extension OR %(superuser)s
    ORDER BY c.relkind = 'S', c.name
"""
"""Tables first: a sequence that belongs to a column goes with its table, and can't be given away by itself."""

_POLICIES = """
    SELECT pg_catalog.format(
        'ALTER POLICY %%I ON %%I.%%I TO %%s, %%I', p.polname, n.nspname, c.relname,
        (SELECT pg_catalog.string_agg(role::pg_catalog.regrole::text, ', ') FROM pg_catalog.unnest(p.polroles) role),
        %(login)s)
    FROM pg_catalog.pg_policy p JOIN pg_catalog.pg_class c ON c.oid = p.polrelid
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE NOT 0 = ANY (p.polroles)
"""

_LARGE_OBJECTS = """
    SELECT pg_catalog.format('ALTER LARGE OBJECT %%1$s OWNER TO %%2$I; GRANT ALL ON LARGE OBJECT %%1$s TO %%3$I',
                             l.oid, %(login)s, r.rolname)
    FROM pg_catalog.pg_largeobject_metadata l JOIN pg_catalog.pg_roles r ON r.oid = l.lomowner
"""


def admit(target: Target, login: str) -> Target:
    """Make a role that may do everything in ``target.database``, and nothing else.

    Returns:
        The database as it reaches it, by a random password.

    Raises:
        AccessDenied: ``target.user`` may make no roles, or give away what is not its own.
    """
    secret = secrets.token_urlsafe(24)
    with connected(target) as connection, connection.cursor() as cursor:
        with suppress(psycopg2.errors.InsufficientPrivilege):
            cursor.execute("SET session_replication_role = replica")  # no event trigger is set off by what follows
        superuser = _is_superuser(cursor)
        for statement in _role(connection, cursor, target, login, secret, superuser):
            cursor.execute(statement)
        asked = {"login": login, "superuser": superuser}
        for query in (_SCHEMAS, _RELATIONS, _POLICIES, _LARGE_OBJECTS):
            cursor.execute(query, asked)
            found = [statement for (statement,) in cursor.fetchall()]
            for begin in range(0, len(found), _AT_ONCE):
                cursor.execute("; ".join(found[begin : begin + _AT_ONCE]))
    return target.model_copy(update={"user": login, "password": SecretStr(secret)})


def dismiss(target: Target, login: str) -> None:
    """Remove it, once the database is gone with all that it owned; no error where there is none."""
    with on_server(target) as connection, connection.cursor() as cursor:
        cursor.execute(f"DROP ROLE IF EXISTS {quote_ident(login)}")


def _role(
    connection: Connection, cursor: Cursor, target: Target, login: str, secret: str, superuser: bool
) -> Iterator[str]:
    role = quote_ident(login)
    # A digest, as servers keep it: statements are logged at times.
    digest = encrypt_password(secret, login, scope=connection)
    yield f"CREATE ROLE {role} LOGIN PASSWORD {quote_literal(digest)}"
    if not superuser:
        yield f"GRANT {role} TO CURRENT_USER"
    yield f"GRANT ALL ON DATABASE {quote_ident(target.database)} TO {role}"
    cursor.execute(
        "SELECT pg_catalog.unnest(setconfig) FROM pg_catalog.pg_db_role_setting"
        " WHERE setdatabase = 0 AND setrole = (SELECT oid FROM pg_catalog.pg_roles WHERE rolname = current_user)"
    )
    for (setting,) in cursor.fetchall():
        name, _, value = str(setting).partition("=")
        if name in _CARRIED_OVER:
            yield f"ALTER ROLE {role} SET {name} = {quote_literal(value)}"


def _is_superuser(cursor: Cursor) -> bool:
    cursor.execute("SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user")
    return cursor.fetchone() == (True,)
