"""Dividing pg_dump's text: what is a header, a statement, a quotation, and what only looks like one."""

import pytest

from backproof.engines import Entry
from backproof.engines.postgresql.dump import _whole_entries
from backproof.engines.postgresql.text import canonical, entries, key, preamble_settings, statements
from backproof.errors import Damaged

PREAMBLE = b"""--
-- PostgreSQL database dump
--

\\restrict aB3

-- Dumped from database version 15.18

SET statement_timeout = 0;
SET client_encoding = 'UTF8';
SELECT pg_catalog.set_config('search_path', '', false);
SET row_security = off;

"""

CLOSING = b"""--
-- PostgreSQL database dump complete
--

\\unrestrict aB3

"""


def entry(kind: str, name: str, sql: str, schema: str = "public", owner: str = "shop") -> bytes:
    return f"--\n-- Name: {name}; Type: {kind}; Schema: {schema}; Owner: {owner}\n--\n\n{sql}\n\n\n".encode()


FAKE = "--\n-- Name: fake; Type: TABLE; Schema: public; Owner: shop\n--\n"


def keys(text: bytes) -> list[str]:
    return [found.key for found in entries(text)]


def only(text: bytes) -> Entry:
    found = list(entries(text))
    assert len(found) == 1
    return found[0]


def test_a_dump_divides_into_settings_objects_and_closing_words() -> None:
    text = PREAMBLE + entry("TABLE", "orders", "CREATE TABLE public.orders (\n    id integer\n);") + CLOSING
    found = list(entries(text))
    assert [each.key for each in found] == ["PREAMBLE", "TABLE public.orders", "CLOSING"]
    assert b"".join(each.text for each in found) == text
    assert found[1].table == "public.orders"


@pytest.mark.parametrize(
    "body",
    [
        f"CREATE FUNCTION public.f() RETURNS void LANGUAGE plpgsql AS $$\n{FAKE}COPY public.x FROM stdin;\n\\.\n$$;",
        f"CREATE FUNCTION public.f() RETURNS void LANGUAGE sql AS $_$\n $$ {FAKE} $$ $a$ \\! $_$;",
        f"CREATE FUNCTION public.f() RETURNS text LANGUAGE sql AS 'select ''\n{FAKE}'' ';",
        f"COMMENT ON TABLE public.t IS 'it''s \"\n{FAKE}\\restrict';",
        f"CREATE TABLE public.t (a text DEFAULT E'\\'\n{FAKE}\\\\');",
        f'CREATE TABLE public."t""\n{FAKE}; COPY x FROM stdin;" (a int);',
        f"CREATE TABLE public.t (a int); /* outer /* inner\n{FAKE} */ still ' comment */",
        f"CREATE VIEW public.v AS SELECT 1 AS a$b$c, 'x\n{FAKE}' AS b;",
    ],
)
def test_a_header_within_a_quotation_or_comment_opens_no_entry(body: str) -> None:
    assert keys(PREAMBLE + entry("X", "real", body) + CLOSING) == ["PREAMBLE", "X public.real", "CLOSING"]


def test_a_header_in_the_middle_of_a_line_opens_no_entry() -> None:
    assert keys(entry("X", "real", f"SELECT 1; {FAKE}")) == ["X public.real"]


@pytest.mark.parametrize("command", ["\\! rm -rf /", "\\connect other", "\\copy t from 'x'", "\\.", "\\restrict a b"])
def test_a_psql_command_is_refused(command: str) -> None:
    with pytest.raises(Damaged, match="psql command"):
        list(entries(PREAMBLE + f"{command}\n".encode()))


def test_a_psql_command_behind_a_statement_is_refused() -> None:
    with pytest.raises(Damaged, match="psql command"):
        list(statements(b"SELECT 1; \\restrict aB3\n"))


@pytest.mark.parametrize(
    "sql", ["SELECT 'a;", 'SELECT "a;', "SELECT $x$ a $y$;", "/* /* */ SELECT 1;", "SELECT E'\\';"]
)
def test_a_text_that_ends_within_a_quotation_is_refused(sql: str) -> None:
    with pytest.raises(Damaged, match="ends inside a quotation"):
        list(entries(entry("X", "cut", sql)))


