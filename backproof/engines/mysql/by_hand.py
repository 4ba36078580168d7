"""Restoring with the stock client alone: what a person types, and scripts for what lies beside the SQL. Pure."""

import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from backproof.engines import ByHand
from backproof.engines.mysql.database import GRANTING, create_statement, grant_statements
from backproof.engines.mysql.provide import creation, longest_statement_bytes, memberships, wanted
from backproof.records import Manifest, Target

_PACKET_BYTES = 1024 * 1024 * 1024
"""The most that there can be."""

_DECIDE = ("lower_case_table_names", "log_bin_trust_function_creators", "sql_mode", "event_scheduler")
"""Settings of the server that decide whether all comes back, and runs."""

_NOT_BY_THE_CLIENT = (
    "The stock client ends with an error on four things that the stock tool writes: a view `WITH CHECK OPTION` on a"
    " view whose name comes later; event names that are not ASCII, made under another character set; bodies in `sjis`"
    " or `gbk` that hold a byte 0x5C; bodies in which a `;` follows a comment. Make those by hand."
)


def by_hand(target: Target, manifest: Manifest) -> ByHand:
    """The contract is ``Engine.by_hand``."""
    database = manifest.database
    mariadb = database.server.get("flavour") == "mariadb"
    client = f"{'mariadb' if mariadb else 'mysql'} --defaults-file=server.conf --default-character-set=utf8mb4"
    series = ".".join(database.server_version.split(".")[:2])
    variables = _mapping(database.server.get("variables"))
    decide = ", ".join(f"`{name}={variables[name]}`" for name in _DECIDE if name in variables)
    data = f"--binary-mode --comments --max-allowed-packet={_PACKET_BYTES}"
    return ByHand(
        tools=f"The client of {'MariaDB' if mariadb else 'MySQL'} {series} or later, and an empty server of that, whose"
        f" `max_allowed_packet` is at least {longest_statement_bytes(manifest)}. Where the backup comes from it was:"
        f" {decide}.",
        fill_in="chmod 600 server.conf",
        files={
            "server.conf": _server(target),
            "accounts.sql": _script(_accounts(manifest)),
            "create.sql": f"{create_statement(target.database, manifest)};\n",
            "grants.sql": _script(_grants(target, database.globals, mariadb)),
        },
        restore="\n".join(
            [
                f"{client} < accounts.sql",
                f"{client} < create.sql",
                f"gzip -dc backup.sql.gz | {client} {data} {shlex.quote(target.database)}",
                f"{client} < grants.sql",
            ]
        ),
        afterwards=(
            "Passwords are in no backup: accounts that were made are locked; `ALTER USER … IDENTIFIED BY '…' ACCOUNT"
            " UNLOCK` for each that is to come back.",
            "Events run as soon as `event_scheduler` is ON.",
            _NOT_BY_THE_CLIENT,
        ),
    )


def _server(target: Target) -> str:
    return (
        "# The server to restore to, and an account there that may do everything.\n"
        f"[client]\nhost={target.host}\nport={target.port}\nuser=root\npassword=\n"
    )


def _accounts(manifest: Manifest) -> Iterator[str]:
    """Each that is not there yet, locked; and who has which role."""
    named = wanted(manifest, definers_too=True)
    for name in named:
        yield f"{creation(name, only_missing=True)};"
    yield from (f"{each};" for each in memberships(manifest, frozenset(named)))


def _grants(target: Target, found: Mapping[str, Any], mariadb: bool) -> Iterator[str]:
    if mariadb:
        yield f"{GRANTING};"
    yield from (f"{statement};" for _, statement in grant_statements(target.database, found))


def _script(lines: Iterator[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
