"""Encrypting an archive and opening it again: the message format with our keys and our context.

The context ``{plan, backup, kind}`` is bound into every archive: it stands in the header in clear, and an archive put
in the place of another is refused by it.
"""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from backproof.archive.keys import KeyRing, key_name
from backproof.archive.message import Cipher, Header, Layout, Take, read_header
from backproof.archive.wrapping import DATA_KEY_BYTES
from backproof.errors import Damaged
from backproof.records import Encryption, Manifest

__all__ = ["FRAME_BYTES", "KeyRing", "Opened", "Sealer", "context_of"]

FRAME_BYTES = 64 * 1024
"""AES-GCM is about as fast with larger ones; a member that is read by range costs half of one too much at each end."""


def context_of(manifest: Manifest) -> dict[str, str]:
    """What a manifest's archive is bound to."""
    return {"plan": manifest.plan, "backup": manifest.id, "kind": manifest.kind}


class Sealer:
    """Encrypts one stream into one message.

    Args:
        ring: its current key, and its escrow key where it has one, will open the message.
        context: what the message is bound to.
        frame_bytes: plain bytes of a frame.
    """

    def __init__(self, ring: KeyRing, context: dict[str, str], frame_bytes: int = FRAME_BYTES) -> None:
        data_key = os.urandom(DATA_KEY_BYTES)
        message_id = os.urandom(32)
        self._cipher = Cipher(data_key, message_id)
        keys = ring.wrap(data_key, context)
        self._header = Header(message_id, context, keys, frame_bytes, self._cipher.commitment)
        self._used = False

    @property
    def encryption(self) -> Encryption:
        """For the manifest."""
        names = [key_name(key) for key in self._header.data_keys]
        return Encryption(
            frame_bytes=self._header.frame_bytes,
            key_fingerprint=names[0],
            escrow_fingerprint=names[1] if len(names) > 1 else None,
        )

    def seal(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """The message: its header, then frame by frame."""
        if self._used:
            # Two streams under one data key and the same IVs would give both away.
            raise ValueError("a sealer seals one stream")
        self._used = True
        yield self._header.written() + self._cipher.tag(self._header)
        for index, (plain, final) in enumerate(_frames(chunks, self._header.frame_bytes)):
            yield self._cipher.seal(index, plain, final)


def _frames(chunks: Iterable[bytes], size: int) -> Iterator[tuple[bytes | memoryview, bool]]:
    """Cut into frames; the last one is told apart, and is empty only when everything is."""
    held: list[memoryview] = []
    length = 0
    for chunk in chunks:
        rest = memoryview(chunk)
        # A frame goes out only once something follows it: the last one must be known as such.
        while length + len(rest) > size:
            cut = size - length
            yield b"".join((*held, rest[:cut])) if held else rest[:cut], False
            held, length, rest = [], 0, rest[cut:]
        if rest:
            held.append(rest)
            length += len(rest)
    yield b"".join(held), True


@dataclass(frozen=True, slots=True)
class Opened:
    """A message whose header was read and authenticated. Its frames open in any order, from any thread."""

    header: Header
    layout: Layout
    _cipher: Cipher

    @classmethod
    def read(cls, take: Take, stored_bytes: int, ring: KeyRing, manifest: Manifest | None = None) -> "Opened":
        """Read a header and open it.

        Args:
            take: gives the message's bytes from its start on.
            stored_bytes: how long the message is as a whole.
            ring: the keys to try.
            manifest: of the archive it must be; None takes any message.

        Raises:
            WrongKey: no key of the ring opens it.
            Damaged: it was changed, it has no such length, or it is another backup's.
            BackproofError: KMS refuses, or can't be reached, and nothing else opens it.
        """
        header, tag = read_header(take)
        # Before the keys are tried: an archive of another plan shall be told as that, not as a wrong key.
        if manifest is not None:
            _check_context(header.context, context_of(manifest))
            _check_facts(header, manifest)
        cipher = Cipher(ring.unwrap(header.data_keys, header.context), header.message_id)
        cipher.check(header, tag)
        layout = Layout.of(len(header.written()) + len(tag), header.frame_bytes, stored_bytes)
        if manifest is not None and layout.plain_bytes != manifest.gzip_bytes:
            raise _contradicts_manifest()
        return cls(header, layout, cipher)

    def frame(self, index: int, stored: memoryview) -> bytes:
        """One frame's plain bytes.

        Raises:
            Damaged: it is not this message's frame of this index.
        """
        return self._cipher.open(index, stored, index == self.layout.last)

    def frames(self, take: Take) -> Iterator[bytes]:
        """All frames' plain bytes, taken in order right after the header."""
        for index in range(self.layout.last + 1):
            yield self.frame(index, take(self.layout.length(index)))


def _check_context(found: dict[str, str], expected: dict[str, str]) -> None:
    if found == expected:
        return
    told = {part: found.get(part, "?") for part in ("backup", "plan", "kind")}
    raise Damaged(
        "the file holds {backup} of plan {plan} ({kind})".format(**told)
        + ", not {backup} of plan {plan} ({kind})".format(**expected),
        "It lies in the wrong place: use another copy of this backup.",
    )


def _check_facts(header: Header, manifest: Manifest) -> None:
    if manifest.encryption is None:
        raise _contradicts_manifest()
    names = manifest.encryption.key_fingerprint, manifest.encryption.escrow_fingerprint
    said = [name for name in names if name is not None]
    if header.frame_bytes != manifest.encryption.frame_bytes or [key_name(key) for key in header.data_keys] != said:
        raise _contradicts_manifest()


def _contradicts_manifest() -> Damaged:
    return Damaged("the archive's header is not the one its manifest tells of", "Use another copy of this backup.")
