"""An account of its own for an application on a staged schema: everything in it, and nothing on its server."""

import secrets

from pydantic import SecretStr

from backproof.engines.mysql.connect import connected, rows
from backproof.engines.mysql.names import pattern, quote_account, quote_literal
from backproof.records import Target

_HOSTS = ("%", "localhost")
"""Of two accounts the server takes the one whose host is told more exactly: that of nobody at localhost, else."""

_FOR_RULES = "-aA1"
"""Plugins ask a password for a character of each kind."""


def admit(target: Target, login: str) -> Target:
    """Make an account that may do everything in ``target.database``, and nothing else.

    Returns:
        The schema as it reaches it, by a random password.

    Raises:
        AccessDenied: ``target.user`` may make no accounts, or grant no rights on the schema.
    """
    secret = secrets.token_urlsafe(24) + _FOR_RULES
    with connected(target, database=False) as connection:
        for account in _accounts(login):
            rows(connection, f"CREATE USER {account} IDENTIFIED BY {quote_literal(secret)}")
            rows(connection, f"GRANT ALL PRIVILEGES ON {pattern(target.database)}.* TO {account}")
    return target.model_copy(update={"user": login, "password": SecretStr(secret)})


def dismiss(target: Target, login: str) -> None:
    """Remove it; no error where there is none."""
    with connected(target, database=False) as connection:
        for account in _accounts(login):
            rows(connection, f"DROP USER IF EXISTS {account}")


def _accounts(login: str) -> list[str]:
    return [quote_account(login, host) for host in _HOSTS]
