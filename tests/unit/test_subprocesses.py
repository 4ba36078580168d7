import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from backproof.errors import MissingTool, Permanent, Transient
from backproof.subprocesses import Finished, background, children, environment, kill_all, live, run, secret_file, stream

CANARY = "canary-5f1c"


@pytest.fixture(autouse=True)
def _a_registry_of_its_own(monkeypatch):
    """So that nothing here ends the servers that other tests share."""
    monkeypatch.setattr(children, "_live", {})


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] in (b"Z", b"X")
    except OSError:
        return True


def eventually(condition) -> bool:
    deadline = time.monotonic() + 10
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    return condition()


def test_a_program_gets_its_input_and_gives_back_both_outputs_and_its_status():
    finished = run(["sh", "-c", "cat; echo problem >&2; exit 3"], deadline_seconds=10, input=b"rows\0\xff")
    assert finished == Finished(3, b"rows\0\xff", "problem\n")


def test_a_program_without_input_reads_nothing_from_our_terminal():
    assert run(["cat"], deadline_seconds=10) == Finished(0, b"", "")


def test_a_missing_program_and_a_missing_folder_are_told_apart(tmp_path):
    with pytest.raises(MissingTool, match="cannot run no-such-program"):
        run(["no-such-program"], deadline_seconds=10)
    with pytest.raises(Permanent, match=f"cannot run ls in {tmp_path}/nowhere"):
        run(["ls"], deadline_seconds=10, cwd=tmp_path / "nowhere")


def test_a_file_that_may_not_be_executed_is_a_missing_tool(tmp_path):
    (tmp_path / "tool").write_text("#!/bin/sh\n")
    with pytest.raises(MissingTool, match="Permission denied"):
        run([str(tmp_path / "tool")], deadline_seconds=10)


def test_a_command_line_in_one_string_is_refused():
    with pytest.raises(TypeError):
        run("echo hello", deadline_seconds=10)  # type: ignore[arg-type]


def test_a_program_beyond_its_deadline_ends_with_all_it_started(tmp_path):
    begun = time.monotonic()
    with pytest.raises(Transient, match=r"sh did not end within 0\.3 seconds"):
        run(["sh", "-c", f"sleep 60 & echo $! > {tmp_path}/pid; wait"], deadline_seconds=0.3)
    assert time.monotonic() - begun < 5
    assert eventually(lambda: gone(int((tmp_path / "pid").read_text())))
    assert live() == []


def test_a_program_that_ignores_the_polite_signal_is_killed(tmp_path):
    with pytest.raises(Transient):
        run(["sh", "-c", f"trap '' TERM; echo $$ > {tmp_path}/pid; while :; do sleep 0.05; done"], deadline_seconds=0.5)
    assert gone(int((tmp_path / "pid").read_text()))


def test_what_a_program_leaves_in_its_group_ends_with_it(tmp_path):
    begun = time.monotonic()
    finished = run(["sh", "-c", f"sleep 60 & echo $! > {tmp_path}/pid; exit 0"], deadline_seconds=30)
    assert finished.returncode == 0
    assert time.monotonic() - begun < 10, "the sleeper held stderr open"
    assert eventually(lambda: gone(int((tmp_path / "pid").read_text())))


def test_a_child_sees_no_variable_of_ours_but_the_few_it_needs(monkeypatch):
    monkeypatch.setenv("SHOP_PASSWORD", CANARY)
    monkeypatch.setenv("LC_ALL", "C")
    seen = run(["env"], deadline_seconds=10, env={"PGHOST": "here"}).stdout.decode()
    assert CANARY not in seen
    assert {"PGHOST=here", "LC_ALL=C", f"PATH={os.environ['PATH']}"} <= set(seen.splitlines())
    assert set(environment()) <= {"PATH", "HOME", "LANG", "TZ", "TMPDIR", *(n for n in os.environ if n[:3] == "LC_")}


def test_a_child_inherits_no_open_file_of_ours(tmp_path):
    with (tmp_path / "secret").open("w"):
        listed = run(["sh", "-c", "ls -l /proc/self/fd"], deadline_seconds=10).stdout.decode()
    assert "secret" not in listed


def test_a_stream_is_read_while_it_runs_and_tells_its_end():
    with stream(["sh", "-c", "echo rows; echo why >&2; exit 1"]) as running:
        assert running.stdout.read() == b"rows\n"
        assert running.finish() == (1, "why\n")
    assert live() == []


def test_a_stream_left_without_its_exit_status_is_an_error():
    with pytest.raises(RuntimeError, match="the exit status of echo was not asked for"), stream(["echo"]) as running:
        running.stdout.read()
    assert live() == []


def test_a_stream_left_by_an_error_is_killed_and_the_error_kept():
    with pytest.raises(ZeroDivisionError), stream(["yes"]) as running:  # noqa: PT012
        running.stdout.read(10)
        raise ZeroDivisionError
    assert gone(running.pid)


