"""Statements: where one ends, as the client and the server see it, whatever a body holds."""

import itertools
import re
import tracemalloc
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backproof.engines.mysql import lexer
from backproof.engines.mysql.lexer import Mode, mode_after, statements, tokens
from backproof.errors import Damaged

PARTS: tuple[bytes, ...] = (b"a", b"'", b'"', b"`", b"-", b"-- x\n", b"--x", b"#x\n", b"/", b"/*", b"*/", b"/*!50003")
PARTS += (b"*", b"\\", b";", b";;", b" ", b"\n", b"\xe9", b"\x95\x5c", b"''", b"\\N", b"@a.b", b".", b"\\'")
PARTS += (b"\nDELIMITER ;;\n",)
MODES = (Mode(), Mode(backslash=False), Mode(ansi=True), Mode(charset="sjis"), Mode(charset="gbk", backslash=False))


def split(text: bytes) -> list[bytes]:
    return [each.sql for each in statements(text)]


def found(text: bytes, mode: Mode) -> list[object]:
    """What both ways of reading make of a text; each step takes at least a byte, or would never end."""
    results: list[object] = []
    for read in (lambda: tokens(text, mode=mode), lambda: statements(text)):
        try:
            results.append(list(itertools.islice(read(), len(text) + 1)))
        except Damaged as error:
            results.append(error.fact)
    return results


def test_where_the_bounds_stop_it_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [b"".join(parts) for count in (1, 2) for parts in itertools.product(PARTS, repeat=count)]
    texts += [b"'" + text + b"' a b" for text in texts]
    expected = {mode: [found(text, mode) for text in texts] for mode in MODES}
    tight = lexer._COARSE.replace(b"{0,9999}", b"{0,1}")
    assert tight != lexer._COARSE
    monkeypatch.setattr(lexer, "_COARSE", tight)
    quoted = lexer._quoted
    monkeypatch.setattr(lexer, "_quoted", lambda *args: quoted(*args).replace(b"{0,999}", b"{0,1}"))
    lexer._pattern.cache_clear()
    try:
        for mode in MODES:
            assert [found(text, mode) for text in texts] == expected[mode]
    finally:
        lexer._pattern.cache_clear()


@pytest.mark.parametrize("mode", MODES)
def test_tokens_leave_out_nothing_but_blanks(mode: Mode) -> None:
    for parts in itertools.product(PARTS, repeat=2):
        text, position = b"".join(parts), 0
        try:
            for _, begin, end in tokens(text, mode=mode):
                assert not text[position:begin].strip()
                position = end
        except Damaged:
            continue
        assert not text[position:].strip()


@pytest.mark.parametrize(
    "filling",
    [
        b"be Ce $ - " * 100_000 + b"1",
        b"'" + b"\\'x" * 100_000 + b"'",
        b"`" + b"x" * 3_000_000 + b"`",
        b"/*" + b"* " * 900_000 + b"*/",
    ],
)
def test_a_long_statement_takes_no_memory_beside_itself(filling: bytes) -> None:
    text = b"SELECT " + filling + b";"
    tracemalloc.start()
    assert split(text) == [text[:-1]]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3 * len(text) + 4_000_000


BODIES = [
    b"select ';;', \";;\", `;;`",
    b"select 'it''s;;', 'it\\';;', \"\\\";;\", `a``;;`",
    b"select 1 -- ;; ' \" `\n, 2 # ;; '\n, 3 /* ;; ' \n */",
    b"select 1--1; select 2 --\t;;'\n",
    b"begin select '\nDELIMITER ;\n'; /*\nDELIMITER ;\n*/ select 1; end",
    b"select \\N; select 4 / 2 * 3 - 1",
    b"select '/*', '*/', '-- ', '#'",
    b"select 'caf\xe9;;\xff\xfe'",
    b"select 1 --",
]


