"""Tables of many sorts for diff and salvage, one script an engine."""

TABLES = {
    "postgresql": """
        CREATE TABLE odd (name text, "of" text, raw bytea, amount numeric, at timestamptz, is_new boolean, said json,
                          twice int GENERATED ALWAYS AS (1 + 1) STORED, PRIMARY KEY (name, "of"));
        INSERT INTO odd VALUES
            (E'it''s "odd", \\\\ %s \\t', '', '\\x00ff27', 1.50, '2025-01-01 00:00:00+00', true, '{"a": 1}'),
            ('ü€😀', 'b', NULL, NULL, NULL, NULL, NULL), ('', 'null', '\\x', 0, NULL, false, NULL);
        CREATE TABLE keyless (a int, b text); INSERT INTO keyless VALUES (1, 'one'), (2, 'two'), (2, 'zwei'), (NULL, 'x');
        CREATE TABLE place (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, up int REFERENCES place, code text UNIQUE);
        INSERT INTO place (up, code) SELECT NULLIF(i - 1, 0), 'p' || i FROM generate_series(1, 9) i;
        CREATE TABLE stay (id int PRIMARY KEY, place_code text REFERENCES place (code), child_id int REFERENCES child);
        INSERT INTO stay SELECT i, 'p' || i, i FROM generate_series(1, 9) i;
        CREATE TABLE egg (id int PRIMARY KEY, hen int); CREATE TABLE hen (id int PRIMARY KEY, egg int REFERENCES egg);
        INSERT INTO egg VALUES (1, 1); INSERT INTO hen VALUES (1, 1);
        ALTER TABLE egg ADD FOREIGN KEY (hen) REFERENCES hen;
        CREATE TABLE log (what text);
        CREATE FUNCTION logged() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO public.log VALUES (''in''); RETURN NEW; END';
        CREATE TABLE watched (id int PRIMARY KEY); INSERT INTO watched VALUES (1), (2);
        CREATE TRIGGER watching BEFORE INSERT ON watched FOR EACH ROW EXECUTE FUNCTION logged();
        CREATE TABLE part (id int, at date) PARTITION BY RANGE (at);
        CREATE TABLE part_old PARTITION OF part FOR VALUES FROM (MINVALUE) TO ('2025-01-01');
        CREATE TABLE part_new (at date, id int); ALTER TABLE part ATTACH PARTITION part_new FOR VALUES FROM ('2025-01-01') TO (MAXVALUE);
        INSERT INTO part VALUES (1, '2024-05-01'), (2, '2025-05-01');
    """,
    "mysql": """
        CREATE TABLE odd (name varchar(50) COLLATE utf8mb4_bin, `of` varchar(10), raw varbinary(20), amount decimal(9,2),
                          at timestamp NULL, is_new bool, said json, x double, twice int AS (1 + 1) STORED, PRIMARY KEY (name, `of`));
        INSERT INTO odd (name, `of`, raw, amount, at, is_new, said, x) VALUES
            ('it''s "odd", \\\\ %s \\t', '', x'00ff27', 1.50, '2025-01-01', true, '{"a": 1}', 0.1),
            ('ü€😀', 'b', NULL, NULL, NULL, NULL, NULL, NULL), ('', 'null', '', 0, NULL, false, NULL, 1e300);
        CREATE TABLE keyless (a int, b text); INSERT INTO keyless VALUES (1, 'one'), (2, 'two'), (2, 'zwei'), (NULL, 'x');
        CREATE TABLE place (id int AUTO_INCREMENT PRIMARY KEY, up int, code varchar(9) UNIQUE, FOREIGN KEY (up) REFERENCES place (id));
        INSERT INTO place (up, code) SELECT NULLIF(seq - 1, 0), CONCAT('p', seq) FROM seq_1_to_9;
        CREATE TABLE stay (id int PRIMARY KEY, place_code varchar(9), child_id int,
                           FOREIGN KEY (place_code) REFERENCES place (code), FOREIGN KEY (child_id) REFERENCES child (id));
        INSERT INTO stay SELECT seq, CONCAT('p', seq), seq FROM seq_1_to_9;
        CREATE TABLE egg (id int PRIMARY KEY, hen int); CREATE TABLE hen (id int PRIMARY KEY, egg int, FOREIGN KEY (egg) REFERENCES egg (id));
        INSERT INTO egg VALUES (1, 1); INSERT INTO hen VALUES (1, 1);
        ALTER TABLE egg ADD FOREIGN KEY (hen) REFERENCES hen (id);
        CREATE TABLE log (what text);
        CREATE TABLE watched (id int PRIMARY KEY); INSERT INTO watched VALUES (1), (2);
        CREATE TRIGGER watching BEFORE INSERT ON watched FOR EACH ROW INSERT INTO log VALUES ('in');
        CREATE TABLE part (id int, at date) PARTITION BY RANGE COLUMNS (at) (
            PARTITION part_old VALUES LESS THAN ('2025-01-01'), PARTITION part_new VALUES LESS THAN (MAXVALUE));
        INSERT INTO part VALUES (1, '2024-05-01'), (2, '2025-05-01');
    """,
}
