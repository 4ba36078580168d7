"""What a plan says of its recovery test."""

import re
from collections.abc import Iterable
from datetime import date
from typing import Annotated, Self

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema, model_validator

from backproof.fleet.durations import Duration, parse
from backproof.fleet.fields import Command, FilePath, Name, Spec, Text


def _read_share(value: object) -> object:
    if isinstance(value, str) and value.endswith("%"):
        try:
            return float(value[:-1]) / 100
        except ValueError:
            pass
    if isinstance(value, float) or value == 0:
        return value
    raise ValueError(f"{value!r} is no share; write one such as 2%")


Share = Annotated[
    float,
    BeforeValidator(_read_share),
    Field(ge=0, le=1),
    PlainSerializer(lambda share: f"{share * 100:g}%", return_type=str),
    WithJsonSchema({"type": "string", "pattern": "^[0-9]+(\\.[0-9]+)?%$", "examples": ["2%"]}),
]
"""A part of a whole, written ``2%``."""


_LEADING = re.compile(r"\{(url|host|database)\}")


def leads_to_staging(texts: Iterable[str]) -> bool:
    """Whether any of them says where the staging database is; a port or a user alone does not."""
    return any(map(_LEADING.search, texts))


class StagingSpec(Spec):
    """Where a backup is brought back to for a test, and what keeps that copy from reaching the world."""

    database: Name | None = None
    """Which of the fleet's databases stands for the staging server; its name there is replaced by a test's own. Left
    out: a private throwaway server of this machine."""
    masking: tuple[Text, ...] = ()
    """SQL statements run there before anything may connect: addresses, tokens and the like are overwritten."""
    before_expose: tuple[Command, ...] = ()
    """Commands run before anything may connect: they switch off mail, webhooks, scheduled jobs."""
    environment: dict[str, str] = Field(default_factory=dict)
    """For the application and its commands; ``{url}``, ``{host}``, ``{port}``, ``{database}``, ``{user}`` and
    ``{password}`` stand for the staging database, and for a login that may do everything in it and nothing else; for
    the administrator in ``before_expose``. No other secrets: Prefect shows what stands here."""
    directory: FilePath | None = None
    """Where the commands are run. Left out: the application's."""
    start: Command | None = None
    """Starts the application; it runs until the test ends it. Left out: the application's commands show whether it
    connects."""
    health_url: str | None = None
    """Must answer 200 once it has started; ``{application_port}`` here and in ``environment`` is a free port."""
    tests: tuple[Command, ...] = ()
    """The critical tests, in place of the application's own."""
    full_tests: tuple[Command, ...] = ()
    """All of its tests, where they are others; run after the critical ones."""
    timeout: Duration = parse("10m")
    """How long each of these may take."""

    @model_validator(mode="after")
    def _led_to_staging(self) -> Self:
        started = () if self.start is None else (self.start,)
        for command in (*self.before_expose, *started, *self.tests, *self.full_tests):
            if not leads_to_staging([*self.environment.values(), *command]):
                raise ValueError(
                    f"says of {command[0]} not where the staging database is, and so it might take the live one: write "
                    "{url}, or {host} and {database}, in environment"
                )
        return self


class RecoveryTestSpec(Spec):
    """The quarterly rehearsal of a recovery."""

    responsible: str = ""
    """Who sees to it, and owns what it finds. Left out: the first level of the escalation."""
    staging: StagingSpec = StagingSpec()
    """Where it is rehearsed."""
    critical: dict[str, Share] = Field(default_factory=dict)
    """Tables whose rows are counted, and how far each may be from what production had a week before, such as ``2%``.
    One that is empty there and here shows nothing, and is no pass unless it says ``100%``. Left out: every table, by
    ``tolerance``."""
    tolerance: Share = 0.1
    """How far the rows of a table may be from what production had a week before."""
    due: Duration = parse("14d")
    """How long somebody has to mend what a test has found."""
    runbook_reviewed: date | None = None
    """When a person last read the runbook (`backproof runbook`)."""
    runbook_review_every: Duration = parse("1y")
    """How long such a review counts."""
