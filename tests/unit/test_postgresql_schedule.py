"""Which statements may run side by side, and in which order."""

import threading
import time
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from backproof.engines import Entry
from backproof.engines.postgresql.finish import stages
from backproof.engines.postgresql.text import entries
from backproof.parallel.schedule import Schedule, Step

TABLES = st.frozensets(st.sampled_from("abcde"), max_size=3)


@st.composite
def steps(draw: st.DrawFn) -> Step[Entry]:
    alone = draw(TABLES)
    number = draw(st.integers(0, 10**9))
    return Step((Entry(str(number), "INDEX", None, b""),), alone, draw(TABLES) - alone, draw(st.integers(0, 9)))


@settings(max_examples=60, deadline=None)
@given(work=st.lists(steps(), max_size=25), jobs=st.integers(1, 5))
def test_every_step_runs_once_and_never_beside_one_that_wants_its_tables_alone(
    work: list[Step[Entry]], jobs: int
) -> None:
    schedule, lock, running, ran = Schedule(work), threading.Lock(), [], []
    trespasses = []

    def worker() -> None:
        while (step := schedule.take()) is not None:
            with lock:
                trespasses.extend(other for other in running if step.alone & other.tables or other.alone & step.tables)
                running.append(step)
            time.sleep(0)
            with lock:
                running.remove(step)
                ran.append(step)
            schedule.done(step)

    threads = [threading.Thread(target=worker) for _ in range(jobs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert trespasses == []
    assert Counter(map(id, ran)) == Counter(map(id, work))


def test_the_biggest_work_starts_first() -> None:
    small, big, middle = (Step((Entry("", "INDEX", None, b""),), weight=weight) for weight in (1, 9, 5))
    schedule = Schedule([small, big, middle])
    assert [schedule.take(), schedule.take(), schedule.take(), schedule.take()] == [big, middle, small, None]


def test_who_waits_is_woken_when_the_work_is_stopped() -> None:
    step = Step((Entry("", "INDEX", None, b""),), alone=frozenset("a"))
    schedule = Schedule([step, step])
    assert schedule.take() is step
    found: list[Step | None] = []
    waiting = threading.Thread(target=lambda: found.append(schedule.take()))
    waiting.start()
    schedule.stop()
    waiting.join(5)
    assert found == [None]


def _entry(name: str, kind: str, sql: str, schema: str = "public") -> str:
    return f"--\n-- Name: {name}; Type: {kind}; Schema: {schema}; Owner: me\n--\n\n{sql}\n\n\n"


def _planned(*written: str) -> list[list[str]]:
    found = stages(entries("".join(written).encode()), {"public.part": "public.whole"}, {"public.t": 5, "public.u": 9})
    return [[entry.key for step in stage.steps for entry in step.entries] for stage in found]


PRIMARY = _entry("t t_pkey", "CONSTRAINT", "ALTER TABLE ONLY public.t\n    ADD CONSTRAINT t_pkey PRIMARY KEY (id);")
ABOUT_PRIMARY = _entry("CONSTRAINT t_pkey ON t", "COMMENT", "COMMENT ON CONSTRAINT t_pkey ON public.t IS 'key';")
INDEX = _entry("u_i", "INDEX", "CREATE INDEX u_i ON public.u USING btree (a);")
VIEW = _entry("mv", "MATERIALIZED VIEW", "CREATE MATERIALIZED VIEW public.mv AS\n SELECT 1 AS a\n  WITH NO DATA;")
VIEW_INDEX = _entry("mv_i", "INDEX", "CREATE INDEX mv_i ON public.mv USING btree (a);")
FUNCTION = _entry("f()", "FUNCTION", "CREATE FUNCTION public.f() RETURNS integer\n    LANGUAGE sql\n    AS 'SELECT 1';")
FIRST_LINK = _entry(
    "t t_u",
    "FK CONSTRAINT",
    "ALTER TABLE ONLY public.t\n    ADD CONSTRAINT t_u FOREIGN KEY (a) REFERENCES public.u(a);",
)
SECOND_LINK = _entry(
    "u u_p",
    "FK CONSTRAINT",
    "ALTER TABLE ONLY public.u\n    ADD CONSTRAINT u_p FOREIGN KEY (a) REFERENCES public.part(a);",
)
EVENT_TRIGGER = _entry("e", "EVENT TRIGGER", "CREATE EVENT TRIGGER e ON sql_drop\n   EXECUTE FUNCTION public.f();", "-")
ABOUT_EVENT_TRIGGER = _entry("EVENT TRIGGER e", "COMMENT", "COMMENT ON EVENT TRIGGER e IS 'x';", "-")
REFRESH = _entry("mv", "MATERIALIZED VIEW DATA", "REFRESH MATERIALIZED VIEW public.mv;")


def test_indexes_come_first_side_by_side_unless_they_stand_on_something_later() -> None:
    assert _planned(PRIMARY, ABOUT_PRIMARY, VIEW, VIEW_INDEX, INDEX, FIRST_LINK, SECOND_LINK, REFRESH) == [
        ["CONSTRAINT public.t t_pkey", "COMMENT public.CONSTRAINT t_pkey ON t", "INDEX public.u_i"],
        ["MATERIALIZED VIEW public.mv"],
        ["INDEX public.mv_i"],
        ["FK CONSTRAINT public.t t_u", "FK CONSTRAINT public.u u_p"],
        ["MATERIALIZED VIEW DATA public.mv"],
    ]


def test_an_index_is_not_brought_before_a_function_that_it_may_call() -> None:
    assert _planned(PRIMARY, FUNCTION, INDEX) == [
        ["CONSTRAINT public.t t_pkey"],
        ["FUNCTION public.f()"],
        ["INDEX public.u_i"],
    ]


def test_a_foreign_key_never_runs_beside_the_key_it_points_at() -> None:
    assert _planned(FUNCTION, PRIMARY, FIRST_LINK)[1:] == [
        ["CONSTRAINT public.t t_pkey"],
        ["FK CONSTRAINT public.t t_u"],
    ]


def test_event_triggers_come_last_of_all_with_their_comments() -> None:
    assert _planned(EVENT_TRIGGER, ABOUT_EVENT_TRIGGER, REFRESH)[-1] == ["EVENT TRIGGER e", "COMMENT EVENT TRIGGER e"]


def test_a_foreign_key_takes_both_tables_alone_and_a_partition_stands_for_its_whole() -> None:
    (stage,) = stages(entries((FIRST_LINK + SECOND_LINK).encode()), {"public.part": "public.whole"}, {})
    assert [sorted(step.alone) for step in stage.steps] == [["public.t", "public.u"], ["public.u", "public.whole"]]
