"""Reading what pg_dump writes: entries, their keys, statements, session settings. Bytes in, bytes out, no server.

A header such as ``-- Name: orders; Type: TABLE; Schema: public; Owner: shop`` opens an entry, but only where it is a
comment of the script itself: inside quotes, dollar quotes and block comments it is somebody's data. What only psql
would obey is refused, but for ``\\restrict`` and ``\\unrestrict``, which merely close that door.
"""

import re
from collections.abc import Iterator

from backproof.engines import Entry
from backproof.engines.postgresql.lexer import at_line_start, skip_blank, statements, tokens
from backproof.engines.postgresql.settled import settled

__all__ = ["COMPLETE", "LARGE_OBJECTS", "canonical", "decode", "entries", "key", "preamble_settings", "statements"]

LARGE_OBJECTS = "BLOBS"
"""How the pseudo tables begin under which large objects travel; no table's name does: pg_dump would quote it."""

COMPLETE = b"-- PostgreSQL database dump complete\n"
"""pg_dump's closing words; behind them comes at most ``\\unrestrict``."""

_HEADER = re.compile(
    rb"--\n-- (?:Data for |Statistics for )?Name: (?P<tag>[^\n]*); Type: (?P<kind>[A-Z][A-Z ]*);"
    rb" Schema: (?P<schema>[^\n]*); Owner: (?P<owner>[^\n]*)\n--\n"
)
_NAME = rb'(?:"(?>(?:[^"]++|"")*)"|[a-z_\x80-\xff][\w$\x80-\xff]*+)'
_TABLE_OF = re.compile(
    b"|".join(
        (
            rb"CREATE (?:UNLOGGED |FOREIGN )*TABLE (<q>)",
            rb"ALTER (?:FOREIGN )?TABLE (?:ONLY )?(<q>)",
            rb"ALTER SEQUENCE <q> OWNED BY (<q>)\.<n>",
            rb"CREATE (?:UNIQUE )?INDEX <n> ON (?:ONLY )?(<q>)",
            rb"CREATE STATISTICS <q> [^;]*? FROM (<q>);",
            rb"CREATE (?:CONSTRAINT )?TRIGGER <n> (?:BEFORE|AFTER|INSTEAD OF) .*? ON (<q>) ",
            rb"CREATE POLICY <n> ON (<q>)",
            rb"CREATE RULE <n> AS\s+ON [A-Z]+ TO (<q>)",
            rb"ALTER PUBLICATION <n> ADD TABLE ONLY (<q>)[ ;]",
            rb"COMMENT ON TABLE (<q>) ",
            rb"COMMENT ON COLUMN (<q>)\.<n> ",
            rb"COMMENT ON (?:CONSTRAINT|POLICY|RULE|TRIGGER) <n> ON (<q>) ",
            rb"(?:GRANT|REVOKE) [^;]*? ON TABLE (<q>) ",
            rb"SECURITY LABEL FOR <n> ON TABLE (<q>) ",
        )
    )
    .replace(b"<q>", rb"<n>\.<n>")
    .replace(b"<n>", _NAME),
    re.DOTALL,
)
_SETTING = re.compile(
    rb"(?:SET (?P<name>[a-z_.]+) = |SELECT pg_catalog\.set_config\('(?P<config>[a-z_.]+)', )[^;\n]*;\n"
)
_LEADING = re.compile(rb"(?:SET (?:default_tablespace|default_table_access_method) = [^\n]*;\n\n)+\Z")
_CURRENT = re.compile(rb"SET (default_tablespace|default_table_access_method) = [^\n]*;\n")
_SLOT = re.compile(rb"slot_name = '(?:[^']|'')*'")
_STORED = frozenset({"TABLE", "INDEX", "CONSTRAINT", "MATERIALIZED VIEW"})
"""Kinds whose definition depends on the default tablespace or access method in force."""


def decode(name: bytes) -> str:
    """A name of a dump as text: a bijection on what one server writes, whatever its encoding."""
    try:
        return name.decode()
    except UnicodeDecodeError:
        return name.decode("latin-1")


def key(kind: str, schema: str, tag: str, owner: str = "") -> str:
    """The key of an entry, from what its header says. ``schema`` is ``-`` where there is none."""
    name = tag if schema in {"-", ""} else f"{schema}.{tag}"
    # A default privilege is its owner's: several share schema and tag.
    return f"{kind} {name} FOR {owner}" if kind == "DEFAULT ACL" else f"{kind} {name}"


