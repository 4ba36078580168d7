"""Programs are what they say they are, and the one that fits best is taken."""

from pathlib import Path

import pytest

from backproof.engines.mysql import binaries
from backproof.engines.mysql.binaries import Flavour, Role, find, flavour_of, programs, remedy, series
from backproof.engines.mysql.system_tables import FULL, reasons
from backproof.errors import MissingTool

SAID = {
    "mariadb-dump": "mariadb-dump  Ver 10.19 Distrib {}-MariaDB, for debian-linux-gnu (x86_64)",
    "mariadbd": "mariadbd  Ver {}-MariaDB-0+deb12u1 for debian-linux-gnu on x86_64 (Debian 12)",
}
ELEVEN = "mariadb-dump from {}-MariaDB, client 10.19 for Linux (x86_64)"
MYSQLD = "/usr/sbin/mysqld  Ver {} for Linux on x86_64 (MySQL Community Server - GPL)"
PERCONA = "mysqldump  Ver {}-27 for Linux on x86_64 (Percona Server (GPL), Release '27')"
OLD_MYSQL = "mysqldump  Ver 10.13 Distrib {}, for Linux (x86_64)"


@pytest.fixture(autouse=True)
def nothing_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binaries, "DIRECTORIES", ())
    monkeypatch.setenv("PATH", "/nowhere")


