"""Text as mariadb-dump 10.11 writes it, built piece by piece: byte for byte its form, with what a test puts in."""

PREAMBLE = b"""/*M!999999\\- enable the sandbox mode */ 
-- MariaDB dump 10.19  Distrib 10.11.18-MariaDB, for debian-linux-gnu (x86_64)
--
-- Host: localhost    Database: live
-- ------------------------------------------------------
-- Server version\t10.11.18-MariaDB-0+deb12u1-log

/*!40101 SET @OLD_CHARACTER_SET_CLIENT=@@CHARACTER_SET_CLIENT */;
/*!40101 SET @OLD_CHARACTER_SET_RESULTS=@@CHARACTER_SET_RESULTS */;
/*!40101 SET @OLD_COLLATION_CONNECTION=@@COLLATION_CONNECTION */;
/*!40101 SET NAMES utf8mb4 */;
/*!40103 SET @OLD_TIME_ZONE=@@TIME_ZONE */;
/*!40103 SET TIME_ZONE='+00:00' */;
/*!40014 SET @OLD_UNIQUE_CHECKS=@@UNIQUE_CHECKS, UNIQUE_CHECKS=0 */;
/*!40014 SET @OLD_FOREIGN_KEY_CHECKS=@@FOREIGN_KEY_CHECKS, FOREIGN_KEY_CHECKS=0 */;
/*!40101 SET @OLD_SQL_MODE=@@SQL_MODE, SQL_MODE='NO_AUTO_VALUE_ON_ZERO' */;
/*!40111 SET @OLD_SQL_NOTES=@@SQL_NOTES, SQL_NOTES=0 */;
"""

LOG_POSITION = b"""-- CHANGE MASTER TO MASTER_USE_GTID=slave_pos;

--
-- Alternately, following is the position of the binary logging from SHOW MASTER STATUS at point of backup.
--

-- CHANGE MASTER TO MASTER_LOG_FILE='binlog.000001', MASTER_LOG_POS=8642;
"""

GTID = b"""
-- The deferred gtid setting for slave corresponding to the master-data CHANGE-MASTER follows

-- SET GLOBAL gtid_slave_pos='0-1-37';
"""

CLOSING = b"""/*!40103 SET TIME_ZONE=@OLD_TIME_ZONE */;

/*!40101 SET SQL_MODE=@OLD_SQL_MODE */;
/*!40014 SET FOREIGN_KEY_CHECKS=@OLD_FOREIGN_KEY_CHECKS */;
/*!40014 SET UNIQUE_CHECKS=@OLD_UNIQUE_CHECKS */;
/*!40101 SET CHARACTER_SET_CLIENT=@OLD_CHARACTER_SET_CLIENT */;
/*!40101 SET CHARACTER_SET_RESULTS=@OLD_CHARACTER_SET_RESULTS */;
/*!40101 SET COLLATION_CONNECTION=@OLD_COLLATION_CONNECTION */;
/*!40111 SET SQL_NOTES=@OLD_SQL_NOTES */;

-- Dump completed
"""

ROOT = b"DEFINER=`root`@`localhost`"
STRICT = b"STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION"


def quoted(name: bytes) -> bytes:
    return b"`" + name.replace(b"`", b"``") + b"`"


def header(said: bytes, name: bytes) -> bytes:
    """The comment over a table or view, in which the tool begins every line of a name anew."""
    return b"\n--\n-- " + said + b" " + quoted(name).replace(b"\n", b"\n-- ") + b"\n--\n"


def sequence(name: bytes, at: int = 1) -> bytes:
    told = b" start with 1 minvalue 1 maxvalue 9223372036854775806 increment by 1 cache 1000 nocycle ENGINE=InnoDB;\n"
    create = b"CREATE SEQUENCE " + quoted(name) + told
    return header(b"Sequence structure for", name) + b"\n" + create + b"DO SETVAL(%s, %d, 0);\n" % (quoted(name), at)


def table(name: bytes, columns: bytes = b"  `a` int(11) DEFAULT NULL", options: bytes = b"ENGINE=InnoDB") -> bytes:
    create = b"CREATE TABLE " + quoted(name) + b" (\n" + columns + b"\n) " + options + b";\n"
    return (
        header(b"Table structure for table", name)
        + b"\n/*!40101 SET @saved_cs_client     = @@character_set_client */;\n"
        + b"/*!40101 SET character_set_client = utf8mb4 */;\n"
        + create
        + b"/*!40101 SET character_set_client = @saved_cs_client */;\n"
    )


