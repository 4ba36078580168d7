"""A proof that can't be had is never a pass: damaged copies end ``failed``, what can't be run ``could-not-run``."""

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from secrets import token_hex
from typing import Any

import pytest

from backproof import catalog
from backproof.archive.manifest import archive_name
from backproof.engines.mysql import binaries as mysql_binaries
from backproof.engines.postgresql import binaries
from backproof.errors import Damaged, NotFound, Transient
from backproof.fleet import Fleet
from backproof.naming import MANIFEST, key
from backproof.operations.prove import prove
from backproof.records import Manifest, Proof
from tests.support.aftermath import Holdings
from tests.support.fault_fixtures import Past, Shop, both_kinds
from tests.support.fleets import PLAN, built
from tests.support.fleets import key as fresh_key
from tests.support.kinds import Kind
from tests.support.proc import comm, running

Change = Callable[[bytes], bytes]


class Copy:
    """The past's backup in a store of the test's own, to be spoilt."""

    def __init__(self, past: Past, folder: Path) -> None:
        shutil.copytree(past.near, folder / "near", symlinks=True)
        for proof in (folder / "near").rglob("*.proof_*"):
            proof.unlink()
        self.folder = folder
        self.description: dict[str, Any] = {
            **past.description,
            "stores": {"near": {"type": "local", "path": str(folder / "near")}},
        }
        self.fleet = built(self.description, folder)
        self.manifest, _ = catalog.manifest(self.fleet, PLAN)

    @property
    def archive(self) -> Path:
        return Path(self.fleet.store("near").location(key(archive_name(self.manifest))))

    def rewrite(self, change: Change) -> None:
        content = self.archive.read_bytes()
        changed = change(content)
        assert changed != content
        self.archive.write_bytes(changed)

    def resign(self, **changes: Any) -> Manifest:
        """Another manifest in the place of this one, signed by the fleet's own key."""
        forged = self.manifest.model_copy(update=changes)
        place, name = self.fleet.store("near"), key(archive_name(self.manifest).with_part(MANIFEST))
        place.delete(name)
        place.put(name, [self.fleet.signer.sign(forged)])
        return forged

    def prove(self, fleet: Fleet | None = None) -> Proof:
        """Its proof, which never counts as a pass: neither what is returned nor what lies in the store."""
        fleet = fleet or self.fleet
        proof = prove(fleet, PLAN, self.manifest.id, "near")
        assert proof.verdict != "passed"
        (backup,) = catalog.backups(fleet, PLAN)
        assert backup.proven_at is None
        ((_, verdict),) = backup.copies[0].proofs
        assert verdict == proof.verdict
        assert proof.reason
        return proof


@pytest.fixture
def copy(past: Past, tmp_path: Path) -> Copy:
    return Copy(past, tmp_path)


def flipped(at: float) -> Change:
    def flip(content: bytes) -> bytes:
        place = min(int(at * len(content)), len(content) - 1)
        return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]

    return flip


