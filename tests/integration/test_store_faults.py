"""What a folder and an S3 server do when things break: a clear error, nothing half there, a second try that works."""

import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from pathlib import Path
from secrets import token_bytes
from typing import Any

import pytest

from backproof import scratch
from backproof.errors import (
    AccessDenied,
    ConfigurationError,
    Damaged,
    NoSpace,
    NotFound,
    StoreUnavailable,
)
from backproof.stores import Store, read_back
from backproof.stores.local import LocalStore
from backproof.stores.s3 import S3Store
from deployments.servers import seaweedfs
from deployments.servers.seaweedfs import S3Server
from tests.support.proxy import Fault, Proxy, error_in_200
from tests.support.s3_fixtures import ACCESS_KEY, BUCKET, SECRET_KEY, MakeStore
from tests.support.writers import WRITER

MIB = 1024 * 1024
LATER = timedelta(hours=1)
ROOT = os.geteuid() == 0


def read(store: Store, key: str) -> bytes:
    return b"".join(store.read(key))


def left_in(root: Path) -> list[Path]:
    return list(root.rglob("~*"))


# --- a folder


@contextmanager
def full_disk(kind: str, root: Path) -> Iterator[None]:
    """Room for some 4 MiB: a small disk, or a limit that anybody may set."""
    if kind == "tmpfs":
        root.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m,mode=0700", "tmpfs", str(root)], check=True)
        try:
            yield
        finally:
            subprocess.run(["umount", str(root)], check=True)
    else:
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4 * MIB, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("kind", ["limit", "tmpfs"] if ROOT else ["limit"])
def test_a_full_disk_is_told_and_nothing_is_left(tmp_path: Path, kind: str) -> None:
    root = tmp_path / "store"
    store = LocalStore("local", root)
    with full_disk(kind, root):
        store.put("shop/earlier", [b"untouched"])
        with pytest.raises(NoSpace, match=r"shop/a.*Free some room") as raised:
            store.put("shop/a", (token_bytes(MIB) for _ in range(10)))
        assert str(root / "shop/a") in raised.value.fact
        assert left_in(root) == []
        assert [each.key for each in store.list()] == ["shop/earlier"]
        store.put("shop/a", [bytes(MIB)])
        assert read(store, "shop/earlier") == b"untouched"


def test_a_folder_without_rights_is_told(tmp_path: Path) -> None:
    root = tmp_path / "store"
    store = LocalStore("local", root)
    store.put("shop/a", [b"x"])
    root.chmod(0o500)
    if ROOT:  # nothing is forbidden to root
        os.seteuid(65534)
    try:
        with pytest.raises(AccessDenied, match="Let the user who runs Backproof"):
            store.put("other/a", [b"x"])
    finally:
        if ROOT:
            os.seteuid(0)
        root.chmod(0o700)
    store.put("other/a", [b"x"])


def test_files_and_folders_are_private_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        LocalStore("local", tmp_path / "new/store").put("shop/daily/a", [b"x"])
    finally:
        os.umask(before)
    modes = {path.name: oct(path.stat().st_mode & 0o7777) for path in (tmp_path / "new").rglob("*")}
    assert modes == {"store": "0o700", "shop": "0o700", "daily": "0o700", "a": "0o600"}
    assert (tmp_path / "new").stat().st_mode & 0o7777 == 0o700


@pytest.mark.parametrize("planted", ["shop", "shop/daily", "shop/daily/a"])
def test_no_symbolic_link_is_followed(tmp_path: Path, planted: str) -> None:
    root, outside = tmp_path / "store", tmp_path / "outside"
    (outside / "daily").mkdir(parents=True)
    for secret in ("a", "daily/a"):
        (outside / secret).write_text("secret")
    link = root / planted
    link.parent.mkdir(parents=True)
    link.symlink_to({"shop": outside, "shop/daily": outside, "shop/daily/a": outside / "a"}[planted])
    store = LocalStore("local", root)
    for attempt in (
        lambda: store.put("shop/daily/a", [b"x"]),
        lambda: read(store, "shop/daily/a"),
        lambda: store.head("shop/daily/a"),
        lambda: list(store.list("shop/")),
    ):
        with pytest.raises(ConfigurationError, match="symbolic link"):
            attempt()
    with suppress(ConfigurationError):
        store.delete("shop/daily/a")  # may remove the link itself, never what it names
    assert {path.read_text() for path in outside.rglob("a")} == {"secret"}
    assert not left_in(outside)


