"""A staging server must be nobody's live server, whatever it is called: a test loads it, and makes databases there."""

from backproof.engines import Engine
from backproof.errors import BackproofError, ConfigurationError
from backproof.fleet import Fleet
from backproof.records import Manifest, Target


def require_no_live_server(fleet: Fleet, plan: str, staging: Target, manifest: Manifest) -> None:
    """Hold the staging server of a plan against the live servers of all plans of the fleet. Changes nothing.

    Args:
        fleet: where the plans are found.
        plan: whose recovery is rehearsed.
        staging: who makes databases on the staging server.
        manifest: of a backup of the plan; it tells where that was taken where the live server does not answer.

    Raises:
        ConfigurationError: it is a live server; or can't be told from the plan's own, which does not answer.
        BackproofError: the staging server can't be reached.
    """
    engine, known = fleet.engine(plan), set[tuple[str, int]]()
    for other in sorted(fleet.spec.plans, key=lambda name: (name != plan, name)):
        if fleet.engine(other).name != engine.name:
            continue
        live = fleet.target(other)
        if (live.host, live.port) in known:
            continue
        known.add((live.host, live.port))
        if _is_live(engine, live, staging, manifest if other == plan else None):
            raise ConfigurationError(
                f"the staging server, {staging.host}:{staging.port}, is the live server of plan {other}, "
                f"{live.host}:{live.port}, by another name",
                "Name another server's in recovery_test.staging.database, or leave it out for a throwaway one.",
            )


def _is_live(engine: Engine, live: Target, staging: Target, manifest: Manifest | None) -> bool:
    try:
        return engine.same_server(live, staging)
    except BackproofError:
        return manifest is not None and engine.is_home(staging, manifest)