def test_a_statement_without_an_end_is_refused() -> None:
    with pytest.raises(Damaged, match="ends inside a statement"):
        list(statements(b"SELECT 1;\nSELECT 2"))


def test_statements_are_divided_outside_of_brackets_and_bodies_alone() -> None:
    parts = [
        b"CREATE RULE r AS\n    ON INSERT TO public.v DO INSTEAD ( INSERT INTO a VALUES (1);\n SELECT 1;\n);",
        b"CREATE FUNCTION public.f(x integer) RETURNS integer\n    LANGUAGE sql\n    BEGIN ATOMIC\n"
        b" SELECT CASE\n WHEN (x > 1) THEN 2\n ELSE 3\n END AS \"END\";\n SELECT 'END;';\nEND;",
        b"CREATE TABLE public.begin_atomic (a integer);",
        b"SELECT \";\", ';', $$;$$;",
    ]
    text = b"\n-- said in passing;\n\\restrict aB3\n" + b"\n\n".join(parts) + b"\n-- end\n"
    assert list(statements(text)) == parts


def test_settings_are_read_from_the_preamble_alone() -> None:
    text = PREAMBLE + entry("X", "x", "SET work_mem = 1;")
    assert preamble_settings(text) == {
        "statement_timeout": b"SET statement_timeout = 0;",
        "client_encoding": b"SET client_encoding = 'UTF8';",
        "search_path": b"SELECT pg_catalog.set_config('search_path', '', false);",
        "row_security": b"SET row_security = off;",
    }


def test_the_tablespace_set_ahead_of_a_header_belongs_to_what_follows() -> None:
    lead = b"SET default_tablespace = fast;\n\nSET default_table_access_method = heap;\n\n"
    first = entry("FUNCTION", "f()", "CREATE FUNCTION public.f() RETURNS int AS $$ select 1 $$;")
    table = entry("TABLE", "t", "CREATE TABLE public.t (\n    a integer\n);")
    other = entry("TABLE", "u", "CREATE TABLE public.u (\n    a integer\n);")
    found = list(entries(first + lead + table + other))
    assert [each.text for each in found] == [first, lead + table, other]
    assert found[0].settings == b""
    assert found[1].settings == found[2].settings != b""
    assert found[1].table == "public.t"


def test_an_entry_compares_the_same_wherever_the_tablespace_was_set() -> None:
    lead = b"SET default_tablespace = fast;\n\n"
    table = entry("TABLE", "t", "CREATE TABLE public.t (\n    a integer\n);")
    other = entry("TABLE", "u", "CREATE TABLE public.u (\n    a integer\n);")
    one = {each.key: canonical(each) for each in entries(lead + table + other)}
    two = {each.key: canonical(each) for each in entries(lead + other + table)}
    assert one == two
    moved = {each.key: canonical(each) for each in entries(table + lead + other)}
    assert moved["TABLE public.t"] != one["TABLE public.t"]


def test_comments_and_blank_lines_do_not_count_when_comparing() -> None:
    one = only(entry("VIEW", "v", "CREATE VIEW public.v AS\n SELECT 1 AS a;"))
    two = only(entry("VIEW", "v", "CREATE VIEW public.v AS\n SELECT 1 AS a;\n\n", owner="other"))
    assert canonical(one) == canonical(two) == b"CREATE VIEW public.v AS\n SELECT 1 AS a;"


@pytest.mark.parametrize("changed", ["SELECT 2 AS a;", "SELECT 1 AS a -- b;\n;", "SELECT 1  AS a;"])
def test_any_change_of_a_definition_counts(changed: str) -> None:
    one = only(entry("VIEW", "v", "CREATE VIEW public.v AS\n SELECT 1 AS a;"))
    assert canonical(one) != canonical(only(entry("VIEW", "v", f"CREATE VIEW public.v AS\n {changed}")))