def test_the_store_itself_may_be_reached_by_a_link(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "disk")
    LocalStore("local", tmp_path / "link").put("shop/a", [b"x"])
    assert (tmp_path / "disk/shop/a").read_bytes() == b"x"


@pytest.mark.parametrize("taken", ["shop", "shop/a/b"])
def test_a_key_that_is_a_folder_of_others_is_refused(tmp_path: Path, taken: str) -> None:
    store = LocalStore("local", tmp_path)
    store.put("shop/a", [b"x"])
    with pytest.raises(ConfigurationError, match="lies in the way"):
        store.put(taken, [b"y"])
    assert [each.key for each in store.list()] == ["shop/a"]
    assert left_in(tmp_path) == []


def test_a_pipe_in_the_place_of_a_file_keeps_nobody_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a")
    with pytest.raises(NotFound):
        read(LocalStore("local", tmp_path), "a")


class Syncs:
    """Records what was brought to the disk, and fails at one of them: a lost flush can't be seen otherwise."""

    def __init__(self, fail_at: int | None = None) -> None:
        self.paths: list[str] = []
        self.fail_at = fail_at

    def __call__(self, descriptor: int) -> None:
        self.paths.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        if len(self.paths) - 1 == self.fail_at:
            raise OSError(5, "Input/output error")


def test_file_and_folders_are_brought_to_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", syncs := Syncs())
    LocalStore("local", tmp_path / "new/store").put("shop/daily/a", [b"x"])
    made, (file, *folders) = syncs.paths[:2], syncs.paths[2:]
    assert made == [str(tmp_path), str(tmp_path / "new")]
    assert Path(file).name.startswith("~")
    assert folders == [str(tmp_path / "new/store" / each) for each in ("shop/daily", "shop", ".")]


@pytest.mark.parametrize("fail_at", range(4))
def test_what_could_not_be_brought_to_the_disk_is_thrown_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fail_at: int
) -> None:
    store = LocalStore("local", tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", syncs := Syncs(fail_at))
        with pytest.raises(StoreUnavailable, match=r"Input/output error.*dmesg"):
            store.put("shop/daily/a", [b"x"])
        assert len(syncs.paths) == fail_at + 1, "a failed fsync was tried again"
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    store.put("shop/daily/a", [b"x"])


def test_a_large_file_is_brought_to_the_disk_while_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read_back, "STRIDE_BYTES", MIB)
    monkeypatch.setattr(os, "fsync", syncs := Syncs())
    store = LocalStore("local", tmp_path)
    chunks = [token_bytes(MIB) for _ in range(8)]

    def slowly() -> Iterator[bytes]:
        for number, chunk in enumerate(chunks):
            yield chunk
            wait_until(lambda number=number: len(syncs.paths) > number)  # type: ignore[misc]

    store.put("a", slowly())
    assert read(store, "a") == b"".join(chunks)
    assert sum(Path(path).name.startswith("~") for path in syncs.paths) == 9


def wait_until(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.001)


def test_a_large_file_whose_first_part_could_not_be_brought_to_the_disk_ends_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read_back, "STRIDE_BYTES", MIB)
    monkeypatch.setattr(os, "fsync", syncs := Syncs(0))
    given = 0

    def endless() -> Iterator[bytes]:
        nonlocal given
        while True:
            given += 1
            yield bytes(MIB)
            time.sleep(0.01)
            assert given < 500

    with pytest.raises(StoreUnavailable, match=r"Input/output error.*dmesg"):
        LocalStore("local", tmp_path).put("a", endless())
    assert len(syncs.paths) == 1, "a failed fsync was tried again"
    assert left_in(tmp_path) == []


