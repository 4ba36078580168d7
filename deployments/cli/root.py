"""The command's root: global options, lazily loaded commands, and errors turned into exit statuses."""

import difflib
import errno
import importlib
import io
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import click

from backproof import __version__
from backproof.errors import BackproofError
from backproof.garbage import look_seldom
from deployments.cli import exits, speaking
from deployments.cli.session import Session

_COMMANDS = {
    "init": "init",
    "check": "check",
    "keys": "keys",
    "doctor": "doctor",
    "schedule": "scheduling",
    "apply": "applying",
    "up": "standing",
    "down": "standing",
    "backup": "runs",
    "verify": "runs",
    "replicate": "replicating",
    "status": "status",
    "list": "backups",
    "show": "backups",
    "restore": "restoring",
    "export": "restoring",
    "ready": "ready",
    "estimate": "estimate",
    "runbook": "runbook",
    "diff": "tables",
    "salvage": "tables",
    "recover": "recovering",
    "rollback": "recovering",
    "recovery": "recoveries",
    "recovery-test": "rehearsing",
    "reports": "reports",
    "kit": "kit",
    "prune": "retaining",
    "pin": "retaining",
    "unpin": "retaining",
    "alerts": "alerts",
    "ack": "alerts",
    "demo": "demo",
}
"""Command to the module of this package that defines it."""


class Root(click.Group):
    """Loads a command's module when it is asked for, and ends with the statuses of ``exits``."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order in which a person meets them."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load one command."""
        if cmd_name not in _COMMANDS:
            return None
        module = importlib.import_module(f"deployments.cli.{_COMMANDS[cmd_name]}")
        command: click.Command = getattr(module, f"{cmd_name.replace('-', '_')}_command")
        return _with_global_options(command)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that is named; a slip of the keys is answered with what was probably meant."""
        if args and args[0] not in _COMMANDS and (near := difflib.get_close_matches(args[0], _COMMANDS, 1)):
            ctx.fail(f"No such command {args[0]!r}. Did you mean {near[0]!r}?")
        return super().resolve_command(ctx, args)

    def main(self, args: Sequence[str] | None = None, *rest: Any, **extra: Any) -> NoReturn:
        """Run, and exit with a status that means something."""
        look_seldom()  # before a command's module is loaded
        arguments = list(sys.argv[1:] if args is None else args)
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                # An old locale can't show every name; better a code point than a crash in the middle of a recovery.
                stream.reconfigure(errors="backslashreplace")
        extra["standalone_mode"] = False
        try:
            with _orderly_when_terminated():
                status = super().main(arguments, *rest, **extra)
        except click.UsageError as error:
            if isinstance(error, click.NoSuchOption):
                error = _no_such_option(error)
            _show_usage_error(error, "--json" in arguments)
            sys.exit(exits.USAGE)
        except BackproofError as error:
            _show_error(error, arguments)
            sys.exit(exits.FAILED)
        except click.exceptions.Abort:
            click.echo("stopped", err=True)
            sys.exit(exits.INTERRUPTED)
        except click.ClickException as error:
            error.show(sys.stderr)
            sys.exit(exits.FAILED)
        except OSError as error:
            if error.errno not in _OUTPUT:
                raise
            click.echo(f"cannot write the answer: {error.strerror}", err=True)
            os._exit(exits.FAILED)  # what is still held for stdout can't be written either
        sys.exit(status or exits.DONE)


_OUTPUT = (errno.ENOSPC, errno.EPIPE, errno.EIO, errno.EDQUOT)
"""What can go wrong with standard output."""


@contextmanager
def _orderly_when_terminated() -> Iterator[None]:
    """SIGTERM ends a command as Ctrl-C does: what it started is ended, what it half made is removed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(*_: object) -> NoReturn:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGTERM) is interrupt:  # else a command has said what another one does to it
            signal.signal(signal.SIGTERM, before)


def _no_such_option(error: click.NoSuchOption) -> click.UsageError:
    """With the option that was probably meant. The dashes, which all have, make no two names alike."""
    command = error.ctx.command if error.ctx else None
    names = [name for each in command.params for name in (*each.opts, *each.secondary_opts)] if command else []
    longer = [name.removeprefix("--") for name in names if name.startswith("--")]
    near = difflib.get_close_matches(error.option_name.removeprefix("--"), longer, 1)
    hint = f" Did you mean '--{near[0]}'?" if near else ""
    return click.UsageError(f"{error.message}{hint}", error.ctx)


def _show_error(error: BackproofError, arguments: Sequence[str]) -> None:
    Session(json="--json" in arguments).fail(error)
    if "--verbose" in arguments or "-v" in arguments:
        logging.getLogger("backproof").error("where it was raised", exc_info=error)


def _show_usage_error(error: click.UsageError, as_json: bool) -> None:
    if as_json:
        fact = error.format_message().rstrip(".")
        remedy = f"See {error.ctx.command_path} --help." if error.ctx else "See --help."
        details = {"kind": "UsageError", "fact": fact, "remedy": remedy, "transient": False}
        speaking.print_json({"error": details})
    error.show(sys.stderr)


def _remember(ctx: click.Context, param: click.Parameter, value: object) -> None:
    """Global options count wherever they stand: before the command or after it."""
    session = ctx.ensure_object(Session)
    if value:
        setattr(session, str(param.name), value)
    if session.verbose:
        logging.basicConfig(stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")
        logging.getLogger("backproof").setLevel(logging.INFO)


def _global_options(hidden: bool) -> list[click.Option]:
    return [
        click.Option(
            ["--fleet", "fleet_path"],
            type=click.Path(path_type=Path),
            # Read once, at the root: after the command it would undo a --fleet that stands before it.
            envvar=None if hidden else "BACKPROOF_FLEET",
            metavar="FILE",
            expose_value=False,
            callback=_remember,
            hidden=hidden,
            help="The fleet file; $BACKPROOF_FLEET or fleet.yaml unless said.",
        ),
        click.Option(
            ["--json", "json"],
            is_flag=True,
            expose_value=False,
            callback=_remember,
            hidden=hidden,
            help="Print one JSON document and nothing else on stdout.",
        ),
        click.Option(
            ["-v", "--verbose", "verbose"],
            is_flag=True,
            expose_value=False,
            callback=_remember,
            hidden=hidden,
            help="Say more on stderr.",
        ),
    ]


def _with_global_options(command: click.Command) -> click.Command:
    if not any(option.name == "fleet_path" for option in command.params):
        command.params.extend(_global_options(hidden=True))
        for inner in command.commands.values() if isinstance(command, click.Group) else ():
            _with_global_options(inner)
    return command


main = Root(
    "backproof",
    params=_global_options(hidden=False),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    help="Database backups that prove they come back.",
    no_args_is_help=True,
)
main = click.version_option(__version__, prog_name="backproof", message="%(prog)s %(version)s")(main)
