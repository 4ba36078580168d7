"""One of our operations as a command of its own, as the benchmark times it: ``python -m benchmarks.ours FLEET VERB …``.

The whole process is timed, interpreter start and imports included, as the stock tools' are.
"""

import os
import sys
from pathlib import Path

from backproof.garbage import look_seldom

look_seldom()  # as the command does, before all that is loaded now

from backproof import catalog  # noqa: E402
from backproof.fleet import Fleet, load  # noqa: E402
from backproof.operations.copy import copy  # noqa: E402
from backproof.operations.prove import prove  # noqa: E402
from backproof.operations.restore import restore  # noqa: E402
from backproof.operations.seal import seal  # noqa: E402


def main() -> None:
    """Run one verb on the plan ``bench``."""
    fleet = Fleet(load(Path(sys.argv[1]), os.environ))
    verb, rest = sys.argv[2], sys.argv[3:]
    if verb == "seal":
        print(seal(fleet, "bench", "manual").manifest.id)
    elif verb == "restore":
        restore(fleet, "bench", "latest", rest[0], store=rest[1] if len(rest) > 1 else "local")
    elif verb == "copy":
        copy(fleet, "bench", catalog.manifest(fleet, "bench")[0].id, "local", rest[0])
    elif verb == "restore-table":
        restore(fleet, "bench", "latest", rest[0], tables=[rest[1]])
    elif verb == "verify":
        proof = prove(fleet, "bench", "latest", "local")
        if proof.verdict != "passed":
            sys.exit(proof.reason)
    else:
        sys.exit(f"{verb} is not a verb of the benchmark")


if __name__ == "__main__":
    main()
