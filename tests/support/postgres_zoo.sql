-- One of everything that a catalogue can hold and no extension package is needed for. Run in an empty database.
CREATE SCHEMA app;
SET search_path = app;
CREATE TYPE mood AS ENUM ('sad', 'glad');
CREATE DOMAIN positive AS integer CHECK (VALUE > 0);
CREATE TYPE pair AS (a integer, b mood);
CREATE TYPE spans AS RANGE (subtype = float8);
CREATE FUNCTION is_fine(x integer) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$ SELECT x > 0 $$;
CREATE TABLE users (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, m mood DEFAULT 'sad', p positive, c pair, s spans,
    email text UNIQUE, twice integer GENERATED ALWAYS AS (p::integer * 2) STORED, CHECK (is_fine(id)));
INSERT INTO users (m, p, email) SELECT 'glad', i, 'user' || i FROM generate_series(1, 1000) i;
CREATE TABLE orders (
    id bigserial PRIMARY KEY, user_id integer REFERENCES users DEFERRABLE, during tsrange,
    EXCLUDE USING gist (during WITH &&));
INSERT INTO orders (user_id) SELECT id FROM users;
CREATE VIEW v AS SELECT id, m FROM users;
CREATE MATERIALIZED VIEW mv AS SELECT count(*) AS n FROM users;
CREATE UNIQUE INDEX ON mv (n);
CREATE RULE r AS ON INSERT TO v DO INSTEAD (INSERT INTO orders (user_id) VALUES (1); SELECT 1);
CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
/*
--
-- Name: fake; Type: TABLE; Schema: app; Owner: nobody
--

COPY app.users FROM stdin;
1
\.
*/
  RAISE NOTICE '$$';
  RETURN new;
END $body$;
CREATE TRIGGER audit AFTER INSERT ON users FOR EACH ROW EXECUTE FUNCTION audit();
CREATE FUNCTION watch() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
CREATE EVENT TRIGGER watcher ON ddl_command_start EXECUTE FUNCTION watch();
CREATE PROCEDURE proc(x integer, OUT y integer) LANGUAGE plpgsql AS $$ BEGIN y := x; END $$;
CREATE FUNCTION atomic(x integer DEFAULT 1, variadic rest text[] DEFAULT '{}') RETURNS integer
BEGIN ATOMIC SELECT CASE WHEN x > 1 THEN 2 ELSE 3 END; END;
CREATE AGGREGATE total(integer) (SFUNC = int4pl, STYPE = integer);
CREATE AGGREGATE tally(*) (SFUNC = int8inc, STYPE = bigint, INITCOND = '0');
CREATE POLICY mine ON users FOR SELECT USING (id > 0);
ALTER TABLE users ENABLE ROW LEVEL SECURITY;
CREATE STATISTICS st ON id, m FROM users;
CREATE INDEX ix_expr ON users ((is_fine(p)));
CREATE TABLE part (a integer PRIMARY KEY, b text) PARTITION BY RANGE (a);
CREATE TABLE part1 PARTITION OF part FOR VALUES FROM (0) TO (10);
CREATE TABLE part_rest PARTITION OF part DEFAULT;
CREATE INDEX ON part (b);
CREATE TRIGGER audit AFTER INSERT ON part FOR EACH ROW EXECUTE FUNCTION audit();
INSERT INTO part VALUES (1, 'x'), (100, 'y');
CREATE TABLE parent (a integer);
CREATE TABLE child (b integer) INHERITS (parent);
CREATE TYPE shape AS (x integer, y text);
CREATE TABLE typed OF shape (PRIMARY KEY (x));
CREATE UNLOGGED TABLE unlogged (a integer);
CREATE TABLE empty ();
CREATE TABLE blank ();
INSERT INTO blank DEFAULT VALUES;
INSERT INTO blank DEFAULT VALUES;
CREATE TABLE "We""ird
t;able  "("co l" integer, "x""y" text, "new
line" mood[]);
INSERT INTO "We""ird
t;able  " VALUES (1, E'tab\tline\n\\.', '{sad}'), (2, '\.', NULL), (3, '', '{}');
CREATE TRIGGER "odd; Type: X
name" AFTER INSERT ON "We""ird
t;able  " FOR EACH ROW EXECUTE FUNCTION audit();
CREATE SEQUENCE sq START 5;
SELECT nextval('sq');
CREATE OPERATOR === (LEFTARG = integer, RIGHTARG = integer, FUNCTION = int4eq);
CREATE OPERATOR === (LEFTARG = bigint, RIGHTARG = bigint, FUNCTION = int8eq);
CREATE OPERATOR FAMILY family USING btree;
CREATE OPERATOR CLASS class FOR TYPE integer USING btree FAMILY family
    AS OPERATOR 1 <, FUNCTION 1 btint4cmp(integer, integer);
CREATE COLLATION plain (LOCALE = 'C');
CREATE CONVERSION conv FOR 'LATIN1' TO 'UTF8' FROM iso8859_1_to_utf8;
CREATE TEXT SEARCH CONFIGURATION tsc (COPY = simple);
CREATE TEXT SEARCH DICTIONARY tsd (TEMPLATE = simple);
CREATE FOREIGN DATA WRAPPER wrapper;
CREATE SERVER elsewhere FOREIGN DATA WRAPPER wrapper OPTIONS (a 'b');
CREATE FOREIGN TABLE far (a integer) SERVER elsewhere;
CREATE ACCESS METHOD heap2 TYPE TABLE HANDLER heap_tableam_handler;
CREATE TABLE kept_otherwise (a integer) USING heap2;
CREATE PUBLICATION of_tables FOR TABLE users, orders;
CREATE PUBLICATION all_tables FOR ALL TABLES;
CREATE PUBLICATION of_schema FOR TABLES IN SCHEMA app;
CREATE SUBSCRIPTION sub CONNECTION 'dbname=nowhere' PUBLICATION x WITH (connect = false, slot_name = NONE);
ALTER DEFAULT PRIVILEGES IN SCHEMA app GRANT SELECT ON TABLES TO PUBLIC;
ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
COMMENT ON TABLE users IS 'it''s; a "comment"';
GRANT SELECT (email) ON users TO PUBLIC;
SELECT lo_from_bytea(777, '\x0001ff'), lo_create(778);