def entries(text: bytes) -> Iterator[Entry]:
    """Divide schema, finish or sequence-value text into its entries; their texts, joined, are the text.

    The first is ``PREAMBLE`` where session settings open the text; the closing words are an entry ``CLOSING``.

    Raises:
        Damaged: a psql command other than ``\\restrict``, or text that ends inside a quotation.
    """
    settings: dict[bytes, bytes] = {}
    start, header = 0, None
    for opens, following in _boundaries(text):
        # pg_dump sets tablespace and access method ahead of the header of the entry they are for.
        set_at = text.find(b"SET default_", start, opens)
        lead = _LEADING.search(text, set_at, opens) if set_at >= 0 else None
        cut = lead.start() if lead else opens
        if cut > start:
            yield _entry(text[start:cut], header, settings)
        start, header = cut, following
        settings |= {found[1]: found[0] for found in _CURRENT.finditer(text, cut, opens)}
    if start < len(text):
        yield _entry(text[start:], header, settings)


def _boundaries(text: bytes) -> Iterator[tuple[int, re.Match[bytes] | None]]:
    for kind, begin, end in tokens(text):
        if kind != "comment" or not at_line_start(text, begin):
            continue
        if header := _HEADER.match(text, begin, end):
            yield begin, header
        elif text.startswith(b"--\n" + COMPLETE, begin):
            yield begin, None


def _entry(text: bytes, header: re.Match[bytes] | None, settings: dict[bytes, bytes]) -> Entry:
    if header is None:
        kind = "CLOSING" if COMPLETE in text else "PREAMBLE"
        return Entry(kind, kind, None, text)
    kind = header["kind"].decode()
    name = key(kind, decode(header["schema"]), decode(header["tag"]), decode(header["owner"]))
    in_force = b"".join(settings.values()) if kind in _STORED else b""
    return Entry(name, kind, _table(text), text, in_force)


def _table(text: bytes) -> str | None:
    """The table that the first statement of an entry is about."""
    for kind, _, end in tokens(text):
        if kind == "comment":
            begin = skip_blank(text, end)
            while setting := _CURRENT.match(text, begin):
                begin = skip_blank(text, setting.end())
            if found := _TABLE_OF.match(text, begin):
                return decode(next(part for part in found.groups() if part))
    return None


def preamble_settings(text: bytes) -> dict[str, bytes]:
    """The session settings that open a dump: name to statement, in order (``search_path`` is set by a SELECT)."""
    found: dict[str, bytes] = {}
    preamble = next(entries(text), None)
    if preamble is None or preamble.kind != "PREAMBLE":
        return found
    for line in statements(preamble.text):
        if match := _SETTING.fullmatch(line + b"\n"):
            found[(match["name"] or match["config"]).decode()] = line
    return found


def canonical(entry: Entry) -> bytes:
    """An entry as it is compared: its statements, and the settings in force that its meaning depends on.

    Comments, dates, blank lines between statements and ``\\restrict`` tokens are no part of it. The columns of a table
    that inherits or is of a type come back in another order: they are sorted. What PostgreSQL writes otherwise once it
    has read it is written that way.
    """
    found = [settled(line) for line in statements(entry.text) if not _CURRENT.fullmatch(line + b"\n")]
    if entry.kind == "TABLE" and found and re.search(rb"\nINHERITS \(|^CREATE [A-Z ]*TABLE .* OF .*? \(", found[0]):
        found[0] = _columns_sorted(found[0])
    if entry.kind == "SUBSCRIPTION":
        # The slot on the publisher is the live database's: what is restored never gets it.
        found = [_SLOT.sub(b"slot_name = NONE", line) for line in found]
    return b"\n".join([*_settings_that_matter(entry), *found])


def _settings_that_matter(entry: Entry) -> list[bytes]:
    names = [b"default_tablespace"]
    # pg_dump sets no access method for indexes, constraints and partitioned tables: what is in force is left over.
    if entry.kind == "MATERIALIZED VIEW" or (entry.kind == "TABLE" and b"\nPARTITION BY " not in entry.text):
        names.append(b"default_table_access_method")
    return [found[0] for found in _CURRENT.finditer(entry.settings) if found[1] in names]


def _columns_sorted(create: bytes) -> bytes:
    depth, opened, cuts = 0, -1, list[int]()
    for kind, at, _ in tokens(create):
        if kind == "(":
            depth += 1
            opened = at + 1 if opened < 0 else opened
        elif kind == ")":
            depth -= 1
            if not depth:
                cuts.append(at)
                break
    if not cuts:
        return create
    inside = create[opened : cuts[0]]
    parts = sorted(part.strip() for part in _split_commas(inside))
    return create[:opened] + b"\n" + b",\n".join(parts) + b"\n" + create[cuts[0] :]


def _split_commas(text: bytes) -> Iterator[bytes]:
    """Divide at commas outside of brackets and quotations."""
    depth, begin, position = 0, 0, 0
    stops = [(at, end, kind) for kind, at, end in tokens(text)]
    for at, end, kind in [*stops, (len(text), len(text), "")]:
        while not depth and (comma := text.find(b",", position, at)) >= 0:
            yield text[begin:comma]
            begin = position = comma + 1
        depth += {"(": 1, ")": -1}.get(kind, 0)
        position = end
    yield text[begin:]
