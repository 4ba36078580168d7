"""An archive that is not what was written is refused, whatever was done to it, and told as what it is."""

import hashlib
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backproof.archive.chunks import Exactly
from backproof.archive.encryption import KeyRing, Opened
from backproof.archive.reader import ArchiveReader, checked
from backproof.errors import ConfigurationError, Damaged, WrongKey
from tests.support.archives import KEY, OTHER_KEY, SHOP, TAKEN_AT, Archive, escrow_pair, make, ranges, rows_of

FRAME = 48
"""Small, so that a small archive has first, middle and final frames."""


@pytest.fixture(scope="module")
def sealed() -> Archive:
    return make(SHOP, KeyRing(KEY, escrow_public=escrow_pair()[0]), frame_bytes=FRAME)


@pytest.fixture(scope="module")
def unsealed() -> Archive:
    return make(SHOP)


def by_member(archive: Archive, stored: bytes) -> None:
    reader = archive.reader(stored)
    for member in archive.manifest.members:
        reader.read(member)


def as_gzip(archive: Archive, stored: bytes) -> None:
    for _ in archive.reader(stored).gzip():
        pass


def as_sql(archive: Archive, stored: bytes) -> None:
    for _ in archive.reader(stored).plain():
        pass


def by_all_members(archive: Archive, stored: bytes) -> None:
    archive.reader(stored).verify_members()


def by_digest(archive: Archive, stored: bytes) -> None:
    archive.reader(stored).verify()


def by_the_message_format_alone(archive: Archive, stored: bytes) -> None:
    """With no manifest and no digest: what the encryption itself notices."""
    assert archive.ring
    pull = Exactly([stored])
    for _ in Opened.read(pull.take, len(stored), archive.ring).frames(pull.take):
        pass


Way = Callable[[Archive, bytes], None]
WAYS = [by_member, as_gzip, as_sql, by_all_members, by_digest]
STEPS = {by_member: 1, as_gzip: 7, as_sql: 7, by_all_members: 7, by_digest: 1}
"""Every bit; or one bit of every byte, another one from byte to byte, where much the same code reads it."""


def refused(way: Way, archive: Archive, stored: bytes, error: type[Exception] = Damaged) -> bool:
    try:
        way(archive, stored)
    except error:
        return True
    return False


def flipped(stored: bytes, bit: int) -> bytes:
    changed = bytearray(stored)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


@pytest.mark.parametrize("way", [*WAYS, by_the_message_format_alone])
def test_every_archive_passes_every_way_while_nothing_is_changed(way: Way, sealed: Archive) -> None:
    way(sealed, sealed.stored)


@pytest.mark.parametrize("way", WAYS)
def test_every_flipped_bit_of_a_sealed_archive_is_refused(way: Way, sealed: Archive) -> None:
    bits = range(0, len(sealed.stored) * 8, STEPS[way])
    assert [bit for bit in bits if not refused(way, sealed, flipped(sealed.stored, bit))] == []


def test_every_flipped_bit_is_refused_by_the_message_format_alone(sealed: Archive) -> None:
    # a changed key name reads as a key that is not ours
    way, error = by_the_message_format_alone, (Damaged, WrongKey)
    bits = range(len(sealed.stored) * 8)
    missed = [bit for bit in bits if not refused(way, sealed, flipped(sealed.stored, bit), error)]  # type: ignore[arg-type]
    assert missed == []


@pytest.mark.parametrize("way", WAYS)
def test_every_flipped_bit_of_an_unsealed_archive_is_refused(way: Way, unsealed: Archive) -> None:
    bits = range(0, len(unsealed.stored) * 8, STEPS[way])
    assert [bit for bit in bits if not refused(way, unsealed, flipped(unsealed.stored, bit))] == []


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", ["sealed", "unsealed"])
def test_a_cut_archive_is_refused_whatever_the_cut(way: Way, kind: str, request: pytest.FixtureRequest) -> None:
    archive: Archive = request.getfixturevalue(kind)
    lengths = range(len(archive.stored))
    assert [length for length in lengths if not refused(way, archive, archive.stored[:length])] == []


