"""The login of a staged application: its own, made once nothing on the copy reaches the world, gone with the copy."""

import hashlib
from dataclasses import replace

from backproof.engines import Engine
from backproof.errors import AccessDenied
from backproof.records import Target
from backproof.recovery_test.context import Rehearsal


def login_of(copy: Target) -> str:
    """Its name. Of the copy's, so that one which a killed test has left is known to be nobody's."""
    return f"backproof_app_{hashlib.sha256(copy.database.encode()).hexdigest()[:12]}"


def admit(rehearsal: Rehearsal) -> None:
    """Let the application in: all of the staging database, nothing on its server. Until then nobody knows of it."""
    application = rehearsal.application
    if application is None:
        raise ValueError("there is no staging database")
    if not application.has_work:
        return
    copy, engine = rehearsal.place(), rehearsal.engine
    try:
        own = engine.admit(copy, login_of(copy))
    except AccessDenied as error:
        raise AccessDenied(
            f"the application can't be given a login of its own on the staging server: {error.fact}",
            f"Let {copy.user} make logins there, or leave staging.database out for a throwaway server.",
        ) from None
    rehearsal.application = replace(application, target=own, url=engine.url(own))


def dismiss(engine: Engine, copy: Target) -> None:
    """Remove it, and first the copy, since it owns what is in it."""
    engine.drop(copy)
    engine.dismiss(copy, login_of(copy))
