"""The names of time zones are looked up once: by us, and by Prefect, which looks them up for each schedule."""

import subprocess
import sys
import zoneinfo

import pytest

from deployments.servers import time_zones


def test_they_are_looked_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[str] = []

    def look() -> set[str]:
        looked.append("up")
        return {"UTC"}

    monkeypatch.setattr(zoneinfo, "available_timezones", look)
    time_zones.remember()
    assert [zoneinfo.available_timezones() for _ in range(3)] == [{"UTC"}] * 3
    assert looked == ["up"]


def test_prefect_takes_what_is_remembered() -> None:
    program = (
        "from deployments.servers import time_zones; time_zones.remember();"
        "from prefect.client.schemas.schedules import CronSchedule; import zoneinfo;"
        "[CronSchedule(cron='0 2 * * *', timezone='UTC') for _ in range(9)];"
        "print(zoneinfo.available_timezones.cache_info().misses, zoneinfo.available_timezones.cache_info().hits >= 8)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "True"]