def view_columns(name: bytes, *columns: bytes) -> bytes:
    return (
        header(b"Temporary table structure for view", name)
        + b"\nSET @saved_cs_client     = @@character_set_client;\nSET character_set_client = utf8mb4;\n"
        + b"/*!50001 CREATE VIEW " + quoted(name) + b" AS SELECT\n "
        + b",\n ".join(b"NULL AS " + quoted(column) for column in columns)
        + b" */;\nSET character_set_client = @saved_cs_client;\n"
    )  # fmt: skip


def view(name: bytes, select: bytes, charset: bytes = b"utf8mb4", check: bytes = b"") -> bytes:
    option = b"\n/*!50002 WITH " + check + b" CHECK OPTION */" if check else b""
    return (
        header(b"Final view structure for view", name)
        + b"\n/*!50001 DROP VIEW IF EXISTS " + quoted(name) + b"*/;\n"
        + b"/*!50001 SET @saved_cs_client          = @@character_set_client */;\n"
        + b"/*!50001 SET @saved_cs_results         = @@character_set_results */;\n"
        + b"/*!50001 SET @saved_col_connection     = @@collation_connection */;\n"
        + b"/*!50001 SET character_set_client      = " + charset + b" */;\n"
        + b"/*!50001 SET character_set_results     = " + charset + b" */;\n"
        + b"/*!50001 SET collation_connection      = " + charset + b"_general_ci */;\n"
        + b"/*!50001 CREATE ALGORITHM=UNDEFINED */\n/*!50013 " + ROOT + b" SQL SECURITY DEFINER */\n"
        + b"/*!50001 VIEW " + quoted(name) + b" AS " + select + b" */" + option + b";\n"
        + b"/*!50001 SET character_set_client      = @saved_cs_client */;\n"
        + b"/*!50001 SET character_set_results     = @saved_cs_results */;\n"
        + b"/*!50001 SET collation_connection      = @saved_col_connection */;\n"
    )  # fmt: skip


def _charset(charset: bytes, end: bytes) -> bytes:
    return (
        b"/*!50003 SET @saved_cs_client      = @@character_set_client */ " + end
        + b"/*!50003 SET @saved_cs_results     = @@character_set_results */ " + end
        + b"/*!50003 SET @saved_col_connection = @@collation_connection */ " + end
        + b"/*!50003 SET character_set_client  = " + charset + b" */ " + end
        + b"/*!50003 SET character_set_results = " + charset + b" */ " + end
        + b"/*!50003 SET collation_connection  = " + charset + b"_general_ci */ " + end
    )  # fmt: skip


def _charset_back(end: bytes) -> bytes:
    return (
        b"/*!50003 SET character_set_client  = @saved_cs_client */ " + end
        + b"/*!50003 SET character_set_results = @saved_cs_results */ " + end
        + b"/*!50003 SET collation_connection  = @saved_col_connection */ " + end
    )  # fmt: skip


def _mode(mode: bytes, end: bytes) -> bytes:
    saved = b"/*!50003 SET @saved_sql_mode       = @@sql_mode */ " + end
    return saved + b"/*!50003 SET sql_mode              = '" + mode + b"' */ " + end


def _mode_back(end: bytes) -> bytes:
    return b"/*!50003 SET sql_mode              = @saved_sql_mode */ " + end


def _altered(schema: bytes, collation: bytes, end: bytes) -> bytes:
    charset = collation.split(b"_")[0]
    return b"ALTER DATABASE " + quoted(schema) + b" CHARACTER SET " + charset + b" COLLATE " + collation + b" " + end


def around(create: bytes, before: bytes, after: bytes, collation: bytes, schema: bytes, end: bytes) -> bytes:
    """With ``collation``, a body that was made while the schema had that one."""
    if not collation:
        return before + create + after
    back = _altered(schema, b"utf8mb4_general_ci", end)
    return _altered(schema, collation, end) + before + create + after + back


def trigger(
    heading: bytes,
    body: bytes,
    mode: bytes = STRICT,
    charset: bytes = b"utf8mb4",
    collation: bytes = b"",
    schema: bytes = b"live",
) -> bytes:
    create = b"DELIMITER ;;\n/*!50003 CREATE*/ /*!50017 " + ROOT + b"*/ /*!50003 " + heading + b" " + body
    before = _charset(charset, b";\n") + _mode(mode, b";\n")
    after = _mode_back(b";\n") + _charset_back(b";\n")
    return around(create + b" \n*/;;\nDELIMITER ;\n", before, after, collation, schema, b";\n")


def routine(
    heading: bytes,
    body: bytes,
    mode: bytes = STRICT,
    charset: bytes = b"utf8mb4",
    collation: bytes = b"",
    schema: bytes = b"live",
    definer: bytes = ROOT,
) -> bytes:
    create = b"DELIMITER ;;\nCREATE " + definer + b" " + heading + b"\n" + body + b"\n;;\nDELIMITER ;\n"
    before, after = _charset(charset, b";\n"), _mode_back(b";\n") + _charset_back(b";\n")
    return _mode(mode, b";\n") + around(create, before, after, collation, schema, b";\n")