def test_every_cut_and_appended_frame_is_refused_by_the_message_format_alone(sealed: Archive) -> None:
    way = by_the_message_format_alone
    others = [sealed.stored[:length] for length in range(len(sealed.stored))]
    extras = [bytes(length) for length in range(1, 3 * FRAME)]
    assert all(refused(way, sealed, stored) for stored in others)
    assert all(refused(way, sealed, sealed.stored + extra) for extra in extras)


@pytest.mark.parametrize("way", [as_gzip, as_sql, by_all_members, by_digest])
@pytest.mark.parametrize("kind", ["sealed", "unsealed"])
def test_appended_bytes_are_refused(way: Way, kind: str, request: pytest.FixtureRequest) -> None:
    archive: Archive = request.getfixturevalue(kind)
    for extra in (b"\0", b"x", bytes(FRAME + 32), archive.stored, archive.stored[-60:]):
        assert refused(way, archive, archive.stored + extra)


@pytest.mark.parametrize("way", [as_gzip, as_sql, by_all_members, by_digest])
@pytest.mark.parametrize("kind", ["sealed", "unsealed"])
def test_bytes_appended_in_a_chunk_of_their_own_are_refused(
    way: Way, kind: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranges, "chunk", 1)
    archive: Archive = request.getfixturevalue(kind)
    assert refused(way, archive, archive.stored + b"x")


@pytest.mark.parametrize("way", [as_gzip, as_sql, by_all_members, by_digest])
def test_another_sealing_of_the_same_rows_is_not_the_archive(way: Way) -> None:
    ring = KeyRing(KEY)
    one, other = make(SHOP, ring, frame_bytes=FRAME), make(SHOP, ring, frame_bytes=FRAME)
    assert len(one.stored) == len(other.stored)
    by_member(one, other.stored)
    assert refused(way, one, other.stored)


def test_nothing_changed_leaves_a_reader_before_the_error(unsealed: Archive) -> None:
    whole = b"".join(unsealed.reader().gzip())
    for at in range(len(unsealed.stored)):
        left: list[bytes] = []
        with pytest.raises(Damaged):
            left.extend(unsealed.reader(flipped(unsealed.stored, at * 8)).gzip())
        assert whole.startswith(b"".join(left))
        assert sum(map(len, left)) <= at


def test_a_reader_refuses_a_manifest_that_contradicts_itself(unsealed: Archive) -> None:
    manifest = unsealed.manifest.model_copy(update={"members": unsealed.manifest.members[1:]})
    with pytest.raises(Damaged, match="contradicts itself"):
        ArchiveReader(manifest, ranges(unsealed.stored), None)


@pytest.mark.parametrize("way", WAYS)
def test_an_archive_spliced_from_two_is_refused_wherever_it_is_cut(way: Way) -> None:
    ring = KeyRing(KEY)
    one = make(SHOP, ring, frame_bytes=FRAME)
    other = make([*SHOP[:2], rows_of("public.orders", b"1\n2\n4\n"), *SHOP[3:]], ring, frame_bytes=FRAME)
    for cut in range(len(one.stored)):
        spliced = one.stored[:cut] + other.stored[cut:]
        assert refused(way, one, spliced) or spliced == one.stored  # the two may end in the same byte


@pytest.mark.parametrize("way", WAYS)
def test_frames_in_another_order_are_refused(way: Way, sealed: Archive) -> None:
    pull = Exactly([sealed.stored])
    assert sealed.ring
    layout = Opened.read(pull.take, len(sealed.stored), sealed.ring).layout
    assert layout.last >= 4
    frames = [sealed.stored[layout.start(i) :][: layout.length(i)] for i in range(layout.last + 1)]
    start = sealed.stored[: layout.header_bytes]
    assert start + b"".join(frames) == sealed.stored
    for order in ([1, 0, *range(2, layout.last + 1)], [0, 0, *range(2, layout.last + 1)]):
        assert refused(way, sealed, start + b"".join(frames[index] for index in order))
    without_one = start + b"".join(frames[:2] + frames[3:])
    assert refused(way, sealed, without_one)


