"""The names of all time zones, looked up once a process.

Prefect 3.8.8 looks them all up, in several hundred files, for each schedule that it reads or writes: with a thousand
plans that is more than half of all its work.
"""

import zoneinfo
from functools import cache


def remember() -> None:
    """Call it before Prefect is imported, which takes a name of its own for the function."""
    zoneinfo.available_timezones = cache(zoneinfo.available_timezones)
