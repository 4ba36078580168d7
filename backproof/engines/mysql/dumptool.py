"""Running mariadb-dump (or mysqldump): its command, its option file, and the one place where its stderr is read."""

import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from backproof import subprocesses
from backproof.engines.mysql.binaries import Flavour
from backproof.engines.mysql.connect import TEXTS, check_options, meaning, scrubbed, socket_of, switched
from backproof.errors import AccessDenied, BackproofError, Busy, ConfigurationError, ConnectionLost, DumpFailed, NoSpace
from backproof.records import Target
from backproof.subprocesses import secret_file

_WRITTEN_AT_ONCE = 1024 * 1024


def _written_at_once() -> dict[str, str]:
    """What makes the tool write a MiB with each call, and not the 4 KiB that the C library holds back for a pipe."""
    program = shutil.which("stdbuf")
    library = Path(program).parent.parent / "libexec/coreutils/libstdbuf.so" if program else None
    if library is None or not library.exists():
        return {}
    return {"LD_PRELOAD": str(library), "_STDBUF_O": str(_WRITTEN_AT_ONCE)}


ENVIRONMENT = {"LC_ALL": "C", "HOME": "/nonexistent", **_written_at_once()}
"""MySQL's reads a login file in HOME whatever it is told."""

STATEMENT_BYTES = 1024 * 1024 - 2048
"""Where the tool ends one INSERT and begins the next: fixed, since what is digested depends on it."""

_COMMON = (
    "--single-transaction",
    "--quick",
    "--max-allowed-packet=1G",
    f"--net-buffer-length={STATEMENT_BYTES}",
    "--skip-add-locks",  # with sequences, the stock client would stumble over them
    "--skip-disable-keys",
    "--skip-add-drop-table",
    "--skip-dump-date",
    "--no-tablespaces",  # they take a right of their own, and minutes where there are many tables
)

# The position in the binary log is read on our own connection: printed by the tool, it costs a scan of the log's file
# while writers are held.
_OF_MYSQL = ("--column-statistics=0", "--set-gtid-purged=OFF")

_AS_TEXT = ("--default-character-set=utf8mb4", "--hex-blob")
_AS_BYTES = ("--default-character-set=binary",)

_DEFINITIONS = ("--no-data", "--triggers", "--routines", "--events")
_ROWS = ("--no-create-info", "--skip-triggers")

# Objects that went or changed while the tool was on its way to them. A view is told apart: it may be broken for good.
_MOVED = re.compile(r"\((?:1146|1054|1412|1305|1360|1539|1615)\)$|Error (?:1412|1146|1054|1615)\b|Couldn't find table")
_TABLE = re.compile(r"when dumping table (`(?:[^`]|``)*`)|Couldn't find table: \"(.*)\"|Table '([^']*)' doesn't exist")

_SAID = re.compile(r"^\S*(?:mariadb-dump|mysqldump)(?:\.\w+)?: (.*)$")
_GOT = r"(?P<before>Got error: \d+: \")(?P<said>.*)(?P<after>\" when .*)"
_WHEN = r"(?P<before>Error \d+: )(?P<said>.*)(?P<after> when dumping table `.*` at row: \d+)"
_NUMBER = re.compile(r"(?:Got error|Error):? (\d+)|\((\d{4})\)$")

_REMEDIES: dict[type[BackproofError], str] = {
    AccessDenied: "Give the backup account what `backproof doctor PLAN --print-grants` prints.",
    Busy: "Objects changed during the dump. Run the backup again when the migration or job that does so has ended.",
    ConnectionLost: "Check that the server runs and can be reached; then run the backup again.",
    NoSpace: "Make room, then run the backup again.",
    ConfigurationError: "Correct ssl_ca, ssl_verify_cert and the like among the database's options.",
}

_ROW = " at row: "
_TOO_LONG = (
    " If it stays so while the server runs, a row of this table is longer than a server sends at once:"
    " `max_allowed_packet`, which is 1 GiB at most."
)


def definitions(program: Path, flavour: Flavour, options: Path, database: str, but: Sequence[str] = ()) -> list[str]:
    """The argument list for all definitions of a schema, but those of some tables or views."""
    ignored = [f"--ignore-table={database}.{table}" for table in but]
    return [*_opening(program, flavour, options), *_AS_TEXT, *_DEFINITIONS, *ignored, "--", database]


def rows(
    program: Path,
    flavour: Flavour,
    options: Path,
    database: str,
    *,
    by_key: bool,
    as_bytes: bool,
    tables: Sequence[str] = (),
    but: Sequence[str] = (),
) -> list[str]:
    """The argument list for the rows of some tables.

    Args:
        program: which dump tool.
        flavour: whose it is.
        options: the file of ``option_file``.
        database: the schema.
        by_key: whether each table is read in the order of its first unique key. Else the server takes whatever index
            holds all columns, which on a restored copy may be another one: the same rows, another digest.
        as_bytes: whether values are written as they are, in their own character sets; see ``writing``.
        tables: just these; none named: all.
        but: all but these.
    """
    ignored = [f"--ignore-table={database}.{table}" for table in but]
    order = ["--order-by-primary"] if by_key else []
    written = _AS_BYTES if as_bytes else _AS_TEXT
    return [*_opening(program, flavour, options), *written, *_ROWS, *order, *ignored, "--", database, *tables]


