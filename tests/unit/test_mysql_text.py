"""Dividing definitions: what is one object's, what it is called, and what of it is compared."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backproof.engines import Entry
from backproof.engines.mysql.lexer import statements
from backproof.engines.mysql.text import (
    COMPLETE,
    SCHEMA_KINDS,
    canonical,
    entries,
    entry_statements,
    preamble_settings,
    schema_comment,
    schema_of,
    split_definitions,
)
from backproof.errors import Damaged
from tests.support.mysql_text import (
    CLOSING,
    LOG_POSITION,
    PREAMBLE,
    WHOLE,
    event,
    events,
    routine,
    routines,
    sequence,
    table,
    trigger,
    view,
    view_columns,
)

KEYS = [
    "PREAMBLE",
    "SEQUENCE `s q`",
    "TABLE child",
    "TABLE parent",
    "TRIGGER tr1",
    "TRIGGER `t``r2`",
    "TABLE `se``lf\n`",
    "VIEW COLUMNS v1",
    "VIEW COLUMNS v2",
    "EVENT ev",
    "EVENT `e;v`",
    "EVENT `évé`",
    "FUNCTION ag",
    "FUNCTION fn",
    "PROCEDURE `pé`",
    "PROCEDURE `p表`",
    "PROCEDURE dyn",
    "PROCEDURE or",
    "PACKAGE pk",
    "PACKAGE BODY pk",
    "VIEW v1",
    "VIEW v2",
    "CLOSING",
]
OWN = b"-- Database: `live`\n"


def divided(text: bytes) -> list[Entry]:
    found = list(entries(text))
    assert b"".join(entry.text for entry in found) == text
    return found


def by_key(*texts: bytes) -> dict[str, bytes]:
    return {entry.key: canonical(entry) for text in texts for entry in divided(text)}


def test_a_dump_divides_into_its_objects() -> None:
    found = divided(WHOLE)
    assert [entry.key for entry in found] == KEYS
    assert {entry.settings for entry in found} == {OWN}
    tables = {entry.key: entry.table for entry in found if entry.table}
    assert tables == {
        "TABLE child": "child",
        "TABLE parent": "parent",
        "TABLE `se``lf\n`": "`se``lf\n`",
        "TRIGGER tr1": "parent",
        "TRIGGER `t``r2`": "parent",
    }


def test_what_is_said_of_the_whole_dump_stays_with_its_opening() -> None:
    first = divided(WHOLE)[0]
    assert first.text == PREAMBLE + LOG_POSITION
    last = divided(WHOLE)[-1]
    assert b"gtid_slave_pos" in last.text
    assert COMPLETE.search(last.text)


def test_the_two_sections_hold_all_in_the_tools_order_and_say_whose_they_are() -> None:
    schema, finish = split_definitions(WHOLE, "live")
    assert schema.count(OWN) == finish.count(OWN) == 1
    assert finish.startswith(OWN)
    first, last = divided(schema), divided(finish)
    assert [entry.key for entry in first] == [entry.key for entry in divided(WHOLE) if entry.kind in SCHEMA_KINDS]
    assert [entry.key for entry in last] == [entry.key for entry in divided(WHOLE) if entry.kind not in SCHEMA_KINDS]
    assert sorted((schema + finish).replace(OWN, b"")) == sorted(WHOLE)
    assert by_key(schema, finish) == by_key(WHOLE)
    assert {entry.settings for entry in first + last} == {OWN}


@pytest.mark.parametrize("number", range(len(KEYS)))
def test_every_piece_that_ends_with_an_entry_can_be_divided_alone(number: int) -> None:
    for section in split_definitions(WHOLE, "live"):
        found = divided(section)
        if not 0 < number < len(found):
            continue
        before = b"".join(entry.text for entry in found[:number])
        behind = OWN + b"".join(entry.text for entry in found[number:])
        again = [*divided(before), *divided(behind)]
        assert [(entry.key, canonical(entry), entry.settings) for entry in again] == [
            (entry.key, canonical(entry), entry.settings) for entry in found
        ]


@settings(max_examples=30)
@given(st.permutations(range(1, len(KEYS) - 1)))
def test_entries_compare_the_same_in_whatever_order_they_come(order: list[int]) -> None:
    found = divided(WHOLE)
    shuffled = b"".join(
        # An event leaves the delimiter to whatever comes behind.
        found[number].text if found[number].kind != "EVENT" else found[number].text + b"DELIMITER ;\n"
        for number in order
    )
    assert by_key(found[0].text + shuffled + found[-1].text) == by_key(WHOLE)


def test_a_cut_dump_is_refused_wherever_a_statement_is_cut() -> None:
    ends = {0, *(statement.end for statement in statements(WHOLE))}
    cut_amidst = range(len(PREAMBLE) + len(LOG_POSITION), len(WHOLE) - len(CLOSING), 29)
    for length in cut_amidst:
        text = WHOLE[:length]
        if length in ends or not text[max(end for end in ends if end <= length) :].strip():
            continue
        try:
            found = divided(text)
        except Damaged:
            continue
        # Cut within comments and DELIMITER lines, where nothing is lost that was begun.
        assert [entry.key for entry in found] == KEYS[: len(found)]
        assert not COMPLETE.search(text)


def test_what_an_event_needs_is_all_its_own() -> None:
    found = {entry.key: entry_statements(entry) for entry in divided(WHOLE) if entry.kind == "EVENT"}
    for said in found.values():
        assert not any(b"@save_time_zone" in sql for sql in said)
        assert sum(sql.startswith(b"/*!50003 SET time_zone ") for sql in said) == 2
    alone = divided(OWN + events(event(b"ev", b"begin delete from live.parent; end")))
    assert [canonical(entry) for entry in alone] == [by_key(WHOLE)["EVENT ev"]]


def test_an_events_name_is_sent_in_the_charset_that_is_in_force() -> None:
    (entry,) = [entry for entry in divided(WHOLE) if entry.key == "EVENT `évé`"]
    (create,) = [sql for sql in entry_statements(entry) if b"EVENT" in sql]
    assert b"EVENT `\xe9v\xe9` ON SCHEDULE" in create
    assert b"select '\xe9'" in create


def test_settings_are_what_opens_a_dump() -> None:
    found = preamble_settings(WHOLE)
    assert len(found) == 10
    assert found[3] == b"/*!40101 SET NAMES utf8mb4 */"
    assert b"SQL_MODE='NO_AUTO_VALUE_ON_ZERO'" in found[8]
    assert preamble_settings(table(b"t")) == []


def test_comments_do_not_count_when_comparing_and_all_else_does() -> None:
    one = by_key(PREAMBLE + table(b"t") + CLOSING)
    other = by_key(
        PREAMBLE.replace(b"10.11.18", b"10.11.19") + LOG_POSITION + table(b"t").replace(b"-- Table", b"-- x")
    )
    assert one["TABLE t"] == other["TABLE t"]
    assert one["PREAMBLE"] == other["PREAMBLE"]
    for changed in (table(b"t", options=b"ENGINE=Aria"), table(b"t", b"  `a` int(10) DEFAULT NULL"), table(b"T")):
        assert canonical(divided(changed)[0]) != one["TABLE t"]
    body = b"select 1 -- said in passing"
    assert canonical(divided(routine(b"PROCEDURE `p`()", body))[0]) != canonical(
        divided(routine(b"PROCEDURE `p`()", b"select 1"))[0]
    )


def test_a_change_of_what_a_body_was_made_under_counts() -> None:
    heading, body = b"PROCEDURE `p`()", b"select 1"
    texts = [
        routine(heading, body),
        routine(heading, body, mode=b"ANSI_QUOTES"),
        routine(heading, body, charset=b"latin1"),
        routine(heading, body, collation=b"utf8mb4_bin"),
    ]
    assert len({canonical(divided(text)[0]) for text in texts}) == len(texts)


@pytest.mark.parametrize(
    ("text", "key", "of"),
    [
        (
            trigger(b"trigger if not exists `a``b` before insert on `t``t` for each row", b"set @a=1"),
            "TRIGGER `a``b`",
            "`t``t`",
        ),
        (
            trigger(b"TRIGGER /* on x */ a BEFORE UPDATE -- on y\nON live . t FOR EACH ROW", b"set @a=1"),
            "TRIGGER a",
            "t",
        ),
        (
            trigger(b"trigger `\xe9` after insert on `\xe9` for each row", b"set @a=1", charset=b"latin1"),
            "TRIGGER `é`",
            "`é`",
        ),
        (
            trigger(b'trigger "a""b" after insert on "t" for each row', b"set @a=1", b"ANSI_QUOTES"),
            'TRIGGER `a"b`',
            "t",
        ),
        (routine(b"PROCEDURE `event`()", b"select 1"), "PROCEDURE event", None),
        (
            routine(b"FUNCTION `view`() RETURNS int(11)", b"return 1", definer=b"DEFINER=`FUNCTION`@`x`"),
            "FUNCTION view",
            None,
        ),
        (routine(b"FUNCTION `f`() RETURNS int(11)", b"return 1", definer=b"DEFINER=`role`"), "FUNCTION f", None),
        (view_columns(b"1", b"a"), "VIEW COLUMNS `1`", None),
        (view(b"v", b"select 1 AS `1`"), "VIEW v", None),
        (sequence(b"s"), "SEQUENCE s", None),
    ],
)
def test_an_object_is_called_what_it_creates(text: bytes, key: str, of: str | None) -> None:
    (entry,) = divided(text)
    assert (entry.key, entry.table) == (key, of)


def test_a_view_as_older_servers_let_it_be_written_is_one_entry() -> None:
    text = view(b"v", b"select 1 AS `1`")
    begin, end = text.index(b"/*!50001 CREATE"), text.index(b"/*!50001 VIEW")
    plain = text[:begin] + b"/*!50001 CREATE ALGORITHM=MERGE DEFINER=`a`@`%` SQL SECURITY INVOKER " + text[end + 9 :]
    assert [entry.key for entry in divided(plain)] == ["VIEW v"]


@pytest.mark.parametrize(
    "statement",
    [
        b"GRANT ALL ON *.* TO x;\n",
        b"INSERT INTO `t` VALUES (1);\n",
        b"USE `other`;\n",
        b"DROP TABLE `t`;\n",
        b"CREATE DATABASE `x`;\n",
        b"CREATE FUNCTION f RETURNS STRING SONAME 'x.so';\n",
        b"CREATE USER `x` IDENTIFIED BY 'VIEW';\n",
        b"CREATE ROLE VIEW;\n",
        b"SELECT 1;\n",
    ],
)
def test_what_no_dump_of_definitions_holds_is_refused(statement: bytes) -> None:
    with pytest.raises(Damaged, match="does not hold"):
        divided(PREAMBLE + table(b"a") + statement + table(b"b") + CLOSING)


def test_a_text_that_ends_amidst_an_object_is_refused() -> None:
    text = trigger(b"trigger a before insert on t for each row", b"set @a=1")
    with pytest.raises(Damaged, match="amidst"):
        divided(text[: text.index(b"DELIMITER")])
    with pytest.raises(Damaged, match="not set"):
        divided(text[text.index(b"DELIMITER ;\n") :])


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=64), st.booleans())
def test_the_comment_says_which_schema_whatever_its_name(name: str, ignore_case: bool) -> None:
    comment = schema_comment(name, ignore_case)
    assert comment.count(b"\n") == 1
    assert schema_of(comment) == (name, ignore_case)
    for section in split_definitions(WHOLE, name, ignore_case):
        assert schema_of(section) == (name, ignore_case)
        assert {entry.settings for entry in entries(section)} == {comment}


def test_the_tools_own_header_says_which_schema_where_nothing_else_does() -> None:
    assert schema_of(PREAMBLE) == ("live", False)
    strange = PREAMBLE.replace(b"Database: live\n", b"Database: we`ird\n-- na me\n")
    assert schema_of(strange) == ("we`ird\nna me", False)
    assert schema_of(table(b"t")) is None


def test_an_entry_without_a_schema_is_compared_as_it_is() -> None:
    (entry,) = divided(table(b"t", b"  `a` int(11) DEFAULT nextval(`live`.`s`)"))
    assert entry.settings == b""
    assert b"`live`" in canonical(entry)
    assert b"`live`" not in canonical(replace(entry, settings=OWN))


@pytest.mark.parametrize("text", [b"", b"\n", OWN, PREAMBLE, CLOSING, PREAMBLE + routines() + events() + CLOSING])
def test_little_text_divides_as_well(text: bytes) -> None:
    divided(text)
