"""Validly sealed and signed archives that lie: what the manifest pins is the real dump, what they hold is another.

Such an archive passes every check of bytes, keys and signatures. Only a restoration that is dumped again shows it.
"""

import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from backproof import catalog
from backproof.archive.manifest import archive_name
from backproof.archive.writer import ArchiveWriter
from backproof.engines import Piece
from backproof.fleet import Fleet
from backproof.naming import MANIFEST, key
from backproof.records import Manifest, Member
from tests.support.fleets import built

Alter = Callable[[Member, bytes], bytes]


def forge(fleet: Fleet, plan: str, store: str, alter: Alter, altered_at_least: int = 1) -> Manifest:
    """Replace the newest backup of a store by one whose members were altered; everything is sealed and signed anew."""
    manifest, _ = catalog.manifest(fleet, plan, "latest", store)
    archive = catalog.open_archive(fleet, manifest, store)
    changed = 0

    def pieces() -> Iterator[Piece]:
        nonlocal changed
        for member in manifest.members[:-1]:  # the last one counts the members, and is written anew
            plain = archive.read(member)
            altered = alter(member, plain)
            changed += altered != plain
            # As body of no table: the digests of the tables stay those of the real dump.
            yield Piece(member.section, None, (), 0, altered, b"", b"")

    writer = ArchiveWriter(fleet.ring(plan), {"plan": plan, "backup": manifest.id, "kind": manifest.kind})
    with closing(writer.write(pieces())) as chunks:  # type: ignore[type-var]
        stored = b"".join(chunks)
    assert changed >= altered_at_least, "the forger altered nothing: the test would prove nothing"
    contents = writer.contents
    members = [
        new.model_copy(update={"table": old.table, "rows": _rows(old, archive.read(old), alter)})
        for new, old in zip(contents.members, manifest.members, strict=True)
    ]
    forged = manifest.model_copy(
        update={
            "stored_bytes": contents.stored_bytes,
            "stored_sha256": contents.stored_sha256,
            "gzip_bytes": contents.gzip_bytes,
            "plain_bytes": contents.plain_bytes,
            "encryption": contents.encryption,
            "members": tuple(members),
            "tables": tuple(
                table.model_copy(update={"rows": sum(member.rows for member in members if member.table == table.name)})
                for table in manifest.tables
            ),
        }
    )
    place = fleet.store(store)
    for name, content in (
        (archive_name(manifest), stored),
        (archive_name(manifest).with_part(MANIFEST), fleet.signer.sign(forged)),
    ):
        place.delete(key(name))
        place.put(key(name), [content])
    return forged


def copied(description: dict[str, Any], folder: Path) -> Fleet:
    """The same fleet with a store of its own: a copy of the true one."""
    true = description["stores"]["near"]["path"]
    shutil.copytree(true, folder / "near", symlinks=True)
    return built({**description, "stores": {"near": {"type": "local", "path": str(folder / "near")}}}, folder)


def replacing(old: bytes, new: bytes, table: str | None = None) -> Alter:
    """In the members of a table, or in those that belong to none."""
    return lambda member, plain: plain.replace(old, new) if member.table == table else plain


def without(pattern: bytes) -> Alter:
    """In the definitions, without the statements that match."""
    compiled = re.compile(pattern, re.DOTALL | re.MULTILINE)
    return lambda member, plain: compiled.sub(b"", plain) if member.table is None else plain


def _rows(member: Member, plain: bytes, alter: Alter) -> int:
    """A liar keeps its own books straight: each member brings as many rows as it says, and the sums are right."""
    if member.table is None:
        return member.rows
    return member.rows + alter(member, plain).count(b"\n") - plain.count(b"\n")