@pytest.mark.parametrize("body", BODIES)
def test_a_body_ends_at_the_delimiter_alone(body: bytes) -> None:
    routine = b"CREATE PROCEDURE `p`()\n" + body
    trigger = b"/*!50003 CREATE*/ /*!50003 TRIGGER `t` " + body + b" \n*/"
    text = b"SET a = 1 ;\nDELIMITER ;;\n" + routine + b"\n;;\n" + trigger + b";;\nDELIMITER ;\n\n-- b;\nSET c = 2;\n"
    assert split(text) == [b"SET a = 1", routine.strip(), trigger, b"SET c = 2"]


@pytest.mark.parametrize(
    ("setting", "body"),
    [
        (b"SET sql_mode              = 'NO_BACKSLASH_ESCAPES'", b"select '\\'; select '\\;;'"),
        (
            b"SET sql_mode              = 'PIPES_AS_CONCAT,ANSI_QUOTES,DB2,NO_KEY_OPTIONS'",
            b'select "a\\"; select "b;;\\"',
        ),
        (b'SET SESSION SQL_MODE="NO_BACKSLASH_ESCAPES"', b"select '\\'"),
        (b"SET character_set_client  = sjis", b"select '\x95\x5c'; select '\x83\x5c;;', `\x95\x60`"),
        (b"SET character_set_client  = cp932", b"select '\xfc\x5c'"),
        (b"SET character_set_client  = gbk", b"select '\xd5\x5c;;'"),
        (b"SET character_set_client  = big5", b"select '\xa5\x5c'"),
        (b"SET character_set_client  = latin1", b"select '\x95\\\\'"),
        (b"SET character_set_client  = sjis", b"select '\xb1\\\\'"),  # katakana is one byte
    ],
)
def test_where_a_quotation_ends_is_for_the_session_to_say(setting: bytes, body: bytes) -> None:
    back = b"SET sql_mode = @saved_sql_mode", b"SET character_set_client  = @saved_cs_client"
    plain = b"select 'it\\'s', \"it\\\"s\""
    text = b";;\n".join((b"DELIMITER ;;\n/*!50003 " + setting + b" */ ", body, *back, plain)) + b";;\n"
    assert split(text) == [b"/*!50003 " + setting + b" */", body, *back, plain]


def test_what_opens_a_dump_changes_no_mode() -> None:
    for sql in (b"SET NAMES utf8mb4", b"SET @OLD_SQL_MODE=@@SQL_MODE, SQL_MODE='NO_AUTO_VALUE_ON_ZERO'"):
        assert mode_after(b"/*!40101 " + sql + b" */", Mode()) == Mode()
    assert mode_after(b"/*!50003 SET @saved_sql_mode       = @@sql_mode */", Mode(ansi=True)) == Mode(ansi=True)
    assert mode_after(b"CREATE TABLE t (a int COMMENT 'SET sql_mode = ''ANSI_QUOTES''')", Mode()) == Mode()


def test_the_sandbox_line_is_a_comment_and_other_conditional_comments_are_sql() -> None:
    text = b"/*M!999999\\- enable the sandbox mode */ \n-- x\n/*!40101 SET a = 1 */;\n"
    assert split(text) == [b"/*!40101 SET a = 1 */"]


@pytest.mark.parametrize(
    "command", [b"\\! id\n", b"\\- \n", b"SELECT 1 \\g\n", b"\\. /etc/passwd\n", b"SELECT 1;\\u other\n"]
)
def test_a_clients_command_is_refused(command: bytes) -> None:
    with pytest.raises(Damaged, match="command of the client"):
        split(b"SELECT 0;\n" + command + b"SELECT 2;\n")


@pytest.mark.parametrize("line", [b"delimiter //\nSELECT 1 //\n", b" DELIMITER x\nSELECT 1 x\n", b"source x\n"])
def test_a_line_that_only_the_client_obeys_is_no_statement_that_ends(line: bytes) -> None:
    with pytest.raises(Damaged, match="inside a statement"):
        split(line)


