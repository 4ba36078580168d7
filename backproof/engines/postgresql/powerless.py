"""Whoever loads rows on a scratch server has no powers, for somebody else's code runs while rows are loaded.

A function in a CHECK, a domain or a generated column runs as whoever inserts; in the hands of a superuser it could do
anything that the server's user can. So tables of owners who are no superusers are loaded by a role that is none either,
with the rights of those owners and no way to more. Keys, indexes and statistics need no such care: the server itself
builds them in the name of the table's owner.
"""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from psycopg2.extensions import cursor as Cursor
from pydantic import SecretStr

from backproof.engines.postgresql.connect import connected, quote_ident, quote_literal
from backproof.engines.postgresql.text import decode
from backproof.records import Target

_TABLES = """
    SELECT pg_catalog.convert_to(pg_catalog.format('%I.%I', n.nspname, c.relname),
                                 pg_catalog.current_setting('server_encoding')), r.rolname::text
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_catalog.pg_roles r ON r.oid = c.relowner
    WHERE c.relkind = 'r' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND NOT r.rolsuper
"""

_OF_NO_MEMBERS = "pg_database_owner"
"""Stands for whoever owns the database: it can't be granted."""

# Reading and writing all data does not include TRUNCATE, which a kept order of rows needs.
_TRUNCATING = """
    DO $$ DECLARE name text; BEGIN
        FOR name IN SELECT c.oid::pg_catalog.regclass FROM pg_catalog.pg_class c
            WHERE c.relkind = 'r' AND c.relowner = 'pg_database_owner'::pg_catalog.regrole LOOP
            EXECUTE pg_catalog.format('{} TRUNCATE ON %s {} {}', name);
        END LOOP;
    END $$
"""


@dataclass(frozen=True)
class Powerless:
    """A role without powers."""

    target: Target
    tables: frozenset[str]
    """Those whose owners it stands for, as the archive names them."""


@contextmanager
def powerless(target: Target) -> Iterator[Powerless | None]:
    """A role that loads what belongs to no superuser, for as long as the context lasts; None where none is needed.

    Elsewhere than on a scratch server it is for the admin to be no superuser: there we make no roles.
    """
    with connected(target) as connection, connection.cursor() as cursor:
        if not is_throwaway(cursor):
            yield None
            return
        cursor.execute(_TABLES)
        found = [(decode(bytes(name)), owner) for name, owner in cursor.fetchall()]
        if not found:
            yield None
            return
        role, password = f"backproof_loader_{secrets.token_hex(6)}", secrets.token_urlsafe(24)
        _make(cursor, role, password, sorted({owner for _, owner in found} - {_OF_NO_MEMBERS}), target.database)
        cursor.execute(_TRUNCATING.format("GRANT", "TO", role))
        try:
            as_role = target.model_copy(update={"user": role, "password": SecretStr(password)})
            yield Powerless(as_role, frozenset(name for name, _ in found))
        finally:
            if not connection.closed:
                cursor.execute(_TRUNCATING.format("REVOKE", "FROM", role))
                cursor.execute(f"REVOKE ALL ON DATABASE {quote_ident(target.database)} FROM {role}; DROP ROLE {role}")


THROWAWAY = "backproof scratch"
"""The name that a scratch server gives itself, one that an application may reach as well."""


def is_throwaway(cursor: Cursor) -> bool:
    """Made for one archive, and gone with it."""
    cursor.execute("SELECT pg_catalog.current_setting('cluster_name')")
    return cursor.fetchone() == (THROWAWAY,)


def is_scratch(cursor: Cursor) -> bool:
    """Ours alone: it listens on no network, and would not survive a crash."""
    cursor.execute("SELECT pg_catalog.current_setting('listen_addresses'), pg_catalog.current_setting('fsync')")
    return cursor.fetchone() == ("", "off")


def _make(cursor: Cursor, role: str, password: str, owners: list[str], database: str) -> None:
    cursor.execute(f"CREATE ROLE {role} LOGIN BYPASSRLS PASSWORD {quote_literal(password)}")
    cursor.execute(f"GRANT CONNECT ON DATABASE {quote_ident(database)} TO {role}")
    for granted in ("pg_read_all_data", "pg_write_all_data", *map(quote_ident, owners)):
        cursor.execute(f"GRANT {granted} TO {role}")
