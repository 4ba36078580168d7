"""Some tables only: what of an archive they take. And the export, of all or of some, as plain SQL."""

import difflib
import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from backproof.engines import Entry, Source
from backproof.engines.mysql.calls import touched, with_routines
from backproof.engines.mysql.definition import Definition, Part, divided
from backproof.engines.mysql.guard import inserts, permitted
from backproof.engines.mysql.names import quote_ident, spell, unspell
from backproof.engines.mysql.text import entries, preamble_settings
from backproof.errors import ConfigurationError, Damaged, NotFound
from backproof.records import Manifest, Member, Section
from backproof.words import some

FRAME = frozenset({"PREAMBLE", "CLOSING"})
"""Kinds of entries that define nothing."""

_CREATE_TABLE = b"CREATE TABLE "
_COMMENTS = re.compile(rb"(?:(?:--(?: [^\n]*)?)?\n)*")
_REMEDY = "Restore from another copy of this backup."


@dataclass(frozen=True)
class Script:
    """The schema and finish sections of an archive, divided."""

    settings: tuple[bytes, ...]
    """What every session runs first."""
    schema: tuple[Entry, ...]
    finish: tuple[Entry, ...]

    @classmethod
    def read(cls, source: Source) -> "Script":
        """Read and divide the members of both sections; no data. Each member divides alone."""
        schema = [source.read(member) for member in _of(source.manifest, "schema")]
        finish = [source.read(member) for member in _of(source.manifest, "finish")]
        return cls(
            tuple(preamble_settings(schema[0]) if schema else ()),
            tuple(entry for text in schema for entry in entries(text)),
            tuple(entry for text in finish for entry in entries(text)),
        )


@dataclass(frozen=True)
class Selection:
    """What is taken of an archive, in file order."""

    schema: tuple[Entry, ...]
    finish: tuple[Entry, ...]
    members: tuple[Member, ...]
    """Of the data section."""
    links_left_out: Mapping[str, tuple[Part, ...]] = field(default_factory=dict)
    """Table to those of its foreign keys that do not come."""
    left_out: tuple[str, ...] = ()


def choose(manifest: Manifest, script: Script, tables: Sequence[str] | None) -> Selection:
    """Everything; or the given tables with their triggers, and the sequences their defaults draw from.

    Args:
        manifest: of the archive.
        script: its schema and finish sections.
        tables: names as a person writes them; None for everything.

    Raises:
        NotFound: no such table; says which names come near.
        ConfigurationError: none was named.
    """
    data = tuple(_of(manifest, "data"))
    if tables is None:
        return Selection(script.schema, script.finish, data)
    chosen = resolve(manifest, tables)
    needed = {key for table in manifest.tables if table.name in chosen for key in table.needs}
    schema = tuple(
        entry
        for entry in script.schema
        if entry.kind in FRAME or (entry.kind == "TABLE" and entry.table in chosen) or entry.key in needed
    )
    triggers = [entry for entry in script.finish if entry.kind == "TRIGGER" and _of_table(entry) in chosen]
    taken = {entry.key for entry in triggers} | with_routines(triggers, script.finish)
    finish = tuple(entry for entry in script.finish if entry.kind in FRAME or entry.key in taken)
    links = {table: parts for table, parts in _links_beyond(schema, chosen) if parts}
    return Selection(
        schema=schema,
        finish=finish,
        members=tuple(member for member in data if member.table is None or member.table in chosen),
        links_left_out=links,
        left_out=(*_said_of(links), *_said_of_code(manifest, finish, chosen), *_said_of_the_rest(script, finish)),
    )


def chosen_tables(source: Source, tables: Sequence[str]) -> tuple[str, ...]:
    """What a person's names mean; sorted.

    Raises:
        NotFound, ConfigurationError: as ``choose``.
    """
    return tuple(sorted(resolve(source.manifest, tables)))


def resolve(manifest: Manifest, tables: Sequence[str]) -> frozenset[str]:
    """The archive's own spelling of what a person calls tables, with backticks or without."""
    known = {unspell(table.name): table.name for table in manifest.tables}
    if not tables:
        raise ConfigurationError("no table was named", "Name at least one, or leave the choice of tables out.")
    return frozenset(known[_meant(wanted, known)] for wanted in tables)


