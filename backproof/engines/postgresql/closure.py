"""Which entries of a dump some tables take: their own, and all that those stand on. Pure.

Two accounts are followed: the catalogue's, which the manifest keeps per table, and the text's own, in which pg_dump
qualifies every name. Tables that are merely stood on come as definitions, without their rows.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from backproof.engines import Entry
from backproof.engines.postgresql.script import (
    NAME,
    Script,
    attached,
    created,
    mentioned,
    partition_parents,
    referenced,
)
from backproof.engines.postgresql.text import decode

FRAME = frozenset({"PREAMBLE", "CLOSING"})
"""Kinds that belong to the script itself."""
_GROUND = frozenset({"SCHEMA", "EXTENSION", "PROCEDURAL LANGUAGE", "ACCESS METHOD"})
"""Kinds that others stand on without saying so by a qualified name: they always come along."""
_FOLLOWS = frozenset({"COMMENT", "SECURITY LABEL"})
"""Kinds that pg_dump writes right behind what they are about."""
_OF_A_TABLE = frozenset(
    (
        "INDEX",
        "CONSTRAINT",
        "CHECK CONSTRAINT",
        "FK CONSTRAINT",
        "TRIGGER",
        "RULE",
        "POLICY",
        "ROW SECURITY",
        "STATISTICS",
    )
)
"""What of the finish section is part of a table; a publication is not."""

GRANTED = re.compile(rb"(?:GRANT|REVOKE) [^;]*? ON ([A-Z ]*[A-Z]) (" + NAME + rb")")
"""A grant: on what sort of thing, and which."""
_INDEX = re.compile(
    rb"CREATE (?:UNIQUE )?INDEX ("
    + NAME
    + rb") ON |ALTER TABLE (?:ONLY )?"
    + NAME
    + rb"\s+ADD CONSTRAINT ("
    + NAME
    + rb") "
)


class Closure:
    """The entries that ``chosen`` tables take.

    Args:
        script: both sections of a dump.
        chosen: tables by the dump's names, partitions included.
        needs: table to the keys of the entries it stands on.
    """

    def __init__(self, script: Script, chosen: frozenset[str], needs: Mapping[str, Sequence[str]]) -> None:
        self.left_out: list[str] = []
        self._chosen = chosen
        self._sections = (script.schema, script.finish)
        self._parents = partition_parents(script.schema)
        self._creating: dict[str, list[Entry]] = {}
        self._parts: dict[str, list[Entry]] = {}
        self._arrange(script)
        self._indexes = dict(_indexes(script.finish))
        self._kept: set[int] = set()
        for table in sorted(chosen):
            self._keep(self._creating.get(table, ()))
            self._keep(self._own(table))
            self._keep(self._needed(table, frozenset(needs.get(table, ()))))

    def schema(self) -> tuple[Entry, ...]:
        """What is taken of the schema section, in file order."""
        return tuple(self._taken(self._sections[0]))

    def finish(self) -> tuple[Entry, ...]:
        """What is taken of the finish section, in file order."""
        return tuple(self._taken(self._sections[1]))

    def _arrange(self, script: Script) -> None:
        for section in self._sections:
            for entry in section:
                if made := created(entry):
                    self._creating.setdefault(made[1], []).append(entry)
                elif entry.table is not None and _is_part(entry, section is script.schema):
                    self._parts.setdefault(entry.table, []).append(entry)

    def _own(self, table: str) -> Iterator[Entry]:
        """All parts of a chosen table, but for foreign keys that would point nowhere."""
        for entry in self._parts.get(table, ()):
            other = referenced(entry) if entry.kind == "FK CONSTRAINT" else None
            if other is None or other in self._chosen:
                yield entry
            else:
                name = entry.key.rpartition(" ")[2]
                self.left_out.append(f"foreign key {name} of {table} was left out, since {other} was not chosen")

    def _needed(self, table: str, keys: frozenset[str]) -> Iterator[Entry]:
        """By the catalogue's account; a partition can do without the table that it was attached to."""
        parent = self._parents.get(table)
        for section in self._sections:
            for entry in section:
                if entry.key in keys and (parent is None or (created(entry) or ("", ""))[1] != parent):
                    yield entry

    def _keep(self, entries: Iterable[Entry]) -> None:
        """Keep entries and, step by step, whatever their text names."""
        waiting = list(entries)
        while waiting:
            entry = waiting.pop()
            if id(entry) in self._kept:
                continue
            self._kept.add(id(entry))
            for name in mentioned(entry):
                waiting.extend(self._creating.get(name, ()))
            made = created(entry)
            if made is not None and made[1] not in self._chosen:
                waiting.extend(part for part in self._parts.get(made[1], ()) if _defines(part))

    def _taken(self, section: Iterable[Entry]) -> Iterator[Entry]:
        followed = False
        names = {made[1] for of in self._sections for e in of if id(e) in self._kept and (made := created(e))}
        for entry in section:
            if entry.kind not in _FOLLOWS:
                followed = self._is_taken(entry, names)
            if followed:
                yield entry

    def _is_taken(self, entry: Entry, names: set[str]) -> bool:
        if entry.kind in FRAME or entry.kind in _GROUND or id(entry) in self._kept:
            return True
        if entry.kind == "ACL":
            match = GRANTED.search(entry.text)
            return match is not None and (match[1] == b"SCHEMA" or decode(match[2]) in names)
        pair = attached(entry)
        if pair is None:
            return False
        if entry.kind == "INDEX ATTACH":
            return all(self._indexes.get(name) in self._chosen for name in pair)
        parent, child = pair
        if child in self._chosen and parent not in self._chosen:
            self.left_out.append(
                f"{child} became a table of its own, since {parent} that it was part of was not chosen"
            )
        return {parent, child} <= self._chosen


def _is_part(entry: Entry, in_schema: bool) -> bool:
    """Whether it comes with the table it names, whatever else is chosen."""
    if in_schema:
        return entry.kind not in _FOLLOWS and entry.kind not in ("ACL", "TABLE ATTACH")
    return entry.kind in _OF_A_TABLE


def _defines(part: Entry) -> bool:
    """Whether a table is not the same without it, even empty: defaults, identities, keys that views group by."""
    return part.kind not in _OF_A_TABLE or part.kind == "CONSTRAINT"


def _indexes(finish: Iterable[Entry]) -> Iterator[tuple[str, str]]:
    """Qualified name of each index to its table; an index lives in its table's schema."""
    for entry in finish:
        if entry.table is not None and entry.kind in ("INDEX", "CONSTRAINT") and (match := _INDEX.search(entry.text)):
            yield f"{_schema(entry.table)}.{decode(match[1] or match[2])}", entry.table


def _schema(qualified: str) -> str:
    """The part before the dot that is not inside quotes."""
    match = re.match(r'"(?:[^"]|"")*"|[^".]+', qualified)
    return match.group() if match else ""
