"""Stock tools and the escrow key alone open an archive, by the commands of docs/stock/README.md."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from backproof.archive.encryption import KeyRing
from tests.support.archives import KEY, SHOP, Archive, escrow_pair, make, sql

ROOT = Path(__file__).parents[2]
STOCK = ROOT / ".venv-stock"


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    """In a folder as the README assumes it: the archive, the escrow key, the tool, the plugin."""
    if not (STOCK / ".ready").exists():
        pytest.fail("the stock aws-encryption-cli is not here: run make test, which installs it")
    public, private = escrow_pair()
    pieces = [*SHOP[:-1], sql("finish", os.urandom(1_500_000).hex().encode()), SHOP[-1]]
    archive = make(pieces, KeyRing(KEY, escrow_public=public))
    (tmp_path / "backup.sql.gz.enc").write_bytes(archive.stored)
    (tmp_path / "escrow-private.pem").write_bytes(private)
    (tmp_path / "stock").symlink_to(STOCK)
    (tmp_path / "docs").symlink_to(ROOT / "docs")
    return archive


def follow_the_readme(folder: Path, change: tuple[str, str] = ("", "")) -> subprocess.CompletedProcess[str]:
    """Run its commands but for the installation, with nothing of ours in the environment."""
    text = (ROOT / "docs/stock/README.md").read_text()
    block = re.search(r"```sh\n(python3 -m venv stock\n.*?)```", text, re.DOTALL)
    assert block
    installing, pip, *commands = block[1].splitlines()
    assert (installing.split()[0], pip.split()[0]) == ("python3", "stock/bin/pip")
    script = "\n".join(commands)
    assert change[0] in script
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script.replace(*change)],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_escrow_key_alone_opens_an_archive_with_the_stock_tool(archive: Archive, tmp_path: Path) -> None:
    done = follow_the_readme(tmp_path)
    assert done.returncode == 0, done.stderr
    opened = (tmp_path / "backup.sql.gz").read_bytes()
    assert opened == b"".join(archive.reader().gzip())
    unpacked = subprocess.run(["gzip", "-dc", "backup.sql.gz"], cwd=tmp_path, capture_output=True, check=True)
    assert unpacked.stdout == b"".join(archive.reader().plain())


def test_the_stock_tool_refuses_the_archive_of_another_plan(archive: Archive, tmp_path: Path) -> None:
    done = follow_the_readme(tmp_path, ("plan=shop", "plan=crm"))
    assert "did not match" in done.stderr
    assert not (tmp_path / "backup.sql.gz").exists()


def test_the_stock_tool_refuses_a_changed_archive(archive: Archive, tmp_path: Path) -> None:
    changed = bytearray(archive.stored)
    changed[len(changed) // 2] ^= 1
    (tmp_path / "backup.sql.gz.enc").write_bytes(changed)
    assert follow_the_readme(tmp_path).returncode != 0
    assert not (tmp_path / "backup.sql.gz").exists()
