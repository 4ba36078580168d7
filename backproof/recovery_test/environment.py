"""The test environment, looked at a week before: room, versions, access, tools. What is lacking can still be mended."""

import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from backproof import catalog
from backproof.errors import BackproofError
from backproof.findings import failed, missing, ok, warning
from backproof.fleet import Fleet
from backproof.operations.preflight import key_findings
from backproof.records import Finding, Manifest
from backproof.recovery_test.application import StagedApplication
from backproof.recovery_test.downloading import clouds, where, whose_turn
from backproof.recovery_test.live_servers import require_no_live_server
from backproof.scratch import workspace
from backproof.words import size

_SCRATCH_SHARE = 1.3
"""Of the live size: what a throwaway server takes while it restores."""


@dataclass(frozen=True)
class _Asked:
    fleet: Fleet
    plan: str
    manifest: Manifest
    store: str


def look(fleet: Fleet, plan: str, at: datetime) -> tuple[Finding, ...]:
    """What a recovery test at that moment would need; reads of the archive no more than its first member.

    A throwaway server is started and removed again: nothing else shows that one can be.
    """
    found = list(key_findings(fleet, plan))
    buckets = clouds(fleet, plan)
    if not buckets:
        remedy = "Give the plan a store of type s3: a backup that lies here alone is lost with this place."
        found.append(warning("cloud copy", "the plan has none", remedy))
    store = whose_turn(buckets, at) if buckets else fleet.plan(plan).stores[-1]
    try:
        manifest, _ = catalog.manifest(fleet, plan, "latest", store)
    except BackproofError as error:
        return (*found, failed("cloud copy", error))
    asked = _Asked(fleet, plan, manifest, store)
    for check in _CHECKS:
        try:
            found += check(asked)
        except BackproofError as error:
            found.append(failed(check.__name__.strip("_").replace("_", " "), error))
    return tuple(found)


def _cloud_copy(asked: _Asked) -> Iterator[Finding]:
    archive = catalog.open_archive(asked.fleet, asked.manifest, asked.store)
    archive.read(asked.manifest.members[0])
    yield ok("cloud copy", f"{asked.manifest.id} opens, from {where(asked.fleet, asked.store)}")


def _room(asked: _Asked) -> Iterator[Finding]:
    folder = asked.fleet.scratch_folder or Path(tempfile.gettempdir())
    here = asked.fleet.staging(asked.plan) is None
    restored = int(asked.manifest.database.live_bytes * _SCRATCH_SHARE) if here else 0
    needed = asked.manifest.stored_bytes + restored
    existing = next(place for place in (folder, *folder.absolute().parents) if place.is_dir())
    free = shutil.disk_usage(existing).free
    takes = f"{size(free)} free in {folder}, the test takes {size(needed)}"
    if free < needed:
        yield missing("room", takes, "Make room, or name a larger folder as scratch_folder in the fleet.")
    else:
        yield ok("room", takes)


def _staging(asked: _Asked) -> Iterator[Finding]:
    engine, server = asked.fleet.engine(asked.plan), asked.fleet.staging(asked.plan)
    if server is None:
        with (
            workspace("rehearsal", asked.fleet.scratch_folder) as folder,
            engine.scratch(asked.manifest, folder, asked.fleet.tool_folders, reachable=True) as target,
        ):
            lacking = [lack for lack in engine.lacks(target, asked.manifest) if lack.kind in ("extension", "locale")]
            host = engine.host(target, asked.manifest)
    else:
        require_no_live_server(asked.fleet, asked.plan, server, asked.manifest)
        lacking = [lack for lack in engine.lacks(server, asked.manifest) if lack.refuses]
        host = engine.host(server, asked.manifest)
        if host.free_bytes is not None and host.free_bytes < asked.manifest.database.live_bytes:
            needed = size(asked.manifest.database.live_bytes)
            yield missing("staging", f"{size(host.free_bytes)} free, the database takes {needed}", "Make room there.")
    if host.series < host.series_of_backup:
        found = f"{host.version}; the backup is of {asked.manifest.database.server_version}, which is later"
        yield missing("staging", found, "Provide a staging server of at least that version.")
    for lack in lacking:
        yield missing("staging", f"the server lacks {lack.kind} {lack.name}", lack.remedy)
    what = "a throwaway server starts here" if server is None else f"{server.host}:{server.port} answers"
    yield ok("staging", f"{what}: version {host.version}, for a backup of {asked.manifest.database.server_version}")


def _production(asked: _Asked) -> Iterator[Finding]:
    """Who reads it, and with which tools."""
    yield from asked.fleet.engine(asked.plan).findings(asked.fleet.target(asked.plan), asked.fleet.tool_folders)


def _application(asked: _Asked) -> Iterator[Finding]:
    plan = asked.fleet.plan(asked.plan)
    staging = plan.recovery_test.staging
    target = asked.fleet.target(asked.plan)
    application = StagedApplication(staging, plan.application, target, "", Path(tempfile.gettempdir()))
    if not application.directory.is_dir():
        found = f"{application.directory} is no folder of this machine"
        yield missing("application", found, "Name its folder in recovery_test.staging.directory.")
    started = (staging.start,) if staging.start else ()
    named = (*staging.before_expose, *started, *application.commands, *application.tests, *staging.full_tests)
    for command in dict.fromkeys(each[0] for each in named):
        if shutil.which(command) is None and not (application.directory / command).is_file():
            yield missing("application", f"there is no program {command} here", "Install it, or correct the command.")
    if not application.tests:
        yield warning("application", "no critical tests are named", "Name them in recovery_test.staging.tests.")
    if staging.health_url is None and not application.commands:
        remedy = "Name how it is started, and a health_url, in recovery_test.staging."
        yield warning("application", "nothing shows whether it connects", remedy)
    if staging.start and not (staging.masking or staging.before_expose):
        remedy = "Name masking or before_expose in recovery_test.staging, unless it reaches nobody."
        yield warning("application", "it is started on real data: its mail and jobs may reach the world", remedy)


_Check = Callable[[_Asked], Iterator[Finding]]

_CHECKS: Sequence[_Check] = (_cloud_copy, _room, _staging, _production, _application)