@pytest.mark.parametrize("read_before", [True, False], ids=["read before", "not yet read"])
def test_a_file_that_is_cut_while_it_is_written_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read_before: bool
) -> None:
    if read_before:
        monkeypatch.setattr(read_back, "STRIDE_BYTES", MIB)
    reads: list[int | None] = []

    def bring(self: read_back.ReadBack, end: int | None, plainly: Any = read_back.ReadBack._bring) -> None:
        plainly(self, end)
        reads.append(end)

    monkeypatch.setattr(read_back.ReadBack, "_bring", bring)

    def chunks() -> Iterator[bytes]:
        for _ in range(6):
            yield bytes(MIB)
        if read_before:
            wait_until(lambda: 6 * MIB in reads)
        assert read_before or not reads
        os.truncate(left_in(tmp_path)[0], MIB)

    with pytest.raises(Damaged, match="came back of"):
        LocalStore("local", tmp_path).put("a", chunks())


def test_what_the_disk_changed_is_noticed(tmp_path: Path) -> None:
    def chunks() -> Iterator[bytes]:
        yield bytes(3 * MIB)
        (unfinished,) = left_in(tmp_path)
        with unfinished.open("r+b") as file:
            file.seek(2 * MIB)
            file.write(b"\1")

    store = LocalStore("local", tmp_path)
    with pytest.raises(Damaged, match="The disk or its controller"):
        store.put("shop/a", chunks())
    assert list(store.list()) == []
    assert left_in(tmp_path) == []


def test_a_file_cut_while_it_is_read_is_damaged(tmp_path: Path) -> None:
    store = LocalStore("local", tmp_path)
    store.put("a", [bytes(4 * MIB)])
    chunks = store.read("a")
    next(chunks)
    os.truncate(tmp_path / "a", 2 * MIB)
    with pytest.raises(Damaged, match="was cut at byte"):
        list(chunks)


# --- what writers left that were killed; see also the contract


def test_a_sweep_touches_no_file_of_others(tmp_path: Path) -> None:
    for name in ("~", "~mine", "~20200101T000000.000000-1-0123~", "a~", ".~lock.a#"):
        (tmp_path / name).write_text("not ours")
    assert list(LocalStore("local", tmp_path).sweep(datetime.now(UTC) + LATER)) == []
    assert len(list(tmp_path.iterdir())) == 5


# --- S3 behind a proxy


def notes_of(pid: int) -> list[Path]:
    """What that process noted of its uploads; other tests on this machine have theirs."""
    return [folder for folder, _ in scratch.workspaces(scratch.UPLOAD) if f"-{pid}-" in folder.name]


@pytest.mark.parametrize("fault", ["no answer to the beginning", "parts that stall, and no way to abort"])
def test_a_sweep_aborts_an_upload_that_its_writer_could_not_name_or_abort(
    behind: "Behind", regions: tuple[S3Server, ...], fault: str
) -> None:
    if fault.startswith("no answer"):
        behind.proxy.inject(Fault("stall", "POST", CREATE))
        awaited = "POST"
    else:
        behind.proxy.inject(Fault("answer", "PUT", PART, times=ALWAYS, status=503))
        behind.proxy.inject(Fault("answer", "DELETE", "uploadId", times=ALWAYS, status=503))
        awaited = "DELETE"
    where = behind.store.location().removeprefix(f"s3://{BUCKET}/")
    made = f"S3Store('x', {BUCKET!r}, 'eu-west-1', {where!r}, {behind.proxy.url!r}, {ACCESS_KEY!r}, {SECRET_KEY!r})"
    program = WRITER.replace("STORE", made.removesuffix(")") + ", attempts=1)").replace("time.sleep(600)", "pass")
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        deadline = time.monotonic() + 60
        while not any(each.fired for each in behind.proxy.faults if each.method == awaited):
            assert time.monotonic() < deadline, process.poll()
            time.sleep(0.05)
        if awaited == "POST":
            assert list(behind.store.sweep(datetime.now(UTC) - LATER)) == [], "its writer lives"
            process.kill()
    finally:
        process.communicate(timeout=60)
    assert len(uploads(regions[0], behind.direct)) == 1
    behind.proxy.clear()
    scratch.sweep()
    assert len(notes_of(process.pid)) == 1, "what stands for an upload is left to the store's sweep"
    (removed,) = behind.store.sweep(datetime.now(UTC) - LATER)
    assert behind.store.location("shop/daily/a") in removed
    assert uploads(regions[0], behind.direct) == []
    assert notes_of(process.pid) == []


