"""What a proof says when something did not come back, and that it is silent when everything did."""

from collections.abc import Mapping

import pytest

from backproof.comparison import EntryTexts, Restored, differences
from backproof.records import Difference, Manifest, Table
from tests.support.manifests import manifest_of

ENTRIES = {
    "TABLE public.orders": b"CREATE TABLE public.orders (\n    id integer,\n    note text\n);",
    "TRIGGER public.orders audit": b"CREATE TRIGGER audit ...;",
    "SEQUENCE SET public.orders_id_seq": b"SELECT pg_catalog.setval('public.orders_id_seq', 7, true);",
    "ACL public.orders": b"GRANT SELECT ON TABLE public.orders TO reader;",
}
ORDERS = Table(name="public.orders", columns=("id", "note"), rows=3, row_bytes=30, sha256="a" * 64)


def texts(entries: Mapping[str, bytes]) -> EntryTexts:
    made = EntryTexts()
    for key, text in entries.items():
        made.add(key, text)
    return made


def compared(
    entries: Mapping[str, bytes] = ENTRIES,
    table: Table | None = ORDERS,
    archived: Mapping[str, bytes] = ENTRIES,
    redigested: Table = ORDERS,
    settings: Mapping[str, object] | None = None,
    accept: Mapping[str, str] | None = None,
) -> tuple[tuple[Difference, ...], tuple[str, ...]]:
    manifest: Manifest = manifest_of(entries=texts(ENTRIES).digests(), tables=(ORDERS,))
    restored = Restored(
        entries=texts(entries),
        tables={table.name: table} if table else {},
        settings=settings if settings is not None else manifest.database.settings,  # type: ignore[arg-type]
        globals=manifest.database.globals,
    )
    return differences(manifest, texts(archived), restored, lambda _: redigested, accept or {})


def test_what_came_back_whole_shows_no_difference() -> None:
    assert compared() == ((), ())


@pytest.mark.parametrize("key", sorted(ENTRIES))
def test_a_missing_object_is_named(key: str) -> None:
    found, _ = compared({name: text for name, text in ENTRIES.items() if name != key})
    assert [difference.object for difference in found] == [key]
    assert "did not come back" in found[0].what


@pytest.mark.parametrize("key", sorted(ENTRIES))
def test_a_changed_object_is_named(key: str) -> None:
    found, _ = compared({**ENTRIES, key: ENTRIES[key] + b" -- changed"})
    assert [difference.object for difference in found] == [key]
    assert "changed" in found[0].what


def test_an_object_that_was_not_there_is_named() -> None:
    found, _ = compared({**ENTRIES, "TRIGGER public.orders evil": b"CREATE TRIGGER evil ...;"})
    assert [difference.object for difference in found] == ["TRIGGER public.orders evil"]


def test_an_archive_that_lacks_the_object_itself_is_told_from_a_restore_that_lost_it() -> None:
    without = {name: text for name, text in ENTRIES.items() if not name.startswith("TRIGGER")}
    found, _ = compared(without, archived=without)
    assert "missing in the archive itself" in found[0].what


def test_rows_in_another_column_order_are_read_again_over_the_backups_own_columns() -> None:
    reordered = ORDERS.model_copy(update={"columns": ("note", "id"), "sha256": "b" * 64})
    assert compared(table=reordered) == ((), ())


def test_rows_written_in_another_way_are_read_again_in_the_backups_own_way() -> None:
    rewritten = ORDERS.model_copy(update={"charset": "binary", "sha256": "b" * 64})
    assert compared(table=rewritten) == ((), ())
    found, _ = compared(table=rewritten, redigested=ORDERS.model_copy(update={"sha256": "c" * 64}))
    assert [difference.object for difference in found] == ["TABLE DATA public.orders"]


def test_columns_in_another_order_do_not_hide_other_rows() -> None:
    reordered = ORDERS.model_copy(update={"columns": ("note", "id")})
    found, _ = compared(table=reordered, redigested=ORDERS.model_copy(update={"sha256": "c" * 64}))
    assert [difference.object for difference in found] == ["TABLE DATA public.orders"]


@pytest.mark.parametrize(
    ("table", "what"),
    [
        (None, "did not come back"),
        (ORDERS.model_copy(update={"rows": 2}), "3 rows were in the database, 2 came back"),
        (ORDERS.model_copy(update={"sha256": "b" * 64}), "their content differs"),
        (ORDERS.model_copy(update={"columns": ("id",)}), "columns came back changed"),
    ],
)
def test_a_table_whose_content_differs_is_named_with_its_members(table: Table | None, what: str) -> None:
    found, _ = compared(table=table)
    assert [difference.object for difference in found] == ["TABLE DATA public.orders"]
    assert what in found[0].what


def test_a_lost_setting_is_named_by_its_part() -> None:
    found, _ = compared(settings={"encoding": "LATIN1"})
    assert [difference.object for difference in found] == ["SETTING encoding"]


def test_an_accepted_difference_bears_its_reason_and_a_stale_one_is_reported() -> None:
    without = {name: text for name, text in ENTRIES.items() if not name.startswith("TRIGGER")}
    accept = {"TRIGGER public.orders audit": "made by the application at start", "TRIGGER public.gone x": "old"}
    found, stale = compared(without, accept=accept)
    assert found[0].accepted == "made by the application at start"
    assert stale == ("TRIGGER public.gone x",)


def test_entries_that_share_a_key_are_compared_as_a_set() -> None:
    one, other = EntryTexts(), EntryTexts()
    for text in (b"first", b"second"):
        one.add("COMMENT x", text)
    for text in (b"second", b"first"):
        other.add("COMMENT x", text)
    assert one.digests() == other.digests()
    other.add("COMMENT x", b"third")
    assert one.digests() != other.digests()
