"""The AWS Encryption SDK message format, version 2, as far as Backproof writes it.

One suite: AES-256-GCM, the key derived by HKDF-SHA512 with key commitment, no signature (``0x0478``), framed. Ours
rather than the SDK's own code, which costs 0.7 s of import and encrypts an eighth as fast; ``tests/unit`` holds it to
the SDK both ways.

::

    version 02 | suite 0478 | message id (32) | context | encrypted data keys | 02 | frame length (4) | commitment (32)
    header tag (16)
    frame:        sequence number (4)                       | IV (12) | ciphertext | tag (16)
    final frame:  FFFFFFFF | sequence number (4) | IV (12) | length (4) | ciphertext | tag (16)

Integers are big-endian, sequence numbers begin at 1, and an IV is its frame's sequence number. Every frame but the
last has the same length, so where a frame lies is arithmetic: see ``Layout``.
"""

import hmac
import struct
from collections.abc import Callable
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA512
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from backproof.errors import Damaged

_START = b"\x02\x04\x78"
_FRAMED = b"\x02"
_FINAL = b"\xff\xff\xff\xff"
_FRAME_LABEL = b"AWSKMSEncryptionClient Frame"
_FINAL_LABEL = b"AWSKMSEncryptionClient Final Frame"
_ANOTHER_COPY = "Use another copy of this backup."
TAG_BYTES = 16
FRAME_OVERHEAD = 4 + 12 + TAG_BYTES
FINAL_OVERHEAD = 4 + FRAME_OVERHEAD + 4

Take = Callable[[int], memoryview]
"""The next so many bytes; ``Damaged`` where there are fewer."""


@dataclass(frozen=True, slots=True)
class EncryptedDataKey:
    """The message's data key, wrapped for one key of ours."""

    provider: str
    info: bytes
    """The wrapping key's name, and for AES what was used with it."""
    ciphertext: bytes


@dataclass(frozen=True, slots=True)
class Header:
    """What stands before the frames. Nothing in it is secret; all of it is authenticated."""

    message_id: bytes
    context: dict[str, str]
    data_keys: tuple[EncryptedDataKey, ...]
    frame_bytes: int
    commitment: bytes

    def written(self) -> bytes:
        """As it stands in the file, without the tag that follows it."""
        keys = b"".join(
            _short(key.provider.encode()) + _short(key.info) + _short(key.ciphertext) for key in self.data_keys
        )
        count = struct.pack(">H", len(self.data_keys))
        tail = _FRAMED + struct.pack(">I", self.frame_bytes) + self.commitment
        return _START + self.message_id + _short(context_bytes(self.context)) + count + keys + tail


def context_bytes(context: dict[str, str]) -> bytes:
    """The encryption context as the format writes it, and as the data keys' wrapping is bound to it."""
    if not context:
        return b""
    pairs = sorted((key.encode(), value.encode()) for key, value in context.items())
    return struct.pack(">H", len(pairs)) + b"".join(_short(key) + _short(value) for key, value in pairs)


def read_header(take: Take) -> tuple[Header, bytes]:
    """A header and its tag. Not authenticated yet: ``Cipher`` does that, with the data key.

    Raises:
        Damaged: it is no such header.
    """
    taken: list[memoryview] = []

    def recorded(length: int) -> memoryview:
        taken.append(take(length))
        return taken[-1]

    header = _parsed(recorded)
    # Whatever could be written in two ways is accepted in one only.
    if header.written() != b"".join(taken):
        raise Damaged("the archive's header is not in the form it is written in", _ANOTHER_COPY)
    return header, bytes(take(TAG_BYTES))


def _parsed(take: Take) -> Header:
    if take(3) != _START:
        raise Damaged(
            "the archive does not begin as an AWS Encryption SDK message of suite 0x0478",
            "It is not an archive of Backproof's, or its beginning was changed.",
        )
    message_id = bytes(take(32))
    context = _parsed_context(_taken_short(take))
    (count,) = struct.unpack(">H", take(2))
    try:
        keys = tuple(
            EncryptedDataKey(str(_taken_short(take), "utf-8"), bytes(_taken_short(take)), bytes(_taken_short(take)))
            for _ in range(count)
        )
    except UnicodeDecodeError:
        raise Damaged("the archive's header names a key provider in no known text", _ANOTHER_COPY) from None
    framed = take(1)
    (frame_bytes,) = struct.unpack(">I", take(4))
    if framed != _FRAMED or not frame_bytes:
        raise Damaged("the archive's header tells of no frames", _ANOTHER_COPY)
    return Header(message_id, context, keys, frame_bytes, bytes(take(32)))