def test_a_note_of_another_store_or_of_an_unknown_writer_is_left(behind: "Behind") -> None:
    began: list[str] = []
    earlier = set(notes_of(os.getpid()))  # of tests whose fault kept an upload from ending

    def chunks() -> Iterator[bytes]:
        yield LARGE
        (folder,) = set(notes_of(os.getpid())) - earlier
        began.append(folder.name)
        foreign = folder.with_name(folder.name.replace(folder.name.split("-")[4], "00000000"))
        shutil.copytree(folder, foreign)
        try:
            for store in (behind.store, behind.direct):
                assert list(store.sweep(datetime.now(UTC) - LATER)) == []
            assert foreign.is_dir()
        finally:
            shutil.rmtree(foreign)
        yield LARGE

    behind.store.put("a", chunks())
    assert len(began) == 1
    assert set(notes_of(os.getpid())) == earlier


def test_a_full_disk_for_temporary_things_costs_no_upload(behind: "Behind", monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere")
    behind.store.put("a", [LARGE])
    assert read(behind.direct, "a") == LARGE


def uploads(server: S3Server, store: Store) -> list[str]:
    """The unfinished uploads of a store, seen without the proxy."""
    prefix = store.location().removeprefix(f"s3://{BUCKET}/")
    listed = seaweedfs.client(server).list_multipart_uploads(Bucket=BUCKET, Prefix=prefix)
    return [each["Key"] for each in listed.get("Uploads", ())]


class Behind:
    """A store that speaks through a proxy, and the same without."""

    def __init__(self, proxy: Proxy, make: MakeStore, server: S3Server) -> None:
        self.proxy = proxy
        self.store = make(endpoint_url=proxy.url, connect_seconds=2, read_seconds=3, attempts=3)
        self.hasty = make(endpoint_url=proxy.url, connect_seconds=2, read_seconds=3, attempts=1)
        self.direct = make()
        self.server = server


@pytest.fixture
def behind(s3_store: MakeStore, regions: tuple[S3Server, ...]) -> Iterator[Behind]:
    with Proxy(regions[0].endpoint_url) as proxy:
        yield Behind(proxy, s3_store, regions[0])


SMALL, LARGE = b"small" * 100, bytes(17 * MIB)
PUT = r"/a$"
CREATE, PART, COMPLETE = r"\?uploads", "partNumber=2", "uploadId=[^&]*$"


def test_a_proxy_that_does_nothing_changes_nothing(behind: Behind) -> None:
    behind.store.put("a", [LARGE])
    assert read(behind.store, "a") == LARGE
    assert behind.proxy.bytes_forwarded > 2 * len(LARGE)


@pytest.mark.parametrize(
    ("content", "method", "target"),
    [
        (SMALL, "PUT", PUT),
        (SMALL, "HEAD", PUT),
        (LARGE, "POST", CREATE),
        (LARGE, "PUT", PART),
        (LARGE, "POST", COMPLETE),
    ],
)
@pytest.mark.parametrize("kind", ["answer", "reset", "cut"])
def test_what_passes_is_tried_again(behind: Behind, content: bytes, method: str, target: str, kind: Any) -> None:
    behind.proxy.inject(Fault(kind, method, target, status=503, times=2 if kind == "answer" else 1))
    behind.store.put("a", [content])
    assert read(behind.store, "a") == content
    assert all(each.fired == each.times for each in behind.proxy.faults)


ALWAYS = 99


def answer(method: str, target: str, status: int = 503, body: bytes = b"") -> Fault:
    return Fault("answer", method, target, times=ALWAYS, status=status, body=body)


def midway(kind: Any, method: str, target: str) -> Fault:
    return Fault(kind, method, target, times=ALWAYS, after=100, side="request")


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (SMALL, answer("PUT", PUT)),
        (SMALL, midway("reset", "PUT", PUT)),
        (SMALL, midway("stall", "PUT", PUT)),
        (LARGE, answer("POST", CREATE)),
        (LARGE, Fault("stall", "POST", CREATE, times=ALWAYS)),
        (LARGE, answer("PUT", PART)),
        (LARGE, midway("cut", "PUT", PART)),
        (LARGE, midway("stall", "PUT", PART)),
        (LARGE, answer("POST", COMPLETE)),
        (LARGE, midway("reset", "POST", COMPLETE)),
        (LARGE, midway("stall", "POST", COMPLETE)),
    ],
)
def test_what_stays_is_told_in_time_and_nothing_is_left(behind: Behind, content: bytes, fault: Fault) -> None:
    behind.proxy.inject(fault)
    began = time.monotonic()
    with pytest.raises(StoreUnavailable, match=r"^s3:PutObject on s3://.*/a failed: .*\. Try again"):
        behind.hasty.put("a", [content])
    assert time.monotonic() - began < 15
    assert behind.direct.head("a") is None
    if "stall" not in fault.kind or fault.target != CREATE:  # an upload whose id never reached us is for the sweep
        assert uploads(behind.server, behind.direct) == []
    behind.proxy.clear()
    behind.store.put("a", [content])
    assert read(behind.direct, "a") == content


