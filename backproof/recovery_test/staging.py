"""The staging copy: a place for it, restoring into it, proving it, and what is done before anything may connect."""

import hashlib
import os
from collections.abc import Sequence

from sqlalchemy import create_engine
from sqlalchemy.exc import SQLAlchemyError

from backproof import __version__
from backproof.errors import ApplicationFailed, BackproofError, ConfigurationError
from backproof.operations import round_trip
from backproof.operations.restore import require
from backproof.operations.round_trip import temporary_database
from backproof.records import Proof, Timing
from backproof.recovery_test import judging, production
from backproof.recovery_test.application import StagedApplication
from backproof.recovery_test.context import Rehearsal
from backproof.recovery_test.live_servers import require_no_live_server
from backproof.recovery_test.login import dismiss, login_of
from backproof.recovery_test.record import Cited
from backproof.recovery_test.rollback import stand_ins

RESTORE, CRITICAL = "Restore", "Critical data present and accurate"
CONNECTS, FUNCTIONS = "Application connects", "Application functions"


def make_place(rehearsal: Rehearsal) -> None:
    """A throwaway server, or a database of a test's own on the staging server."""
    fleet, engine, manifest = rehearsal.fleet, rehearsal.engine, rehearsal.backup_of_it()
    server = fleet.staging(rehearsal.plan)
    if server is None:
        folder = rehearsal.folder
        if folder is None:
            raise ValueError("nothing was downloaded")
        target = rehearsal.open.enter_context(engine.scratch(manifest, folder, fleet.tool_folders, reachable=True))
        engine.provide(target, manifest, engine.lacks(target, manifest))
        rehearsal.staging = "a throwaway server on this machine"
    else:
        require_no_live_server(fleet, rehearsal.plan, server, manifest)
        host = engine.host(server, manifest)
        if host.series != host.series_of_backup:
            raise ConfigurationError(
                f"the staging server is {host.version}, and the backup is of {manifest.database.server_version}: what "
                "it dumps again could not be compared",
                "Use a staging server of production's version, or leave staging.database out for a throwaway one.",
            )
        require(engine.lacks(server, manifest), create_missing_roles=False)
        # Whose server it is may have no database of the name that the fleet gives.
        lock = engine.recovery_lock(server, f"test {rehearsal.plan}")
        made = temporary_database(fleet, engine, manifest, server, "test", lock)
        target = rehearsal.open.enter_context(made)
        for left in stand_ins(target):  # by a test that was killed while it rehearsed a rollback
            engine.drop(left)
        engine.dismiss(target, login_of(target))
        rehearsal.open.callback(dismiss, engine, target)
        rehearsal.staging = f"{target.database} on {target.host}:{target.port}"
    rehearsal.target = target
    application = fleet.plan(rehearsal.plan).application
    rehearsal.application = StagedApplication(
        rehearsal.spec.staging, application, target, engine.url(target), rehearsal.around.outputs
    )


def restore(rehearsal: Rehearsal) -> None:
    """From the file that was downloaded, over all processors."""
    manifest, jobs = rehearsal.backup_of_it(), rehearsal.around.jobs or os.cpu_count() or 1
    rehearsal.left_out = round_trip.bring_back(
        rehearsal.engine, rehearsal.archive(), rehearsal.place(), jobs, rehearsal.progress
    )
    rehearsal.moved = manifest.plain_bytes


def verify(rehearsal: Rehearsal) -> None:
    """The proof: dump what was restored, and compare all of it. It is written like that of any verification."""
    fleet, engine, target = rehearsal.fleet, rehearsal.engine, rehearsal.place()
    manifest, found = rehearsal.backup_of_it(), rehearsal.found
    archived = round_trip.archived_entries(engine, rehearsal.archive())
    rehearsal.restored = round_trip.dumped_again(
        fleet, engine, target, manifest, found, rehearsal.progress, rehearsal.around.jobs or 1
    )
    round_trip.compare(fleet, engine, target, manifest, archived, rehearsal.restored, found)
    round_trip.check(fleet, engine, target, manifest, found)
    found.not_covered = (*manifest.database.not_carried, *rehearsal.left_out)
    round_trip.judge(found, manifest)
    rehearsal.moved = manifest.plain_bytes
    unaccepted = [each for each in found.differences if each.accepted is None]
    if unaccepted:
        rehearsal.judge(RESTORE, "fail", found.reason)
    else:
        rehearsal.judge(RESTORE, "pass", f"restored to {rehearsal.staging}, and dumped again: {_came_back(rehearsal)}")