def _opening(program: Path, flavour: Flavour, options: Path) -> list[str]:
    # First, and alone: what the machine's own option files say could leave things out.
    return [str(program), f"--defaults-file={options}", *_COMMON, *(_OF_MYSQL if flavour == "mysql" else ())]


@contextmanager
def option_file(target: Target, flavour: Flavour) -> Iterator[Path]:
    """A file of mode 0600 that says whom to connect to and as whom, for as long as the context lasts.

    Raises:
        ConfigurationError: an option the tool has no word for, or a password of two lines.
    """
    with secret_file("".join(f"{line}\n" for line in ["[client]", *_lines(target, flavour)])) as path:
        yield path


def _lines(target: Target, flavour: Flavour) -> Iterator[str]:
    check_options(target)
    path = socket_of(target)
    # Spelled out: the tool would take ``localhost`` for a Unix socket, which the driver does not.
    yield from (f"protocol={'socket' if path else 'tcp'}", f"user={_quoted(target.user)}")
    yield from [f"socket={_quoted(str(path))}"] if path else [f"host={_quoted(target.host)}", f"port={target.port}"]
    if target.password is not None:
        yield f"password={_quoted(target.password.get_secret_value())}"
    yield from (f"{name.replace('_', '-')}={_quoted(target.options[name])}" for name in TEXTS if name in target.options)
    yield from _tls(target, flavour)


def _tls(target: Target, flavour: Flavour) -> Iterator[str]:
    on = {
        name
        for name, value in target.options.items()
        if name.startswith("ssl_") and name not in TEXTS
        if switched(value)
    }
    if flavour == "mariadb":
        if "ssl_disabled" in on:
            yield "skip-ssl"
        elif on:
            yield "ssl-verify-server-cert"
    elif "ssl_disabled" in on:
        yield "ssl-mode=DISABLED"
    elif on:
        yield "ssl-mode=VERIFY_IDENTITY" if "ssl_verify_identity" in on else "ssl-mode=VERIFY_CA"


def _quoted(value: str) -> str:
    if re.search(r"[\r\n\0]", value):
        raise ConfigurationError("a name or password holds a line end, which an option file can't", "Choose another.")
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def judge(what: str, running: subprocesses.Running) -> None:
    """Wait for the tool's end; an exit status other than 0 is one of our errors."""
    returncode, stderr = running.finish()
    if returncode != 0:
        raise failure(what, returncode, stderr)


def failure(what: str, returncode: int, stderr: str) -> BackproofError:
    """What a dump tool that failed says, as one of our errors: without rows, statements or secrets.

    Args:
        what: what it was to dump, such as ``the definitions``.
        returncode: its exit status; negative: the signal that ended it.
        stderr: the end of what it said.
    """
    if returncode < 0:
        return DumpFailed(
            f"the dump tool was ended by signal {-returncode} while it dumped {what}",
            "Run the backup again; if nobody ended it, look for the kernel's out-of-memory killer.",
        )
    said = [match[1] for line in stderr.splitlines() if (match := _SAID.match(line)) and "[Warning]" not in line]
    if not said:
        return DumpFailed(
            f"the dump tool failed with exit status {returncode} while it dumped {what} and says nothing",
            "Run it by hand to see all it says.",
        )
    reason = said[-1].rstrip(".!")
    if _MOVED.search(reason) and "View " not in reason:
        table = _TABLE.search(reason)
        named = f" ({next(filter(None, table.groups()))})" if table else ""
        return Busy(f"a table changed or went while {what} were dumped{named}: {_told(reason)}", _REMEDIES[Busy])
    kind = _kind(reason)
    remedy = _REMEDIES.get(kind, _by_hand(reason)) + (_TOO_LONG if kind is ConnectionLost and _ROW in reason else "")
    return kind(f"the dump tool failed to dump {what}: {_told(reason)}", remedy)


def _kind(reason: str) -> type[BackproofError]:
    if "insufficient privileges" in reason or "insufficent privileges" in reason:
        return AccessDenied
    number = _NUMBER.search(reason)
    return meaning(int(number[1] or number[2]) if number else -1, reason, DumpFailed)


def _by_hand(reason: str) -> str:
    if "View " in reason and "references invalid" in reason:
        return "Repair the view, or drop it: it can't be read in the database either."
    return "Run the dump tool by hand to see all it says."


def _told(reason: str) -> str:
    """Its reason on one line: whatever the server's part of it quotes that is no name is blanked."""
    for pattern in (r"(?P<before>Couldn't execute ')(?P<names>.*)(?P<between>': )(?P<said>.*)", _GOT, _WHEN):
        if match := re.fullmatch(pattern, reason):
            parts = match.groupdict()
            parts["said"] = scrubbed(parts["said"])
            return "".join(parts.values())[:500]
    return scrubbed(reason)
