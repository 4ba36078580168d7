"""The lexer's one large expression: what it finds must not depend on where its bound stops it."""

import itertools
import re
import tracemalloc

import pytest

from backproof.engines.postgresql import lexer
from backproof.errors import Damaged

PARTS = (b"a", b"e", b"E", b"'", b'"', b"$", b"-", b"--x\n", b"/", b"/*", b"*/", b"\\", b"(", b";", b" ", b"\xe9")
PARTS += (b"''", b"BEGIN ATOMIC", b"CASE", b"END", b"\n\\restrict a\n")


def found(text: bytes) -> list[object]:
    tokens: list[object] = []
    try:
        # Each token takes at least a byte: more of them would never end.
        tokens += itertools.islice(lexer.tokens(text), len(text) + 1)
    except Damaged as error:
        tokens.append(error.fact)
    return tokens


def test_where_the_bound_stops_it_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [b"".join(parts) for count in (1, 2, 3) for parts in itertools.product(PARTS, repeat=count)]
    expected = [found(text) for text in texts]
    tight = lexer._TOKEN.pattern.replace(b"{0,9999}", b"{0,1}")
    assert tight != lexer._TOKEN.pattern
    monkeypatch.setattr(lexer, "_TOKEN", re.compile(tight, lexer._TOKEN.flags))
    assert [found(text) for text in texts] == expected


def test_a_long_text_without_a_token_takes_no_memory() -> None:
    text = b"SELECT " + b"be Ce $ - " * 100_000 + b";"
    tracemalloc.start()
    assert [kind for kind, *_ in lexer.tokens(text)] == [";"]
    assert tracemalloc.get_traced_memory()[1] < 8_000_000


@pytest.mark.parametrize(
    ("sql", "kinds"),
    [
        # Found by Debian 12's Python 3.11.2, whose possessive groups forget what they passed over.
        (b"SET a = 0;\n--\n-- x\n--\nCREATE", [";", "comment"]),
        (rb"SELECT E'it''s \' here', 1;", ["quoted", ";"]),
        (b"SELECT $q$ it's $q$, e - 1;", ["dollar", ";"]),
    ],
)
def test_tokens_are_found_in_what_surrounds_them(sql: bytes, kinds: list[str]) -> None:
    assert [kind for kind, *_ in lexer.tokens(sql)] == kinds