def _came_back(rehearsal: Rehearsal) -> str:
    manifest = rehearsal.backup_of_it()
    rows = sum(table.rows for table in manifest.tables)
    accepted = sum(each.accepted is not None for each in rehearsal.found.differences)
    aside = f", {accepted} accepted differences aside" if accepted else ""
    return f"{len(manifest.entries)} definitions and {rows:,} rows in {len(manifest.tables)} tables are equal{aside}"


def write_proof(rehearsal: Rehearsal) -> None:
    """The signed proof, into the stores of the plan."""
    fleet, manifest, found = rehearsal.fleet, rehearsal.backup_of_it(), rehearsal.found
    staging = rehearsal.spec.staging.database
    proof = Proof(
        plan=rehearsal.plan,
        backup=manifest.id,
        store=str(rehearsal.copy_in),
        verdict=found.verdict,
        reason=found.reason,
        started_at=rehearsal.started_at,
        finished_at=rehearsal.around.now(),
        stored_sha256=manifest.stored_sha256,
        backproof_version=__version__,
        proven_on="scratch" if staging is None else "server",
        server_version=found.server_version,
        differences=found.differences,
        checks=found.checks,
        not_covered=found.not_covered,
        unused_accepts=found.unused_accepts,
        timings=_as_a_proof_has_them(rehearsal.watch.timings),
    )
    rehearsal.proof = round_trip.write_proof(fleet, manifest, proof)
    document = fleet.signer.sign(rehearsal.proof)
    name = round_trip.proof_key(manifest, rehearsal.proof)
    rehearsal.cites.append(Cited(what="proof", name=name, sha256=hashlib.sha256(document).hexdigest()))


_PHASES = {"download": "check the copy", "restore": "restore", "verify": "dump again"}
"""Phases of a recovery test, by what a verification calls them: a proof is read in the same way whoever made it."""


def _as_a_proof_has_them(timings: Sequence[Timing]) -> tuple[Timing, ...]:
    named = [each for each in timings if each.phase in _PHASES]
    return tuple(each.model_copy(update={"phase": _PHASES[each.phase]}) for each in named)


def critical_data(rehearsal: Rehearsal) -> None:
    """The rows of tables, the schema, and the plan's own checks, held against the state of production."""
    state, restored, spec = rehearsal.production, rehearsal.restored, rehearsal.spec
    if restored is None:
        raise ValueError("nothing was restored")
    checks = rehearsal.found.checks
    broken = [f"{each.name}: found {each.found}, expected {each.expect}" for each in checks if not each.passed]
    if state is None:
        why = "; ".join(broken) or "no state of production was recorded, and production can't be read now"
        remedy = f"`backproof recovery-test {rehearsal.plan} --notice` records it."
        rehearsal.judge(CRITICAL, "fail" if broken else "not run", why, remedy)
        return
    rows = {name: table.rows for name, table in restored.tables.items()}
    rehearsal.compared = tuple(judging.compare(state.rows, rows, spec))
    if not rehearsal.compared:
        rehearsal.judge(CRITICAL, "not run", "production has no table that could be compared")
        return
    schema = production.definitions_of(rehearsal.engine, rehearsal.archive())
    changed = _schema_differences(rehearsal, state, schema)
    problems = [each for each in (judging.off(rehearsal.compared), changed, "; ".join(broken)) if each]
    when = f"production as of {state.recorded_at:%Y-%m-%d %H:%M} UTC"
    if problems:
        rehearsal.judge(CRITICAL, "fail", f"{'; '.join(problems)}; held against {when}")
        return
    if nothing := judging.shows_nothing(rehearsal.compared):
        rehearsal.judge(CRITICAL, "not run", f"{nothing}; held against {when}", judging.MAY_BE_EMPTY)
        return
    count, also = len(rehearsal.compared), f", {len(checks)} checks of the plan hold" if checks else ""
    rehearsal.judge(
        CRITICAL,
        "pass",
        f"the rows of {count} tables are within their tolerance of {when}, the schema is production's{also}",
    )


