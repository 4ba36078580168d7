"""What of a CREATE TABLE can wait until the rows are in, and what can't."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backproof.engines.mysql.definition import divided
from backproof.engines.mysql.keys import deferred, is_whole, parents, uncounted, with_unique_keys_sorted
from backproof.engines.mysql.names import quote_ident
from backproof.errors import Damaged

TAIL = b") ENGINE=InnoDB AUTO_INCREMENT=7 DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci"
COLUMNS = (b"`id` int(11) NOT NULL", b"`a` int(11) NOT NULL", b"`b` varchar(9) DEFAULT NULL", b"`c` text DEFAULT NULL")
PRIMARY = b"PRIMARY KEY (`id`)"


def table(*parts: bytes, columns: tuple[bytes, ...] = COLUMNS, tail: bytes = TAIL) -> bytes:
    return b"CREATE TABLE `t` (\n  " + b",\n  ".join([*columns, *parts]) + b"\n" + tail


def added(create: bytes) -> list[bytes]:
    return [sql.removeprefix(b"ALTER TABLE `t` ") for sql in deferred(divided(create)).keys]


def test_secondary_keys_wait_and_are_added_in_one_statement_in_their_order() -> None:
    create = table(PRIMARY, b"UNIQUE KEY `u` (`a`)", b"KEY `k` (`b`(3),`a` DESC)", b"SPATIAL KEY `s` (`a`)")
    later = deferred(divided(create))
    assert later.create == table(PRIMARY)
    assert later.links is None
    assert added(create) == [
        b"ADD UNIQUE KEY `u` (`a`), ADD KEY `k` (`b`(3),`a` DESC), ADD SPATIAL KEY `s` (`a`)",
    ]


def test_each_fulltext_key_is_added_alone_and_last() -> None:
    create = table(PRIMARY, b"KEY `k` (`a`)", b"FULLTEXT KEY `f` (`b`)", b"FULLTEXT KEY `g` (`c`) WITH PARSER `ngram`")
    assert added(create) == [
        b"ADD KEY `k` (`a`)",
        b"ADD FULLTEXT KEY `f` (`b`)",
        b"ADD FULLTEXT KEY `g` (`c`) WITH PARSER `ngram`",
    ]


def test_foreign_keys_come_last_and_checks_stay() -> None:
    link = b"CONSTRAINT `l` FOREIGN KEY (`a`) REFERENCES `p` (`id`) ON DELETE CASCADE"
    other = b"CONSTRAINT `m` FOREIGN KEY (`a`) REFERENCES `elsewhere`.`p` (`id`)"
    check = b"CONSTRAINT `ck` CHECK (`a` > 0 and `b` <> 'FOREIGN KEY')"
    later = deferred(divided(table(PRIMARY, b"KEY `k` (`a`)", link, other, check)))
    assert later.create == table(PRIMARY, check)
    assert later.links == b"ALTER TABLE `t` ADD " + link + b", ADD " + other
    assert parents(divided(table(PRIMARY, link, other))) == {"p"}


def test_an_archive_table_alone_is_filled_without_its_next_value() -> None:
    tail = b") ENGINE=ARCHIVE%b DEFAULT CHARSET=utf8mb4 COMMENT=' AUTO_INCREMENT=8'"
    counted = divided(table(PRIMARY, tail=tail % b" AUTO_INCREMENT=7"))
    assert deferred(uncounted(counted)).create == table(PRIMARY, tail=tail % b"")
    assert deferred(uncounted(divided(table(PRIMARY)))).create == table(PRIMARY)


def test_a_foreign_key_that_is_not_to_come_does_not() -> None:
    definition = divided(table(PRIMARY, b"CONSTRAINT `l` FOREIGN KEY (`a`) REFERENCES `p` (`id`)"))
    later = deferred(definition, definition.of("foreign key"))
    assert (later.create, later.links) == (table(PRIMARY), None)


@pytest.mark.parametrize(
    ("create", "kept"),
    [
        pytest.param(table(b"UNIQUE KEY `u` (`a`)", b"KEY `k` (`b`)"), b"UNIQUE KEY `u`", id="rows lie by it"),
        pytest.param(
            table(
                PRIMARY,
                b"KEY `k` (`b`)",
                b"KEY `n` (`n`,`a`)",
                b"KEY `z` (`c`)",
                columns=(*COLUMNS, b"`n` int(11) NOT NULL AUTO_INCREMENT"),
            ),
            b"KEY `k` (`b`),\n  KEY `n`",
            id="of AUTO_INCREMENT, and those before it",
        ),
        pytest.param(
            table(PRIMARY, b"UNIQUE KEY `u` (`id`,`a`)", b"KEY `z` (`c`)", tail=TAIL + b"\n PARTITION BY HASH (`id`)"),
            b"UNIQUE KEY `u`",
            id="partitions",
        ),
        pytest.param(table(PRIMARY, b"KEY `k` (`a`)", tail=b") ENGINE=MyISAM"), b"KEY `k`", id="another engine"),
        pytest.param(
            table(PRIMARY, b"KEY `k` (`a`)", tail=TAIL + b" WITH SYSTEM VERSIONING"), b"KEY `k`", id="history"
        ),
        pytest.param(
            table(PRIMARY, b"UNIQUE KEY `u` (`a`,`p` WITHOUT OVERLAPS)", b"PERIOD FOR `p` (`a`, `b`)"),
            b"UNIQUE KEY `u`",
            id="a period",
        ),
    ],
)
def test_a_key_that_a_table_can_t_be_without_stays(create: bytes, kept: bytes) -> None:
    assert kept in deferred(divided(create)).create


@pytest.mark.parametrize(
    "create",
    [
        pytest.param(table(PRIMARY, b"UNIQUE KEY `h` (`c`) USING HASH", b"KEY `k` (`a`)"), id="a hash"),
        pytest.param(table(PRIMARY, b"UNIQUE KEY `n` (`b`)", b"UNIQUE KEY `u` (`a`)"), id="an order not its own"),
        pytest.param(table(PRIMARY, b"UNIQUE KEY `n` (`b`(2))", b"UNIQUE KEY `u` (`b`)"), id="a part before a whole"),
        pytest.param(
            table(
                PRIMARY,
                b"KEY `k` (`a`)",
                b"CONSTRAINT `l` FOREIGN KEY (`a`) REFERENCES `p` (`id`) ON UPDATE SET NULL",
                columns=(*COLUMNS, b"`g` int(11) GENERATED ALWAYS AS (`a` + 1) STORED"),
            ),
            id="a stored column",
        ),
    ],
)
def test_what_an_alter_table_would_change_is_created_whole(create: bytes) -> None:
    assert is_whole(divided(create))
    later = deferred(divided(create))
    assert (later.create, later.keys, later.links) == (create, (), None)


def test_unique_keys_are_compared_in_the_order_in_which_a_server_makes_them() -> None:
    nullable, certain, plain = b"UNIQUE KEY `n` (`b`)", b"UNIQUE KEY `u` (`a`)", b"KEY `k` (`a`)"
    assert with_unique_keys_sorted(table(PRIMARY, nullable, certain, plain)) == table(PRIMARY, certain, nullable, plain)
    for unchanged in (
        table(PRIMARY, certain, nullable, plain),
        table(PRIMARY, nullable, b"UNIQUE KEY `m` (`b`)"),
        # What a server keeps as it is written was pinned so by backups that were proven before.
        table(PRIMARY, nullable, certain, b"UNIQUE KEY `h` (`c`) USING HASH"),
    ):
        assert with_unique_keys_sorted(unchanged) == unchanged


def test_what_a_whole_table_points_at_keeps_its_keys() -> None:
    create = table(PRIMARY, b"UNIQUE KEY `u` (`a`)")
    assert deferred(divided(create), keep_keys=True).create == create


@given(
    names=st.lists(st.text(min_size=1, max_size=8).filter(lambda name: "\0" not in name), min_size=3, max_size=6),
    text=st.text(max_size=20),
)
def test_whatever_names_and_texts_hold_parts_are_told_apart(names: list[str], text: str) -> None:
    quoted = [quote_ident(name).encode("utf-8", "surrogatepass") for name in names]
    said = b"'" + text.encode("utf-8", "surrogatepass").replace(b"\\", b"\\\\").replace(b"'", b"''") + b"'"
    parts = [
        quoted[0] + b" varchar(9) NOT NULL DEFAULT " + said + b" COMMENT " + said,
        b"`other` int(11) GENERATED ALWAYS AS (char_length(concat(" + said + b",'(),'))) VIRTUAL",
        b"PRIMARY KEY (" + quoted[0] + b")",
        b"KEY " + quoted[1] + b" (" + quoted[0] + b"(3)) COMMENT " + said,
        b"CONSTRAINT " + quoted[2] + b" FOREIGN KEY (`other`) REFERENCES " + quoted[1] + b" (" + quoted[0] + b")",
        b"CONSTRAINT `ck` CHECK (" + quoted[0] + b" <> " + said + b")",
    ]
    create = b"CREATE TABLE " + quoted[-1] + b" (\n  " + b",\n  ".join(parts) + b"\n" + TAIL
    definition = divided(create)
    assert [part.kind for part in definition.parts] == ["column", "column", "primary", "key", "foreign key", "check"]
    assert definition.without([]) == create
    assert deferred(definition).keys == (b"ALTER TABLE " + quoted[-1] + b" ADD " + parts[3],)
    assert deferred(definition).links == b"ALTER TABLE " + quoted[-1] + b" ADD " + parts[4]


def test_a_cut_definition_is_refused() -> None:
    create = table(PRIMARY)
    with pytest.raises(Damaged):
        divided(create[: create.index(TAIL)])
