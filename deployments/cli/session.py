"""What every command knows: which fleet, how to answer, and whom to warn."""

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from backproof.errors import BackproofError
from deployments.cli import speaking

if TYPE_CHECKING:
    from backproof.fleet import Fleet


@dataclass
class Session:
    """One run of the command."""

    fleet_path: Path = Path("fleet.yaml")
    json: bool = False
    verbose: bool = False

    def fleet(self, plan: str | None = None, warn: bool = True) -> "Fleet":
        """Load the fleet; with a plan, make sure that there is one, and warn where it has no escrow key."""
        from backproof.fleet import Fleet, load

        fleet = Fleet(load(self.fleet_path, os.environ))
        if plan is not None:
            fleet.plan(plan)
            if warn:
                self.warn_without_escrow(fleet, [plan])
        return fleet

    def warn_without_escrow(self, fleet: "Fleet", plans: Iterable[str]) -> None:
        """Said every time: the day the key is lost, so is every backup."""
        from backproof.fleet.advice import without_escrow

        for plan in plans:
            if warning := without_escrow(fleet.spec, plan):
                speaking.warn(warning)

    def answer(self, document: speaking.Document, in_words: Callable[[], None]) -> None:
        """Give the result: the document to programs, the words to people."""
        if self.json:
            speaking.print_json(document)
        else:
            in_words()

    def fail(self, error: BackproofError) -> None:
        """Say what went wrong: to people in any case, and to programs as a document."""
        speaking.print_error(error)
        if self.json:
            speaking.print_json(speaking.error_document(error))


pass_session = click.make_pass_decorator(Session)