def know_production(rehearsal: Rehearsal) -> None:
    """As it was recorded; where it was not, as it is now, which says the same where it can be read."""
    recorded = production.latest(rehearsal.fleet, rehearsal.plan, rehearsal.started_at)
    if recorded is not None:
        rehearsal.recorded, rehearsal.production = recorded, recorded.state
        rehearsal.cites.append(Cited(what="state of production", name=recorded.key, sha256=recorded.sha256))
        return
    if rehearsal.restored is None:
        return  # nothing would be held against it
    try:
        rehearsal.production = production.read(rehearsal.fleet, rehearsal.plan, rehearsal.around.now)
    except BackproofError as error:
        rehearsal.around.say(f"the state of production could not be read: {error.fact}")


def _schema_differences(rehearsal: Rehearsal, state: production.ProductionState, schema: dict[str, str]) -> str:
    """Empty where the schema is that which was recorded or, since production may have gone on, that of today."""
    recorded = list(production.differing(state.definitions, schema))
    if not recorded or rehearsal.recorded is None:
        return _said(recorded, "production")
    try:
        today = production.read(rehearsal.fleet, rehearsal.plan, rehearsal.around.now)
    except BackproofError:
        return _said(recorded, "the production that was recorded (production can't be read now)")
    now = list(production.differing(today.definitions, schema))
    return _said(now, "production, as recorded and as it is now") if now else ""


def _said(differences: list[str], whose: str) -> str:
    return f"the schema is not that of {whose}: {judging.listed_differences(differences)}" if differences else ""


def shield(rehearsal: Rehearsal) -> None:
    """Masking, then what switches off mail and the like. Nothing may connect before all of it has ended well."""
    staging = rehearsal.spec.staging
    if staging.masking:
        _mask(rehearsal)
    application = rehearsal.application
    if application is not None:
        application.before_expose()


def _mask(rehearsal: Rehearsal) -> None:
    engine = create_engine(rehearsal.engine.sqlalchemy_url(rehearsal.place()), pool_size=1)
    number = 0
    try:
        with engine.begin() as connection:
            for statement in rehearsal.spec.staging.masking:
                number += 1
                connection.exec_driver_sql(statement.replace("%", "%%"))
    except SQLAlchemyError as error:
        kind = type(getattr(error, "orig", None) or error).__name__
        raise ApplicationFailed(
            f"statement {number} of recovery_test.staging.masking failed ({kind}); nothing was let near the copy",
            "Mend it: what a database says of it may quote a row, and is not told.",
        ) from None
    finally:
        engine.dispose()


def start_application(rehearsal: Rehearsal) -> None:
    """Start it, and see that it answers; or run those of its commands that must succeed on a restored database."""
    application = rehearsal.application
    if application is None:
        raise ValueError("there is no staging database")
    told = []
    if application.spec.start is not None:
        started = rehearsal.running.enter_context(application.running())
        told += [started] if application.spec.health_url else []
    told += [application.run(command) for command in application.commands]
    if told:
        rehearsal.judge(CONNECTS, "pass", "; ".join(told))
    else:
        rehearsal.judge(
            CONNECTS,
            "not run",
            "the plan names neither staging.health_url, which is asked once the application was started, "
            "nor commands that staging.environment leads to this database",
        )


def critical_tests(rehearsal: Rehearsal) -> None:
    """The application's critical tests."""
    application = rehearsal.application
    if application is None:
        raise ValueError("there is no staging database")
    if not application.tests:
        rehearsal.judge(
            FUNCTIONS, "not run", "the plan names no tests in recovery_test.staging that could run on this database"
        )
        return
    rehearsal.judge(FUNCTIONS, "pass", "; ".join(application.run(command) for command in application.tests))


def full_tests(rehearsal: Rehearsal) -> None:
    """All of its tests."""
    application = rehearsal.application
    if application is not None and application.spec.full_tests:
        ran = [application.run(command) for command in application.spec.full_tests]
        rehearsal.judge(FUNCTIONS, "pass", f"all tests: {'; '.join(ran)}")


def stop_application(rehearsal: Rehearsal) -> None:
    """It is not needed any more."""
    rehearsal.running.close()
