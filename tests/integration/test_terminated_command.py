"""SIGTERM at a command: as Ctrl-C, it ends what it started and removes what it half made."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import yaml

from backproof.operations.seal import seal
from backproof.records import Target
from tests.support.fleets import PLAN, built, described
from tests.support.postgres_fixtures import FreshDatabase, execute


def test_a_restore_that_is_terminated_removes_the_database_it_was_making(
    postgres18: Target, fresh_database: FreshDatabase, tmp_path: Path
) -> None:
    # The index takes long: the restore is in the middle when the signal comes.
    schema = """CREATE TABLE t (a int); INSERT INTO t SELECT n FROM generate_series(1, 1000) n;
    CREATE FUNCTION slow(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS
        $$ BEGIN IF current_database() LIKE 'slow%' THEN PERFORM pg_sleep(60); END IF; RETURN $1; END $$;
    CREATE INDEX slowly ON t (slow(a));"""
    description = described(fresh_database(postgres18, schema), tmp_path)
    seal(built(description, tmp_path), PLAN, "manual")
    fleet = tmp_path / "fleet.yaml"
    fleet.write_text(yaml.safe_dump(description))
    command = ["--fleet", str(fleet), "restore", PLAN, "--backup", "latest", "--into", "slow_copy"]
    with subprocess.Popen(
        [Path(sys.executable).with_name("backproof"), *command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        deadline = time.monotonic() + 60
        sleeping = "SELECT 1 FROM pg_stat_activity WHERE datname = 'slow_copy' AND wait_event = 'PgSleep'"
        while not execute(postgres18, sleeping):
            assert time.monotonic() < deadline, "the restore did not get to its index"
            assert process.poll() is None, process.stdout and process.stdout.read()
            time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=30)
    assert process.returncode == 130, output
    assert b"Traceback" not in output
    assert execute(postgres18, "SELECT 1 FROM pg_database WHERE datname = 'slow_copy'") == []
