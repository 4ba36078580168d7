"""The image can't be built here; what it names must at least be there."""

import os
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "deployments" / "Dockerfile").read_text()
PACKAGES = re.findall(r"^        ([a-z0-9.+-]+) \\$", TEXT, re.M)


def test_it_copies_every_package_of_the_checkout_and_what_installs_them() -> None:
    copied = {name for line in re.findall(r"^COPY (.+) \S+$", TEXT, re.M) for name in line.split()}
    assert {"backproof", "blocks", "tasks", "flows", "deployments", "pyproject.toml", "constraints.txt"} <= copied
    assert [name for name in copied if not (ROOT / name).exists()] == []


def test_it_is_of_the_debian_whose_programs_the_tests_use_and_runs_as_nobody_special() -> None:
    assert re.search(r"^FROM python:3\.11-slim-bookworm$", TEXT, re.M)
    assert TEXT.rindex("USER backproof") > TEXT.rindex("RUN ")
    servers = {"postgresql-15", "mariadb-server-core"}
    assert servers | {"postgresql-client-15", "mariadb-client", "mariadb-backup"} <= set(PACKAGES)


def test_other_versions_of_postgresql_come_by_the_script_that_debian_brings() -> None:
    [script] = re.findall(r"^        (/\S+\.sh) -y", TEXT, re.M)
    assert os.access(script, os.X_OK)


@pytest.mark.parametrize(
    ("package", "program"),
    {
        "postgresql-15": "/usr/lib/postgresql/15/bin/postgres",
        "postgresql-client-15": "/usr/lib/postgresql/15/bin/pg_dump",
        "mariadb-server-core": "/usr/sbin/mariadbd",
        "mariadb-client": "/usr/bin/mariadb-dump",
        "mariadb-backup": "/usr/bin/mariadb-backup",
        "util-linux": "/usr/bin/setpriv",
    }.items(),
)
def test_its_packages_bring_the_programs_that_the_tests_use(package: str, program: str) -> None:
    assert package in PACKAGES
    assert Path(program).exists(), f"apt-get install --no-install-recommends {package}"
