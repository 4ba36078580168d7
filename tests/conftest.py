"""Fixtures of every room, found by pytest; a file a room in tests/support."""

pytest_plugins = [
    "tests.support.postgres_fixtures",
    "tests.support.prefect_fixtures",
]