@pytest.mark.parametrize("text", [b"SELECT 'a;", b'SELECT "a;', b"SELECT `a;", b"/* SELECT 1;", b"SELECT '\\';"])
def test_a_text_that_ends_within_a_quotation_is_refused(text: bytes) -> None:
    with pytest.raises(Damaged, match="inside a quotation"):
        split(text)


@pytest.mark.parametrize(
    "text", [b"SELECT 1", b"SELECT 1;\nSELECT 2", b"/*!50003 SELECT 1;", b"DELIMITER ;;\nSELECT 1;\n"]
)
def test_a_statement_without_an_end_is_refused(text: bytes) -> None:
    with pytest.raises(Damaged, match="inside a statement"):
        split(text)


def test_nothing_between_delimiters_is_no_statement() -> None:
    assert split(b";\n;;\nDELIMITER ;;\n;; -- x\n /* y */;;\n a;;\n") == [b"a"]


SCRIPTS = st.lists(
    st.tuples(
        st.sampled_from(BODIES),
        st.sampled_from([1, 2, 3]),
        st.sampled_from([b"\n-- c;;;\n", b" /* ;;; */ ", b"\n# '\n"]),
    ),
    max_size=6,
)


@given(SCRIPTS)
def test_statements_are_found_where_they_were_put(script: list[tuple[bytes, int, bytes]]) -> None:
    text, expected = b"", []
    for body, length, comment in script:
        # A delimiter that is in the body would end it.
        body = body if length > 2 or b";;" not in body.replace(b"';;", b"") else b"select 1"
        body = body if length > 1 else body.split(b"select")[0] + b"select 'x;'"
        text += b"DELIMITER " + b";" * length + b"\n" + body + b"\n" + b";" * length + b"\n" + comment.lstrip(b" ")
        text += b"" if text.endswith(b"\n") else b"\n"
        expected.append(body.strip())
    assert split(text) == expected
    position = 0
    for each in statements(text):
        assert position <= each.begin < each.end
        assert text.startswith(each.sql, each.begin)
        position = each.end


def kinds(sql: bytes, mode: Mode = lexer.DEFAULT) -> Iterator[tuple[str, bytes]]:
    return ((kind, sql[begin:end]) for kind, begin, end in tokens(sql, mode=mode))


@pytest.mark.parametrize(
    ("sql", "mode", "expected"),
    [
        (b"`a``b`.c", Mode(), [("name", b"`a``b`"), ("mark", b"."), ("word", b"c")]),
        (b"'a''b' 'c'", Mode(), [("string", b"'a''b'"), ("string", b"'c'")]),
        (b'"a""b"', Mode(ansi=True), [("name", b'"a""b"')]),
        (b"@a.b @`x`", Mode(), [("variable", b"@a.b"), ("variable", b"@"), ("name", b"`x`")]),
        (b"@@c.d 1.5", Mode(), [("variable", b"@@c.d"), ("word", b"1"), ("mark", b"."), ("word", b"5")]),
        (b"/*!50003 a*/b", Mode(), [("open", b"/*!50003"), ("word", b"a"), ("close", b"*/"), ("word", b"b")]),
        (b"/*c*/--d", Mode(), [("comment", b"/*c*/"), ("mark", b"-"), ("mark", b"-"), ("word", b"d")]),
        (b"\x95\x5cx", Mode(charset="sjis"), [("word", b"\x95\x5cx")]),
        ("é1$_".encode(), Mode(), [("word", "é1$_".encode())]),
    ],
)
def test_tokens_are_told_apart(sql: bytes, mode: Mode, expected: list[tuple[str, bytes]]) -> None:
    assert list(kinds(sql, mode)) == expected


def test_patterns_have_no_possessive_groups() -> None:
    # Python 3.11.2, which Debian 12 has, matches them wrongly.
    for template in (lexer._COARSE, lexer._FINE):
        assert not re.search(rb"\)[*+?]\+|\}\+", template)