def event(
    name: bytes,
    body: bytes,
    status: bytes = b"ENABLE",
    mode: bytes = STRICT,
    charset: bytes = b"utf8mb4",
    collation: bytes = b"",
    schema: bytes = b"live",
) -> bytes:
    create = (
        b"/*!50106 CREATE*/ /*!50117 " + ROOT + b"*/ /*!50106 EVENT " + quoted(name)
        + b" ON SCHEDULE EVERY 1 DAY STARTS '2025-11-26 09:37:20' ON COMPLETION NOT PRESERVE "
        + status + b" DO " + body + b" \n*/ ;;\n"
    )  # fmt: skip
    zone = (
        b"/*!50003 SET @saved_time_zone      = @@time_zone */ ;;\n/*!50003 SET time_zone             = 'SYSTEM' */ ;;\n"
    )
    before = _charset(charset, b";;\n") + _mode(mode, b";;\n") + zone
    after = (
        b"/*!50003 SET time_zone             = @saved_time_zone */ ;;\n" + _mode_back(b";;\n") + _charset_back(b";;\n")
    )
    return b"DELIMITER ;;\n" + around(create, before, after, collation, schema, b";;\n")


def events(*each: bytes) -> bytes:
    comment = b"\n--\n-- Dumping events for database 'live'\n--\n"
    if not each:
        return comment
    before = b"/*!50106 SET @save_time_zone= @@TIME_ZONE */ ;\n"
    return comment + before + b"".join(each) + b"DELIMITER ;\n/*!50106 SET TIME_ZONE= @save_time_zone */ ;\n"


def routines(*each: bytes) -> bytes:
    return b"\n--\n-- Dumping routines for database 'live'\n--\n" + b"".join(each)


WHOLE = (
    PREAMBLE
    + LOG_POSITION
    + sequence(b"s q", 5100)
    + table(
        b"child", b"  `n` int(11) DEFAULT nextval(`live`.`s q`),\n  `t` text DEFAULT '; \\' -- ' COMMENT 'live.x; '"
    )
    + table(b"parent")
    + trigger(b"trigger tr1 before insert on parent for each row", b"begin set new.a = concat(';', '/*'); end")
    + trigger(
        b"trigger `live`.`t``r2` after delete on live.parent for each row",
        b"insert into live.child values (live.fn(1), '\\')",
        b"NO_BACKSLASH_ESCAPES",
        collation=b"latin1_swedish_ci",
    )
    + table(b"se`lf\n", options=b"ENGINE=InnoDB COMMENT='it''s;\n--\n-- Table structure for table `fake`\n--\n'")
    + view_columns(b"v1", b"id", b"co``l\nx")
    + view_columns(b"v2", b"a")
    + events(
        event(b"ev", b"begin delete from live.parent; end"),
        event(b"e;v", b"select \"a\\\"; select ';'", b"DISABLE COMMENT 'c''; ENABLE'", b"ANSI_QUOTES"),
        event("évé".encode(), b"select '\xe9'", charset=b"latin1", collation=b"latin1_swedish_ci"),
    )
    + routines(
        routine(b"AGGREGATE FUNCTION `ag`(x int) RETURNS int(11)", b"begin return live.ag(x); end"),
        routine(b"FUNCTION `fn`(x int) RETURNS int(11)\n    DETERMINISTIC", b"return x+1 -- ;;' */"),
        routine(b"PROCEDURE `p\xe9`(`\xe9` int)", b"select '\xe9' from live.child", charset=b"latin1"),
        routine(b"PROCEDURE `p\x95\\`()", b"select '\x95\\'", charset=b"sjis", collation=b"utf8mb4_bin"),
        routine(b"PROCEDURE `dyn`()", b"execute immediate 'delete from live.parent'"),
        routine(
            b'PROCEDURE "or"(a in varchar2)',
            b"as begin select a; end",
            b"ANSI_QUOTES,ORACLE",
            definer=b'DEFINER="a"@"b"',
        ),
        routine(b'PACKAGE "pk"', b"as procedure p1(a int); end", b"ANSI_QUOTES,ORACLE", definer=b'DEFINER="a"@"b"'),
        routine(b'PACKAGE BODY "pk"', b"as begin select 1; end", b"ANSI_QUOTES,ORACLE", definer=b'DEFINER="a"@"b"'),
    )
    + view(b"v1", b"select '*/' AS `id`,`live`.`fn`(`live`.`a`) AS `co``l\nx` from `parent` `live`", check=b"CASCADED")
    + view(b"v2", b"select 'caf\xe9' AS `a`", b"latin1")
    + GTID
    + CLOSING
)
"""A schema called ``live`` with all that is hard to divide."""
