"""Running pg_dump: its command, its environment, and the one place where its stderr is read."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path

from backproof.errors import (
    AccessDenied,
    BackproofError,
    Busy,
    ConfigurationError,
    ConnectionLost,
    DumpFailed,
    MissingTool,
    NoSpace,
)
from backproof.records import Target
from backproof.subprocesses import secret_file

SECTIONS: Mapping[str, str] = {"schema": "pre-data", "data": "data", "finish": "post-data"}

_VARIABLES = {
    "application_name": "PGAPPNAME",
    "channel_binding": "PGCHANNELBINDING",
    "connect_timeout": "PGCONNECT_TIMEOUT",
    "gssencmode": "PGGSSENCMODE",
    "hostaddr": "PGHOSTADDR",
    "krbsrvname": "PGKRBSRVNAME",
    "options": "PGOPTIONS",
    "require_auth": "PGREQUIREAUTH",
    "requirepeer": "PGREQUIREPEER",
    "ssl_max_protocol_version": "PGSSLMAXPROTOCOLVERSION",
    "ssl_min_protocol_version": "PGSSLMINPROTOCOLVERSION",
    "sslcert": "PGSSLCERT",
    "sslcertmode": "PGSSLCERTMODE",
    "sslcrl": "PGSSLCRL",
    "sslcrldir": "PGSSLCRLDIR",
    "sslkey": "PGSSLKEY",
    "sslmode": "PGSSLMODE",
    "sslnegotiation": "PGSSLNEGOTIATION",
    "sslrootcert": "PGSSLROOTCERT",
    "sslsni": "PGSSLSNI",
    "target_session_attrs": "PGTARGETSESSIONATTRS",
}
"""Connection parameters that a program takes from its environment."""

_PINNED = {
    "timezone": "UTC",
    "bytea_output": "hex",
    "standard_conforming_strings": "on",
    "quote_all_identifiers": "off",
}
"""What the text of a value or a definition depends on and pg_dump leaves to server, database and role: else the same
rows would not give the same bytes on another server."""

_MEANINGS: tuple[tuple[str, type[BackproofError], str], ...] = (
    (
        "permission denied|must be owner|row-level security|authentication failed|no password supplied|pg_hba.conf",
        AccessDenied,
        "Give the backup account what `backproof doctor PLAN --print-grants` prints.",
    ),
    ("version mismatch", MissingTool, "Install the pg_dump of the server's major version."),
    ("No space left on device|could not extend file|disk full", NoSpace, "Make room, then run the backup again."),
    (
        "lock timeout|statement timeout|could not obtain lock|deadlock detected|cache lookup failed"
        "|could not open relation|does not exist|was not found|concurrently",
        Busy,
        "Objects changed during the dump. Run the backup again when the migration or job that does so has ended.",
    ),
    (
        "connection to server|server closed the connection|terminating connection|connection to client lost"
        "|could not receive data|could not send data|SSL |snapshot|the database system is|timeout expired",
        ConnectionLost,
        "Check that the server runs and can be reached; then run the backup again.",
    ),
)


def command(program: Path, section: str, snapshot: str, encoding: str, lock_seconds: float) -> list[str]:
    """The argument list for one section. Whom to connect to is in the environment, so that no name can be an option.

    Args:
        program: which pg_dump.
        section: ours: ``schema``, ``data`` or ``finish``.
        snapshot: as ``pg_export_snapshot()`` gave it.
        encoding: the database's own, so that nothing is converted whatever its role has set.
        lock_seconds: how long it may wait for a lock; without a bound it waits behind one who waits for us.
    """
    return [
        str(program),
        "--format=plain",
        f"--section={SECTIONS[section]}",
        f"--snapshot={snapshot}",
        f"--encoding={encoding}",
        f"--lock-wait-timeout={int(lock_seconds * 1000)}",
        "--no-password",
    ]


@contextmanager
def environment(target: Target, application_name: str = "backproof pg_dump") -> Iterator[dict[str, str]]:
    """The variables a PostgreSQL program needs to reach a target; the password is in a file of mode 0600 meanwhile.

    Raises:
        ConfigurationError: a connection option that only a connection string could carry, or a password of two lines.
    """
    unknown = sorted(target.options.keys() - _VARIABLES.keys())
    if unknown:
        raise ConfigurationError(
            f"the connection option {unknown[0]!r} can't be given to pg_dump", f"Known: {', '.join(_VARIABLES)}."
        )
    variables = {
        "PGHOST": target.host,
        "PGPORT": str(target.port),
        "PGUSER": target.user,
        # Not as an argument: there a name with = or :// would be read as a connection string.
        "PGDATABASE": target.database,
        "PGAPPNAME": application_name,
        "LC_ALL": "C",
        **{_VARIABLES[name]: value for name, value in target.options.items()},
    }
    pinned = " ".join(f"-c {name}={value}" for name, value in _PINNED.items())
    variables["PGOPTIONS"] = f"{variables.get('PGOPTIONS', '')} {pinned}".strip()
    with secret_file(_passfile(target)) if target.password is not None else nullcontext() as path:
        yield variables | ({"PGPASSFILE": str(path)} if path else {})


def _passfile(target: Target) -> str:
    password = target.password.get_secret_value() if target.password is not None else ""
    if re.search(r"[\r\n\0]", password):
        raise ConfigurationError("the password holds a line end, which a password file can't", "Choose another one.")
    # The file is for this one program and this one server: no need to spell out host, port and names.
    return "*:*:*:*:" + password.replace("\\", "\\\\").replace(":", "\\:") + "\n"


def failure(section: str, returncode: int, stderr: str) -> BackproofError:
    """What a pg_dump that failed says, as one of our errors: without rows, statements or secrets."""
    if returncode < 0:
        return DumpFailed(
            f"pg_dump was ended by signal {-returncode} in the {SECTIONS[section]} section",
            "Run the backup again; if nobody ended it, look for the kernel's out-of-memory killer.",
        )
    reason = _reason(stderr)
    for pattern, kind, remedy in _MEANINGS:
        if re.search(pattern, stderr):
            return kind(f"pg_dump failed in the {SECTIONS[section]} section: {reason}", remedy)
    return DumpFailed(
        f"pg_dump failed with exit status {returncode} in the {SECTIONS[section]} section: {reason}",
        "Run pg_dump by hand to see all it says.",
    )


def warnings(stderr: str) -> list[str]:
    """What a pg_dump that succeeded warned about, a line each."""
    return [line.partition("warning:")[2].strip()[:300] for line in stderr.splitlines() if "warning:" in line]


def _reason(stderr: str) -> str:
    """The error lines alone: DETAIL, CONTEXT and the command may hold rows."""
    said = [
        re.sub(r"^.*?(error:|ERROR: |FATAL: )\s*", "", line).strip()
        for line in stderr.splitlines()
        if re.search(r"(^|\W)(error:|ERROR: |FATAL: )", line)
    ]
    return "; ".join(dict.fromkeys(line.rstrip(".") for line in said))[:500] or "it says nothing"
