"""What an archive may say to a server."""

from dataclasses import replace

import pytest

from backproof.engines import Entry
from backproof.engines.mysql.guard import inserts, permitted
from backproof.engines.mysql.text import entries, entry_statements, split_definitions
from backproof.errors import Damaged
from tests.support.mysql_text import CLOSING, PREAMBLE, WHOLE, events, routine, sequence, table, trigger, view

OWN = b"-- Database: `live`\n"


def entry(text: bytes, settings: bytes = OWN) -> Entry:
    (found,) = entries(text)
    return replace(found, settings=settings)


def test_what_the_tool_writes_may_pass() -> None:
    for section in split_definitions(WHOLE, "live"):
        for each in entries(section):
            assert permitted(each) == entry_statements(each) != []


@pytest.mark.parametrize(
    "create",
    [
        b"CREATE TABLE `select` (\n  `a` int(11) DEFAULT NULL COMMENT 'select; table'\n) ENGINE=InnoDB;\n",
        b"CREATE TABLE `t` (\n  `a` text CHECK (`a` like '%SELECT%')\n) ENGINE=InnoDB COMMENT='table of tables';\n",
        b"CREATE TABLE `t` (\n  `table` int(11)\n)\n/*!50100 PARTITION BY HASH (`table`)\nPARTITIONS 2 */;\n",
        b"CREATE SEQUENCE `s` start with -5 minvalue -9 maxvalue 5 increment by -1 nocache cycle ENGINE=InnoDB;\n",
        b"CREATE SEQUENCE `s` as bigint start with 1 minvalue 1 maxvalue 5 increment by 1 cache 9 nocycle;\n",
        b"CREATE SEQUENCE `s` start with 1 minvalue 1 maxvalue 5 increment by 1 nocache nocycle ENGINE=InnoDB;\n"
        b"SELECT SETVAL(`s`, -3, 0);\n",
        b"/*!50001 CREATE VIEW `v` AS SELECT \n 1 AS `a`,\n 1 AS `b``;`*/;\n",
        b"/*!50001 DROP VIEW IF EXISTS `v`*/;\n/*!50001 CREATE VIEW `v` AS select 1 AS `1` */;\n",
    ],
)
def test_other_forms_that_tools_write_may_pass_as_well(create: bytes) -> None:
    assert permitted(entry(create))


def test_what_moves_along_with_an_object_may_be_of_its_own_schema_alone() -> None:
    for text in (
        trigger(b"trigger `live`.a before insert on t for each row", b"set @a = 1"),
        routine(b"PROCEDURE `p`()", b"select 1", collation=b"latin1_swedish_ci"),
    ):
        assert permitted(entry(text))
        assert permitted(entry(text.replace(b"live", b"LIVE"), b"-- Database: `live` in any case\n"))
        for other in (text.replace(b"live", b"other"), text.replace(b"live", b"LIVE")):
            with pytest.raises(Damaged):
                permitted(entry(other))
        with pytest.raises(Damaged):
            permitted(entry(text, b""))


