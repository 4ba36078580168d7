"""What ``backproof kit`` writes, followed to the letter where Backproof is not: the database is back, as it was."""

import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from backproof.engines import find
from backproof.engines.mysql import binaries as mysql_binaries
from backproof.engines.postgresql import binaries as postgresql_binaries
from backproof.operations.copy import copy
from backproof.operations.prove import prove
from backproof.operations.seal import seal
from backproof.records import Target
from deployments.cli import main
from deployments.servers.seaweedfs import S3Server
from tests.support import mariadb_fixtures, postgres_fixtures, stock
from tests.support.archives import escrow_pair
from tests.support.documents import check_keys, example
from tests.support.engine_harness import MYSQL, POSTGRESQL, Harness
from tests.support.fleets import PLAN, built, described
from tests.support.pages_of_commands import blocks
from tests.support.postgres_fixtures import FreshDatabase
from tests.support.round_trip import compared, taken
from tests.support.s3_fixtures import ACCESS_KEY, BUCKET, REGIONS, SECRET_KEY

ROOT = Path(__file__).parents[2]
STOCK = ROOT / ".venv-stock"
MAJOR = 18


@dataclass(frozen=True)
class World:
    """An engine, where its database is lost, and what of it lies beside its rows."""

    harness: Harness
    script: str
    """Roles, rights and settings; to be taken away again by ``undone``."""
    undone: str
    fresh: Callable[[], AbstractContextManager[Target]]
    """A server that has nothing but an administrator."""
    programs: Callable[[], Path]
    """The folder of the stock client."""
    quoted: Callable[[str], str]
    """A password as ``server.conf`` takes it."""
    named: Callable[[str], str]
    """A database as SQL takes it."""


WORLDS = [
    World(
        POSTGRESQL,
        'CREATE ROLE kit_owner LOGIN; CREATE ROLE "Kit\'s clerk"; GRANT kit_owner TO "Kit\'s clerk";'
        'ALTER TABLE child OWNER TO kit_owner; GRANT SELECT ON parent TO "Kit\'s clerk";'
        "ALTER DATABASE {database} OWNER TO kit_owner; REVOKE CONNECT ON DATABASE {database} FROM PUBLIC;"
        'GRANT CONNECT ON DATABASE {database} TO "Kit\'s clerk";'
        "ALTER DATABASE {database} SET work_mem = '5MB'; COMMENT ON DATABASE {database} IS 'it''s the shop';"
        "ALTER ROLE kit_owner IN DATABASE {database} SET search_path = public, pg_temp",
        'DROP ROLE kit_owner, "Kit\'s clerk"',
        lambda: postgres_fixtures.server(MAJOR),
        lambda: postgresql_binaries.find("psql", MAJOR).parent,
        lambda password: password,
        lambda name: '"' + name.replace('"', '""') + '"',
    ),
    World(
        MYSQL,
        "CREATE USER kit_owner@localhost; CREATE ROLE kit_clerk; GRANT kit_clerk TO kit_owner@localhost;"
        "GRANT ALL ON {database}.* TO kit_owner@localhost; GRANT SELECT (id) ON {database}.parent TO kit_clerk;"
        "CREATE DEFINER = kit_owner@localhost PROCEDURE done() SELECT 1;"
        "GRANT EXECUTE ON PROCEDURE {database}.done TO kit_clerk",
        "DROP USER kit_owner@localhost; DROP ROLE kit_clerk",
        lambda: mariadb_fixtures.server(),
        lambda: mysql_binaries.find("client", "mariadb").parent,
        lambda password: '"' + password.replace("\\", "\\\\").replace('"', '\\"') + '"',
        lambda name: f"`{name}`",
    ),
]


