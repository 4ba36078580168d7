"""Fixtures of every room, found by pytest; a file a room in tests/support."""

from hypothesis import settings

# CI machines stall at times: a slow example is no failure.
settings.register_profile("backproof", deadline=None)
settings.load_profile("backproof")

pytest_plugins = [
    "tests.support.operations",
    "tests.support.postgres_fixtures",
    "tests.support.prefect_fixtures",
    "tests.support.s3_fixtures",
    "tests.support.fault_fixtures",  # after those it is built on
]
