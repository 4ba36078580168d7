"""Bring reports from the stores to a folder of this machine. What is there already is never written over."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Literal

from backproof.errors import AlreadyExists, BackproofError, ConfigurationError
from backproof.fleet import Fleet
from backproof.reports.catalogue import Held, read, shelf
from backproof.reports.checking import PARTS, Format

_AT_A_TIME = 8


@dataclass(frozen=True, slots=True)
class PulledReport:
    """One report that was asked for."""

    plan: str
    test: str
    file: str
    """Where it is, or would be."""
    outcome: Literal["written", "there already", "failed"]
    """``there already``: to the byte."""
    why: str = ""
    """What stood in the way."""


@dataclass(frozen=True, slots=True)
class Pulled:
    """What was asked for, newest first, and a sentence for each store that could not be asked."""

    reports: tuple[PulledReport, ...]
    doubts: tuple[str, ...]


def pull(fleet: Fleet, plans: Sequence[str], since: datetime | None, form: Format, folder: Path) -> Pulled:
    """Write the reports of some plans into a folder, each checked first, from any store that has it as it was signed.

    Args:
        fleet: where the plans are found.
        plans: their names.
        since: of tests that began at or after it; None: all.
        form: which of the three.
        folder: made where it is missing.

    Raises:
        ConfigurationError: the folder can't be made.
        BackproofError: no store of a plan could be asked.
    """
    found = shelf(fleet, plans, since)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"cannot make the folder {folder}: {error.strerror}", "Name another: --to.") from None
    with ThreadPoolExecutor(_AT_A_TIME, thread_name_prefix="pull") as pool:
        done = list(pool.map(partial(_pull, fleet, form, folder), found.reports))
    return Pulled(tuple(done), found.doubts)


def file_name(plan: str, test: str, form: Format) -> str:
    """``shop_recovery-test_2026-01-06_090000.pdf``: it says what it is wherever it is sent."""
    return f"{plan}_{test}.{form}"


def _pull(fleet: Fleet, form: Format, folder: Path, held: Held) -> PulledReport:
    file = folder / file_name(held.plan, held.test, form)
    try:
        written = _written(file, read(fleet, held, PARTS[form]))
    except BackproofError as error:
        return PulledReport(held.plan, held.test, str(file), "failed", f"{error.fact}. {error.remedy}".strip())
    return PulledReport(held.plan, held.test, str(file), "written" if written else "there already")


def _written(file: Path, document: bytes) -> bool:
    """Whether it had to be written; whole or not at all, and over nothing.

    Raises:
        AlreadyExists: another file has its name.
        ConfigurationError: the disk or the folder refuses it.
    """
    unfinished = file.with_name(f".{file.name}.{os.getpid()}.unfinished")
    try:
        if file.exists():
            if file.read_bytes() == document:
                return False
            raise _in_the_way(file)
        try:
            unfinished.write_bytes(document)
            os.link(unfinished, file)
        finally:
            unfinished.unlink(missing_ok=True)
    except FileExistsError:
        raise _in_the_way(file) from None
    except OSError as error:
        raise ConfigurationError(f"cannot write {file}: {error.strerror}", "Name another folder: --to.") from None
    return True


def _in_the_way(file: Path) -> AlreadyExists:
    return AlreadyExists(f"{file} is there, and is another file", "Move it away, or name another folder: --to.")
