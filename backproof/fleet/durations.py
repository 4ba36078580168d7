"""How long: ``90s``, ``30m``, ``12h``, ``30d``, ``2w``, ``1y``, and ``keep`` for always."""

import re
from datetime import timedelta
from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

_UNITS = {
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
    "y": timedelta(days=365),
}
_PATTERN = re.compile(r"([1-9][0-9]{0,8})([smhdwy])", re.ASCII)
_ADVICE = "write a whole number and a unit: 90s, 30m, 12h, 30d, 2w or 1y"


def parse(text: str) -> timedelta:
    """Read a duration; a year is 365 days, a minute is ``m``.

    Raises:
        ValueError: not a whole number from 1 with one unit, or longer than Python can count.
    """
    match = _PATTERN.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no duration; {_ADVICE}")
    try:
        return int(match[1]) * _UNITS[match[2]]
    except OverflowError:
        raise ValueError(f"{text!r} is too long") from None


def spell(duration: timedelta) -> str:
    """Write a duration the way ``parse`` reads it, in the largest unit that fits: the inverse for whole seconds."""
    for unit in reversed(_UNITS):
        count, rest = divmod(duration, _UNITS[unit])
        if count and not rest:
            return f"{count}{unit}"
    return f"{int(duration.total_seconds())}s"


def _read(value: object) -> timedelta:
    if isinstance(value, timedelta):
        return value
    if isinstance(value, str):
        return parse(value)
    # YAML reads 30 as a number and 1:30 as ninety: without a unit nobody knows what was meant.
    raise ValueError(f"a duration needs a unit; {_ADVICE}")


def _read_or_none(value: object) -> timedelta:
    return timedelta() if value == "0s" else _read(value)


def _read_or_keep(value: object) -> timedelta | None:
    return None if value is None or value == "keep" else _read(value)


def _spell_or_keep(value: timedelta | None) -> str:
    return "keep" if value is None else spell(value)


Duration = Annotated[
    timedelta,
    BeforeValidator(_read),
    PlainSerializer(spell, return_type=str),
    WithJsonSchema({"type": "string", "pattern": "^[1-9][0-9]{0,8}[smhdwy]$", "examples": ["24h"]}),
]
"""A ``timedelta`` that reads and is saved as ``24h``."""

Window = Annotated[
    timedelta,
    BeforeValidator(_read_or_none),
    PlainSerializer(spell, return_type=str),
    WithJsonSchema({"type": "string", "pattern": "^(0s|[1-9][0-9]{0,8}[smhdwy])$", "examples": ["15m", "0s"]}),
]
"""A duration that may be none at all, ``0s``."""

Period = Annotated[
    timedelta | None,
    BeforeValidator(_read_or_keep),
    PlainSerializer(_spell_or_keep, return_type=str),
    WithJsonSchema({"type": "string", "pattern": "^([1-9][0-9]{0,8}[smhdwy]|keep)$", "examples": ["30d", "keep"]}),
]
"""How long something is kept; None, written ``keep``, means always."""
