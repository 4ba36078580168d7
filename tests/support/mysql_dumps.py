"""What tests of MariaDB's dumps share: a database larger than pipes and buffers, and ways to read and harm a dump."""

import time
from collections import Counter
from collections.abc import Callable, Sequence

import pytest

from backproof.engines import Piece
from backproof.engines.mysql import ENGINE
from backproof.engines.mysql.dump import MysqlDump, open_dump
from backproof.parallel import shares as dividing
from backproof.records import Target
from tests.support.aftermath import programs
from tests.support.mariadb_fixtures import execute

BIG = """
CREATE TABLE big (id int PRIMARY KEY, t varchar(1000));
SET sql_log_bin = 0; INSERT INTO big SELECT seq, repeat("x", 1000) FROM seq_1_to_40000; SET sql_log_bin = 1;
"""
"""More than two pieces, and than fits into the buffers of pipe and sockets: its tool runs on when some was read."""


def drained(dump: MysqlDump) -> list[Piece]:
    data = [piece for stream in dump.data() for piece in stream]
    return [*dump.schema(), *data, *dump.finish()]


def keys(pieces: Sequence[Piece]) -> Counter[str]:
    texts = (piece.head for piece in pieces if piece.table is None)
    return Counter(entry.key for text in texts for entry in ENGINE.entries(text))


def rows(pieces: Sequence[Piece]) -> dict[str, int]:
    counted: Counter[str] = Counter()
    for piece in pieces:
        if piece.table is not None:
            counted[piece.table] += piece.rows
    return dict(counted)


def body(pieces: Sequence[Piece], table: str) -> bytes:
    return b"".join(piece.body for piece in pieces if piece.table == table)


def sessions(target: Target) -> list[int]:
    """Connections that are in a schema, but for the one that asks."""
    query = "SELECT id FROM information_schema.processlist WHERE db = %s"
    return [number for (number,) in execute(target.to(""), query, (target.database,))]


def expect_nothing_left(target: Target) -> None:
    assert programs("mariadb-dump") == []
    deadline = time.monotonic() + 10
    while sessions(target):
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every table is worth a run of its own."""
    monkeypatch.setattr(dividing, "WORTHWHILE_BYTES", 1)


LATER = "CREATE TABLE later (a int PRIMARY KEY, b int); INSERT INTO later VALUES (1, 10), (2, 20);"


Injury = Callable[[Target], object]


def dump_and_injure(target: Target, injure: Injury, found: list[Piece]) -> None:
    with open_dump(target) as dump:
        for stream in dump.data():
            found.append(next(stream))
            injure(target)
            found.extend(stream)
        found.extend(dump.finish())
