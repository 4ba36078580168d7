"""A plan's SQL checks, run on the restored database: read-only, one value each, held against an expectation.

The grammar of ``expect``::

    > 0    >= 10    < 5    <= 5    = 42    != 0      compare with a number
    = 'ready'    != ''                                compare with a text
    between 10 and 20                                 both ends included
    empty    not empty                                no row at all; at least one row
    null     not null                                 the first value of the first row
"""

import operator
import re
from collections.abc import Callable, Sequence
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, Protocol

from backproof.errors import ConfigurationError
from backproof.parallel.heard import heard
from backproof.records import CheckResult

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine, TextClause

_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
    "=": operator.eq,
    "!=": operator.ne,
}
_NUMBER = r"[+-]?\d+(?:\.\d+)?"
_COMPARISON = re.compile(rf"(>=|<=|!=|=|>|<)\s*(?:({_NUMBER})|'((?:[^']|'')*)')")
_BETWEEN = re.compile(rf"between\s+({_NUMBER})\s+and\s+({_NUMBER})", re.IGNORECASE)
_WORDS = ("empty", "not empty", "null", "not null")

Judge = Callable[[Sequence[object]], bool]
"""Takes the first column's values (at most two rows are fetched) and says whether the check holds."""


class Check(Protocol):
    """One check of a plan."""

    name: str
    sql: str
    expect: str


def judge(expect: str) -> Judge:
    """Turn an expectation into a function.

    Raises:
        ConfigurationError: the text does not follow the grammar.
    """
    words = " ".join(expect.lower().split())
    if words in _WORDS:
        return _word(words)
    if match := _BETWEEN.fullmatch(expect.strip()):
        low, high = Decimal(match[1]), Decimal(match[2])
        return lambda values: (number := _number(values)) is not None and low <= number <= high
    if match := _COMPARISON.fullmatch(expect.strip()):
        compare = _COMPARE[match[1]]
        if match[2] is not None:
            wanted = Decimal(match[2])
            return lambda values: (number := _number(values)) is not None and compare(number, wanted)
        text = match[3].replace("''", "'")
        return lambda values: bool(values) and values[0] is not None and compare(str(values[0]), text)
    raise ConfigurationError(
        f"expect: {expect!r} is not understood",
        "Write a comparison (> 0, = 'ready'), between A and B, empty, not empty, null or not null.",
    )


def _word(words: str) -> Judge:
    if words == "empty":
        return lambda values: not values
    if words == "not empty":
        return lambda values: bool(values)
    null = words == "null"
    return lambda values: bool(values) and (values[0] is None) == null


def _number(values: Sequence[object]) -> Decimal | None:
    try:
        return Decimal(str(values[0])) if values else None
    except InvalidOperation:
        return None


def run(url: str, checks: Sequence[Check], taken_at: datetime) -> tuple[CheckResult, ...]:
    """Run every check in a transaction of its own that is rolled back; a failing statement is a failed check.

    Args:
        url: SQLAlchemy URL of the restored database.
        checks: of the plan.
        taken_at: bound to ``:taken_at``, the moment of the backup.
    """
    if not checks:
        return ()
    from sqlalchemy import create_engine

    engine = create_engine(url, pool_size=1)
    try:
        return tuple(_run(engine, check, taken_at) for check in checks)
    finally:
        engine.dispose()


def _run(engine: "Engine", check: Check, taken_at: datetime) -> CheckResult:
    from sqlalchemy import text
    from sqlalchemy.exc import SQLAlchemyError

    holds = judge(check.expect)
    statement = text(check.sql)
    if "taken_at" in statement.compile().params:
        statement = statement.bindparams(taken_at=taken_at)
    try:
        with engine.connect() as connection:
            connection.execute(text("SET TRANSACTION READ ONLY"))
            values = _asked(connection, statement)
    except SQLAlchemyError as error:
        return CheckResult(name=check.name, passed=False, found=f"error: {_reason(error)}", expect=check.expect)
    found = "no row" if not values else _shown(values[0])
    return CheckResult(name=check.name, passed=holds(values), found=found, expect=check.expect)


def _asked(connection: "Connection", statement: "TextClause") -> list[Any]:
    """The first column of at most two rows. A driver that waits in C can be told to end, and is where need be."""

    def ask() -> list[Any]:
        return [row[0] if row else None for row in connection.execute(statement).fetchmany(2)]

    cancel = getattr(connection.connection.dbapi_connection, "cancel", None)
    return ask() if cancel is None else heard(ask, cancel)


def _reason(error: Exception) -> str:
    """What is wrong with the statement, in the driver's first line; anything else may quote a row, and is not told."""
    cause = getattr(error, "orig", None) or error
    state = str(getattr(cause, "pgcode", "") or "")
    number = cause.args[0] if cause.args and isinstance(cause.args[0], int) else 0
    code = state or number
    if not code or state.startswith(_ABOUT_STATEMENTS) or number in _NUMBERS_ABOUT_STATEMENTS:
        return str(cause).splitlines()[0]
    return f"{type(cause).__name__} {code}, whose text is not told: it may quote a row"


_ABOUT_STATEMENTS = ("42", "25", "3F", "3D", "57")
_NUMBERS_ABOUT_STATEMENTS = frozenset({1046, 1049, 1054, 1064, 1142, 1143, 1146, 1305, 1356, 1370, 1792, 1969})


def _shown(value: object) -> str:
    """A number is a finding; a text may be somebody's data and is told by its length."""
    if value is None or isinstance(value, (int, float, Decimal, bool, datetime)):
        return str(value)
    return f"a text of {len(str(value))} characters"
