"""PostgreSQL's own regression tests, run against a private server for the objects that they leave behind.

Whether a test's output is the expected one does not matter here: the server may be of another version than the source.
"""

import re
import shutil
import subprocess
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from backproof import scratch
from backproof.engines.postgresql import binaries
from backproof.engines.postgresql.binaries import Installation
from backproof.errors import MissingTool
from backproof.records import Target

_VERSION = re.compile(r"^PACKAGE_VERSION='(\d+)", re.MULTILINE)
_ASSIGNED = r"^{}\s*=((?:[^\\\n]|\\\n|\\.)*)"
_SPI = ("autoinc", "refint")


@dataclass(frozen=True)
class Suite:
    """One run of pg_regress, into a database of its own."""

    name: str
    folder: Path
    arguments: tuple[str, ...]

    @property
    def database(self) -> str:
        return "regression" if self.name == "regress" else f"contrib_{self.name}"


def major_of(source: Path) -> int:
    """The major version of an unpacked source."""
    found = _VERSION.search((source / "configure").read_text())
    if found is None:
        raise SystemExit(f"{source} holds no unpacked PostgreSQL source")
    return int(found[1])


def suites(source: Path, installation: Installation) -> Iterator[Suite]:
    """The core's tests, then those of every contributed extension that the installation has."""
    regress = source / "src/test/regress"
    yield Suite("regress", regress, ("--schedule", "--max-concurrent-tests=20"))
    available = {path.stem for path in _share(installation).glob("extension/*.control")}
    for makefile in sorted([*source.glob("contrib/*/Makefile"), source / "src/pl/plpgsql/src/Makefile"]):
        text = makefile.read_text()
        tests = [name for name in _assigned(text, "REGRESS") if re.fullmatch(r"[\w-]+", name)]
        extensions = {Path(name).name.partition("--")[0] for name in _assigned(text, "EXTENSION")}
        if tests and ("plpgsql" in makefile.parts or (extensions and extensions <= available)):
            name = "plpgsql" if "plpgsql" in makefile.parts else makefile.parent.name
            loaded = [each for each in _assigned(text, "REGRESS_OPTS") if each.startswith("--load-extension")]
            yield Suite(name, makefile.parent, (*loaded, *tests))


def _assigned(makefile: str, variable: str) -> list[str]:
    found = re.search(_ASSIGNED.format(variable), makefile, re.MULTILINE)
    return found[1].replace("\\\n", " ").split() if found else []


def _share(installation: Installation) -> Path:
    return Path(_config(installation, "--sharedir"))


def _config(installation: Installation, what: str) -> str:
    # Where the programs were moved after they were built, pg_config knows where they are now.
    return subprocess.check_output([installation.bin / "pg_config", what], text=True).strip()


def build(source: Path, installation: Installation, folder: Path, headers: Path | None) -> Path:
    """Compile the C functions that the tests call; returns the folder of the libraries.

    Raises:
        MissingTool: there are no server headers.
    """
    include = headers or Path(_config(installation, "--includedir-server"))
    if not (include / "postgres.h").is_file():
        raise MissingTool(
            f"there is no postgres.h in {include}",
            f"Install postgresql-server-dev-{installation.major}, or name a folder with --headers.",
        )
    folder.mkdir(parents=True, exist_ok=True)
    wanted = {"regress": source / "src/test/regress/regress.c"}
    wanted |= {name: source / f"contrib/spi/{name}.c" for name in _SPI}
    for name, code in wanted.items():
        # utils/array.h: a source may be older than the headers, which no longer bring it along.
        flags = ["-O1", "-w", "-fPIC", "-shared", f"-I{include}", "-include", "postgres.h", "-include", "utils/array.h"]
        command = ["gcc", *flags, str(code), "-o", str(folder / f"{name}.so")]
        subprocess.run(command, check=True)
    return folder


def fill(
    suite: Suite, server: Target, installation: Installation, libraries: Path, folder: Path, without: Collection[str]
) -> str:
    """Run one suite, but for some of its tests, against the server; returns what pg_regress says in the end."""
    folder.mkdir(parents=True)
    for name in ("", "results", "sql", "expected", "testtablespace"):
        (folder / name).mkdir(exist_ok=True)
        if user := scratch.unprivileged():
            shutil.chown(folder / name, *user)
    password = server.password.get_secret_value() if server.password else ""
    command = [
        str(_pg_regress(installation)),
        f"--bindir={_psql(installation)}",
        f"--dlpath={libraries}",
        f"--inputdir={suite.folder}",
        f"--outputdir={folder}",
        f"--host={server.host}",
        f"--port={server.port}",
        f"--user={server.user}",
        f"--dbname={suite.database}",
        *_arguments(suite, folder, without),
    ]
    environment = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "PGPASSWORD": password, "HOME": str(folder)}
    ran = subprocess.run(command, env=environment, cwd=suite.folder, capture_output=True, text=True)
    (folder / "pg_regress.log").write_text(ran.stdout + ran.stderr)
    said = [
        line.strip("# ") for line in ran.stdout.splitlines() if re.search(r"tests? (passed|failed)|of \d+ tests", line)
    ]
    return said[-1] if said else f"pg_regress ended with {ran.returncode}: {ran.stderr.strip()[-200:]}"


def _arguments(suite: Suite, folder: Path, without: Collection[str]) -> Iterator[str]:
    for argument in suite.arguments:
        if argument == "--schedule":
            lines = (suite.folder / "parallel_schedule").read_text().splitlines()
            kept = [" ".join(word for word in line.split() if word not in without) for line in lines]
            (folder / "schedule").write_text("".join(f"{line}\n" for line in kept if line != "test:"))
            yield f"--schedule={folder / 'schedule'}"
        elif argument not in without:
            yield argument


def _pg_regress(installation: Installation) -> Path:
    """Of any version: it only starts psql, test by test."""
    known = [each for each in binaries.folders() if (each.bin / "pg_config").is_file()]
    programs = [Path(_config(each, "--pgxs")).parent.parent / "test/regress/pg_regress" for each in known]
    for program in programs:
        if program.is_file():
            return program
    raise MissingTool("there is no pg_regress here", f"Install postgresql-{installation.major}.")


def _psql(installation: Installation) -> Path:
    """The folder of a psql, of that version if there is one."""
    return next(each.bin for each in (installation, *binaries.folders()) if (each.bin / "psql").is_file())