def test_a_stream_finished_before_its_end_fails_instead_of_waiting_for_ever():
    with stream(["yes"]) as running:
        running.stdout.read(10)
        returncode, _ = running.finish()
    assert returncode != 0


def test_stderr_never_blocks_a_program_and_only_its_end_is_kept():
    script = "head -c 5000000 /dev/zero | tr '\\0' x >&2; echo the reason >&2; echo done"
    with stream(["sh", "-c", script]) as running:
        assert running.stdout.read() == b"done\n"
        returncode, stderr = running.finish()
    assert returncode == 0
    assert stderr.endswith("the reason\n")
    assert len(stderr) == children.STDERR_BYTES


def test_kill_all_ends_streams_that_other_threads_wait_for():
    statuses: list[int] = []

    def drain() -> None:
        with stream(["sh", "-c", "sleep 60 & sleep 60"]) as running:
            running.stdout.read()
            statuses.append(running.finish()[0])

    threads = [threading.Thread(target=drain) for _ in range(5)]
    for thread in threads:
        thread.start()
    assert eventually(lambda: len(live()) == 5)
    begun = time.monotonic()
    kill_all()
    for thread in threads:
        thread.join(10)
    assert statuses == [-signal.SIGTERM] * 5
    assert time.monotonic() - begun < children.GRACE_SECONDS + 1
    assert live() == []


def test_kill_all_is_harmless_when_nothing_runs_and_when_called_twice_at_once():
    kill_all()
    with stream(["sh", "-c", "trap '' TERM; while :; do sleep 0.05; done"]) as running:
        threads = [threading.Thread(target=kill_all) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        assert running.finish()[0] in (-signal.SIGKILL, -signal.SIGTERM)


def test_kill_all_spares_what_is_not_the_callers():
    with stream(["sleep", "60"]) as before:
        spared = live()
        with stream(["sleep", "60"]) as started:
            kill_all(spare=spared)
            assert started.finish()[0] == -signal.SIGTERM
        assert before.alive()
        before.stop()


def test_a_forked_copy_of_this_process_does_not_end_our_children():
    with stream(["sleep", "60"]) as running:
        child = os.fork()
        if child == 0:
            kill_all()
            os._exit(len(live()))
        assert os.waitpid(child, 0)[1] == 0
        assert running.alive()
        running.stop()


def test_a_server_runs_until_its_context_ends_and_logs_to_a_private_file(tmp_path):
    log = tmp_path / "server.log"
    with background(["sh", "-c", "echo up; echo problem >&2; exec sleep 60"], log=log) as running:
        assert eventually(lambda: log.read_text() == "up\nproblem\n")
        assert running.alive()
    assert gone(running.pid)
    assert log.stat().st_mode & 0o777 == 0o600


def test_a_log_that_is_a_planted_link_is_not_followed(tmp_path):
    (tmp_path / "log").symlink_to(tmp_path / "victim")
    with pytest.raises(OSError, match="symbolic link"), background(["true"], log=tmp_path / "log"):
        pass
    assert not (tmp_path / "victim").exists()


def test_the_stop_signal_of_a_server_is_its_own(tmp_path):
    with background(
        ["sh", "-c", f"trap 'echo quit > {tmp_path}/how; exit' QUIT; echo up; while :; do sleep 0.02; done"],
        log=tmp_path / "log",
        stop_signal=signal.SIGQUIT,
        grace_seconds=60,
    ):
        assert eventually(lambda: (tmp_path / "log").read_text() == "up\n")
    assert (tmp_path / "how").read_text() == "quit\n"


def test_a_secret_file_is_readable_by_its_child_alone_and_leaves_nothing():
    with secret_file("host:5432:*:user:pass\n") as path:
        assert path.stat().st_mode & 0o777 == 0o600
        for _ in range(2):
            assert run(["cat", str(path)], deadline_seconds=10).stdout == b"host:5432:*:user:pass\n"
    assert not path.exists()


def test_a_secret_file_in_a_folder_is_private_and_goes_with_its_context(tmp_path):
    before = os.umask(0)
    try:
        with secret_file("pässword", tmp_path) as path:
            assert path.parent == tmp_path
            assert path.stat().st_mode & 0o777 == 0o600
            assert path.read_text() == "pässword"
        with pytest.raises(ZeroDivisionError), secret_file("x", tmp_path):
            raise ZeroDivisionError
    finally:
        os.umask(before)
    assert list(tmp_path.iterdir()) == []


def test_nothing_of_a_secret_lies_on_a_disk_after_kill_9(tmp_path):
    script = f"""
import sys, time
from backproof.subprocesses import secret_file
with secret_file("{CANARY}") as path:
    print(path, flush=True)
    time.sleep(60)
"""
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, env={"TMPDIR": str(tmp_path)}
    ) as owner:
        assert owner.stdout is not None
        path = Path(owner.stdout.readline().decode().strip())
        owner.kill()
    assert not path.exists()
    assert list(tmp_path.iterdir()) == []
