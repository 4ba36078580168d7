"""The migrated database that a new Prefect home begins with."""

import sqlite3
from pathlib import Path

import pytest

from deployments.servers import prefect_database


def test_the_prepared_database_holds_the_schema_and_nothing_else() -> None:
    assert prefect_database.prepared().is_file(), "run `make install`"
    with sqlite3.connect(f"file:{prefect_database.prepared()}?mode=ro", uri=True) as database:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        filled = {name for name in tables if database.execute(f'SELECT EXISTS (SELECT 1 FROM "{name}")').fetchone()[0]}
    database.close()
    assert len(tables) > 20
    assert filled == {"alembic_version"}


def test_a_new_home_gets_a_private_copy_and_an_old_one_keeps_its_own(tmp_path: Path) -> None:
    prefect_database.give(tmp_path)
    copy = tmp_path / prefect_database.NAME
    assert copy.stat().st_mode & 0o777 == 0o600
    copy.write_bytes(b"mine")
    prefect_database.give(tmp_path)
    assert copy.read_bytes() == b"mine"


def test_without_a_prepared_database_the_server_is_left_to_make_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prefect_database, "prepared", lambda: tmp_path / "nowhere")
    prefect_database.give(tmp_path)
    assert list(tmp_path.iterdir()) == []
