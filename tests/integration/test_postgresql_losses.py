"""What pg_dump leaves out without a word, and dumps that are equal do not show: all of it is said."""

from backproof.engines.postgresql import ENGINE
from backproof.records import Target
from tests.support.postgres_fixtures import FreshDatabase, execute
from tests.support.round_trip import round_trip, taken

SILENT = {
    "1 objects (such as backproof_test) lie in the system's own schemas and are not in the backup": """
        CREATE FUNCTION pg_catalog.backproof_test() RETURNS int LANGUAGE sql AS 'SELECT 1'""",
    "1 operators and functions were added to operator families of the system (such as integer_ops)": """
        CREATE TYPE odd; CREATE FUNCTION odd_in(cstring) RETURNS odd STRICT IMMUTABLE LANGUAGE internal AS 'int8in';
        CREATE FUNCTION odd_out(odd) RETURNS cstring STRICT IMMUTABLE LANGUAGE internal AS 'int8out';
        CREATE TYPE odd (INPUT = odd_in, OUTPUT = odd_out, LIKE = int8);
        CREATE FUNCTION odd_eq(odd, odd) RETURNS bool STRICT IMMUTABLE LANGUAGE internal AS 'int8eq';
        CREATE OPERATOR = (PROCEDURE = odd_eq, LEFTARG = odd, RIGHTARG = odd, COMMUTATOR = =, MERGES);
        ALTER OPERATOR FAMILY integer_ops USING btree ADD OPERATOR 3 = (odd, odd)""",
    "1 operators without a function (such as !==) are not in the backup": """
        CREATE OPERATOR === (PROCEDURE = booleq, LEFTARG = bool, RIGHTARG = bool, NEGATOR = !==)""",
    "1 foreign keys of partitions (such as own)": """
        CREATE TABLE there (id int PRIMARY KEY); CREATE TABLE p (id int REFERENCES there) PARTITION BY LIST (id);
        CREATE TABLE p1 (id int CONSTRAINT own REFERENCES there);
        ALTER TABLE p ATTACH PARTITION p1 FOR VALUES IN (1)""",
}

ORDINARY = """
CREATE TABLE t (id int PRIMARY KEY, v int NOT NULL); CREATE TABLE c () INHERITS (t); CREATE DOMAIN d AS int;
CREATE TABLE p (id int REFERENCES t, d int NOT NULL) PARTITION BY LIST (id); CREATE TABLE p1 PARTITION OF p DEFAULT;
CREATE TYPE e AS ENUM ('a'); CREATE VIEW w AS TABLE t; CREATE OPERATOR ~~~ (PROCEDURE = booleq, RIGHTARG = bool,
LEFTARG = bool, COMMUTATOR = ~~~);
"""


def test_what_a_dump_leaves_out_is_said(postgres: Target, fresh_database: FreshDatabase) -> None:
    live = fresh_database(postgres, ";".join(SILENT.values()))
    with round_trip(ENGINE, live, live.to(f"{live.database} beside")) as returned:
        assert returned.differences == ()  # nobody else would say it
        said = returned.source.manifest.database.not_carried
        assert [sentence for sentence in SILENT if not any(each.startswith(sentence) for each in said)] == []


def test_an_ordinary_database_is_said_to_lose_nothing_of_this(postgres: Target, fresh_database: FreshDatabase) -> None:
    [sentence] = taken(ENGINE, fresh_database(postgres, ORDINARY)).manifest.database.not_carried
    assert sentence.startswith("Passwords of roles")


def test_an_inherited_not_null_of_another_name_is_said(postgres18: Target, fresh_database: FreshDatabase) -> None:
    live = fresh_database(
        postgres18,
        """CREATE TABLE p (id int) PARTITION BY LIST (id); ALTER TABLE p ADD CONSTRAINT theirs NOT NULL id NOT VALID;
        CREATE TABLE p1 (id int); ALTER TABLE p1 ADD CONSTRAINT own NOT NULL id NOT VALID;
        ALTER TABLE p ATTACH PARTITION p1 FOR VALUES IN (1)""",
    )
    with round_trip(ENGINE, live, live.to(f"{live.database} beside")) as returned:
        names = execute(returned.target, "SELECT conname FROM pg_constraint WHERE conrelid = 'p1'::regclass")
        assert names == [("theirs",)]
        assert any("(such as own)" in each for each in returned.source.manifest.database.not_carried)


def test_what_was_changed_in_an_extension_is_said_after_a_restore(
    postgres15: Target, fresh_database: FreshDatabase
) -> None:
    live = fresh_database(
        postgres15,
        """CREATE EXTENSION dict_int; CREATE EXTENSION hstore; CREATE EXTENSION citext; CREATE EXTENSION unaccent;
        ALTER TEXT SEARCH DICTIONARY intdict (MAXLEN = 3); ALTER FUNCTION hstore_in(cstring) COST 77;
        CREATE FUNCTION mine(int) RETURNS int LANGUAGE sql AS 'SELECT $1';
        ALTER EXTENSION citext ADD FUNCTION mine(int)""",
    )
    with round_trip(ENGINE, live, live.to(f"{live.database} beside")) as returned:
        assert returned.differences == ()
        own = "was added to extension citext and did not come back: a dump leaves an extension's own out"
        changed = "was changed by hand and came back as its extension"
        assert sorted(returned.left_out) == [
            f"the function public.hstore_in(pg_catalog.cstring) {changed} hstore makes it",
            f"the function public.mine(integer) {own}",
            f"the text search dictionary public.intdict {changed} dict_int makes it",
        ]


def test_an_extension_in_another_version_is_said(postgres15: Target, fresh_database: FreshDatabase) -> None:
    live = fresh_database(postgres15, "CREATE EXTENSION hstore VERSION '1.4'")
    with round_trip(ENGINE, live, live.to(f"{live.database} beside")) as returned:
        assert returned.left_out == ("extension hstore was restored in version 1.8; it was 1.4 in the database",)