@pytest.mark.parametrize(
    ("content", "method", "target"), [(SMALL, "PUT", PUT), (LARGE, "PUT", PART), (LARGE, "POST", COMPLETE)]
)
@pytest.mark.parametrize("patience", ["store", "hasty"])
def test_a_lost_reply_is_no_lost_object(
    behind: Behind, content: bytes, method: str, target: str, patience: str
) -> None:
    store: S3Store = getattr(behind, patience)
    behind.proxy.inject(Fault("lose-reply", method, target))
    if (target, patience) == (PART, "hasty"):  # one attempt, and the part may or may not be there
        with pytest.raises(StoreUnavailable):
            store.put("a", [content])
        assert behind.direct.head("a") is None
    else:
        stored = store.put("a", [content])
        assert stored == behind.direct.head("a")
        assert read(behind.direct, "a") == content
    assert uploads(behind.server, behind.direct) == []


def test_an_error_told_with_status_200_is_an_error(behind: Behind) -> None:
    behind.proxy.inject(error_in_200())
    with pytest.raises(StoreUnavailable, match="InternalError"):
        behind.hasty.put("a", [LARGE])
    assert behind.direct.head("a") is None
    assert uploads(behind.server, behind.direct) == []


@pytest.mark.parametrize(("content", "target"), [(SMALL, PUT), (LARGE, PART)])
def test_a_byte_changed_on_the_way_is_refused(behind: Behind, content: bytes, target: str) -> None:
    behind.proxy.inject(Fault("flip", "PUT", target, after=77, side="request", times=ALWAYS))
    with pytest.raises(StoreUnavailable):
        behind.hasty.put("a", [content])
    assert behind.direct.head("a") is None
    assert uploads(behind.server, behind.direct) == []


@pytest.mark.parametrize("content", [SMALL, LARGE])
def test_an_object_that_is_not_what_was_sent_is_removed(behind: Behind, content: bytes) -> None:
    behind.proxy.inject(Fault("answer", "HEAD", PUT, status=200, body=b"13 bytes only", skip=1))
    with pytest.raises(StoreUnavailable, match=rf"with 13 bytes of {len(content)}.*was removed"):
        behind.store.put("a", [content])
    assert behind.direct.head("a") is None


def test_what_is_forbidden_is_told_with_the_right_that_lacks(behind: Behind) -> None:
    behind.direct.put("there", [b"x"])
    for action, method, target, attempt in (
        ("s3:PutObject", "PUT", PUT, lambda: behind.store.put("a", [SMALL])),
        ("s3:GetObject", "GET", "there$", lambda: read(behind.store, "there")),
        ("s3:GetObject", "HEAD", "there$", lambda: behind.store.head("there")),
        ("s3:ListBucket", "GET", "list-type", lambda: list(behind.store.list())),
        ("s3:DeleteObject", "DELETE", "there$", lambda: behind.store.delete("there")),
        ("s3:ListBucketMultipartUploads", "GET", "uploads", lambda: behind.store.sweep(datetime.now(UTC))),
    ):
        behind.proxy.inject(answer(method, target, 403, b"" if method == "HEAD" else DENIED))
        with pytest.raises(AccessDenied, match=f"needs {action} on s3://") as raised:
            attempt()
        assert SECRET_KEY not in str(raised.value)
    assert sum(each.fired for each in behind.proxy.faults) == 6, "what is forbidden was tried again"


