"""What MariaDB holds, a case each: scripts that make it in an empty schema. ``{schema}`` is the schema's name."""

ZOO: dict[str, str | list[str]] = {
    "all number types": """
        CREATE TABLE n (a tinyint, b smallint unsigned, c mediumint zerofill, d int, e bigint unsigned, f float,
            g double, h decimal(65, 30), i bit(64), j bool, k int(5) unsigned zerofill);
        INSERT INTO n VALUES (-128, 65535, 7, -2147483648, 18446744073709551615, 1.17549e-38, -1.7976931348623157e308,
            99999999999999999999999999999999999.999999999999999999999999999999, b'1011', true, 42),
            (127, 0, 16777215, 2147483647, 0, -3.40282e38, 5e-324, -0.000000000000000000000000000001, 0, false, 0),
            (NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
    """,
    "dates, zero ones too": [
        "SET sql_mode = ''",
        """CREATE TABLE d (a date, b datetime(6), c timestamp(6) NULL, d time(6), e year,
            f timestamp DEFAULT current_timestamp() ON UPDATE current_timestamp())""",
        "SET time_zone = '+05:30'",
        """INSERT INTO d VALUES ('0000-00-00', '0000-00-00 00:00:00', '1970-01-02 00:00:01', '-838:59:59', 1901,
            '2038-01-19 03:14:07'), ('9999-12-31', '9999-12-31 23:59:59.999999', '2024-03-31 02:30:00.123456',
            '838:59:59.999999', 2155, '2000-01-01 12:00:00'), ('2024-00-00', '2024-02-30', NULL, NULL, NULL, NULL)""",
    ],
    "bytes and bits": """
        CREATE TABLE b (id int PRIMARY KEY, a blob, b varbinary(300), c binary(4), d longblob, e bit(1));
        INSERT INTO b SELECT seq, UNHEX(LPAD(HEX(seq), 2, '0')), UNHEX(CONCAT(LPAD(HEX(seq), 2, '0'), '27')), 'a',
            '', seq % 2 FROM seq_0_to_255;
    """,
    "character sets": """
        CREATE TABLE t (a varchar(50) CHARACTER SET utf8mb4, b varchar(50) CHARACTER SET latin1 COLLATE latin1_german1_ci,
            c varchar(50) CHARACTER SET ucs2, d text CHARACTER SET utf8mb3, e varchar(20) CHARACTER SET binary,
            f enum('ä', 'b') CHARACTER SET latin1, g set('x', 'y z', 'ü') );
        INSERT INTO t VALUES ('😀 渡辺', 'äöüß€', 'Ω', 'Žofie', x'00ff27', 'ä', 'x,ü'), ('', '', '', '', '', 'b', '');
    """,
    "texts that look like statements": """
        CREATE TABLE t (a int PRIMARY KEY, b text);
        INSERT INTO t VALUES (1, ');'), (2, ');\\n'), (3, 'x);\\nINSERT INTO `t` VALUES\\n(9,''y'');'), (4, '\\\\'),
            (5, '\\\\''); -- no'), (6, '/*!50000 DROP TABLE t */'), (7, '\\r\\n\\t\\0\\Z'), (8, NULL), (9, ''),
            (10, '),('), (11, 'DELIMITER ;;');
    """,
    "json and spatial": """
        CREATE TABLE j (id int PRIMARY KEY, a json, b point NOT NULL, c geometry, SPATIAL KEY (b));
        INSERT INTO j VALUES (1, '{"a": [1, null, "ü\\\\n"]}', POINT(1, 2), ST_GeomFromText('POLYGON((0 0,0 1,1 1,0 0))')),
            (2, NULL, POINT(-1.5, 1e10), NULL);
    """,
    "generated columns": """
        CREATE TABLE g (id int PRIMARY KEY, a int, b int AS (a * 2) STORED, c varchar(20) AS (concat('x', a)) VIRTUAL,
            d int AS (a + 1) VIRTUAL, KEY (d), UNIQUE KEY (b));
        INSERT INTO g (id, a) SELECT seq, seq * 3 FROM seq_1_to_50;
    """,
    "keys of every kind": """
        CREATE TABLE k (a int NOT NULL, b varchar(200), c text, d int, e int COMMENT 'with (brackets), `ticks`',
            UNIQUE KEY `odd ``key``, (x)` (a, d), KEY part (b(10), c(20)), FULLTEXT KEY words (c), FULLTEXT two (b),
            KEY hidden (e) IGNORED, KEY down (d DESC), CHECK (d > 0), CONSTRAINT `named check` CHECK (b <> ')'));
        INSERT INTO k VALUES (1, 'a', 'some words', 1, 2), (2, NULL, NULL, 2, NULL);
    """,
    "no primary key": """
        CREATE TABLE n (a int, b text); CREATE TABLE u (a int NOT NULL, UNIQUE KEY (a)); CREATE TABLE nothing (a int);
        INSERT INTO n SELECT 100 - seq, REPEAT('x', seq * 37 % 500) FROM seq_1_to_100; INSERT INTO n SELECT * FROM n;
        INSERT INTO u SELECT seq FROM seq_1_to_10;
    """,
    "auto increment and id 0": [
        "SET sql_mode = 'NO_AUTO_VALUE_ON_ZERO'",
        "CREATE TABLE a (id int AUTO_INCREMENT PRIMARY KEY, b int)",
        "CREATE TABLE m (g int, id int AUTO_INCREMENT, KEY (id), PRIMARY KEY (g, id))",
        "INSERT INTO a VALUES (0, 1), (1, 2), (7, 3)",
        "DELETE FROM a WHERE id = 7",
        "ALTER TABLE a AUTO_INCREMENT = 1000",
        "INSERT INTO m VALUES (1, 5), (2, 6)",
    ],
    "foreign keys to themselves and in circles": [
        "CREATE TABLE self (id int PRIMARY KEY, up int, FOREIGN KEY (up) REFERENCES self (id) ON DELETE SET NULL)",
        "CREATE TABLE one (id int PRIMARY KEY, other int, KEY (other))",
        "CREATE TABLE two (id int PRIMARY KEY, other int, CONSTRAINT to_one FOREIGN KEY (other) REFERENCES one (id))",
        "ALTER TABLE one ADD CONSTRAINT to_two FOREIGN KEY (other) REFERENCES two (id) ON UPDATE CASCADE",
        "INSERT INTO self VALUES (1, NULL), (2, 1), (3, 3)",
        "SET foreign_key_checks = 0",
        "INSERT INTO one VALUES (1, 1)",
        "INSERT INTO two VALUES (1, 1)",
    ],
    "partitions": """
        CREATE TABLE p (id int, at date, KEY (id)) PARTITION BY RANGE (YEAR(at))
            (PARTITION old VALUES LESS THAN (2020), PARTITION new VALUES LESS THAN MAXVALUE);
        CREATE TABLE h (id int PRIMARY KEY, a int) PARTITION BY HASH (id) PARTITIONS 4;
        INSERT INTO p SELECT seq, '2019-01-01' + INTERVAL seq * 20 DAY FROM seq_1_to_100;
        INSERT INTO h SELECT seq, seq FROM seq_1_to_100;
    """,
    "views on views": """
        CREATE TABLE t (a int PRIMARY KEY, b int); INSERT INTO t VALUES (1, 2);
        CREATE VIEW z AS SELECT a, b FROM t; CREATE VIEW a_first AS SELECT a FROM z WITH CASCADED CHECK OPTION;
        CREATE ALGORITHM = TEMPTABLE SQL SECURITY INVOKER VIEW m AS SELECT count(*) AS `how many` FROM a_first;
        CREATE VIEW q AS SELECT x.a, t.b FROM {schema}.z AS x JOIN {schema}.t USING (a);
    """,
    "triggers in their order": """
        CREATE TABLE t (a int PRIMARY KEY, b varchar(100)); INSERT INTO t VALUES (1, 'x');
        CREATE TRIGGER second BEFORE INSERT ON t FOR EACH ROW SET NEW.b = concat(NEW.b, ';');
        CREATE TRIGGER first BEFORE INSERT ON t FOR EACH ROW PRECEDES second
            BEGIN DECLARE x int DEFAULT 1; SET NEW.b = concat(NEW.b, '1'); END;
        CREATE TRIGGER third BEFORE INSERT ON t FOR EACH ROW FOLLOWS second SET NEW.b = concat(NEW.b, '3');
        CREATE TRIGGER after_it AFTER DELETE ON t FOR EACH ROW INSERT INTO {schema}.t VALUES (OLD.a + 100, 'gone');
    """,
    "routines": """
        CREATE FUNCTION f(x int) RETURNS int DETERMINISTIC COMMENT 'it''s; $$' RETURN x + 1;
        CREATE PROCEDURE p(IN a int, OUT b varchar(10), INOUT c json) MODIFIES SQL DATA SQL SECURITY INVOKER
            BEGIN DECLARE done bool DEFAULT false; loop_it: LOOP SET a = a + 1; IF a > 3 THEN LEAVE loop_it; END IF;
            END LOOP; SELECT ';', '//', "it''s" INTO @x, @y, @z; CALL {schema}.q(); END;
        CREATE PROCEDURE q() SELECT 1 -- a comment at the end
        ;
        CREATE PROCEDURE `odd ``name` () SELECT 'DELIMITER //';
        CREATE AGGREGATE FUNCTION total(x int) RETURNS int DETERMINISTIC
            BEGIN DECLARE s int DEFAULT 0; DECLARE CONTINUE HANDLER FOR NOT FOUND RETURN s;
            LOOP FETCH GROUP NEXT ROW; SET s = s + x; END LOOP; END;
    """,
    "events": """
        CREATE TABLE log (at timestamp); CREATE EVENT tick ON SCHEDULE EVERY 1 DAY STARTS '2030-01-01 00:00:00'
            DO BEGIN INSERT INTO log VALUES (now()); DELETE FROM log WHERE at < now() - INTERVAL 1 DAY; END;
        CREATE EVENT off ON SCHEDULE AT '2035-06-01 00:00:00' ON COMPLETION PRESERVE DISABLE COMMENT 'later; or not'
            DO SELECT 1;
    """,
    "sequences": """
        CREATE SEQUENCE s START WITH 5 INCREMENT BY 3 MAXVALUE 100 CYCLE NOCACHE; DO NEXTVAL(s); DO NEXTVAL(s);
        CREATE SEQUENCE big CACHE 500; CREATE TABLE t (a bigint DEFAULT NEXTVAL(s), b int);
        INSERT INTO t (b) VALUES (1), (2);
    """,
    "odd names": """
        CREATE TABLE `we ird``"'; DROP` (`col ``"` int, `select` int, PRIMARY KEY (`col ``"`));
        INSERT INTO `we ird``"'; DROP` VALUES (1, 2); CREATE TABLE `123` (`1` int); INSERT INTO `123` VALUES (1);
        CREATE TABLE `ünï 渡` (`ä` int COMMENT 'ö'); INSERT INTO `ünï 渡` VALUES (5);
        CREATE VIEW `vi``ew` AS SELECT `select` AS `a``s` FROM `we ird``"'; DROP`;
    """,
    "engines": """
        CREATE TABLE m (a int, b text, FULLTEXT KEY (b)) ENGINE = MyISAM; CREATE TABLE r (a int PRIMARY KEY) ENGINE = Aria;
        CREATE TABLE mem (a int) ENGINE = MEMORY; INSERT INTO m VALUES (3, 'c'), (1, 'a'); DELETE FROM m WHERE a = 3;
        INSERT INTO m VALUES (2, 'b'); INSERT INTO r VALUES (9), (4);
        CREATE TABLE packed (a int, b text) ROW_FORMAT = COMPRESSED COMMENT = 'it''s; packed';
        INSERT INTO packed VALUES (1, 'x');
    """,
    "a thousand columns": "CREATE TABLE wide ("
    + ", ".join(f"c{number} tinyint" for number in range(1000))
    + "); INSERT INTO wide (c0, c999) VALUES (1, 2);",
    "a schema of another character set": "ALTER DATABASE {schema} CHARACTER SET latin1 COLLATE latin1_spanish_ci;"
    " CREATE TABLE t (a varchar(20)); INSERT INTO t VALUES ('ñ'); CREATE PROCEDURE p(x varchar(10)) SELECT 'ñ', x;",
}
