"""Databases that nobody here designed come back: sealed, copied, proven, restored, compared by its catalogue."""

from pathlib import Path

import pytest

from backproof.records import Target
from tests.support.debian_samples import MARIADB, script
from tests.zoo.mariadb_samples import travelled


@pytest.mark.parametrize("name", MARIADB)
def test_a_database_of_others_is_proven_and_comes_back(mariadb_plain: Target, tmp_path: Path, name: str) -> None:
    outcome = travelled(mariadb_plain, script(MARIADB[name]), tmp_path)
    assert (outcome.proof.verdict, outcome.differing) == ("passed", []), outcome.proof.reason
    assert outcome.objects > 50