DENIED = b"<Error><Code>AccessDenied</Code><Message>no</Message></Error>"


@pytest.mark.parametrize("kind", ["cut", "reset", "stall"])
def test_a_reading_goes_on_where_it_broke_off(behind: Behind, kind: Any) -> None:
    content = token_bytes(9 * MIB)
    behind.direct.put("a", [content])
    behind.proxy.inject(Fault(kind, "GET", PUT, after=3 * MIB + 5, times=2))
    chunks = list(behind.store.read("a", 7, 8 * MIB))
    assert b"".join(chunks) == content[7 : 7 + 8 * MIB]
    handed_over = set(accumulate(map(len, chunks), initial=7))
    assert len(behind.proxy.starts) == 3
    assert behind.proxy.starts == sorted(behind.proxy.starts)
    assert handed_over.issuperset(behind.proxy.starts)
    if kind != "reset":  # a reset throws away what had come and was not read yet: how much is chance
        assert behind.proxy.starts[0] < behind.proxy.starts[1] < behind.proxy.starts[2], "it started over"


@pytest.mark.parametrize("length", [None, 8 * MIB])
def test_a_reading_that_keeps_breaking_never_ends_as_if_whole(behind: Behind, length: int | None) -> None:
    content = token_bytes(9 * MIB)
    behind.direct.put("a", [content])
    behind.proxy.inject(Fault("cut", "GET", PUT, after=MIB, times=ALWAYS))
    got = bytearray()
    with pytest.raises(StoreUnavailable, match="broke off 6 times"):
        deque(map(got.extend, behind.store.read("a", 0, length)))
    assert content.startswith(got)
    assert len(got) < 8 * MIB


def test_an_object_exchanged_while_it_is_read_is_damaged(behind: Behind) -> None:
    behind.direct.put("a", [token_bytes(9 * MIB)])
    behind.proxy.inject(Fault("cut", "GET", PUT, after=3 * MIB))
    chunks = behind.store.read("a")
    next(chunks)
    behind.direct.delete("a")
    behind.direct.put("a", [token_bytes(9 * MIB)])
    with pytest.raises(Damaged, match="was exchanged"):
        list(chunks)


@pytest.mark.parametrize(
    "fault",
    [
        answer("GET", "list-type"),
        answer("GET", "list-type", 200, b"<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>"),
        answer("GET", "list-type", 200, b"<ListBucketResult></ListBucketResult>"),
        answer("GET", "list-type", 200, b"<ListBucketResult><Contents><Key>"),
        answer("GET", "list-type", 200, b"<html>Please log in</html>"),
        answer("GET", "list-type", 200, DENIED),
        answer("GET", "list-type", 200),
        Fault("stall", "GET", "list-type", times=ALWAYS),
        Fault("cut", "GET", "list-type", times=ALWAYS),
    ],
    ids=["503", "truncated", "empty", "cut", "html", "error-in-200", "nothing", "stall", "no-answer"],
)
def test_a_listing_never_ends_early_in_silence(behind: Behind, fault: Fault) -> None:
    behind.direct.put("a", [SMALL])
    behind.proxy.inject(fault)
    with pytest.raises(StoreUnavailable, match=r"s3:ListBucket on s3://"):
        list(behind.hasty.list())
    behind.proxy.clear()
    assert [each.key for each in behind.store.list()] == ["a"]


def test_a_server_that_is_not_there_is_store_unavailable(s3_store: MakeStore) -> None:
    store = s3_store(endpoint_url="http://127.0.0.1:1", attempts=1)
    with pytest.raises(StoreUnavailable, match="no connection"):
        store.probe()