def program(folder: Path, name: str, version: str, said: str | None = None) -> Path:
    """One that says no more than its version."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(f'#!/bin/sh\necho "{(said or SAID[name]).format(version)}"\n')
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("name", "said", "version", "flavour", "role"),
    [
        ("mariadb-dump", None, "10.11.6", "mariadb", "dump"),
        ("mariadbd", None, "10.11.6", "mariadb", "server"),
        ("mariadb-dump", ELEVEN, "11.4.2", "mariadb", "dump"),
        ("mysqldump", ELEVEN, "11.8.1", "mariadb", "dump"),
        ("mysqld", SAID["mariadbd"], "10.6.16", "mariadb", "server"),
        ("mysqld", MYSQLD, "8.0.36", "mysql", "server"),
        ("mysqldump", PERCONA, "8.4.0", "mysql", "dump"),
        ("mysqldump", OLD_MYSQL, "5.7.44", "mysql", "dump"),
    ],
)
def test_a_program_is_what_it_says_it_is(
    tmp_path: Path, name: str, said: str | None, version: str, flavour: Flavour, role: Role
) -> None:
    path = program(tmp_path, name, version, said)
    assert programs(role, flavour, [tmp_path]) == [(path, flavour, version)]
    assert programs(role, "mysql" if flavour == "mariadb" else "mariadb", [tmp_path]) == []


@pytest.mark.parametrize(
    ("wanted", "dump", "server"),
    [
        ("10.6.9-MariaDB", "10.6.16", "10.6.16"),
        ("10.11.6-MariaDB-log", "10.11.6", "10.11.6"),
        ("10.3.1", "10.6.16", "10.6.16"),
        ("10.8", "10.11.6", "10.11.6"),
        ("11.4.2-MariaDB", "10.11.6", None),
        (None, "10.11.6", "10.11.6"),
    ],
)
def test_the_same_series_comes_first_then_the_next_newer_then_for_clients_the_newest(
    tmp_path: Path, wanted: str | None, dump: str, server: str | None
) -> None:
    folders = [tmp_path / "10.6.16", tmp_path / "10.11.6"]
    for folder in folders:
        for name in SAID:
            program(folder, name, folder.name)
    assert find("dump", "mariadb", wanted, folders).parent.name == dump
    if server:
        assert find("server", "mariadb", wanted, folders).parent.name == server
    else:
        with pytest.raises(
            MissingTool, match=r"no mariadbd of MariaDB 11\.4 or newer here; found: 10\.6\.16, 10\.11\.6\. "
        ):
            find("server", "mariadb", wanted, folders)


def test_of_two_alike_the_plans_own_is_taken_also_below_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(program(tmp_path / "path", "mariadb-dump", "10.11.9").parent))
    ours = program(tmp_path / "ours" / "bin", "mariadb-dump", "10.11.2")
    assert find("dump", "mariadb", "10.11", [tmp_path / "none", tmp_path / "ours"]) == ours
    assert find("dump", "mariadb", "10.11") == tmp_path / "path" / "mariadb-dump"


def test_what_is_broken_or_no_program_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "a" / "mariadb-dump").mkdir(parents=True)
    program(tmp_path / "b", "mariadb-dump", "10.11.6").write_text("#!/bin/sh\nexit 1\n")
    program(tmp_path / "c", "mariadb-dump", "10.11.6").chmod(0o644)
    program(tmp_path / "d", "mariadb-dump", "none")
    (tmp_path / "e").write_text("a file")
    assert programs("dump", "mariadb", [tmp_path / name for name in "abcde"]) == []


def test_a_program_that_was_replaced_is_asked_again(tmp_path: Path) -> None:
    program(tmp_path, "mariadb-dump", "10.11.6")
    assert programs("dump", "mariadb", [tmp_path])[0].version == "10.11.6"
    program(tmp_path, "mariadb-dump", "11.4.1", ELEVEN)
    assert programs("dump", "mariadb", [tmp_path])[0].series == (11, 4)


def test_a_remedy_names_a_package_that_starts_no_server() -> None:
    assert "'apt-get install --no-install-recommends mariadb-client'" in remedy("dump", "mariadb")
    assert "'apt-get install --no-install-recommends mariadb-server-core'" in remedy("server", "mariadb")
    assert "mysql-community-server-core" in remedy("server", "mysql")


@pytest.mark.parametrize(
    ("version", "flavour", "numbers"),
    [
        ("10.11.6-MariaDB-0+deb12u1-log", "mariadb", (10, 11)),
        ("5.5.5-10.6.12-MariaDB", "mariadb", (10, 6)),
        ("11.4.2-mariadb-enterprise", "mariadb", (11, 4)),
        ("8.0.36", "mysql", (8, 0)),
        ("5.7.44-48-log", "mysql", (5, 7)),
    ],
)
def test_a_servers_own_version_tells_its_flavour_and_series(
    version: str, flavour: Flavour, numbers: tuple[int, int]
) -> None:
    assert flavour_of(version) == flavour
    assert series(version) == numbers


def test_what_is_no_version_has_no_series() -> None:
    with pytest.raises(ValueError, match="'unknown' is no version"):
        series("unknown")


def test_the_reasons_of_a_server_are_its_errors_else_its_last_words() -> None:
    log = (
        "2026-11-26  9:55:27 0 [Note] Starting MariaDB 10.11\n"
        "2026-11-26  9:55:27 0 [ERROR] Can't start server: Bind on TCP/IP port. Got error: 98: Address already in use\n"
        "2026-11-26  9:55:27 0 [ERROR] Aborting\n"
    )
    assert reasons(log) == "[ERROR] Can't start server: Bind on TCP/IP port. Got error: 98: Address already in use"
    assert reasons("2024-05-01T10:00:00.123456Z 0 [ERROR] [MY-010119] [Server] Aborting\n") != ""
    assert reasons("mariadbd: cannot load\n") == "mariadbd: cannot load"
    assert reasons("") == ""


@pytest.mark.parametrize(
    ("line", "full"),
    [
        ("InnoDB: preallocating 92274688 bytes for file ./d/a.ibd failed with error 28", True),
        ("InnoDB: Error number 28 means 'No space left on device'", True),
        ("Disk is full writing './d/a.MYD' (Errcode: 28 \"No space left on device\"). Waiting", True),
        ("Error writing file '/tmp/x' (errno: 28)", True),
        ("Got error 280 from storage engine", False),
        ("Aborted connection 28", False),
    ],
)
def test_a_full_disk_is_known_by_what_a_server_says(line: str, full: bool) -> None:
    assert bool(FULL.search(line)) is full


@pytest.mark.parametrize(
    ("flavour", "version", "safe"),
    [
        ("mariadb", "10.11.7", "10.11.8"),
        ("mariadb", "10.11.8", ""),
        ("mariadb", "10.9.8", "10.11.8"),
        ("mariadb", "5.5.68", "10.4.34"),
        ("mariadb", "11.4.1", "11.4.2"),
        ("mariadb", "11.3.2", "11.4.2"),
        ("mariadb", "11.8.1", ""),
        ("mariadb", "12.0.2", ""),
        ("mysql", "8.0.36", "8.0.37"),
        ("mysql", "8.0.37", ""),
        ("mysql", "8.3.0", "8.4.0"),
        ("mysql", "8.4.0", ""),
        ("mysql", "9.1.0", ""),
    ],
)
def test_a_dump_tool_with_a_known_hole_is_named_with_the_first_version_that_has_none(
    flavour: binaries.Flavour, version: str, safe: str
) -> None:
    hole = binaries.hole(binaries.Program(Path("/usr/bin/dump"), flavour, version))
    assert hole.startswith(f"before {safe} ") if safe else hole == ""
    assert ("CVE-2024-21096" in hole) is bool(safe)
