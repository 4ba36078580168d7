"""How long lists read."""

import pytest

from backproof.words import some


@pytest.mark.parametrize(
    ("names", "told"),
    [((), ""), (("b", "a"), "a, b"), (tuple("abcdef"), "a, b, c, d, e and 1 more")],
)
def test_of_many_names_the_first_and_the_number_of_others_are_told(names: tuple[str, ...], told: str) -> None:
    assert some(names) == told
