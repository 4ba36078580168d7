"""The plan's application, started against a staging database: told where that is, watched, tested, surely ended.

No command learns a secret of the fleet's: it gets what ``recovery_test.staging.environment`` says, beside PATH, HOME
and the like, and where the staging database is. What a failed command prints may be anything: it stays on this machine.
"""

import os
import re
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from backproof import subprocesses
from backproof.answering import answer, is_silence
from backproof.errors import ApplicationFailed, Transient
from backproof.fleet.recovery_test_specs import StagingSpec, leads_to_staging
from backproof.fleet.specs import ApplicationSpec
from backproof.hosts import free_ports
from backproof.records import Target

_KEEPER = Path(__file__).with_name("keeper.py")
_BETWEEN_SECONDS = 0.1
_SHOWN_CHARACTERS = 80
_PLACE = re.compile(r"\{(url|host|port|database|user|password|application_port)\}")
_STAYS_SECONDS = 0.5
"""A program that can't take its port needs a moment to end."""

Command = Sequence[str]


@dataclass
class StagedApplication:
    """What a plan says of its application in recovery tests.

    Args:
        spec: of the plan's staging.
        application: of the plan; its folder, commands and tests, where staging names none.
        target: the staging database, and who connects to it: its administrator, until it has a login of its own.
        url: the same as one address.
        outputs: a folder of this machine for what failed commands print.
    """

    spec: StagingSpec
    application: ApplicationSpec | None
    target: Target
    url: str
    outputs: Path
    _port: int = field(default_factory=lambda: free_ports(1)[0])

    @property
    def directory(self) -> Path:
        """Where its commands are run."""
        named = self.spec.directory or (self.application.directory if self.application else None)
        return named or Path.cwd()

    @property
    def commands(self) -> tuple[Command, ...]:
        """What must succeed on a restored database; only where ``environment`` leads them to staging."""
        return self.application.commands if self.application and self.is_led_here else ()

    @property
    def tests(self) -> tuple[Command, ...]:
        """The critical ones. The application's own count only where ``environment`` leads them to staging."""
        if self.spec.tests or not self.is_led_here:
            return self.spec.tests
        return self.application.tests if self.application else ()

    @property
    def is_led_here(self) -> bool:
        """Whether the plan says how the application finds the staging database; else it would take the live one."""
        return leads_to_staging(self.spec.environment.values())

    @property
    def has_work(self) -> bool:
        """Whether anything of it is run once it may connect."""
        return bool(self.spec.start or self.commands or self.tests or self.spec.full_tests)

    def before_expose(self) -> list[str]:
        """Run what must have ended well before anything may connect.

        Raises:
            ApplicationFailed: one has not.
        """
        return [self.run(command) for command in self.spec.before_expose]

    @contextmanager
    def running(self) -> Iterator[str]:
        """It runs until the context ends, and answers; says so.

        Raises:
            ApplicationFailed: it ended, or did not answer in time.
        """
        command = self.spec.start
        if command is None:
            raise ValueError("nothing says how it is started")
        self._require_silence()
        self.outputs.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, log = tempfile.mkstemp(".log", "application-", self.outputs)
        os.close(descriptor)
        with subprocesses.background(
            self._kept(command, patience=4), log=Path(log), env=self.environment(), grace_seconds=5
        ) as running:
            yield self._answered(running, Path(log))
            if not running.alive():
                raise ApplicationFailed(
                    "the application ended before its tests had",
                    f"What it printed is in {log} on the machine that ran it.",
                )
        Path(log).unlink(missing_ok=True)

    def run(self, command: Command) -> str:
        """Run one of its commands to its end.

        Raises:
            ApplicationFailed: it did not end with 0, or not in time.
        """
        shown, seconds = _shown(command), self.spec.timeout.total_seconds()
        try:
            ended = subprocesses.run(self._kept(command), deadline_seconds=seconds, env=self.environment())
        except Transient:
            raise ApplicationFailed(
                f"`{shown}` did not end within {seconds:g} seconds", "Mend it, or give it more time: staging.timeout."
            ) from None
        if ended.returncode != 0:
            printed = self._keep(Path(command[0]).name, ended.stdout + ended.stderr.encode())
            raise ApplicationFailed(
                f"`{shown}` ended with {ended.returncode}, and has to end with 0",
                f"What it printed is in {printed} on the machine that ran it.",
            )
        return f"`{shown}` ended with 0"

    def environment(self) -> dict[str, str]:
        """What its commands are told."""
        told = {name: self._filled(value) for name, value in self.spec.environment.items()}
        return {
            "BACKPROOF_DATABASE": self.target.database,
            "BACKPROOF_HOST": self.target.host,
            "BACKPROOF_PORT": str(self.target.port),
            **told,
        }

    def _filled(self, text: str) -> str:
        password = self.target.password.get_secret_value() if self.target.password else ""
        values: Mapping[str, str] = {
            "url": self.url,
            "host": self.target.host,
            "port": str(self.target.port),
            "database": self.target.database,
            "user": self.target.user,
            "password": password,
            "application_port": str(self._port),
        }
        return _PLACE.sub(lambda place: values[place[1]], text)

    def _kept(self, command: Command, patience: float = 1) -> list[str]:
        # Isolated: what the application's environment says of Python is meant for the application.
        return [
            sys.executable,
            "-I",
            "-S",
            str(_KEEPER),
            str(self.directory),
            str(patience),
            *map(self._filled, command),
        ]

    def _require_silence(self) -> None:
        """Whoever answers already is another application: perhaps the live one."""
        url = self.spec.health_url
        if url is not None and not is_silence(said := answer(self._filled(url), elsewhere=False)):
            raise ApplicationFailed(
                f"{self._told(url)} answered {said} before the application was started: it is another one",
                "Write {application_port} in staging.health_url, and tell the application that port in "
                "staging.environment.",
            )

    def _told(self, url: str) -> str:
        """An address as a report may show it: no password is filled in."""
        return url.replace("{application_port}", str(self._port))

    def _answered(self, running: subprocesses.Running, log: Path) -> str:
        url = self.spec.health_url
        until = time.monotonic() + self.spec.timeout.total_seconds()
        while True:
            said = answer(self._filled(url), elsewhere=False) if url is not None else ""
            if said == "200":
                time.sleep(_STAYS_SECONDS)
            if not running.alive():
                raise ApplicationFailed(
                    "the application ended as soon as it was started",
                    f"What it printed is in {log} on the machine that ran it.",
                )
            if url is None:
                return "it was started"
            if said == "200":
                return f"it was started, and {self._told(url)} answered 200"
            if time.monotonic() > until:
                raise ApplicationFailed(
                    f"{self._told(url)} answered {said}, not 200, for {self.spec.timeout.total_seconds():g} seconds",
                    f"What the application printed is in {log} on the machine that ran it.",
                )
            time.sleep(_BETWEEN_SECONDS)

    def _keep(self, name: str, printed: bytes) -> Path:
        self.outputs.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, path = tempfile.mkstemp(".log", f"{name}-", self.outputs)
        with os.fdopen(descriptor, "wb") as file:
            file.write(printed)
        return Path(path)


def _shown(command: Command) -> str:
    text = " ".join(" ".join(command).split())
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[: _SHOWN_CHARACTERS - 1]}…"