@dataclass
class Kit:
    """A kit in the hands of whoever holds the escrow key."""

    world: World
    live: Target
    folder: Path
    description: dict[str, Any]
    backup: str
    answer: dict[str, Any]

    def __post_init__(self) -> None:
        """What its page asks for first is there: the tools, from the same list, and the escrow key."""
        if not (STOCK / ".ready").exists():
            pytest.fail("the stock aws-encryption-cli is not here: run make test, which installs it")
        (self.folder / "stock").symlink_to(STOCK)
        (self.folder / "escrow-private.pem").write_bytes(escrow_pair()[1])
        here = self._run("stock/bin/python -c 'import backproof'")
        assert "No module named 'backproof'" in here.stderr

    def fill_in(self, server: Target) -> None:
        """As its page asks: the new server."""
        password = server.password.get_secret_value() if server.password else ""
        conf = self.folder / "server.conf"
        text = re.sub(r"^host=.*$", lambda _: f"host={server.host}", conf.read_text(), flags=re.MULTILINE)
        text = re.sub(r"^port=.*$", f"port={server.port}", text, flags=re.MULTILINE)
        conf.write_text(text.replace("password=\n", f"password={self.world.quoted(password)}\n"))

    def follow(
        self, store: str, change: tuple[str, str] = ("", ""), until: str = "the end"
    ) -> "subprocess.CompletedProcess[str]":
        """Run every line of its page, but of the stores only one's, with nothing of ours in the environment."""
        page = blocks((self.folder / "README.md").read_text())
        assert page[0].lines.splitlines() == [
            "python3 -m venv stock",
            "stock/bin/pip install -r requirements.txt",
        ]
        others = {name for name in self.description["stores"] if name != store}
        chosen = takewhile(lambda block: block.heading != until, page[1:])
        script = "".join(block.lines for block in chosen if block.heading not in others)
        assert change[0] in script
        return self._run(script.replace(*change))

    def _run(self, script: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=self.folder,
            env={
                "PATH": f"{self.world.programs()}:/usr/bin:/bin",
                "HOME": str(self.folder),
                "LC_ALL": "C.UTF-8",
                "AWS_ACCESS_KEY_ID": ACCESS_KEY,
                "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            },
            capture_output=True,
            text=True,
            check=False,
        )


def stores(world: World, folder: Path, request: pytest.FixtureRequest) -> dict[str, Any]:
    near = {"type": "local", "path": str(folder / "the near store")}
    if world.harness is not POSTGRESQL:
        return {"near": near}
    regions: tuple[S3Server, S3Server] = request.getfixturevalue("regions")
    far = {"type": "s3", "bucket": BUCKET, "region": REGIONS[0], "prefix": f"kit-{os.getpid()}/a.b"}
    return {"near": near, "far": {**far, "endpoint_url": regions[0].endpoint_url}}


@pytest.fixture(scope="module", params=WORLDS, ids=lambda world: world.harness.engine)
def lost(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kit]:
    """A database with a proven backup and a kit."""
    world: World = request.param
    server: Target = request.getfixturevalue(world.harness.servers[-1])
    folder = tmp_path_factory.mktemp("kit")
    live = server.to(f'it\'s a "kit" $HOME {os.getpid()}')
    world.harness.run(server, f"CREATE DATABASE {world.named(live.database)}")
    try:
        world.harness.run(live, world.harness.script)
        world.harness.run(live, world.script.format(database=world.named(live.database)))
        description = described(
            live, folder, stores(world, folder, request), (ACCESS_KEY, SECRET_KEY), engine=world.harness.engine
        )
        public = folder / "escrow.pem"
        public.write_bytes(escrow_pair()[0])
        description["keys"]["main"]["escrow_public_key"] = str(public)
        fleet = built(description, folder)
        backup = seal(fleet, PLAN, "daily").manifest.id
        for other in list(description["stores"])[1:]:
            copy(fleet, PLAN, backup, "near", other)
        assert prove(fleet, PLAN, backup, "near").verdict == "passed"
        (folder / "fleet.yaml").write_text(yaml.safe_dump(description))
        answer = json.loads(run(folder, "--json", "kit", PLAN, "--to", str(folder / "kit")).stdout)
        check_no_secret(folder / "kit", description)
        yield Kit(world, live, folder / "kit", description, backup, answer)
    finally:
        built(description, folder).engine(PLAN).drop(live)
        world.harness.run(server, world.undone)


def check_no_secret(folder: Path, description: dict[str, Any]) -> None:
    database = description["databases"]["shop-db"]
    secrets = [database["password"], description["keys"]["main"]["aes256"], description["signing"]["private_key"]]
    written = "".join(path.read_text() for path in folder.rglob("*") if path.is_file())
    assert [secret for secret in [*secrets, SECRET_KEY, ACCESS_KEY, "PRIVATE KEY"] if secret in written] == []


def run(folder: Path, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["--fleet", str(folder / "fleet.yaml"), *arguments], prog_name="backproof")


def test_who_follows_the_page_has_the_database_back_on_a_new_server(lost: Kit) -> None:
    engine = find(lost.world.harness.engine)
    before = taken(engine, lost.live)
    with lost.world.fresh() as server:
        lost.fill_in(server)
        done = lost.follow(list(lost.description["stores"])[-1])
        assert done.returncode == 0, done.stderr
        assert "Verified Successfully" in done.stdout
        assert "backup.sql.gz.enc: OK" in done.stdout
        assert f"{lost.backup}.proof_" in done.stdout
        again = server.to(lost.live.database)
        assert compared(engine, before, taken(engine, again), again) == ()


def test_the_command_says_what_it_wrote_and_overwrites_nothing(lost: Kit) -> None:
    check_keys(lost.answer, example("kit"))
    made = lost.answer["kit"]
    assert (made["backup"], made["plan"]) == (lost.backup, PLAN)
    assert (lost.folder / "requirements.txt").read_text() == (ROOT / "constraints-stock.txt").read_text()
    again = run(lost.folder.parent, "--json", "kit", PLAN, "--to", str(lost.folder))
    assert json.loads(again.stdout)["error"]["kind"] == "AlreadyExists"


def test_a_database_without_the_schema_public_is_made_without_it(
    postgres18: Target, fresh_database: FreshDatabase, tmp_path: Path
) -> None:
    live = fresh_database(postgres18, "DROP SCHEMA public; CREATE SCHEMA other", name='with "quotes" and it\'s')
    manifest = taken(find("postgresql"), live).manifest
    again = postgres18.to('another "one" it\'s')
    by_hand = find("postgresql").by_hand(again, manifest)
    (tmp_path / "create.sql").write_text(by_hand.files["create.sql"])
    [line] = [line for line in by_hand.restore.splitlines() if "DROP SCHEMA" in line]
    words = shlex.split(line)
    try:
        made = stock.psql(postgres18, "-v", "ON_ERROR_STOP=1", "-f", tmp_path / "create.sql")
        assert made.returncode == 0, made.stderr
        dropped = stock.psql(postgres18, *words[1:])  # the last --dbname counts
        assert dropped.returncode == 0, dropped.stderr
        schemas = "SELECT nspname::text FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'"
        assert postgres_fixtures.execute(again, schemas) == []
    finally:
        find("postgresql").drop(again)


def flip(path: Path) -> None:
    path.chmod(0o600)
    changed = bytearray(path.read_bytes())
    changed[len(changed) // 2] ^= 1
    path.write_bytes(changed)


@pytest.mark.parametrize(
    ("suffix", "said"), [("manifest.json", "Verification Failure"), ("sql.gz.enc", "backup.sql.gz.enc: FAILED")]
)
def test_who_follows_the_page_is_told_of_a_changed_copy(lost: Kit, tmp_path: Path, suffix: str, said: str) -> None:
    near = Path(lost.description["stores"]["near"]["path"])
    shutil.copytree(near, tmp_path / "changed")
    [changed] = (tmp_path / "changed").rglob(f"*.{suffix}")
    flip(changed)
    done = lost.follow("near", (str(near), str(tmp_path / "changed")), until="6. Open it")
    assert done.returncode != 0
    assert said in done.stdout + done.stderr


def test_a_plan_whose_backups_no_escrow_key_opens_is_told_what_to_do(lost: Kit, tmp_path: Path) -> None:
    description = json.loads(json.dumps(lost.description))
    del description["keys"]["main"]["escrow_public_key"]
    description["stores"] = {"near": {"type": "local", "path": str(tmp_path / "near")}}
    description["plans"][PLAN]["stores"] = ["near"]
    seal(built(description, tmp_path), PLAN, "manual")
    (tmp_path / "fleet.yaml").write_text(yaml.safe_dump(description))
    refused = run(tmp_path, "kit", PLAN, "--to", str(tmp_path / "kit"))
    assert refused.exit_code == 1
    assert "backproof keys escrow" in refused.stderr
    assert not (tmp_path / "kit").exists()


def test_a_plan_that_encrypts_nothing_has_a_page_without_keys(lost: Kit, tmp_path: Path) -> None:
    description = json.loads(json.dumps(lost.description))
    description["stores"] = {"near": {"type": "local", "path": str(tmp_path / "near")}}
    description["plans"][PLAN] = {"database": "shop-db", "stores": ["near"], "encryption": "none"}
    seal(built(description, tmp_path), PLAN, "manual")
    (tmp_path / "fleet.yaml").write_text(yaml.safe_dump(description))
    assert run(tmp_path, "kit", PLAN, "--to", str(tmp_path / "kit")).exit_code == 0
    plain = replace(lost, folder=tmp_path / "kit", description=description)
    page = (plain.folder / "README.md").read_text()
    assert "escrow" not in page
    done = plain.follow("near", until="7. Restore it")
    assert done.returncode == 0, done.stderr