@given(st.integers(0, 10_000), st.integers(0, 10_000), st.binary(max_size=80))
def test_any_part_replaced_by_anything_else_is_refused(start: int, length: int, other: bytes) -> None:
    archive = _ARCHIVE
    start %= len(archive.stored)
    changed = archive.stored[:start] + other + archive.stored[start + length % 80 :]
    for way in (as_gzip, by_digest):
        assert refused(way, archive, changed) or changed == archive.stored


_ARCHIVE = make(SHOP, KeyRing(KEY), frame_bytes=FRAME)


def test_a_member_of_a_changed_archive_is_refused_before_it_is_unpacked(unsealed: Archive) -> None:
    member = unsealed.manifest.members[1]
    with pytest.raises(Damaged, match=r"rows of public\.users.* is not what the manifest says"):
        unsealed.reader(flipped(unsealed.stored, (member.offset + 12) * 8)).read(member)


@pytest.mark.parametrize("extra", [b"\0", b"\x1f\x8b", b"more"])
def test_a_member_that_holds_more_than_one_gzip_member_is_refused(unsealed: Archive, extra: bytes) -> None:
    # as a hostile but validly signed manifest could have it
    member = unsealed.manifest.members[-1]
    packed = unsealed.stored[member.offset :] + extra
    lying = member.model_copy(update={"length": len(packed), "sha256": hashlib.sha256(packed).hexdigest()})
    with pytest.raises(Damaged, match="not its own"):
        unsealed.reader(unsealed.stored + extra).read(lying)


@pytest.mark.parametrize("difference", [-1, 1])
def test_a_member_that_unpacks_to_another_length_is_refused(unsealed: Archive, difference: int) -> None:
    member = unsealed.manifest.members[0]
    lying = member.model_copy(update={"plain_bytes": member.plain_bytes + difference})
    with pytest.raises(Damaged, match="does not unpack"):
        unsealed.reader().read(lying)


@pytest.mark.parametrize("kind", ["sealed", "unsealed"])
def test_a_store_that_gives_more_than_was_asked_for_is_not_believed(kind: str, request: pytest.FixtureRequest) -> None:
    archive: Archive = request.getfixturevalue(kind)
    serve = ranges(archive.stored)
    generous = ArchiveReader(archive.manifest, lambda start, length: serve(start, length and length + 1), archive.ring)
    with pytest.raises(Damaged, match="more than"):
        generous.read(archive.manifest.members[1])


@pytest.mark.parametrize("kind", ["sealed", "unsealed"])
def test_a_store_that_gives_less_than_was_asked_for_is_not_believed(kind: str, request: pytest.FixtureRequest) -> None:
    archive: Archive = request.getfixturevalue(kind)
    serve = ranges(archive.stored)

    def mean(start: int, length: int | None) -> Iterator[bytes]:
        return serve(start, length - 1 if start and length else length)  # the header, whole

    with pytest.raises(Damaged, match=r"1 of the .* did not come"):
        ArchiveReader(archive.manifest, mean, archive.ring).read(archive.manifest.members[1])


def test_the_wrong_key_is_told_by_what_is_wanted_and_what_is_there(sealed: Archive) -> None:
    wrong = KeyRing(OTHER_KEY)
    assert sealed.ring
    with pytest.raises(WrongKey) as caught:
        sealed.reader(ring=wrong).read(sealed.manifest.members[0])
    assert sealed.ring.fingerprint in str(caught.value)
    assert str(sealed.ring.escrow_fingerprint) in str(caught.value)
    assert str(wrong.fingerprint) in str(caught.value)


def test_an_encrypted_archive_without_a_ring_is_refused_at_once(sealed: Archive) -> None:
    with pytest.raises(WrongKey, match="no key"):
        Archive(sealed.stored, sealed.manifest, None).reader()


def test_an_earlier_key_in_the_ring_still_opens(sealed: Archive) -> None:
    ring = KeyRing(OTHER_KEY, old=(bytes(32), KEY))
    assert b"".join(sealed.reader(ring=ring).plain()).startswith(b"CREATE TABLE users")


def test_the_escrow_private_key_alone_opens(sealed: Archive) -> None:
    ring = KeyRing(escrow_private=escrow_pair()[1])
    assert ring.opens == (sealed.manifest.encryption.escrow_fingerprint,)  # type: ignore[union-attr]
    assert b"".join(sealed.reader(ring=ring).plain()).startswith(b"CREATE TABLE users")


