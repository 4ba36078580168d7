"""Names: what is spelled can be read back, and the server takes what is quoted."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backproof.engines.mysql.lexer import name_of, tokens
from backproof.engines.mysql.names import decode, quote_account, quote_ident, quote_literal, spell, unspell

NAMES = st.text(min_size=1, max_size=64)


@given(NAMES)
def test_a_spelled_name_is_read_back(name: str) -> None:
    assert unspell(spell(name)) == name
    assert unspell(quote_ident(name)) == name


@given(NAMES, NAMES)
def test_two_names_are_never_spelled_alike(one: str, other: str) -> None:
    assert (spell(one) == spell(other)) == (one == other)


@given(NAMES)
def test_a_quoted_name_is_one_token_and_means_the_name(name: str) -> None:
    quoted = quote_ident(name).encode()
    assert list(tokens(quoted)) == [("name", 0, len(quoted))]
    assert name_of(quoted, "name") == name


@given(st.text())
def test_a_quoted_string_is_one_token(value: str) -> None:
    quoted = quote_literal(value).encode()
    assert list(tokens(quoted)) == [("string", 0, len(quoted))]


@pytest.mark.parametrize(
    ("name", "spelled"),
    [
        ("orders", "orders"),
        ("2024_orders$", "2024_orders$"),
        ("2024", "`2024`"),
        ("a`b", "`a``b`"),
        ("my table", "`my table`"),
        ("naïve", "`naïve`"),
        ("", "``"),
    ],
)
def test_only_a_plain_name_is_spelled_bare(name: str, spelled: str) -> None:
    assert spell(name) == spelled


@pytest.mark.parametrize("spelled", ["`", "`a", "`a`b`", "```"])
def test_backticks_that_do_not_pair_up_are_refused(spelled: str) -> None:
    with pytest.raises(ValueError, match="do not pair up"):
        unspell(spelled)


def test_an_account_has_a_host_and_a_role_has_none() -> None:
    assert quote_account("o`k", "%") == "`o``k`@`%`"
    assert quote_account("reader", "") == quote_account("reader", None) == "`reader`"


@pytest.mark.parametrize(
    ("name", "charset", "text"),
    [
        ("é".encode(), "latin1", "é"),  # the tool writes some names in UTF-8 whatever surrounds them
        (b"\xe9", "latin1", "é"),
        (b"\x80", "latin1", "€"),
        (b"\x95\x5c", "sjis", "表"),
        (b"\xe4", "koi8r", "Д"),
        (b"\xe9", "utf8mb4", "é"),
        (b"\xe9", "no_such_charset", "é"),
    ],
)
def test_a_name_is_read_in_the_charset_of_its_body(name: bytes, charset: str, text: str) -> None:
    assert decode(name, charset) == text