FORGED = [
    b"GRANT ALL ON *.* TO `x`",
    b"CREATE USER `x`",
    b"CREATE ROLE `x`",
    b"CREATE DEFINER=`a`@`b` ROLE `x`",
    b"CREATE DATABASE `x`",
    b"CREATE SERVER `s` FOREIGN DATA WRAPPER mysql OPTIONS (HOST 'x')",
    b"CREATE FUNCTION `f` RETURNS STRING SONAME 'x.so'",
    b"CREATE AGGREGATE FUNCTION f RETURNS STRING SONAME 'x.so'",
    b"CREATE OR REPLACE TABLE `t` (\n  `a` int\n)",
    b"CREATE TABLE `other`.`t` (\n  `a` int\n)",
    b"CREATE TABLE `t` LIKE `other`.`t`",
    b"CREATE TABLE `t` (LIKE `other`.`t`)",
    b"CREATE TABLE `t` (\n  `a` int\n) AS SELECT * FROM `other`.`t`",
    b"CREATE TABLE `t` (\n  `a` int\n) select * from `other`.`t`",
    b"CREATE TABLE `t` (\n  `a` int\n) /*!50000 SELECT */ * FROM `other`.`t`",
    b"CREATE TABLE `t` (\n  `a` int\n) TABLE `other`.`t`",
    b"create table `t` (\n  `a` int\n)",
    b"CREATE  TABLE `t` (\n  `a` int\n)",
    b"CREATE SEQUENCE `other`.`s` start with 1",
    b"CREATE SEQUENCE `s` start with (select 1)",
    b"/*!50001 CREATE VIEW `v` AS SELECT\n LOAD_FILE('/etc/passwd') AS `a` */",
    b"/*!50001 CREATE VIEW `v` AS SELECT\n NULL AS `a` INTO OUTFILE '/tmp/x' */",
    b"ALTER TABLE `t` ADD `a` int",
    b"ALTER DATABASE `other` CHARACTER SET latin1 COLLATE latin1_swedish_ci",
    b"ALTER DATABASE `live` READ ONLY = 1",
    b"DROP TABLE `t`",
    b"DROP DATABASE `live`",
    b"/*!50001 DROP VIEW IF EXISTS `other`.`v`*/",
    b"TRUNCATE `t`",
    b"INSERT INTO `t` VALUES (1)",
    b"DELETE FROM `other`.`t`",
    b"LOAD DATA INFILE '/etc/passwd' INTO TABLE `t`",
    b"SELECT 1 INTO OUTFILE '/tmp/x'",
    b"INSTALL PLUGIN x SONAME 'x.so'",
    b"INSTALL SONAME 'x'",
    b"SET GLOBAL general_log = 1",
    b"SET @@GLOBAL.general_log = 1",
    b"SET PASSWORD = ''",
    b"SET ROLE x",
    b"SET sql_mode = (SELECT 1)",
    b"SET sql_mode = @a",
    b"SET sql_log_bin = 0",
    b"SET character_set_client = utf8mb4, GLOBAL general_log = 1",
    b"/*!50003 SET sql_mode = '' */ + 1",
    b"/*!50003 SET GLOBAL general_log = 1 */",
    b"SET STATEMENT max_statement_time=1 FOR DROP TABLE `t`",
    b"DO SLEEP(1)",
    b"DO SETVAL(`other`.`s`, 1, 0)",
    b"DO SETVAL(`s`, (SELECT 1), 0)",
    b"CALL `p`()",
    b"USE `other`",
    b"EXECUTE IMMEDIATE 'x'",
    b"PREPARE s FROM 'x'",
    b"FLUSH PRIVILEGES",
    b"KILL 1",
    b"CHANGE MASTER TO MASTER_HOST='x'",
    b"LOCK TABLES `t` WRITE",
    b"BEGIN NOT ATOMIC SELECT 1; END",
    b"REPLACE INTO mysql.user VALUES (1)",
    b"/*!50003 CREATE*/ /*!50017 DEFINER=`a`@`b`*/ /*!50003 trigger o.a before insert on t for each row set @a=1 */",
    b"CREATE PROCEDURE `other`.`p`() select 1",
]


@pytest.mark.parametrize("statement", FORGED, ids=lambda text: text[:50].decode())
def test_what_the_tool_never_writes_is_refused_wherever_it_stands(statement: bytes) -> None:
    end = b"\n;;\nDELIMITER ;\n" if b";" in statement else b";\n"
    forged = (b"DELIMITER ;;\n" if b";" in statement else b"") + statement + end
    for before, after in ((PREAMBLE, CLOSING), (sequence(b"a"), b""), (table(b"a"), table(b"b")), (b"", events())):
        with pytest.raises(Damaged):
            [permitted(each) for each in entries(OWN + before + forged + after)]


def test_a_refused_statement_is_named_but_not_shown() -> None:
    with pytest.raises(Damaged) as refused:
        permitted(entry(b"CREATE TABLE `t` (\n  `a` int\n) SELECT 'Ada', 'secret';\n"))
    assert "CREATE TABLE" in str(refused.value)
    assert "secret" not in str(refused.value)


