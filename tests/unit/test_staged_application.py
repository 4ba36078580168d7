"""The application of a recovery test: never taken for another one, nor led to another database."""

import http.server
import socketserver
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from backproof import subprocesses
from backproof.answering import answer
from backproof.errors import AccessDenied, ApplicationFailed
from backproof.fleet.recovery_test_specs import StagingSpec
from backproof.fleet.specs import ApplicationSpec
from backproof.hosts import free_ports
from backproof.records import Target
from backproof.recovery.context import Surroundings
from backproof.recovery_test.application import StagedApplication
from backproof.recovery_test.context import Rehearsal
from backproof.recovery_test.login import admit, login_of
from backproof.stores.local import LocalStore
from tests.support.fleets import PLAN, fleet_of
from tests.support.prefect_fixtures import eventually

LED = {"DATABASE_URL": "{url}", "PORT": "{application_port}"}
SLEEPS = ("sleep", "60")


COPY = Target(host="127.0.0.1", port=1, database="copy", user="nobody", password=SecretStr("hidden-word"))


def staged(folder: Path, spec: StagingSpec, application: ApplicationSpec | None = None) -> StagedApplication:
    return StagedApplication(spec, application, COPY, "postgresql://nobody@127.0.0.1:1/copy", folder)


@contextmanager
def answering(status: int, location: str | None = None) -> Iterator[str]:
    """Somebody who answers on a port of loopback."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            if location:
                self.send_header("Location", location)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/up"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("status", [200, 503])
def test_who_answers_before_the_start_is_another_application(tmp_path: Path, status: int) -> None:
    with answering(status) as url:
        spec = StagingSpec(environment=LED, start=SLEEPS, health_url=url, timeout="5s")
        with (
            pytest.raises(ApplicationFailed, match=f"answered {status} before the application was started"),
            staged(tmp_path, spec).running(),
        ):
            pass


def test_where_a_redirection_leads_is_another_application(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with answering(200) as live, answering(302, live) as url:
        spec = StagingSpec(environment=LED, start=SLEEPS, health_url=url, timeout="1s")
        application = staged(tmp_path, spec)
        monkeypatch.setattr(application, "_require_silence", lambda: None)
        with pytest.raises(ApplicationFailed, match="answered 302, not 200"), application.running():
            pass


def test_one_that_ends_though_another_answers_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with answering(200) as live:
        spec = StagingSpec(environment=LED, start=("true",), health_url=live, timeout="30s")
        application = staged(tmp_path, spec)
        monkeypatch.setattr(application, "_require_silence", lambda: None)
        with pytest.raises(ApplicationFailed, match="ended"), application.running():
            pass


def test_one_that_ends_before_its_tests_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go, started = tmp_path / "go", []

    real = subprocesses.background

    @contextmanager
    def background(*args: Any, **more: Any) -> Iterator[subprocesses.Running]:
        with real(*args, **more) as running:
            started.append(running)
            yield running

    monkeypatch.setattr(subprocesses, "background", background)
    waits = ("sh", "-c", f"while [ ! -e {go} ]; do sleep 0.05; done")
    under_way = ExitStack()
    under_way.enter_context(staged(tmp_path, StagingSpec(environment=LED, start=waits)).running())
    go.touch()
    until = time.monotonic() + 60
    while started[0].alive() and time.monotonic() < until:
        time.sleep(0.05)
    with pytest.raises(ApplicationFailed, match="ended before its tests had"):
        under_way.close()


def test_no_password_is_shown(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_ports(1)[0]}/{{password}}"
    spec = StagingSpec(environment=LED, start=SLEEPS, health_url=url, timeout="1s")
    with pytest.raises(ApplicationFailed) as raised, staged(tmp_path, spec).running():
        pass
    assert "hidden-word" not in str(raised.value)


@pytest.mark.parametrize(
    ("environment", "led"),
    [
        ({"DATABASE_URL": "{url}"}, True),
        ({"DB": "{database}"}, True),
        ({"DB_HOST": "{host}"}, True),
        ({"PORT": "{application_port}"}, False),
        ({"DB_USER": "{user}", "DB_PASSWORD": "{password}", "DB_PORT": "{port}"}, False),
        ({}, False),
    ],
)
def test_commands_of_production_are_used_only_where_something_leads_them_here(
    tmp_path: Path, environment: dict[str, str], led: bool
) -> None:
    application = staged(
        tmp_path, StagingSpec(environment=environment), ApplicationSpec(commands=(("true",),), tests=(("true",),))
    )
    assert (bool(application.commands), bool(application.tests)) == (led, led)


@pytest.mark.parametrize("key", ["before_expose", "tests", "full_tests", "start"])
def test_what_nothing_leads_to_staging_is_refused(key: str) -> None:
    command: object = ["bin/shop", "test"] if key == "start" else [["bin/shop", "test"]]
    with pytest.raises(ValidationError, match="might take the live one"):
        StagingSpec.model_validate({key: command, "environment": {"PORT": "{application_port}"}})
    StagingSpec.model_validate({key: command, "environment": {"DATABASE_URL": "{url}"}})
    named: object = ["bin/shop", "{url}"] if key == "start" else [["bin/shop", "{url}"]]
    StagingSpec.model_validate({key: named})


def rehearsed(folder: Path, spec: StagingSpec) -> Rehearsal:
    under = Rehearsal(fleet_of(COPY, folder), PLAN, Surroundings(LocalStore("this machine", folder), outputs=folder))
    under.target, under.application = COPY, StagedApplication(spec, None, COPY, "administrator's", folder)
    return under


def test_an_application_learns_of_its_own_login_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    under = rehearsed(tmp_path, StagingSpec(environment=LED, start=SLEEPS))
    monkeypatch.setattr(
        type(under.engine),
        "admit",
        lambda _, target, login: target.model_copy(update={"user": login, "password": None}),
    )
    assert under.application is not None
    before = under.application.environment()
    admit(under)
    told = under.application.environment()
    assert told["DATABASE_URL"] == f"postgresql://{login_of(COPY)}@127.0.0.1:1/copy"
    assert (before["DATABASE_URL"], before["PORT"]) == ("administrator's", told["PORT"])


def test_an_administrator_who_may_make_no_logins_is_told_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise AccessDenied("permission denied to create role")

    under = rehearsed(tmp_path, StagingSpec(environment=LED, start=SLEEPS))
    monkeypatch.setattr(type(under.engine), "admit", refused)
    with pytest.raises(AccessDenied, match="a login of its own on the staging server: permission denied") as raised:
        admit(under)
    assert raised.value.remedy.startswith("Let nobody make logins there")
    admit(rehearsed(tmp_path / "nothing to run", StagingSpec(before_expose=(("true", "{url}"),))))


LEAVES_ONE = """
import os, sys, time
reading, writing = os.pipe()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        open(sys.argv[1], "w").write(str(os.getpid()))
        os.close(writing)
        time.sleep(600)
    os._exit(0)