def test_columns_of_an_inheriting_table_compare_in_any_order_and_others_do_not() -> None:
    def table(columns: str, end: str) -> bytes:
        return canonical(only(entry("TABLE", "c", f"CREATE TABLE public.c (\n{columns}\n){end};")))

    one, two = (
        "    a numeric(3,1) DEFAULT f(1, 2),\n    b text DEFAULT ','::text",
        ("    b text DEFAULT ','::text,\n    a numeric(3,1) DEFAULT f(1, 2)"),
    )
    assert table(one, "\nINHERITS (public.p)") == table(two, "\nINHERITS (public.p)")
    assert table(one, "") != table(two, "")
    assert table(one, "\nINHERITS (public.p)") != table(one.replace("3,1", "3,2"), "\nINHERITS (public.p)")


@pytest.mark.parametrize(
    ("sql", "table"),
    [
        ("CREATE UNLOGGED TABLE public.t (", "public.t"),
        ('CREATE TABLE public."My ""t" (', 'public."My ""t"'),
        ("ALTER TABLE ONLY public.t\n    ADD CONSTRAINT c CHECK (true);", "public.t"),
        ('CREATE UNIQUE INDEX "on x.y" ON public.t USING btree (a);', "public.t"),
        ("CREATE TRIGGER x AFTER INSERT OR UPDATE OF a ON app.t FOR EACH ROW EXECUTE FUNCTION f();", "app.t"),
        ("CREATE POLICY p ON public.t USING (true);", "public.t"),
        ("CREATE RULE r AS\n    ON INSERT TO public.t DO NOTHING;", "public.t"),
        ("CREATE STATISTICS public.s (ndistinct) ON a, b FROM public.t;", "public.t"),
        ("ALTER SEQUENCE public.s OWNED BY public.t.id;", "public.t"),
        ("COMMENT ON COLUMN public.t.a IS 'x';", "public.t"),
        ("COMMENT ON TRIGGER x ON public.t IS 'y';", "public.t"),
        ("GRANT SELECT(a),UPDATE ON TABLE public.t TO r;", "public.t"),
        ("ALTER PUBLICATION p ADD TABLE ONLY public.t;", "public.t"),
        ("CREATE FUNCTION public.t() RETURNS void AS $$ $$;", None),
        ("CREATE VIEW public.v AS SELECT 1;", None),
    ],
)
def test_an_entry_knows_its_table(sql: str, table: str | None) -> None:
    assert only(entry("X", "x", sql + (" );" if sql.endswith("(") else ""))).table == table


def test_keys_are_kind_schema_and_name() -> None:
    assert key("EXTENSION", "-", "hstore") == "EXTENSION hstore"
    assert key("TRIGGER", "app", "orders audit") == "TRIGGER app.orders audit"
    assert key("DEFAULT ACL", "app", "DEFAULT PRIVILEGES FOR TABLES", "ann") != key(
        "DEFAULT ACL", "app", "DEFAULT PRIVILEGES FOR TABLES", "bob"
    )


def test_names_in_another_encoding_are_kept_apart() -> None:
    header = b"--\n-- Name: %s; Type: TABLE; Schema: public; Owner: shop\n--\n\nCREATE TABLE public.%s ();\n"
    found = [only(header % (name, name)).key for name in (b"caf\xe9", b"caf\xe8", "café".encode())]
    assert found == ["TABLE public.café", "TABLE public.cafè", "TABLE public.café"]


@pytest.mark.parametrize("size", [1, 200, 500, 1 << 20])
def test_a_long_schema_is_cut_between_entries_that_mean_the_same_alone(size: int) -> None:
    fast = b"SET default_tablespace = fast;\n\nSET default_table_access_method = heap;\n\n"
    slow = b"SET default_tablespace = '';\n\n"
    table = "CREATE TABLE public.{0} (\n    a integer\n);"
    tables = [entry("TABLE", name, table.format(name)) for name in "abcdef"]
    function = entry("FUNCTION", "f()", "CREATE FUNCTION public.f() RETURNS integer AS $$ select 1 $$;")
    text = PREAMBLE + fast + tables[0] + tables[1] + function + tables[2] + slow + b"".join(tables[3:]) + CLOSING
    found = [each for piece in _whole_entries("schema", text, size) for each in entries(piece.head)]
    assert [(each.key, canonical(each)) for each in found] == [(each.key, canonical(each)) for each in entries(text)]
    assert b"fast" in canonical(found[2])
