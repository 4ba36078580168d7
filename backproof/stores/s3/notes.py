"""Notes on this machine of uploads under way: S3 itself can't tell whether who began an upload lives.

A note is a workspace (``backproof.scratch``), so its name says whose it is; in it lies which upload it stands for. It
is written before S3 is asked to begin, and so has no upload's id at first: a writer killed just then leaves one too.
"""

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from backproof import scratch
from backproof.errors import Permanent

_FILE = "upload.json"


@dataclass(frozen=True, slots=True)
class Note:
    """One upload under way, or left by a dead writer."""

    folder: Path
    endpoint: str
    bucket: str
    key: str
    upload_id: str | None
    """None while S3 has not answered yet."""
    begun: datetime
    alive: bool | None = True
    """Whether its writer is; None where that can't be looked up."""

    def write(self, upload_id: str | None) -> None:
        """Say what is known, in one step: what lies there is always whole."""
        names = {"endpoint": self.endpoint, "bucket": self.bucket, "key": self.key, "upload_id": upload_id}
        with suppress(OSError):  # see ``begin``
            unfinished = self.folder / f"{_FILE}.new"
            unfinished.write_text(json.dumps(names | {"begun": self.begun.isoformat()}))
            unfinished.rename(self.folder / _FILE)

    def settle(self) -> None:
        """The upload has ended, one way or the other."""
        scratch.remove_workspace(self.folder)


def begin(endpoint: str, bucket: str, key: str) -> Note | None:
    """Note that an upload is about to begin; None where that can't be written down.

    A full disk for temporary things must not cost a backup: an upload without a note is swept when it is old.
    """
    try:
        folder = scratch.make_workspace(scratch.UPLOAD)
    except Permanent:
        return None
    note = Note(folder, endpoint, bucket, key, None, datetime.now(UTC))
    note.write(None)
    return note


def found(endpoint: str, bucket: str, prefix: str) -> Iterator[Note]:
    """The notes about one store, of the living and the dead; what a dead writer left before it began is removed."""
    for folder, alive in scratch.workspaces(scratch.UPLOAD):
        note = _read(folder, alive)
        if note is None and alive is False:
            scratch.remove_workspace(folder)
        if note and (note.endpoint, note.bucket) == (endpoint, bucket) and note.key.startswith(prefix):
            yield note


def _read(folder: Path, alive: bool | None) -> Note | None:
    try:
        said = json.loads((folder / _FILE).read_bytes())
        begun = datetime.fromisoformat(said["begun"])
        return Note(folder, said["endpoint"], said["bucket"], said["key"], said["upload_id"], begun, alive)
    except (OSError, ValueError, KeyError, TypeError):
        return None