def test_the_escrow_public_key_opens_nothing(sealed: Archive) -> None:
    ring = KeyRing(OTHER_KEY, escrow_public=escrow_pair()[0])
    with pytest.raises(WrongKey):
        sealed.reader(ring=ring).read(sealed.manifest.members[0])


def test_a_ring_without_a_current_key_can_t_seal() -> None:
    with pytest.raises(ConfigurationError, match="no current key"):
        make(SHOP, KeyRing(escrow_private=escrow_pair()[1]))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"plan": "crm"}, "of plan crm (daily), not backup_2025-11-07_020000 of plan shop"),
        ({"kind": "manual"}, "of plan shop (manual), not"),
        ({"taken_at": TAKEN_AT + timedelta(days=1)}, "holds backup_2025-11-08_020000 of plan shop"),
    ],
)
@pytest.mark.parametrize("key", [KEY, OTHER_KEY])
def test_another_plan_s_or_backup_s_archive_in_its_place_is_told_as_that(
    changes: dict[str, object], said: str, key: bytes
) -> None:
    other = make(SHOP, KeyRing(key), **changes)  # type: ignore[arg-type]
    here = make(SHOP, KeyRing(KEY))
    with pytest.raises(Damaged) as caught:
        here.reader(other.stored).read(here.manifest.members[0])
    assert said in str(caught.value)


def test_another_backup_s_unencrypted_archive_in_its_place_is_refused(unsealed: Archive) -> None:
    other = make([rows_of("public.other", b"x\n"), *SHOP])
    for way in WAYS:
        assert refused(way, unsealed, other.stored)


def test_an_unencrypted_archive_in_the_place_of_an_encrypted_one_is_refused(sealed: Archive, unsealed: Archive) -> None:
    for way in WAYS:
        assert refused(way, sealed, unsealed.stored)
        assert refused(way, unsealed, sealed.stored)


def test_each_fault_has_words_of_its_own(sealed: Archive) -> None:
    def told(stored: bytes) -> str:
        with pytest.raises(Damaged) as caught:
            sealed.reader(stored).verify()
        return str(caught.value)

    assert "was changed" in told(flipped(sealed.stored, 999))
    assert "is cut" in told(sealed.stored[:-1])
    assert "is longer" in told(sealed.stored + b"x")


def test_what_passes_the_check_is_passed_on_unchanged(sealed: Archive) -> None:
    assert b"".join(checked(ranges(sealed.stored)(0, None), sealed.manifest)) == sealed.stored


@pytest.mark.parametrize("mask", [b"********", b"*" * 32, b"*"])
def test_a_mask_in_the_place_of_a_key_is_refused_as_that(mask: bytes) -> None:
    for arguments in ({"current": mask}, {"current": KEY, "old": (mask,)}):
        with pytest.raises(ConfigurationError, match="mask"):
            KeyRing(**arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("key", [b"", b"short", bytes(31), bytes(33)])
def test_a_key_of_another_length_is_refused_without_telling_it(key: bytes) -> None:
    with pytest.raises(ConfigurationError, match=f"is {len(key)} bytes long") as caught:
        KeyRing(key)
    assert "short" not in str(caught.value)


def test_a_ring_never_shows_its_keys() -> None:
    ring = KeyRing(KEY, old=(OTHER_KEY,), escrow_private=escrow_pair()[1])
    shown = repr(ring) + str(ring)
    assert KEY.hex() not in shown
    assert repr(KEY) not in shown
    assert "aes256:" in shown


@pytest.mark.parametrize("pem", [b"", b"no pem", KEY])
def test_an_escrow_key_that_is_none_is_refused(pem: bytes) -> None:
    with pytest.raises(ConfigurationError, match="escrow public key"):
        KeyRing(KEY, escrow_public=pem)
    with pytest.raises(ConfigurationError, match="escrow private key"):
        KeyRing(escrow_private=pem)


def test_the_private_key_given_as_the_public_one_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="escrow public key"):
        KeyRing(KEY, escrow_public=escrow_pair()[1])