def test_what_a_body_does_when_it_runs_is_its_own_business() -> None:
    body = b"begin set global general_log = 1; drop database other; end"
    assert permitted(entry(trigger(b"trigger a before insert on t for each row", body)))
    assert permitted(entry(view(b"v", b"select load_file('/etc/passwd') AS `a`")))
    assert any(body in sql for sql in permitted(entry(routine(b"PROCEDURE `p`()", body))))


ROWS = b"INSERT INTO `t` VALUES\n(1,'a;\\n),(',NULL),\n(-2.5e-10,'it\\'s ((',0x00FF),\n(3,'','\\\\');\n"


def test_rows_come_statement_by_statement() -> None:
    head = b"\n--\n-- Dumping data for table `t`\n--\n-- ORDER BY:  `a`\n\n"
    found = list(inserts(head + ROWS + ROWS, "t"))
    assert found == [(ROWS[:-2], 3)] * 2
    assert list(inserts(head, "t")) == list(inserts(b"", "t")) == []


def test_rows_that_are_written_as_bytes_have_their_character_set_around_them() -> None:
    assert list(inserts(b"SET NAMES binary;\n" + ROWS + b"SET NAMES utf8mb4;\n", "t")) == [(ROWS[:-2], 3)]


def test_rows_of_other_tools_and_hidden_columns_pass_as_well() -> None:
    listed = b"INSERT INTO `my ``t` (`a`, `b`) VALUES (1,'),('),\n(2,'select');\n"
    assert list(inserts(listed, "`my ``t`")) == [(listed[:-2], 2)]
    one_line = b"INSERT INTO `t` VALUES (1,_binary 'a),('),(2,'x'),(3,NULL);\n"
    assert list(inserts(one_line, "t")) == [(one_line[:-2], 3)]


@pytest.mark.parametrize(
    "values",
    [
        b"(1,sleep(1))",
        b"(1,(select `password` from mysql.user))",
        b"((select 1))",
        b"(1,load_file('/etc/passwd'))",
        b"(next value for live.sq)",
        b"(NEXT/**/VALUE/**/FOR live.sq)",
        b"(1) ON DUPLICATE KEY UPDATE a=1",
        b"(1) UNION SELECT a FROM other.t",
        b"(1) union\n(select 1)",
        b"(1) RETURNING a) (",
        b"(1);\nDROP TABLE x",
        b"(1)); DROP TABLE x; (",
        b"('a'')",
    ],
)
def test_what_is_more_than_values_is_refused(values: bytes) -> None:
    statement = b"INSERT INTO `t` VALUES\n" + values + b";\n"
    for text in (statement, ROWS + statement, statement.replace(b"\n(", b" (")):
        with pytest.raises(Damaged):
            list(inserts(text, "t"))
    with pytest.raises(Damaged):
        list(inserts(b"INSERT INTO `t` VALUES\n(1),\n" + values + b",\n(2);\n", "t"))


@pytest.mark.parametrize(
    "text",
    [
        ROWS.replace(b"`t`", b"`u`"),
        ROWS.replace(b"`t`", b"`live`.`t`"),
        ROWS.replace(b"INSERT", b"REPLACE"),
        ROWS.replace(b"INSERT INTO", b"INSERT IGNORE INTO"),
        ROWS + b"UPDATE `t` SET a=1;\n",
        b"SET GLOBAL general_log=1;\n" + ROWS,
        b"-- a comment\n" + ROWS,
        b"SET NAMES binary;\n" + ROWS,
        b"SET NAMES sjis;\n" + ROWS + b"SET NAMES utf8mb4;\n",
        b"SET NAMES binary;\n" + ROWS + b"SET NAMES sjis;\n",
        b"SET NAMES binary;\n" * 2 + ROWS + b"SET NAMES utf8mb4;\n" * 2,
        ROWS + b"SET NAMES utf8mb4;\n",
        ROWS[:-1],
        ROWS[: len(ROWS) // 2],
    ],
)
def test_a_member_of_rows_holds_nothing_but_its_tables_rows(text: bytes) -> None:
    for plain in (text, ROWS + text):
        with pytest.raises(Damaged, match="rows of t holds something else"):
            list(inserts(plain, "t"))
