"""Which statements may run side by side, and in which order."""

import threading
import time
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from backproof.engines import Entry
from backproof.engines.postgresql.finish import stages, work_of
from backproof.engines.postgresql.text import entries
from backproof.parallel.schedule import Schedule, Step
from backproof.records import Table

SIZES = {"public.t": 5, "public.u": 9}
TABLES = st.frozensets(st.sampled_from("abcde"), max_size=3)


@st.composite
def steps(draw: st.DrawFn) -> Step[Entry]:
    alone = draw(TABLES)
    number = draw(st.integers(0, 10**9))
    table, makes = draw(st.sampled_from("abc")), draw(st.booleans())
    entries = (Entry(str(number), "INDEX", None, b""),)
    shared, weight = draw(TABLES) - alone, draw(st.integers(0, 9))
    return Step(entries, alone, shared, weight, table if makes else None, None if makes else table)


@settings(max_examples=60, deadline=None)
@given(work=st.lists(steps(), max_size=25), jobs=st.integers(1, 5))
def test_every_step_runs_once_after_what_it_needs_and_never_beside_one_that_wants_its_tables_alone(
    work: list[Step[Entry]], jobs: int
) -> None:
    schedule, lock, running, ran = Schedule(work), threading.Lock(), [], []
    trespasses: list[Step[Entry]] = []
    made = Counter(step.makes for step in work)

    def worker() -> None:
        while (step := schedule.take()) is not None:
            with lock:
                trespasses.extend(other for other in running if step.alone & other.tables or other.alone & step.tables)
                if step.needs is not None and sum(other.makes == step.needs for other in ran) < made[step.needs]:
                    trespasses.append(step)
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


def test_many_short_rows_are_more_work_than_few_long_ones() -> None:
    many = Table(name="public.many", columns=("id",), rows=2_000_000, row_bytes=50_000_000, sha256="0" * 64)
    long = Table(name="public.long", columns=("id",), rows=100_000, row_bytes=200_000_000, sha256="0" * 64)
    assert work_of(many) > 3 * work_of(long)


def test_who_needs_a_table_waits_until_it_is_made_and_then_goes_by_weight() -> None:
    def step(weight: int, makes: str | None = None, needs: str | None = None) -> Step[Entry]:
        return Step((Entry("", "INDEX", None, b""),), weight=weight, makes=makes, needs=needs)

    work = [first, second, link, small, other] = [
        step(5, makes="t"),
        step(4, makes="t"),
        step(9, needs="t"),
        step(1),
        step(3, needs="nobody's"),
    ]
    schedule = Schedule(work)
    assert [schedule.take(), schedule.take()] == [first, second]
    schedule.done(first)
    assert schedule.take() is other
    schedule.done(second)
    assert [schedule.take(), schedule.take(), schedule.take()] == [link, small, None]


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
    found = stages(entries("".join(written).encode()), {"public.part": "public.whole"}, SIZES)
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
TRIGGER = _entry(
    "t t_g", "TRIGGER", "CREATE TRIGGER t_g BEFORE INSERT ON public.t FOR EACH ROW EXECUTE FUNCTION public.f();"
)
ATTACHED = _entry("p_pkey", "INDEX ATTACH", "ALTER INDEX public.w_pkey ATTACH PARTITION public.p_pkey;")
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


def test_a_foreign_key_is_brought_before_triggers_and_needs_the_keys_of_the_table_it_points_at() -> None:
    (stage, *_) = stages(entries((PRIMARY + INDEX + TRIGGER + FIRST_LINK + SECOND_LINK).encode()), {}, SIZES)
    assert stage.side_by_side
    assert [(step.entries[0].key, step.makes, step.needs) for step in stage.steps] == [
        ("CONSTRAINT public.t t_pkey", "public.t", None),
        ("INDEX public.u_i", "public.u", None),
        ("FK CONSTRAINT public.t t_u", None, "public.u"),
        ("FK CONSTRAINT public.u u_p", None, "public.part"),
    ]


def test_a_foreign_key_is_not_brought_before_what_it_may_stand_on() -> None:
    assert _planned(FUNCTION, PRIMARY, FIRST_LINK)[1:] == [
        ["CONSTRAINT public.t t_pkey"],
        ["FK CONSTRAINT public.t t_u"],
    ]
    assert _planned(PRIMARY, ATTACHED, FIRST_LINK)[1:] == [
        ["INDEX ATTACH public.p_pkey"],
        ["FK CONSTRAINT public.t t_u"],
    ]


def test_what_names_no_table_keeps_its_place_and_no_foreign_key_passes_it() -> None:
    empty = _entry("gone", "INDEX", "")
    assert _planned(empty) == [["INDEX public.gone"]]
    assert _planned(empty, PRIMARY, FIRST_LINK) == [
        ["CONSTRAINT public.t t_pkey"],
        ["INDEX public.gone"],
        ["FK CONSTRAINT public.t t_u"],
    ]


def test_the_table_with_most_to_do_begins() -> None:
    (stage,) = stages(entries((INDEX + PRIMARY + FIRST_LINK).encode()), {}, {"public.t": 6, "public.u": 9})
    assert [(step.entries[0].key, step.weight) for step in stage.steps] == [
        ("INDEX public.u_i", 15),
        ("CONSTRAINT public.t t_pkey", 12),
        ("FK CONSTRAINT public.t t_u", 15),
    ]


def test_a_key_of_a_partition_keeps_the_foreign_keys_of_its_whole_waiting() -> None:
    part = PRIMARY.replace("public.t", "public.part").replace("t t_pkey", "part part_pkey")
    (stage,) = stages(entries((part + SECOND_LINK).encode()), {"public.part": "public.whole"}, {})
    key, link = stage.steps
    assert (key.alone, key.shared, key.makes) == ({"public.part"}, {"public.whole"}, "public.whole")
    assert (link.alone, link.needs) == ({"public.u", "public.whole"}, "public.whole")


def test_event_triggers_come_last_of_all_with_their_comments() -> None:
    assert _planned(EVENT_TRIGGER, ABOUT_EVENT_TRIGGER, REFRESH)[-1] == ["EVENT TRIGGER e", "COMMENT EVENT TRIGGER e"]


def test_a_foreign_key_takes_both_tables_alone_and_a_partition_stands_for_its_whole() -> None:
    (stage,) = stages(entries((FIRST_LINK + SECOND_LINK).encode()), {"public.part": "public.whole"}, {})
    assert [sorted(step.alone) for step in stage.steps] == [["public.t", "public.u"], ["public.u", "public.whole"]]