def _parsed_context(written: memoryview) -> dict[str, str]:
    context: dict[str, str] = {}
    try:
        rest = written[2:]
        for _ in range(struct.unpack(">H", written[:2])[0] if written else 0):
            (length,) = struct.unpack(">H", rest[:2])
            name, rest = str(rest[2 : 2 + length], "utf-8"), rest[2 + length :]
            (length,) = struct.unpack(">H", rest[:2])
            context[name], rest = str(rest[2 : 2 + length], "utf-8"), rest[2 + length :]
    except (struct.error, UnicodeDecodeError):
        raise Damaged("the archive's header holds a broken encryption context", _ANOTHER_COPY) from None
    return context


def _short(text: bytes) -> bytes:
    return struct.pack(">H", len(text)) + text


def _taken_short(take: Take) -> memoryview:
    return take(struct.unpack(">H", take(2))[0])


@dataclass(frozen=True, slots=True)
class Layout:
    """Where each frame of a message lies."""

    header_bytes: int
    """With its tag."""
    frame_bytes: int
    """Plain bytes of every frame but the last."""
    last: int
    """The index of the final frame; the first frame has index 0."""
    final_bytes: int
    """Plain bytes of the final frame."""

    @classmethod
    def of(cls, header_bytes: int, frame_bytes: int, stored_bytes: int) -> "Layout":
        """The only layout a message of this length can have.

        Raises:
            Damaged: no message has this length.
        """
        stored_frame = frame_bytes + FRAME_OVERHEAD
        last, rest = divmod(stored_bytes - header_bytes - FINAL_OVERHEAD, stored_frame)
        if last < 0 or rest > frame_bytes:
            raise Damaged(f"no archive with this header is {stored_bytes} bytes long", _ANOTHER_COPY)
        return cls(header_bytes, frame_bytes, last, rest)

    @property
    def plain_bytes(self) -> int:
        """All that is in the frames."""
        return self.last * self.frame_bytes + self.final_bytes

    def start(self, index: int) -> int:
        """Where a frame begins in the file."""
        return self.header_bytes + index * (self.frame_bytes + FRAME_OVERHEAD)

    def length(self, index: int) -> int:
        """How long it is there."""
        return self.final_bytes + FINAL_OVERHEAD if index == self.last else self.frame_bytes + FRAME_OVERHEAD


class Cipher:
    """Encrypts and decrypts the frames of one message. From any thread."""

    def __init__(self, data_key: bytes, message_id: bytes) -> None:
        derive = b"\x04\x78DERIVEKEY"
        self._gcm = AESGCM(HKDF(SHA512(), 32, salt=message_id, info=derive).derive(data_key))
        self.commitment = HKDF(SHA512(), 32, salt=message_id, info=b"COMMITKEY").derive(data_key)
        self._message_id = message_id

    def tag(self, header: Header) -> bytes:
        """What authenticates the header."""
        return self._gcm.encrypt(bytes(12), b"", header.written())

    def check(self, header: Header, tag: bytes) -> None:
        """Hold a header against the data key.

        Raises:
            Damaged: it belongs to another key, or was changed.
        """
        committed = hmac.compare_digest(self.commitment, header.commitment)
        if not committed or not hmac.compare_digest(self.tag(header), tag):
            raise Damaged("the archive's header was changed", _ANOTHER_COPY)

    def seal(self, index: int, plain: bytes | memoryview, final: bool) -> bytes:
        """One frame as it is stored."""
        number = struct.pack(">I", index + 1)
        iv = bytes(8) + number
        sealed = self._gcm.encrypt(iv, plain, self._bound(number, len(plain), final))
        if final:
            return b"".join((_FINAL, number, iv, struct.pack(">I", len(plain)), sealed))
        return b"".join((number, iv, sealed))

    def open(self, index: int, stored: memoryview, final: bool) -> bytes:
        """One frame's plain bytes.

        Raises:
            Damaged: it is not this message's frame of this index.
        """
        number = struct.pack(">I", index + 1)
        iv = bytes(8) + number
        plain_bytes = len(stored) - (FINAL_OVERHEAD if final else FRAME_OVERHEAD)
        opening = _FINAL + number + iv + struct.pack(">I", plain_bytes) if final else number + iv
        try:
            if stored[: len(opening)] != opening:
                raise InvalidTag
            return self._gcm.decrypt(iv, stored[len(opening) :], self._bound(number, plain_bytes, final))
        except InvalidTag:
            raise Damaged(
                f"frame {index + 1} of the archive was changed, moved, or belongs to another archive", _ANOTHER_COPY
            ) from None

    def _bound(self, number: bytes, length: int, final: bool) -> bytes:
        label = _FINAL_LABEL if final else _FRAME_LABEL
        return self._message_id + label + number + struct.pack(">Q", length)
