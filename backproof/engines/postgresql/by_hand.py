"""Restoring with psql alone: what a person types, and the scripts for what lies beside the SQL stream. Pure."""

import re
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from backproof.engines import ByHand
from backproof.engines.postgresql.connect import quote_ident, quote_literal
from backproof.engines.postgresql.database import global_statements, locale
from backproof.engines.postgresql.provide import create_role, memberships
from backproof.records import Manifest, Target

_FILL_IN = 'export PGSERVICEFILE="$PWD/server.conf" PGSERVICE=new PGCLIENTENCODING=UTF8'
_PSQL = "psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --output /dev/null"
_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*")


def by_hand(target: Target, manifest: Manifest) -> ByHand:
    """The contract is ``Engine.by_hand``."""
    database, found = manifest.database, manifest.database.globals
    major = database.server_version.split(".")[0]
    name, public = _connecting(target.database), database.settings.get("public_schema")
    return ByHand(
        tools=" ".join(_tools(manifest, major)),
        fill_in=_FILL_IN,
        files={
            "server.conf": _server(target),
            "roles.sql": _script(_roles(manifest)),
            "create.sql": _script(_create(target, manifest)),
            "settings.sql": _script(_settings(target, found)),
        },
        restore="\n".join(
            [
                f"{_PSQL} --dbname postgres --file roles.sql",
                f"{_PSQL} --dbname postgres --file create.sql",
                *([f"{_PSQL} --dbname {name} --command 'DROP SCHEMA public'"] if public is False else []),
                f"gzip -dc backup.sql.gz | {_PSQL} --dbname {name}",
                f"{_PSQL} --dbname postgres --file settings.sql",
                f"{_PSQL} --dbname {name} --command ANALYZE",
            ]
        ),
        afterwards=(
            "Passwords are in no backup: give each role that is to log in a new one,"
            " `ALTER ROLE … LOGIN PASSWORD '…'`; roles.sql says who could.",
        ),
    )


def _server(target: Target) -> str:
    return (
        "# The server to restore to, and a superuser there. A value stands as it is, without quotes.\n"
        f"[new]\nhost={target.host}\nport={target.port}\nuser=postgres\npassword=\n"
    )


def _roles(manifest: Manifest) -> Iterator[str]:
    """Each one that is not there yet; who could log in is said, since passwords are in no backup."""
    roles = _mapping(manifest.database.globals.get("roles"))
    attributes = _mapping(manifest.database.server.get("role_attributes"))
    for role in roles:
        had = [word.upper() for word in ("superuser", "login") if _mapping(attributes.get(role)).get(word)]
        yield from [f"-- It had {' and '.join(had)}."] if had else []
        unless = f"WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = {quote_literal(role)})"
        yield f"SELECT {quote_literal(create_role(role, manifest))} {unless} \\gexec"
    yield from (f"{each};" for each in memberships(manifest, set(roles), _version_number(manifest)))


def _create(target: Target, manifest: Manifest) -> Iterator[str]:
    name = quote_ident(target.database)
    yield f"CREATE DATABASE {name} TEMPLATE template0 {locale(manifest, _version_number(manifest))};"
    yield "-- Nobody else comes in before all of it is there; settings.sql says who may."
    yield f"REVOKE ALL ON DATABASE {name} FROM PUBLIC;"


def _settings(target: Target, found: Mapping[str, Any]) -> Iterator[str]:
    grantees = ["PUBLIC", str(found.get("owner", "postgres"))]
    for _, statement in global_statements(quote_ident(target.database), found, grantees):
        yield f"{statement};"


def _tools(manifest: Manifest, major: str) -> Iterator[str]:
    yield f"`psql` of PostgreSQL {major} or later, its newest minor version, and a new server of at least that."
    if extensions := _mapping(manifest.database.server.get("extensions")):
        listed = ", ".join(f"{name} {version}" for name, version in extensions.items())
        yield f"The server has to have the packages of these extensions: {listed}."
    if tablespaces := _list(manifest.database.globals.get("tablespaces")):
        yield f"Make these tablespaces there first, each with a folder: {', '.join(map(str, tablespaces))}."


def _script(lines: Iterator[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def _connecting(database: str) -> str:
    """As ``--dbname`` takes a name, for a shell."""
    escaped = database.replace("\\", "\\\\").replace("'", "\\'")
    return database if _PLAIN.fullmatch(database) else shlex.quote(f"dbname='{escaped}'")


def _version_number(manifest: Manifest) -> int:
    return int(manifest.database.server_version.split(".")[0]) * 10000


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
