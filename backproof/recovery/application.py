"""The application that lives on a database: stopped from writing, let go on, tried, and watched.

Commands are a program and its arguments, run in the application's folder; no shell reads them. Which database they are
about they learn from ``BACKPROOF_DATABASE``, ``BACKPROOF_HOST`` and ``BACKPROOF_PORT``; never a password.
"""

import os
import re
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from backproof import subprocesses
from backproof.answering import answer
from backproof.errors import ApplicationFailed, MissingTool
from backproof.fleet.specs import ApplicationSpec, WatchSpec
from backproof.records import Target
from backproof.recovery.entries import Facts

_HEALTH_SECONDS = 60
"""How long an application may take to answer after maintenance."""
_BETWEEN_SECONDS = 1.0

Sleep = Callable[[float], None]


@dataclass(frozen=True)
class Application:
    """A plan's application, if it has one.

    Args:
        spec: what the plan says; None: nothing.
        database: what its commands are told.
        outputs: a folder of this machine for what failed commands print, which may be anything: it is told to nobody.
        sleep: waits so many seconds.
    """

    spec: ApplicationSpec | None
    database: Target
    outputs: Path
    sleep: Sleep = time.sleep

    def lacks(self, *settings: str) -> str:
        """That the plan has none of these; empty where it has one."""
        if self.spec is not None and any(getattr(self.spec, each) for each in settings):
            return ""
        return f"the plan names no {' and no '.join(f'application.{each}' for each in settings)}"

    def maintenance_on(self) -> Facts:
        """Stop it from writing."""
        return self._switch("maintenance_on", self.spec.maintenance_on if self.spec else None)

    def maintenance_off(self) -> Facts:
        """Let it write again."""
        return self._switch("maintenance_off", self.spec.maintenance_off if self.spec else None)

    def commands(self, database: Target | None = None) -> Facts:
        """Run those that must succeed."""
        return self._all("commands", self.spec.commands if self.spec else (), database)

    def tests(self) -> Facts:
        """Run its own critical tests."""
        return self._all("tests", self.spec.tests if self.spec else (), None)

    def healthy(self) -> Facts:
        """Wait until it answers 200."""
        if self.spec is None or self.spec.health_url is None:
            return {"health": f"not run: {self.lacks('health_url')}"}
        until = time.monotonic() + _HEALTH_SECONDS
        while (said := answer(self.spec.health_url)) != "200":
            if time.monotonic() > until:
                raise ApplicationFailed(
                    f"{self.spec.health_url} answered {said}, not 200, for {_HEALTH_SECONDS} seconds",
                    "See the application's log.",
                )
            self.sleep(_BETWEEN_SECONDS)
        return {"health": f"{self.spec.health_url} answered 200"}

    def watch(self) -> Facts:
        """Look at it for as long as the plan says.

        Raises:
            ApplicationFailed: more went wrong than the plan bears.
        """
        watched = self.spec.watch if self.spec else None
        if watched is None:
            return {"watch": f"not run: {self.lacks('watch')}"}
        log = _Log(watched)
        until = time.monotonic() + timedelta(minutes=watched.minutes).total_seconds()
        errors: list[str] = []
        while True:
            errors += log.errors()
            errors += [f"{url} answered {said}" for url in watched.urls if (said := answer(url)) != "200"]
            if len(errors) > watched.limit:
                raise ApplicationFailed(
                    f"{len(errors)} errors within the watch, {watched.limit} are borne; the last: {errors[-1]}",
                    "See the application's log.",
                )
            if time.monotonic() >= until:
                return {"watch": f"{watched.minutes} minutes, {len(errors)} errors"}
            self.sleep(min(_BETWEEN_SECONDS, max(0.0, until - time.monotonic())))

    def _switch(self, which: str, command: Sequence[str] | None) -> Facts:
        if command is None:
            return {which: f"not run: {self.lacks(which)}"}
        return {which: self._run(command, self.database)}

    def _all(self, which: str, commands: Sequence[Sequence[str]], database: Target | None) -> Facts:
        if not commands:
            return {which: f"not run: {self.lacks(which)}"}
        return {which: [self._run(command, database or self.database) for command in commands]}

    def _run(self, command: Sequence[str], database: Target) -> str:
        if self.spec is None:
            raise ValueError("there is no application to run a command of")
        shown = " ".join(command)
        told = {
            "BACKPROOF_DATABASE": database.database,
            "BACKPROOF_HOST": database.host,
            "BACKPROOF_PORT": str(database.port),
        }
        try:
            ended = subprocesses.run(
                command, deadline_seconds=self.spec.timeout.total_seconds(), env=told, cwd=self.spec.directory
            )
        except MissingTool as error:
            raise ApplicationFailed(error.fact, "Mend the command in the plan's application.") from None
        if ended.returncode != 0:
            printed = self._keep(Path(command[0]).name, ended.stdout + ended.stderr.encode())
            raise ApplicationFailed(
                f"`{shown}` ended with {ended.returncode}, and has to end with 0", f"What it printed is in {printed}."
            )
        return f"`{shown}` ended with 0"

    def _keep(self, name: str, printed: bytes) -> Path:
        self.outputs.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, path = tempfile.mkstemp(".log", f"{name}-", self.outputs)
        with os.fdopen(descriptor, "wb") as file:
            file.write(printed)
        return Path(path)


class _Log:
    """Lines that an application adds to its log from now on."""

    def __init__(self, spec: WatchSpec) -> None:
        self._path: Path | None = spec.log_file
        self._pattern = re.compile(spec.error_pattern)
        self._read = self._size()

    def errors(self) -> list[str]:
        if self._path is None:
            return []
        size = self._size()
        if size < self._read:  # it was begun anew
            self._read = 0
        if size == self._read:
            return []
        with self._path.open("rb") as file:
            file.seek(self._read)
            added = file.read()
        whole = added[: added.rfind(b"\n") + 1]
        self._read += len(whole)
        lines = whole.decode(errors="replace").splitlines()
        return [
            f"a line of {self._path} that says {match[0]!r}" for line in lines if (match := self._pattern.search(line))
        ]

    def _size(self) -> int:
        try:
            return self._path.stat().st_size if self._path else 0
        except FileNotFoundError:
            return 0
