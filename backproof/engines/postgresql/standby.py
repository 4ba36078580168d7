"""Preflight of a standby: is what it shows of today, and does it let a dump end?

A dump of a standby works as one of its primary. It is of the moment up to which the standby has replayed, and replay
that needs a lock or a row of the dump's waits for it no longer than ``max_standby_streaming_delay``: then the server
ends the dump.
"""

from collections.abc import Iterator
from datetime import datetime

from psycopg2.extensions import cursor as Cursor

from backproof.findings import ok, warning
from backproof.records import Finding, Target

BEHIND_SECONDS = 300

_STATE = """
    SELECT pg_is_wal_replay_paused(), EXISTS (SELECT FROM pg_stat_wal_receiver),
           coalesce(pg_last_wal_receive_lsn() <= pg_last_wal_replay_lsn(), false), pg_last_xact_replay_timestamp(),
           extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp())::bigint
"""
_PATIENCE = """
    SELECT current_setting('max_standby_streaming_delay'), current_setting('max_standby_archive_delay'),
           current_setting('hot_standby_feedback')::bool
"""


def findings(cursor: Cursor, target: Target) -> Iterator[Finding]:
    """Nothing for a primary. Raises the driver's errors."""
    cursor.execute("SELECT pg_is_in_recovery()")
    if cursor.fetchone() != (True,):
        return
    cursor.execute(_STATE)
    [(paused, connected, caught_up, last, behind)] = cursor.fetchall()
    yield _state(paused, connected, caught_up, last, behind)
    cursor.execute(_PATIENCE)
    [(streaming, archive, feedback)] = cursor.fetchall()
    if "-1" not in (streaming, archive) and not feedback:
        yield warning(
            "replica conflicts",
            f"replay waits {streaming} for a dump that is in its way, and then the server ends the dump",
            "Set max_standby_streaming_delay = -1 or hot_standby_feedback = on there, or back up the primary.",
        )


def _state(paused: bool, connected: bool, caught_up: bool, last: datetime | None, behind: int | None) -> Finding:
    """The last commit replayed may be old since nobody commits: it counts where there is more to replay."""
    moment = f"{last:%Y-%m-%d %H:%M:%S %Z}" if last else "an unknown moment"
    if paused:
        found = f"replay is paused: the backup would be of {moment}"
        return warning("replica", found, "SELECT pg_wal_replay_resume(); there, or back up the primary.")
    recent = behind is not None and behind <= BEHIND_SECONDS
    if not connected and not recent:  # from an archive it may well have what is new
        found = f"this server is a replica, and no primary sends it anything: the backup would be of {moment}"
        return warning("replica", found, "Look into that server's log, or back up the primary.")
    if connected and caught_up:
        return ok("replica", "it has replayed all it was sent")
    what = f"committed {behind} seconds ago" if behind is not None else "committed before it started"
    found = (
        f"{'it has more to replay' if connected else 'no primary sends it anything'}; what it replayed last was {what}"
    )
    if recent:
        return ok("replica", found)
    return warning("replica", found, "Let it catch up, or back up the primary.")
