"""The steps of an exchange, forward and back: see ``exchange`` for what each state means and what is left to do."""

from typing import NamedTuple

import pymysql
from pymysql.connections import Connection

from backproof.engines.mysql import clearing, database, moving
from backproof.engines.mysql.belongings import Belongings
from backproof.engines.mysql.code import Code, code
from backproof.engines.mysql.marker import Marker
from backproof.engines.mysql.names import quote_ident
from backproof.errors import AlreadyExists, Busy, DumpFailed, NotFound, RestoreFailed
from backproof.findings import listed
from backproof.records import Exchange, Place, Target


class _Names(NamedTuple):
    live: str
    incoming: str
    outgoing: str


class Rotation:
    """An exchange on its way, in either direction."""

    def __init__(self, connection: "Connection[pymysql.cursors.Cursor]", target: Target, exchange: Exchange) -> None:
        self._connection = connection
        self._target = target
        self._names = _Names(exchange.live, exchange.incoming, exchange.outgoing)
        self._marker = Marker(str(exchange.facts["marker"]))
        self._coming = Belongings.model_validate(exchange.facts["incoming"])
        self._going = Belongings.model_validate(exchange.facts["live"]) if exchange.had_live else None
        rights = exchange.facts["globals"]
        self._seen: dict[str, list[Code]] = {}
        self._globals = rights if isinstance(rights, dict) else {}

    def place(self) -> Place:
        """Where no table says so: what comes in leaves no schema of its first name behind."""
        live, incoming, outgoing = self._names
        marked = self._marker.place(self._connection, (incoming, live))
        if marked == incoming and self._marker.read(self._connection, incoming) is None:
            return "before"  # nothing but that table was made, which goes with what comes in
        if marked:
            return "between"
        kept = self._there(outgoing) if self._going else self._there(live)
        return "after" if kept and not self._there(incoming) else "before"

    def forward(self) -> None:
        clearing.end_orphans(self._connection, self._target, self._marker.name)
        live, incoming, _ = self._names
        match self.place(), self._marker.place(self._connection, (incoming, live)):
            case "after", _:
                return
            case "before", _:
                self._begin()
                self._over()
            case _, schema if schema == incoming:
                self._over()
            case _ if self._marker.read(self._connection, live) is None:
                self._marker.drop(self._connection, live)  # nothing had been undone yet
                return
        self._settle_after()

    def back(self) -> None:
        clearing.end_orphans(self._connection, self._target, self._marker.name)
        live, incoming, _ = self._names
        match self.place(), self._marker.place(self._connection, (incoming, live)):
            case "before", _:
                return
            case "after", _:
                self._begin_back()
                self._back_over()
            case _, schema if schema == live:
                if self._marker.read(self._connection, live) is None:
                    self._begin_back()
                self._back_over()
        self._settle_before()

    def _begin(self) -> None:
        """All that can be found out beforehand; then the first change."""
        live, incoming, outgoing = self._names
        self._require(incoming)
        if self._going:
            self._require(live)
            if changes := self._going.changes(self._code(live)):
                raise Busy(f"{listed(changes)} of {live} changed since the exchange was planned", "Plan it again.")
        self._require_empty(outgoing if self._going else live)
        self._require_known(self._coming, incoming)
        moving.expect_free(self._connection, self._target, (live, incoming) if self._going else (incoming,))
        self._marker.create(self._connection, incoming)
        self._marker.write(self._connection, incoming, self._coming)

    def _over(self) -> None:
        """From before the one statement to behind it."""
        live, incoming, outgoing = self._names
        self._recall(incoming)
        self._require_known(self._coming, incoming)
        if self._going:
            self._require(live)
            self._require_known(self._going, live)
            self._make_room(outgoing, self._going)
            self._move(((live, outgoing), (incoming, live)))
        else:
            self._make_room(live, self._coming)
            self._move(((incoming, live),))

    def _settle_after(self) -> None:
        live, incoming, outgoing = self._names
        self._recall(live)
        if refused := self._make(self._coming, live, runs=True):
            raise refused[0]
        if self._going:
            self._make(self._going, outgoing, runs=False)  # what was broken before can't be kept but in the record
        else:
            database.give(self._connection, live, self._globals)
        self._remove(incoming)
        database.forget_rights(self._connection, incoming)
        self._marker.drop(self._connection, live)

    def _begin_back(self) -> None:
        live, incoming, outgoing = self._names
        self._require_empty(incoming)
        if self._going:
            self._require(outgoing)
            self._require_known(self._going, outgoing)
        moving.expect_free(self._connection, self._target, (live, outgoing) if self._going else (live,))
        what = self._as_it_is(live)
        self._marker.create(self._connection, live)
        self._marker.write(self._connection, live, what)

    def _back_over(self) -> None:
        live, incoming, outgoing = self._names
        self._recall(live)
        self._require_known(self._coming, live)
        self._make_room(incoming, self._coming)
        if self._going:
            self._require_known(self._going, outgoing)
            self._move(((live, incoming), (outgoing, live)))
        else:
            self._move(((live, incoming),))

    def _settle_before(self) -> None:
        live, incoming, outgoing = self._names
        self._recall(incoming)
        refused = self._make(self._going, live, runs=True) if self._going else []
        self._make(self._coming, incoming, runs=False)
        self._remove(outgoing if self._going else live)
        if self._going:
            database.forget_rights(self._connection, outgoing)
        self._marker.drop(self._connection, incoming)
        if refused:  # it was as broken before, and nobody can make it again; all else is as it was
            raise refused[0]

    def _recall(self, schema: str) -> None:
        """What the server's own note says of what comes in: after an undo, that is what was live by then."""
        self._coming = self._marker.read(self._connection, schema) or self._coming

    def _as_it_is(self, live: str) -> Belongings:
        """A schema so broken that nobody can read its code must not keep another from coming back."""
        try:
            return Belongings.of_schema(self._target.to(live))
        except DumpFailed:
            return self._coming

    def _move(self, moves: tuple[tuple[str, str], ...]) -> None:
        sources = [schema for schema, _ in moves]
        clearing.end_sessions(self._connection, self._target, sources)
        for schema in sources:
            moving.strip(self._connection, self._target, schema, self._code(schema))
        there = {schema: self._code(schema) for schema in sources}
        moving.rename(self._connection, self._target, moves, self._marker.name, there)
        self._seen = {schema: [] for schema in self._names}  # there is no code now

    def _make(self, what: Belongings, schema: str, runs: bool) -> list[RestoreFailed]:
        """Everything but tables, triggers first; and what tables say of their schema's name."""
        # First: code is made with the collation that its schema has then.
        settings = database.own(what.settings, again=True)
        clearing.run(self._connection, " ".join(["ALTER DATABASE", quote_ident(schema), *settings]))
        refused = what.make(self._connection, schema, self._code(schema), runs)
        clearing.prepare(self._connection)
        former = [name for name in self._names if name != schema]
        moving.mend_defaults(self._connection, self._target, schema, former)
        if runs:
            database.give(self._connection, schema, what.routine_rights())
        return refused

    def _make_room(self, schema: str, what: Belongings) -> None:
        """An empty schema."""
        self._require_empty(schema)
        if not self._there(schema):
            clearing.run(
                self._connection, " ".join(["CREATE DATABASE", quote_ident(schema), *database.own(what.settings)])
            )

    def _remove(self, schema: str) -> None:
        self._require_empty(schema)
        if self._there(schema):
            clearing.run(self._connection, f"DROP DATABASE {quote_ident(schema)}")

    def _code(self, schema: str) -> list[Code]:
        """Looked at once: it takes a while, and what comes later is not dropped."""
        if schema not in self._seen:
            self._seen[schema] = code(self._connection, schema)
        return self._seen[schema]

    def _there(self, schema: str) -> bool:
        return database.is_there(self._connection, schema)

    def _require(self, schema: str) -> None:
        if not self._there(schema):
            raise NotFound(f"there is no schema {schema}", "It has gone since the exchange was planned.")

    def _require_empty(self, schema: str) -> None:
        if found := sorted(database.content(self._connection, schema)):
            raise AlreadyExists(
                f"schema {schema} holds {listed(found)}, which is no part of this exchange", "Move it away, then go on."
            )

    def _require_known(self, what: Belongings, schema: str) -> None:
        """What nobody has the text of is not dropped."""
        if unknown := what.unknown(self._code(schema)):
            raise AlreadyExists(
                f"{listed(unknown)} of {schema} came after the exchange was planned, and would be lost",
                "Drop it there, or move it away, then go on.",
            )
