"""What a command says: one JSON document or calm text on stdout; warnings, progress and errors on stderr."""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from backproof.errors import BackproofError, Transient
from deployments.cli.wording import size, visible

if TYPE_CHECKING:
    from rich.table import Table

_WIDTH_WITHOUT_TERMINAL = 200
_SECONDS_BETWEEN_LINES = 10.0

Document = Mapping[str, object]


def print_json(document: Document) -> None:
    """The one document of a command."""
    click.echo(json.dumps(document, indent=2))


def print_table(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    right: Sequence[str] = (),
    colours: Mapping[str, str] | None = None,
) -> None:
    """Rows under their headings; without a terminal, plain and unwrapped.

    Args:
        right: names of columns of numbers.
        colours: of cells that are just such a word.
    """
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 3, 0, 0))
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(visible(cell), (colours or {}).get(cell, "")) for cell in row))
    _print(table)


def _print(table: "Table") -> None:
    from rich.console import Console

    width = None if sys.stdout.isatty() else _WIDTH_WITHOUT_TERMINAL
    console = Console(width=width, highlight=False, markup=False, emoji=False, file=sys.stdout)
    with console.capture() as captured:
        console.print(table)
    click.echo("\n".join(line.rstrip() for line in captured.get().splitlines()))


def print_facts(facts: Mapping[str, str]) -> None:
    """Names and values under each other."""
    width = max(map(len, facts))
    for name, value in facts.items():
        say(f"{name.ljust(width)}   {value}")


def say(text: str) -> None:
    """One line or paragraph of the result."""
    click.echo("\n".join(visible(line) for line in text.split("\n")))


def say_marked(mark: str, text: str, colours: Mapping[str, str]) -> None:
    """The same, behind a word that has a colour."""
    click.echo(f"{_coloured(mark, colours[mark])}: {visible(text)}")


def warn(text: str) -> None:
    """Something a person should know; the command goes on."""
    click.echo(_coloured("warning: ", "yellow") + visible(text), err=True)


def _coloured(text: str, colour: str) -> str:
    # https://no-color.org; rich heeds it too, and click.echo takes colours away where there is no terminal.
    return text if os.environ.get("NO_COLOR") else click.style(text, fg=colour)


def note(text: str) -> None:
    """What is being done, or is to be done next."""
    click.echo(visible(text), err=True)


def print_error(error: BackproofError) -> None:
    """One fact, then what to do."""
    click.echo(_coloured("error: ", "red") + visible(error.fact) + ".", err=True)
    if error.remedy:
        click.echo(visible(error.remedy), err=True)


def error_document(error: BackproofError) -> Document:
    """The same, for programs."""
    return {
        "error": {
            "kind": type(error).__name__,
            "fact": error.fact,
            "remedy": error.remedy,
            "transient": isinstance(error, Transient),
        }
    }


@contextmanager
def progress(label: str, total_bytes: int | None = None) -> Iterator[Callable[[int], None]]:
    """Show on stderr how far something is: a bar on a terminal, else a line every ten seconds."""
    if sys.stderr.isatty():
        with _bar(label, total_bytes) as advance:
            yield advance
    else:
        yield _lines(label, total_bytes)


@contextmanager
def _bar(label: str, total_bytes: int | None) -> Iterator[Callable[[int], None]]:
    from rich import progress as bars
    from rich.console import Console

    columns = (
        bars.TextColumn("{task.description}", markup=False),
        bars.BarColumn(),
        bars.DownloadColumn(),
        bars.TransferSpeedColumn(),
        bars.TimeRemainingColumn(),
    )
    with bars.Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task(label, total=total_bytes)
        yield lambda count: shown.advance(task, count)


def _lines(label: str, total_bytes: int | None) -> Callable[[int], None]:
    done, last = 0, time.monotonic()

    def advance(count: int) -> None:
        nonlocal done, last
        done += count
        if (now := time.monotonic()) - last >= _SECONDS_BETWEEN_LINES:
            last = now
            note(f"{label}: {size(done)}" + (f" of {size(total_bytes)}" if total_bytes else ""))

    return advance
