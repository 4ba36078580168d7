"""The commands of a runbook, tried: the installed program ``backproof``, given the fleet as no file that stays."""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from backproof.errors import BackproofError, MissingTool
from backproof.fleet import Fleet
from backproof.fleet.writing import written
from backproof.runbook import Answer, Run
from backproof.subprocesses import run, secret_file

_DEADLINE_SECONDS = 600
_NO_STATUS = -1


@contextmanager
def program(fleet: Fleet, environment: Mapping[str, str]) -> Iterator[Run]:
    """Run ``backproof`` as a person would, with a fleet that may have come from blocks.

    Args:
        fleet: what the program is given as its fleet file.
        environment: of whoever runs this; its credentials may be the machine's own.
    """
    installed = Path(sys.executable).with_name("backproof")
    with secret_file(written(fleet.spec)) as file:
        given = {**environment, "BACKPROOF_FLEET": str(file)}

        def tried(words: Sequence[str]) -> Answer:
            argv = [str(installed), "--json", *words]
            try:
                ended = run(argv, deadline_seconds=_DEADLINE_SECONDS, env=given)
            except MissingTool:
                return Answer(_NO_STATUS, f"there is no program {installed}")
            except BackproofError as error:
                return Answer(_NO_STATUS, error.fact)
            return Answer(ended.returncode, _error(ended.stdout))

        yield tried


def _error(printed: bytes) -> str:
    """What a command says of an error, of its own words alone: they hold no secret."""
    try:
        return str(json.loads(printed)["error"]["fact"])
    except (ValueError, KeyError, TypeError):
        return ""