SPOILT: dict[str, Change] = {
    **{f"a bit flipped at {at:.0%}": flipped(at) for at in (0, 0.01, 0.05, 0.2, 0.4, 0.6, 0.8, 0.95, 0.99, 1)},
    "its last byte cut": lambda content: content[:-1],
    "half of it cut": lambda content: content[: len(content) // 2],
    "all of it cut": lambda _: b"",
    "a byte more": lambda content: content + b"\0",
    "itself again": lambda content: content * 2,
    "zeros in the middle": lambda content: content[:1000] + bytes(500) + content[1500:],
    "two parts swapped": lambda content: content[:1000] + content[1500:2000] + content[1000:1500] + content[2000:],
}


@pytest.mark.parametrize("how", SPOILT)
def test_a_copy_that_is_not_what_was_written_ends_failed(copy: Copy, how: str) -> None:
    copy.rewrite(SPOILT[how])
    proof = copy.prove()
    assert proof.verdict == "failed", proof.reason
    assert proof.differences == ()


def test_an_archive_that_is_gone_could_not_be_proven(copy: Copy) -> None:
    copy.archive.unlink()
    proof = copy.prove()
    assert proof.verdict == "could-not-run"
    assert "is missing" in proof.reason


def test_an_archive_whose_parts_are_right_and_the_whole_is_not_ends_failed(copy: Copy) -> None:
    copy.resign(stored_sha256="0" * 64)  # a copy or an export would refuse it
    proof = copy.prove()
    assert proof.verdict == "failed", proof.reason


@pytest.mark.parametrize("how", ["changed", "cut", "empty", "signed by another"])
def test_a_manifest_that_is_not_what_was_signed_is_an_error_and_no_verdict(copy: Copy, how: str) -> None:
    path = Path(copy.fleet.store("near").location(key(archive_name(copy.manifest).with_part(MANIFEST))))
    content = path.read_bytes()
    fleet = copy.fleet
    if how == "signed by another":
        fleet = built({**copy.description, "signing": {"private_key": fresh_key()}}, copy.folder)
    else:
        path.write_bytes({"changed": content.replace(b"orders", b"0rders"), "cut": content[:-9], "empty": b""}[how])
    with pytest.raises(Damaged):
        prove(fleet, PLAN, copy.manifest.id, "near")
    assert catalog.backups(fleet, PLAN)[0].copies[0].proofs == ()


def test_a_backup_that_is_not_in_the_store_is_not_found(copy: Copy) -> None:
    with pytest.raises(NotFound):
        prove(copy.fleet, PLAN, "backup_1999-01-01_000000", "near")


@both_kinds
@pytest.mark.parametrize("key_ring", ["another key", "no key"])
def test_without_the_right_key_a_proof_could_not_run(copy: Copy, key_ring: str) -> None:
    description = {**copy.description, "keys": {"main": {"aes256": fresh_key()}}}
    if key_ring == "no key":
        plan = {name: value for name, value in description["plans"][PLAN].items() if name != "key"}
        description["plans"] = {PLAN: {**plan, "encryption": "none"}}
    fleet = built(description, copy.folder)
    proof = copy.prove(fleet)
    assert (proof.verdict, proof.proven_on) == ("could-not-run", None)
    assert "key" in proof.reason


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"server": {"extensions": {"postgis": "3.4"}}}, "extension postgis"),
        ({"server_version": "99.1"}, "PostgreSQL 99"),
        ({"settings": {"collate": "tlh_QO.UTF-8"}}, "tlh_QO.UTF-8"),
        ({"live_bytes": 10**15}, "GB"),
    ],
    ids=["extension", "major version", "locale", "room"],
)
def test_what_this_machine_lacks_is_named_with_its_remedy(copy: Copy, changes: dict[str, Any], said: str) -> None:
    database = copy.manifest.database
    for name, value in changes.items():
        merged = {**getattr(database, name), **value} if isinstance(value, dict) else value
        database = database.model_copy(update={name: merged})
    copy.resign(database=database)
    proof = copy.prove()
    assert proof.verdict == "could-not-run", proof.reason
    assert said in proof.reason
    assert any(word in proof.reason for word in ("Install", "verify_on", "Make room")), "no remedy"


@both_kinds
def test_a_machine_without_a_database_server_could_not_run_it(
    kind: Kind, copy: Copy, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(binaries, "DEBIAN", tmp_path / "no-debian")
    monkeypatch.setattr(binaries, "_WHEEL", "no_such_wheel")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(mysql_binaries, "DIRECTORIES", ())
    proof = copy.prove()
    assert proof.verdict == "could-not-run"
    assert {"postgresql": "postgresql-18", "mariadb": "mariadb-server"}[kind.engine] in proof.reason


def test_a_scratch_folder_that_nobody_may_write_to_could_not_run_it(copy: Copy, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    copy.description["scratch_folder"] = str(tmp_path / "file" / "below")
    proof = copy.prove(built(copy.description, copy.folder))
    assert proof.verdict == "could-not-run"
    assert "scratch" in proof.reason or str(tmp_path) in proof.reason


@both_kinds
@pytest.mark.parametrize("who", ["daemon", "tool"])
def test_a_scratch_server_or_tool_that_dies_gives_no_verdict_on_the_backup(
    shop: Shop, who: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    victim = getattr(shop.kind, who)
    backup = shop.seal().manifest.id
    token = f"LC_BACKPROOF_TEST={token_hex(8)}"
    monkeypatch.setenv(*token.split("="))
    killed: list[int] = []

    def kill(_: int) -> None:
        if not killed and (found := [pid for pid in running(token) if comm(pid) == victim]):
            killed.append(min(found))  # the server's own process, not one of its children
            os.kill(killed[0], signal.SIGKILL)

    before = Holdings.of(shop.fleet, PLAN)
    try:
        proof = prove(shop.fleet, PLAN, backup, "near", progress=kill)
    except Transient:
        before.expect_nothing_new(shop.fleet, PLAN)
    else:
        assert proof.verdict == "could-not-run", proof.reason
    assert killed
    assert running(token) == []
    monkeypatch.delenv(token.split("=")[0])
    assert prove(shop.fleet, PLAN, backup, "near").verdict == "passed"
