"""Databases that nobody here designed come back: sealed, copied, proven, restored, compared by its catalogue."""

from pathlib import Path

import pytest

from backproof.records import Target
from tests.zoo.mariadb_samples import travelled

SAMPLES = Path(__file__).parents[1] / "samples" / "mariadb"


@pytest.mark.parametrize(("name", "objects", "rows"), [("world", 3, 5302), ("cacti", 114, 747), ("icinga-ido", 61, 1)])
def test_a_database_of_others_is_proven_and_comes_back(
    mariadb_plain: Target, tmp_path: Path, name: str, objects: int, rows: int
) -> None:
    outcome = travelled(mariadb_plain, SAMPLES / f"{name}.sql.xz", tmp_path)
    assert (outcome.proof.verdict, outcome.differing) == ("passed", []), outcome.proof.reason
    assert (outcome.objects, outcome.rows) == (objects, rows)
