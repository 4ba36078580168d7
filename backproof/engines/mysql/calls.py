"""What the code of a trigger or routine calls and touches, by the words it is written in. Pure.

Names in strings are not seen: code that builds its SQL as it runs calls what nobody can tell before.
"""

from collections.abc import Iterable, Iterator

from backproof.engines import Entry
from backproof.engines.mysql.lexer import name_of, statements, tokens
from backproof.engines.mysql.names import unspell

_ROUTINES = ("FUNCTION", "PROCEDURE")
_BEFORE_A_TABLE = frozenset({b"FROM", b"INTO", b"UPDATE", b"JOIN", b"REPLACE", b"INSERT"})


def with_routines(chosen: Iterable[Entry], all_of_it: Iterable[Entry]) -> frozenset[str]:
    """Keys of the routines that some entries call, and those call in turn."""
    routines = {_bare(entry): entry for entry in all_of_it if entry.kind in _ROUTINES}
    found: dict[str, Entry] = {}
    waiting = list(chosen)
    while waiting:
        for name in _called(waiting.pop()):
            routine = routines.get(name)
            if routine is not None and routine.key not in found:
                found[routine.key] = routine
                waiting.append(routine)
    return frozenset(found)


def touched(entry: Entry, tables: Iterable[str]) -> list[str]:
    """Which of these tables, by their bare names, an entry's code reads or writes."""
    named = {name for before, name, _ in _names(entry) if before in _BEFORE_A_TABLE}
    return sorted(named & set(tables))


def _bare(entry: Entry) -> str:
    name = entry.key.removeprefix(f"{entry.kind} ")
    return unspell(name).lower()


def _called(entry: Entry) -> Iterator[str]:
    """Routines' names are the same in any case."""
    return (name.lower() for before, name, behind in _names(entry) if before == b"CALL" or behind == b"(")


def _names(entry: Entry) -> Iterator[tuple[bytes, str, bytes]]:
    """Each name without its qualifier, the word before both, and what comes behind."""
    for statement in statements(entry.text):
        found = [
            (statement.sql[begin:end], name_of(statement.sql[begin:end], kind, statement.mode))
            for kind, begin, end in tokens(statement.sql, mode=statement.mode)
            if kind not in {"comment", "open", "close", "string"}
        ]
        texts = [b"", b"", b"", *(text for text, _ in found), b""]
        for at, (_, name) in enumerate(found, start=3):
            if name and texts[at + 1] != b".":
                yield texts[at - 3 if texts[at - 1] == b"." else at - 1].upper(), name, texts[at + 1]
