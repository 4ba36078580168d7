"""Two writings of PostgreSQL's own for one definition are one; what means something else stays apart."""

# ruff: noqa: E501 - SQL reads better unbroken

import pytest

from backproof.engines.postgresql.settled import settled

SAME = [
    (
        b"CHECK (((v)::text = ANY ((ARRAY['a'::character varying, 'b, [c'::character varying])::text[])))",
        b"CHECK (((v)::text = ANY (ARRAY[('a'::character varying)::text, ('b, [c'::character varying)::text])))",
    ),
    (
        b"CHECK (((e)::text <> ALL ((ARRAY['it''s'::character varying, (lower('B'::text))::character varying])::text[])))",
        b"CHECK (((e)::text <> ALL (ARRAY[('it''s'::character varying)::text,"
        b" ((lower('B'::text))::character varying)::text])))",
    ),
    (
        b"x = ANY ((ARRAY[ARRAY[a, b], ARRAY[c]])::public.odd[])",
        b"x = ANY (ARRAY[ARRAY[(a)::public.odd, (b)::public.odd], ARRAY[(c)::public.odd]])",
    ),
    (
        b"(ARRAY[a])::numeric(5,2)[] = (ARRAY[b])::timestamp(3) without time zone[]",
        b"ARRAY[(a)::numeric(5,2)] = ARRAY[(b)::timestamp(3) without time zone]",
    ),
    (b"SELECT r,\n    NULL::integer AS int4\n   FROM a", b"SELECT r,\n    NULL::integer\n   FROM a"),
    (b"SELECT 'x, y'::text AS text,\n  1", b"SELECT 'x, y'::text,\n  1"),
    (b"SELECT (0)::bigint AS int8 FROM a", b"SELECT (0)::bigint FROM a"),
    (b"SELECT 'x'::character varying(9) AS \"varchar\";", b"SELECT 'x'::character varying(9);"),
]

OTHER = [
    (b"v = ANY ((ARRAY['a'::character varying])::text[])", b"v = ANY (ARRAY[('b'::character varying)::text])"),
    (b"v = ANY ((ARRAY['a'::character varying])::text[])", b"v = ANY (ARRAY[('a'::character varying)::bpchar])"),
    (b"SELECT NULL::integer AS other\n", b"SELECT NULL::integer\n"),
    (b"SELECT NULL::integer AS int8\n", b"SELECT NULL::integer\n"),
    (b"SELECT 'NULL::integer AS int4\n'", b"SELECT 'NULL::integer\n'"),
    (b"SELECT $$(ARRAY['a'])::text[]$$", b"SELECT $$ARRAY[('a')::text]$$"),
    (b"SELECT (a.x)::integer AS int4\n", b"SELECT (a.x)::integer\n"),
    (b'SELECT "X"::integer AS int4\n', b'SELECT "X"::integer\n'),
]

UNTOUCHED = [
    b"(ARRAY[a, b])[1]",
    b"(ARRAY[a])::text",
    b"x = ANY (ARRAY[1, 2])",
    b"COMMENT ON TABLE t IS '(ARRAY[a])::text[]';",
    b"(ARRAY[unclosed)::text[]",
]


@pytest.mark.parametrize(("first", "later"), SAME)
def test_two_writings_of_one_thing_are_one(first: bytes, later: bytes) -> None:
    assert settled(first) == settled(later)


@pytest.mark.parametrize(("one", "other"), OTHER)
def test_what_differs_stays_apart(one: bytes, other: bytes) -> None:
    assert settled(one) != settled(other)


@pytest.mark.parametrize("text", UNTOUCHED)
def test_what_has_one_writing_stays_as_it_is(text: bytes) -> None:
    assert settled(text) == text
