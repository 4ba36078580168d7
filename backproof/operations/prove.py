"""Prove: restore a backup, dump what was restored, and compare. A backup counts when it has come back.

Whatever can't be run is ``could-not-run``; it says what to do, and is never a pass.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from backproof import __version__, catalog
from backproof.engines import Engine, Progress, no_progress
from backproof.errors import BackproofError, Damaged, RestoreFailed, Transient
from backproof.fleet import Fleet
from backproof.operations import round_trip
from backproof.operations.clock import Now, Stopwatch, utc_now
from backproof.operations.round_trip import Found, temporary_database
from backproof.records import Manifest, Proof, Target
from backproof.scratch import workspace


def prove(
    fleet: Fleet,
    plan: str,
    backup: str,
    store: str,
    now: Now = utc_now,
    progress: Progress = no_progress,
    jobs: int | None = None,
) -> Proof:
    """Prove one copy of one backup, and write the proof to every store of the plan that can be reached.

    Args:
        fleet: where the plan is found.
        plan: its name.
        backup: an id, or ``latest``.
        store: the copy to prove: what a disaster would leave.
        now: the wall clock.
        progress: told the plain bytes restored and dumped again.
        jobs: connections to restore with; the number of processors unless said.

    Returns:
        The signed proof's content; a ``failed`` verdict is returned, not raised.

    Raises:
        Transient: a server or store went away midway: worth another try, and no verdict was written.
        NotFound, Damaged: there is no manifest to hold the copy against.
    """
    manifest, _ = catalog.manifest(fleet, plan, backup, store)
    watch, started_at, found = Stopwatch(now), now(), Found()
    try:
        _run(fleet, manifest, store, found, watch, progress, jobs or os.cpu_count() or 1)
    except (Damaged, RestoreFailed) as error:  # the backup did not come back: that is a verdict
        found.verdict, found.reason = "failed", str(error)
    except Transient:
        raise
    except BackproofError as error:
        found.verdict, found.reason = "could-not-run", str(error)
    # A run that is being stopped raises here: its scratch server was ended under it, and that is no verdict.
    finished_at = now()
    proof = Proof(
        plan=plan,
        backup=manifest.id,
        store=store,
        verdict=found.verdict,
        reason=found.reason,
        started_at=started_at,
        finished_at=finished_at,
        stored_sha256=manifest.stored_sha256,
        backproof_version=__version__,
        proven_on=fleet.plan(plan).verify_on if found.server_version else None,
        server_version=found.server_version,
        differences=found.differences,
        checks=found.checks,
        not_covered=found.not_covered,
        unused_accepts=found.unused_accepts,
        timings=watch.timings,
    )
    return round_trip.write_proof(fleet, manifest, proof)


def _run(
    fleet: Fleet, manifest: Manifest, store: str, found: Found, watch: Stopwatch, progress: Progress, jobs: int
) -> None:
    engine = fleet.engine(manifest.plan)
    archive = catalog.open_archive(fleet, manifest, store)
    with watch.phase("check the copy", lambda: manifest.stored_bytes):
        archive.verify()  # members and frames vouch for themselves; copies and exports also rely on the whole
    with watch.phase("read definitions"):
        archived = round_trip.archived_entries(engine, archive)
    with _place(fleet, engine, manifest, watch) as target:
        with watch.phase("restore", lambda: manifest.plain_bytes):
            left_out = round_trip.bring_back(engine, archive, target, jobs, progress)
        with watch.phase("dump again", lambda: manifest.plain_bytes):
            restored = round_trip.dumped_again(fleet, engine, target, manifest, found, progress, jobs)
        with watch.phase("compare"):
            round_trip.compare(fleet, engine, target, manifest, archived, restored, found)
        with watch.phase("checks"):
            round_trip.check(fleet, engine, target, manifest, found)
    found.not_covered = (*manifest.database.not_carried, *left_out)
    round_trip.judge(found, manifest)


@contextmanager
def _place(fleet: Fleet, engine: Engine, manifest: Manifest, watch: Stopwatch) -> Iterator[Target]:
    """An empty database to restore into, gone afterwards."""
    on_server = fleet.plan(manifest.plan).verify_on == "server"
    with ExitStack() as stack:
        with watch.phase("make a database" if on_server else "start a scratch server"):
            if on_server:
                live = fleet.restorer(manifest.plan)
                lock = engine.lock(live, f"verify {manifest.plan}")
                target = stack.enter_context(temporary_database(fleet, engine, manifest, live, "verify", lock))
            else:
                folder = stack.enter_context(workspace("scratch", fleet.scratch_folder))
                target = stack.enter_context(engine.scratch(manifest, folder, fleet.tool_folders))
                engine.provide(target, manifest, engine.lacks(target, manifest))
        yield target
