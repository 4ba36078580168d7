"""Some tables only: what of an archive they take. And the export, of all or of some, as plain SQL."""

import difflib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from backproof.engines import Entry, Source
from backproof.engines.postgresql.closure import FRAME, Closure
from backproof.engines.postgresql.guard import permitted
from backproof.engines.postgresql.load import copy_statement, end_of_rows
from backproof.engines.postgresql.script import QUALIFIED, Script, created, partition_parents
from backproof.engines.postgresql.text import LARGE_OBJECTS, decode, entries
from backproof.errors import ConfigurationError, NotFound
from backproof.records import Manifest, Member
from backproof.words import some

_IDENTITY = re.compile(rb"\n    SEQUENCE NAME (" + QUALIFIED + rb")\n")
_SETVAL = re.compile(rb"SELECT pg_catalog\.setval\('((?:[^']|'')*)', ")
_MEMBER_COUNT = re.compile(rb"-- Backproof: \d+ members\n")


@dataclass(frozen=True)
class Selection:
    """What is taken of an archive, in file order."""

    schema: tuple[Entry, ...]
    finish: tuple[Entry, ...]
    members: tuple[Member, ...]
    """Of the data section."""
    sequences: frozenset[str] | None
    """Those whose values are set; None for all."""
    left_out: tuple[str, ...]

    def apart(self, text: bytes) -> bytes:
        """Of a data member that belongs to no table, what is taken: settings, and values of chosen sequences."""
        if self.sequences is None:
            return text
        return b"".join(
            entry.text for entry in entries(text) if entry.kind in FRAME or _value_of(entry) in self.sequences
        )


def choose(manifest: Manifest, script: Script, tables: Sequence[str] | None) -> Selection:
    """Everything; or the given tables, their partitions, and what they stand on.

    Args:
        manifest: of the archive.
        script: its schema and finish sections.
        tables: names as a person writes them; None for everything.

    Raises:
        NotFound: no such table; says which names come near.
        ConfigurationError: several schemas have one of that name, or none was named.
    """
    data = tuple(member for member in manifest.members if member.section == "data")
    if tables is None:
        return Selection(script.schema, script.finish, data, None, ())
    stored = _stored(manifest)
    chosen = _chosen(manifest, script, tables)
    closure = Closure(script, chosen, {table.name: table.needs for table in manifest.tables})
    schema, finish = closure.schema(), closure.finish()
    members = tuple(member for member in data if member.table is None or member.table in chosen)
    objects = ["large objects were left out, since they belong to no table"] * (len(stored) < len(manifest.tables))
    return Selection(schema, finish, members, frozenset(_sequences(schema)), (*closure.left_out, *objects))


def chosen_tables(source: Source, tables: Sequence[str]) -> tuple[str, ...]:
    """What a person's names mean, partitions included; sorted.

    Raises:
        NotFound, ConfigurationError: as ``choose``.
    """
    return tuple(sorted(_chosen(source.manifest, Script.read(source), tables)))


def _chosen(manifest: Manifest, script: Script, tables: Sequence[str]) -> frozenset[str]:
    parents = partition_parents(script.schema)
    return _with_partitions(resolve([*_stored(manifest), *parents.values()], tables), parents)


def _stored(manifest: Manifest) -> list[str]:
    return [table.name for table in manifest.tables if not table.name.startswith(LARGE_OBJECTS)]


def resolve(names: Iterable[str], wanted: Sequence[str]) -> frozenset[str]:
    """A dump's own names for what a person calls tables: ``orders`` where one schema has it, else ``public.orders``.

    Raises:
        NotFound, ConfigurationError: as ``choose``.
    """
    known = sorted(set(names))
    if not wanted:
        raise ConfigurationError("no table was named", "Name at least one, or leave the choice of tables out.")
    return frozenset(_resolve(known, name) for name in wanted)


def _resolve(known: Sequence[str], wanted: str) -> str:
    if wanted in known:
        return wanted
    bare = wanted.replace('"', "")
    spellings = {name: (name.replace('"', ""), name.replace('"', "").partition(".")[2]) for name in known}
    fitting = [name for name, forms in spellings.items() if bare in forms]
    if len(fitting) > 1:
        raise ConfigurationError(f"{wanted} is the name of several tables", f"Say which: {', '.join(fitting)}.")
    if not fitting:
        forms = {form: name for name, both in spellings.items() for form in both}
        near = dict.fromkeys(forms[form] for form in difflib.get_close_matches(bare, forms, 3))
        hint = f"The nearest names are {', '.join(near)}." if near else f"It holds {some(known) or 'no tables'}."
        raise NotFound(f"the backup holds no table {wanted}", hint)
    return fitting[0]


def export(source: Source, tables: Sequence[str] | None) -> Iterator[bytes]:
    """The archive as plain SQL for ``psql -v ON_ERROR_STOP=1``, in file order; with ``tables`` these alone.

    Without ``tables`` it is the archive's text, byte for byte. With them, no other table's rows are read.

    Raises:
        NotFound, ConfigurationError: as ``choose``, before the first byte.
        Damaged: the archive holds what pg_dump never writes, such as a command that psql would run.
    """
    if tables is None:
        for member in source.manifest.members:
            yield _guarded(member, source.read(member))
        return
    script = Script.read(source)
    selection = choose(source.manifest, script, tables)
    permitted(schema := _plain(selection.schema))
    yield schema
    for member in selection.members:
        text = _guarded(member, source.read(member))
        yield text if member.table is not None else selection.apart(text)
    # It counts the members of the whole archive, which this is not.
    permitted(finish := _plain(selection.finish))
    yield _MEMBER_COUNT.sub(b"", finish)


def _guarded(member: Member, text: bytes) -> bytes:
    """The text, once it is known to hold nothing that a shell-capable client could be led astray by."""
    if (copy := copy_statement(member, text)) is not None:
        end_of_rows(text, copy.end() + 1, member)
    else:
        permitted(text, large_objects=member.table is not None)
    return text


def _plain(chosen: Iterable[Entry]) -> bytes:
    # What was left out may have set the tablespace in force.
    return b"".join(entry.settings + entry.text for entry in chosen)


def _with_partitions(chosen: frozenset[str], parents: dict[str, str]) -> frozenset[str]:
    found = set(chosen)
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return frozenset(found)


def _sequences(schema: Iterable[Entry]) -> Iterator[str]:
    for entry in schema:
        if made := created(entry):
            yield made[1]
        elif entry.kind == "SEQUENCE" and (match := _IDENTITY.search(entry.text)):
            yield decode(match[1])


def _value_of(entry: Entry) -> str | None:
    match = _SETVAL.search(entry.text) if entry.kind == "SEQUENCE SET" else None
    return decode(match[1].replace(b"''", b"'")) if match else None