@pytest.mark.parametrize(
    ("changes", "error", "remedy"),
    [
        ({"secret_access_key": "another"}, AccessDenied, "Correct the access key and its secret"),
        ({"access_key_id": "another"}, AccessDenied, "Correct the access key and its secret"),
        ({"endpoint_url": "no url"}, ConfigurationError, "endpoint_url"),
    ],
)
def test_wrong_settings_are_told_with_their_remedy(
    s3_store: MakeStore, changes: dict[str, str], error: type[Exception], remedy: str
) -> None:
    store = s3_store(**changes)
    for attempt in (lambda: list(store.list()), lambda: store.head("a"), lambda: store.put("a", [b"x"]), store.probe):
        with pytest.raises(error, match=remedy) as raised:
            attempt()
        assert SECRET_KEY not in str(raised.value)


@pytest.mark.parametrize(
    ("status", "body", "headers"),
    [
        (301, b"<Error><Code>PermanentRedirect</Code></Error>", {"x-amz-bucket-region": "us-east-1"}),
        (307, b"<Error><Code>TemporaryRedirect</Code></Error>", {"x-amz-bucket-region": "us-east-1"}),
        (400, b"<Error><Code>AuthorizationHeaderMalformed</Code><Region>us-east-1</Region></Error>", {}),
    ],
)
def test_a_store_is_not_followed_to_another_region(
    behind: Behind, status: int, body: bytes, headers: dict[str, str]
) -> None:
    """The library that speaks to S3 would go there without a word, and all copies might lie in one region."""
    behind.proxy.inject(Fault("answer", "GET", "list-type", status=status, body=body, headers=headers))
    with pytest.raises(ConfigurationError, match="The bucket is in us-east-1: correct the store's `region`"):
        list(behind.store.list())
    assert len(behind.proxy.requests) == 1


def test_a_missing_bucket_is_not_found_by_every_method(regions: tuple[S3Server, ...]) -> None:
    store = S3Store("x", "nowhere", "eu-west-1", "", regions[0].endpoint_url, ACCESS_KEY, SECRET_KEY)
    for attempt in (
        lambda: store.head("a"),
        lambda: store.put("a", [b"x"]),
        lambda: read(store, "a"),
        lambda: list(store.list()),
        lambda: store.probe(),
    ):
        with pytest.raises(NotFound, match=r"Create the bucket|NoSuch"):
            attempt()


@pytest.mark.parametrize("content", [SMALL, LARGE])
def test_encryption_and_storage_class_are_asked_for_on_every_put(
    s3_store: MakeStore, regions: tuple[S3Server, ...], content: bytes
) -> None:
    store = s3_store(storage_class="STANDARD_IA")
    store.put("a", [content])
    key = store.location("a").removeprefix(f"s3://{BUCKET}/")
    found = seaweedfs.client(regions[0]).head_object(Bucket=BUCKET, Key=key)
    assert found["ServerSideEncryption"] == "AES256"
    assert found.get("StorageClass") == "STANDARD_IA"


def test_memory_stays_flat_whatever_the_size(
    s3_store: MakeStore, regions: tuple[S3Server, ...], tmp_path: Path
) -> None:
    where = s3_store().location().removeprefix(f"s3://{BUCKET}/")
    made = f"{BUCKET!r}, 'eu-west-1', {where!r}, {regions[0].endpoint_url!r}, {ACCESS_KEY!r}, {SECRET_KEY!r}"
    for store in (f"LocalStore('x', {str(tmp_path)!r})", f"S3Store('x', {made})"):
        program = MEASURE.replace("STORE", store)
        measured = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        assert int(measured.stdout) < 80, f"{measured.stdout} MiB more for {store}"


MEASURE = """
import resource
from backproof.stores.local import LocalStore
from backproof.stores.s3 import S3Store

store = STORE
store.put("small", [b"x"])
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
before = peak()
store.put("large", (bytes(1024 * 1024) for _ in range(250)), 1)
assert sum(map(len, store.read("large"))) == 250 * 1024 * 1024
print((peak() - before) // 1024)
"""


def test_boto3_is_not_imported_before_it_is_needed() -> None:
    program = (
        "import sys; from backproof.stores.s3 import S3Store; "
        "S3Store('x', 'bucket', 'eu-west-1').location(); print('boto3' in sys.modules or 'botocore' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout == "False\n"
