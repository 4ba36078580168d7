import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from backproof import scratch
from backproof.scratch import unprivileged, workspace

OWNER = """
import subprocess, sys, time
from pathlib import Path
from backproof.scratch import workspace
with workspace("scratch", Path(sys.argv[1])) as path:
    (path / "data").mkdir()
    child = subprocess.Popen(["sleep", "600"], cwd=path / "data", start_new_session=True)
    print(path, child.pid, flush=True)
    time.sleep(600)
"""


@pytest.fixture
def owner(tmp_path):
    """A process that owns a workspace below tmp_path, in which a child of its own session works."""
    with subprocess.Popen([sys.executable, "-c", OWNER, str(tmp_path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        path, child = process.stdout.readline().split()
        yield process, Path(path), int(child)
        process.kill()
    scratch.end_processes(Path(path))


def sweep(folder: Path) -> list[str]:
    """What a sweep removed in that folder; in the system's it may find what other runs left."""
    return [path for path in scratch.sweep(folder) if Path(path).is_relative_to(folder)]


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] != b"Z"
    except OSError:
        return False


def test_a_workspace_is_private_and_gone_with_its_context(tmp_path):
    with workspace("scratch", tmp_path / "made" / "on the way") as path:
        assert path.stat().st_mode & 0o007 == 0
        assert path.stat().st_uid == os.geteuid()
        (path / "folder").mkdir()
        (path / "folder" / "file").write_text("x")
    assert not path.exists()


def test_a_workspace_is_gone_after_an_error_which_is_kept(tmp_path):
    with pytest.raises(ZeroDivisionError), workspace("scratch", tmp_path):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_an_umask_opens_nothing_and_closes_nothing(tmp_path):
    for umask in (0, 0o077):
        before = os.umask(umask)
        try:
            with workspace("scratch", tmp_path / f"folder{umask}") as path:
                assert path.stat().st_mode & 0o777 == (0o710 if unprivileged() else 0o700)
                assert path.parent.stat().st_mode & 0o777 == (0o711 if unprivileged() else 0o700)
        finally:
            os.umask(before)


def test_what_works_in_a_workspace_ends_with_it(tmp_path):
    with workspace("scratch", tmp_path) as path:
        child = subprocess.Popen(["sleep", "600"], cwd=path, start_new_session=True)
    assert child.wait(10) != 0


def test_a_sweep_leaves_the_living_alone(owner, tmp_path):
    _, path, child = owner
    assert sweep(tmp_path) == []
    assert path.is_dir()
    assert runs(child)


def test_a_sweep_removes_what_a_killed_owner_left_and_ends_what_works_in_it(owner, tmp_path):
    process, path, child = owner
    process.kill()
    process.wait()
    assert runs(child), "nothing but the sweep ends it"
    assert sweep(tmp_path) == [str(path)]
    assert not path.exists()
    assert not runs(child)
    assert sweep(tmp_path) == []


def test_an_owner_that_is_dead_but_not_yet_waited_for_is_dead(owner, tmp_path):
    process, path, _ = owner
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert sweep(tmp_path) == [str(path)]


def test_another_process_with_the_owners_pid_is_not_the_owner(tmp_path):
    with workspace("scratch", tmp_path) as path:
        mark = scratch._MARK.fullmatch(path.name)
        assert mark is not None
        pid, start, _ = mark["owner"].split("-")
        earlier = path.name.replace(f"-{pid}-{start}-", f"-{pid}-{int(start) - 1}-")
        (tmp_path / earlier).mkdir()
        assert sweep(tmp_path) == [str(tmp_path / earlier)]
        assert path.is_dir()


def test_a_workspace_of_another_container_is_left_until_it_is_a_week_old(tmp_path):
    foreign = tmp_path / "backproof-scratch-1-2-00000000-abcdefgh"
    foreign.mkdir()
    assert sweep(tmp_path) == []
    old = time.time() - scratch.FOREIGN_SECONDS - 60
    os.utime(foreign, (old, old))
    assert sweep(tmp_path) == [str(foreign)]


def test_what_stands_for_an_upload_is_left_to_the_stores_for_a_week(tmp_path):
    left = tmp_path / f"backproof-upload-999999999-1-{scratch._origin()}-abcdefgh"
    left.mkdir()
    assert sweep(tmp_path) == []
    old = time.time() - scratch.FOREIGN_SECONDS - 60
    os.utime(left, (old, old))
    assert sweep(tmp_path) == [str(left)]


def test_a_mark_tells_the_living_from_the_dead_and_from_those_elsewhere():
    pid, start, origin = scratch.owner_mark().split("-")
    assert scratch.is_alive(scratch.owner_mark()) is True
    assert scratch.is_alive(f"{pid}-{int(start) - 1}-{origin}") is False
    assert scratch.is_alive(f"999999999-{start}-{origin}") is False
    assert scratch.is_alive(f"{pid}-{start}-00000000") is None


def test_a_planted_link_or_another_name_is_not_swept(tmp_path):
    (tmp_path / "victim").mkdir()
    name = f"backproof-scratch-999999999-1-{scratch._origin()}-"
    (tmp_path / f"{name}abcdefgh").symlink_to(tmp_path / "victim")
    (tmp_path / f"{name}abcdefgh.sql.gz").mkdir()
    (tmp_path / "backproof-scratch-notes-of-mine-x").mkdir()
    (tmp_path / f"{name}ijklmnop").write_text("a file")
    assert sweep(tmp_path) == []
    assert (tmp_path / "victim").is_dir()


def test_two_sweeps_at_once_do_not_stumble_over_each_other(owner, tmp_path):
    process, path, _ = owner
    for number in range(300):
        (path / f"file{number}").write_text("x")
    process.kill()
    process.wait()
    script = "import sys; from pathlib import Path; from backproof.scratch import sweep; sweep(Path(sys.argv[1]))"
    sweepers = [subprocess.Popen([sys.executable, "-c", script, str(tmp_path)]) for _ in range(3)]
    assert [sweeper.wait(60) for sweeper in sweepers] == [0, 0, 0]
    assert not path.exists()


def test_sweeping_a_folder_that_is_not_there_finds_nothing(tmp_path):
    assert sweep(tmp_path / "nowhere") == []