os.close(writing)
os.read(reading, 1)
{then}
"""


def gone(file: Path) -> bool:
    return not Path(f"/proc/{file.read_text()}").exists()


def python(program: str, *arguments: object) -> tuple[str, ...]:
    return (sys.executable, "-S", "-E", "-c", program, *map(str, arguments))


@pytest.mark.parametrize("then", ["", "sys.exit(1)", "time.sleep(600)"])
def test_what_a_command_leaves_in_a_session_of_its_own_ends_with_it(tmp_path: Path, then: str) -> None:
    file = tmp_path / "left"
    command = python(LEAVES_ONE.format(then=then), file)
    application = staged(tmp_path, StagingSpec(tests=(command,), environment=LED, timeout="5s"))  # type: ignore[arg-type]
    try:
        application.run(command)
    except ApplicationFailed:
        assert then
    else:
        assert not then
    assert gone(file)


def test_what_an_application_leaves_in_a_session_of_its_own_ends_with_it(tmp_path: Path) -> None:
    file = tmp_path / "left"
    spec = StagingSpec(start=python(LEAVES_ONE.format(then="time.sleep(600)"), file), environment=LED)
    with staged(tmp_path, spec).running():
        eventually(file.exists, what="it leaves one")
        eventually(lambda: file.read_text() != "", what="its number is written")
    assert gone(file)


def test_of_what_floods_the_beginning_and_the_end_are_kept(tmp_path: Path) -> None:
    flood = "import sys\nprint('first')\nfor _ in range(60): sys.stdout.write('x' * 10**6)\nprint('last')\nsys.exit(1)"
    application = staged(tmp_path, StagingSpec(environment=LED))
    with pytest.raises(ApplicationFailed):
        application.run(python(flood))
    (log,) = tmp_path.glob("*.log")
    printed = log.read_bytes()
    assert printed.startswith(b"first\n")
    assert printed.endswith(b"xlast\n")
    assert b"bytes were printed here and are not kept" in printed
    assert len(printed) < 9_000_000


def test_who_answers_no_http_is_another_application_and_no_mistake_of_ours(tmp_path: Path) -> None:
    with socketserver.TCPServer(("127.0.0.1", 0), _Nonsense) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            assert answer(f"http://127.0.0.1:{server.server_address[1]}/up", elsewhere=False).startswith("no HTTP")
        finally:
            server.shutdown()
            thread.join()


class _Nonsense(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        self.request.recv(1000)
        self.request.sendall(b"220 mail.example.org ESMTP\r\n")