def _meant(wanted: str, known: Mapping[str, str]) -> str:
    """The one name that is the same, or the same but for case."""
    name = _bare(wanted)
    if name in known:
        return name
    folded = [each for each in known if each.lower() == name.lower()]
    if len(folded) > 1:
        raise ConfigurationError(f"{wanted} is the name of several tables", f"Say which: {', '.join(folded)}.")
    if folded:
        return folded[0]
    near = difflib.get_close_matches(name, known, 3)
    hint = f"The nearest names are {', '.join(known[each] for each in near)}." if near else ""
    raise NotFound(f"the backup holds no table {wanted}", hint or f"It holds {some(known.values()) or 'no tables'}.")


def export(source: Source, tables: Sequence[str] | None) -> Iterator[bytes]:
    """The archive as plain SQL for the ``mariadb`` client, in file order; with ``tables`` these alone.

    Without ``tables`` it is the archive's text, byte for byte. With them, no other table's rows are read.

    Raises:
        NotFound, ConfigurationError: as ``choose``, before the first byte.
        Damaged: the archive holds what the dump tool never writes, such as a command that the client would run.
    """
    if tables is None:
        for member in source.manifest.members:
            yield _guarded(member, source.read(member))
        return
    selection = choose(source.manifest, Script.read(source), tables)
    yield b"".join(_without_links(entry, selection.links_left_out) for entry in selection.schema)
    for member in selection.members:
        yield _guarded(member, source.read(member))
    yield b"".join(_checked(entry).text for entry in selection.finish if entry.text.strip())


def create_of(statements: Iterable[bytes]) -> bytes:
    """The CREATE TABLE among the statements of a table's entry."""
    return next(sql for sql in statements if sql.startswith(_CREATE_TABLE))


def _without_links(entry: Entry, left_out: Mapping[str, tuple[Part, ...]]) -> bytes:
    statements = permitted(entry)
    if not (parts := left_out.get(entry.table or "")) or entry.kind != "TABLE":
        return entry.text
    create = create_of(statements)
    definition = divided(create)
    gone = {part.text for part in parts}
    shorter = definition.without([part for part in definition.parts if part.text in gone])
    return entry.text.replace(create, shorter)


def _checked(entry: Entry) -> Entry:
    permitted(entry)
    return entry


def _guarded(member: Member, text: bytes) -> bytes:
    """The text, once it is known to hold nothing that a shell-capable client could be led astray by."""
    if member.section == "data" and member.table is not None:
        if member.rows:
            deque(inserts(text, member.table), maxlen=0)
        elif not _COMMENTS.fullmatch(text):
            raise Damaged(f"a member without rows of {member.table} holds something else", _REMEDY)
    else:
        for entry in entries(text):
            permitted(entry)
    return text


def _links_beyond(schema: Iterable[Entry], chosen: frozenset[str]) -> Iterator[tuple[str, tuple[Part, ...]]]:
    for entry in schema:
        if entry.kind == "TABLE" and entry.table is not None:
            definition: Definition = divided(create_of(permitted(entry)))
            yield entry.table, tuple(part for part in definition.of("foreign key") if _parent(part) not in chosen)


def _parent(link: Part) -> str:
    schema, table = link.referenced
    return f"{quote_ident(schema)}.{quote_ident(table)}" if schema else spell(table)


def _said_of(links: Mapping[str, tuple[Part, ...]]) -> Iterator[str]:
    for table, parts in links.items():
        for part in parts:
            yield f"foreign key {part.name} of {table} was left out, since {_parent(part)} was not chosen"


def _said_of_code(manifest: Manifest, finish: Iterable[Entry], chosen: frozenset[str]) -> Iterator[str]:
    others = {unspell(table.name): table.name for table in manifest.tables if table.name not in chosen}
    for entry in finish:
        for table in touched(entry, others) if entry.kind not in FRAME else ():
            yield f"{entry.key} came along and works on {others[table]}, which was not chosen"


def _said_of_the_rest(script: Script, finish: Sequence[Entry]) -> Iterator[str]:
    taken = {entry.key for entry in finish}
    kinds = {entry.kind for entry in script.finish if entry.key not in taken} - FRAME - {"TRIGGER"}
    if kinds:
        named = ", ".join(sorted(f"{kind.lower()}s" for kind in kinds))
        yield f"{named} were left out, since they belong to no table that was chosen"


def _of_table(entry: Entry) -> str | None:
    return None if entry.table is None else spell(_bare(entry.table))


def _bare(name: str) -> str:
    try:
        return unspell(name)
    except ValueError:
        return name


def _of(manifest: Manifest, section: Section) -> Iterator[Member]:
    return (member for member in manifest.members if member.section == section)
