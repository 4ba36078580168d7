"""The flow ``recovery`` on real servers: it waits for approval, each step is a task, and the report is an artifact."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterKey,
    FlowRunFilter,
    FlowRunFilterId,
    FlowRunFilterState,
    FlowRunFilterStateName,
    FlowRunFilterTags,
)
from prefect.flow_runs import resume_flow_run

from blocks.fleet import FILE_VARIABLE
from flows.recovery import recovery
from tests.support.engine_harness import POSTGRESQL
from tests.support.fleets import PLAN
from tests.support.prefect_fixtures import eventually
from tests.support.recovering import Live, World, world

pytestmark = pytest.mark.usefixtures("prefect_api")


@pytest.fixture(scope="module")
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    server = request.getfixturevalue("postgres15")
    with world(POSTGRESQL, server, tmp_path_factory.mktemp("recovery")) as made:
        yield made


@pytest.fixture
def live(made: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[Live]:
    found = made.live()
    monkeypatch.setenv(FILE_VARIABLE, str(found.file))
    monkeypatch.setenv("XDG_STATE_HOME", str(found.file.parent / "state"))
    yield found
    made.clean()


def _answered(pool: ThreadPoolExecutor, answer: dict[str, str], **asked: Any) -> tuple[UUID, Any]:
    """A run that somebody answers once it waits."""
    known = {each.id for each in _paused()}
    running: Future[Any] = pool.submit(
        copy_context().run, partial(recovery, PLAN, "rows were deleted", return_state=True, **asked)
    )
    eventually(lambda: running.done() or any(each.id not in known for each in _paused()), 120, "a run that waits")
    if running.done():
        raise AssertionError(running.result())
    (waiting,) = [each.id for each in _paused() if each.id not in known]
    resume_flow_run(waiting, run_input=answer)
    return waiting, running.result(timeout=240)


def _paused() -> list[Any]:
    with get_client(sync_client=True) as client:
        return client.read_flow_runs(
            flow_run_filter=FlowRunFilter(
                state=FlowRunFilterState(name=FlowRunFilterStateName(any_=["Paused"])),
                tags=FlowRunFilterTags(all_=[f"plan:{PLAN}"]),
            )
        )


def test_an_approved_recovery_is_carried_out_step_by_step(live: Live) -> None:
    whole = live.content()
    live.run("DELETE FROM child WHERE id > 100")
    with ThreadPoolExecutor(1) as pool:
        run, state = _answered(
            pool, {"database": live.target.database, "approve": "yes", "approved_by": "the person on duty"}
        )
    assert (state.name, state.data and state.result()["by"]) == ("Completed", "the person on duty")
    assert live.content() == whole
    with get_client(sync_client=True) as client:
        tasks = client.read_task_runs(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[run])))
        shown = client.read_artifacts(artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=[f"{PLAN}-recovery"])))
    assert {"swap", "restore beside the live database", "seal a safety backup"} <= {task.name for task in tasks}
    assert any("is recovered" in str(each.data) for each in shown)


def test_the_form_is_there_though_the_server_s_answer_was_lost_and_it_was_sent_again(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    create, sent = SyncPrefectClient.create_flow_run_input, []

    def twice(client: SyncPrefectClient, flow_run_id: UUID, key: str, *rest: Any, **more: Any) -> None:
        sent.append(key)
        create(client, flow_run_id, key, *rest, **more)
        create(client, flow_run_id, key, *rest, **more)

    monkeypatch.setattr(SyncPrefectClient, "create_flow_run_input", twice)
    answer = {"approve": "no", "database": live.target.database, "approved_by": "somebody"}
    with ThreadPoolExecutor(1) as pool:
        _, state = _answered(pool, answer)
    assert (state.name, "somebody refused it" in state.message) == ("Cancelled", True)
    assert [key.rpartition("-")[2] for key in sent] == ["schema", "description"]


@pytest.mark.parametrize(
    "answer",
    [{"approve": "no"}, {"approve": "yes", "database": "another"}],
    ids=["refused", "another name"],
)
def test_without_approval_nothing_is_touched(live: Live, answer: dict[str, str]) -> None:
    before, databases = live.content(), live.world.databases()
    with ThreadPoolExecutor(1) as pool:
        _, state = _answered(pool, {"database": live.target.database, "approved_by": "somebody", **answer})
    assert (state.name, "Nothing was touched" in state.message) == ("Cancelled", True)
    assert (live.content(), live.world.databases()) == (before, databases)
    assert live.application.told == []


def test_some_tables_are_replaced_where_the_form_names_them(live: Live) -> None:
    live.run("DELETE FROM child; INSERT INTO bare VALUES (7)")
    with ThreadPoolExecutor(1) as pool:
        _, state = _answered(
            pool,
            {"database": live.target.database, "approve": "yes", "approved_by": "the person on duty"},
            tables=["child"],
        )
    assert (state.name, state.data and state.result()["mode"]) == ("Completed", "tables")
    assert live.run("SELECT count(*) FROM child") == [(200,)]
    assert live.run("SELECT id FROM bare") == [(7,)], "others stay"


def test_what_is_about_the_whole_database_is_refused_beside_tables(live: Live) -> None:
    before = live.content()
    for asked in ({"tables": ["child"], "mode": "in-place"}, {"accept_orphans": True}):
        state = recovery(PLAN, "why not", return_state=True, **asked)  # type: ignore[call-overload]
        assert state.is_failed()
    assert live.content() == before
