"""Qualifiers: what means the schema, what is a column, what only a person can tell."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backproof.engines import Entry
from backproof.engines.mysql.guard import permitted
from backproof.engines.mysql.lexer import Mode
from backproof.engines.mysql.rewrite import disabled, literal_uses, moved, requalified, requalified_statement
from backproof.engines.mysql.text import canonical, entries, schema_of, split_definitions
from tests.support.mysql_text import WHOLE, event, events, routine, table, trigger, view

OWN = b"-- Database: `live`\n"


def entry(text: bytes) -> Entry:
    (found,) = entries(text)
    return replace(found, settings=OWN)


@pytest.mark.parametrize(
    "sql",
    [
        # «» marks what means the schema.
        "select live.a from live",
        "select «live».t.a from «live».t",
        "select live.a, «live».t.b from «live».t as live, «live».u join «live».v on live.a = live.b, «live».w",
        "select live.a from x where live.c in (select live.x from «live».y) order by live.a, live.b",
        "select group_concat(live.a order by live.b, live.c) from «live».t group by live.a, live.b having live.x = 1",
        "select if(live.a, live.b, live.c), max(live.d) from «live».t use index (live), «live».u limit 1",
        "select extract(year from live.d), trim(both 'x' from live.d), substring(live.a from 2) from «live».t",
        "select * from («live».a, «live».b) left join («live».c) on live.x = 1 union select live.a from «live».d",
        "with live as (select 1 as a) select live.a, live.* from live",
        "select «live».f(live.a), «live».pk.f(1) + live.b",
        "select next value for «live».sq, nextval(«live».sq), setval(«live».sq, live.x)",
        "select `«live»`.`t`.*, «live» . t . x from `«live»` . `t`",
        "select 'live.t', \"live.t\" /* live.t */ from /* x */ «live» /* y */ .t -- live.t",
        "select @live.t, x.live.t, live2.t, LIVE.t from LIVE.t, `Live`.t",
        "select a from t where a like live.b for update",
        "insert into «live».t (a) values (live.b)",
        "insert ignore «live».t values (1), (live.a)",
        "insert into «live».t select live.a from «live».u on duplicate key update live.x = 1, live.y = values(live.y)",
        "replace into «live».t values (replace(live.a, 'x', live.b), insert(live.a, 1, 2, 3), truncate(live.a, 1))",
        "update low_priority «live».a, «live».b set live.c = live.d, live.e = 2 where live.e = 1",
        "delete «live».a from «live».a join «live».b using (id), «live».c",
        "delete from «live».a using «live».a join «live».b",
        "truncate «live».t",
        "truncate table «live».t",
        "lock tables «live».a read, «live».b write",
        "drop table if exists «live».a, «live».b",
        "rename table «live».a to «live».b",
        "create temporary table «live».a like «live».b",
        "create view «live».v as select live.a from «live».t live",
        "drop procedure if exists «live».p",
        "drop database if exists «live»",
        "call «live».p(live.x, «live».f(live.y))",
        "grant select, update on «live».* to x",
        "alter table t add foreign key (`a`) references `«live»`.`t` (`a`)",
        ") ENGINE=MRG_MyISAM UNION=(`«live»`.`a`,`«live»`.`b`)",
        "CREATE DEFINER=`root`@`live` trigger «live».tr before update on «live».t for each row set new.x = live.c",
        "create trigger tr before insert on «live».t for each row begin declare x type of «live».t.c; set x = live.c",
        "declare c cursor for select live.a from «live».b; if live.a then update «live».b set x = 1; end if",
        "ALTER DATABASE `«live»` CHARACTER SET latin1 COLLATE latin1_swedish_ci",
        "`a` int(11) DEFAULT nextval(`«live»`.`sq`), CHECK (`live` > 0)",
    ],
)
def test_a_qualifier_is_told_by_where_it_stands(sql: str) -> None:
    expected = sql.replace("`«live»`", "`n``ew`").replace("«live»", "`n``ew`")
    plain = sql.replace("«", "").replace("»", "")
    assert requalified_statement(plain.encode(), Mode(), "live", b"`n``ew`").decode() == expected
    assert requalified(plain.encode() + b"\n;\n", "live", "n`ew").decode() == expected + "\n;\n"


def test_case_counts_where_it_does_on_the_server() -> None:
    sql = b"select LIVE.t.a from Live.t, `live`.u"
    assert requalified_statement(sql, Mode(), "live", b"x") == b"select LIVE.t.a from Live.t, x.u"
    assert requalified_statement(sql, Mode(), "live", b"x", ignore_case=True) == b"select x.t.a from x.t, x.u"


def test_a_quoted_name_is_read_as_its_session_does() -> None:
    sql = b'select "live".t.a from "live".t'
    assert requalified_statement(sql, Mode(), "live", b"x") == sql
    assert requalified_statement(sql, Mode(ansi=True), "live", b"x") == b"select x.t.a from x.t"


@pytest.mark.parametrize("name", ["we`ird", "na me", "naïve", "2024", "it's", "select", "li\nve"])
def test_a_schema_of_any_name_is_found(name: str) -> None:
    quoted = b"`" + name.replace("`", "``").encode() + b"`"
    sql = b"select " + quoted + b".t.a from " + quoted + b".t where " + quoted + b".a"
    assert requalified_statement(sql, Mode(), name, b"`x`") == b"select `x`.t.a from `x`.t where " + quoted + b".a"


def test_the_tools_way_to_spell_a_quote_in_a_schemas_name_is_known() -> None:
    sql = b"ALTER DATABASE `it\\'s` CHARACTER SET latin1 COLLATE latin1_swedish_ci"
    assert requalified_statement(sql, Mode(), "it's", b"`x`") == sql.replace(b"`it\\'s`", b"`x`")


@settings(max_examples=30)
@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20))
def test_what_was_moved_compares_as_what_it_was(name: str) -> None:
    for section in split_definitions(WHOLE, "live"):
        for one in entries(section):
            there = moved(one, name)
            assert canonical(there) == canonical(one)
            assert schema_of(there.settings) == (name, False)
            assert there.key == next(iter(entries(there.text)), there).key
            permitted(there)


def test_nothing_of_the_old_name_is_left_but_in_strings_and_columns() -> None:
    text = b"".join(
        moved(one, "other").text for section in split_definitions(WHOLE, "live") for one in entries(section)
    )
    left = [line for line in text.split(b"\n") if b"live" in line and not line.startswith(b"-- ")]
    assert left == [
        b"  `t` text DEFAULT '; \\' -- ' COMMENT 'live.x; '",
        b"execute immediate 'delete from live.parent'",
        b"/*!50001 VIEW `v1` AS select '*/' AS `id`,`other`.`fn`(`live`.`a`) AS `co``l",
        b"x` from `parent` `live` */",
    ]


def test_what_goes_where_it_came_from_stays_as_it_is() -> None:
    one = entry(table(b"t", b"  `a` int(11) DEFAULT nextval(`live`.`s`)"))
    assert moved(one, "live") is one
    assert moved(replace(one, settings=b""), "other").text == one.text


@pytest.mark.parametrize(
    ("body", "used"),
    [
        (b"execute immediate 'delete from live.t'", True),
        (b"set @s = concat('select * from `live`', '.t')", True),
        (b"set @s = concat('USE ', 'live')", True),
        (b"prepare s from 'use live'", True),
        (b"select table_name from information_schema.tables where table_schema = 'live'", True),
        (b"set @s = 'DROP DATABASE `LIVE`'", True),
        (b'set @s = "select live . t.a"', True),
        (b"select 'we live here'", False),
        (b"select 'alive.t', 'from olive', 'live_2.t'", False),
        (b"delete from live.t -- 'live.t'\n", False),
        (b"delete from live.t /* 'live' */", False),
        (b"delete from live.t # 'live'\n", False),
    ],
)
def test_a_body_that_builds_sql_of_strings_is_named(body: bytes, used: bool) -> None:
    for text in (
        routine(b"PROCEDURE `p`()", body),
        trigger(b"trigger `t` before insert on `a` for each row", body),
        events(event(b"e", body)),
    ):
        assert literal_uses(entry(text), "live") is used


def test_strings_that_nobody_runs_are_not_named() -> None:
    assert not literal_uses(entry(table(b"t", b"  `a` int(11) DEFAULT 1 COMMENT 'live.t'")), "live")
    assert not literal_uses(entry(view(b"v", b"select 'live.t' AS `a`")), "live")


@pytest.mark.parametrize("status", [b"ENABLE", b"DISABLE", b"DISABLE ON SLAVE", b"ENABLE COMMENT 'ENABLE'"])
def test_a_disabled_event_does_not_run_and_is_else_the_same(status: bytes) -> None:
    body = b"begin alter event x ENABLE; end"
    one = entry(events(event(b"ENABLE", body, status)))
    off = disabled(one)
    expected = status.replace(b"ENABLE", b"DISABLE", 1) if status.startswith(b"ENABLE") else status
    assert off.text == one.text.replace(b"PRESERVE " + status, b"PRESERVE " + expected)
    assert off.text.count(body) == 1
