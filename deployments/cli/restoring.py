"""``backproof restore`` and ``backproof export``: a backup brought back, or handed over as a file."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from deployments.cli import speaking
from deployments.cli.session import Session, pass_session
from deployments.cli.wording import several, size, span

if TYPE_CHECKING:
    from backproof.operations.export import Exported
    from backproof.operations.restore import Restored
    from backproof.records import Manifest

_NAME = r'(?:[^,"]|"(?:[^"]|"")*")+'
_NAMES = re.compile(f"{_NAME}(?:,{_NAME})*")


class Tables(click.ParamType):  # type: ignore[type-arg]
    """``a,b``; a name that holds a comma is in double quotes, as in SQL."""

    name = "tables"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        """Divide at the commas that no quotes enclose."""
        if isinstance(value, tuple):
            return value
        names = tuple(name.strip() for name in re.findall(_NAME, value))
        if not _NAMES.fullmatch(value) or not all(names):
            self.fail(f"{value!r} is no list of tables; write a,b or schema.a,schema.b.", param, ctx)
        return names


_backup_option = click.option("--backup", metavar="ID", required=True, help="Its id, latest or latest-proven.")
_store_option = click.option(
    "--from", "store", metavar="STORE", help="Read this store's copy; else the first good one."
)
_tables_option = click.option("--tables", type=Tables(), metavar="A,B", help="Just these, reading just their bytes.")


@click.command("restore", short_help="Restore a backup into a new database; nothing live is touched.")
@click.argument("plan")
@_backup_option
@click.option("--into", metavar="NAME", required=True, help="The new database.")
@_store_option
@_tables_option
@click.option("--jobs", type=click.IntRange(min=1), help="Connections to load with; one a processor unless said.")
@click.option("--create-missing-roles", is_flag=True, help="Make the roles that the backup needs, without login.")
@click.option(
    "--accept-mentions", is_flag=True, help="Also what names the live database in SQL that it builds when it runs."
)
@pass_session
def restore_command(
    session: Session,
    plan: str,
    backup: str,
    into: str,
    store: str | None,
    tables: tuple[str, ...] | None,
    jobs: int | None,
    create_missing_roles: bool,
    accept_mentions: bool,
) -> None:
    """Restore a backup of PLAN into a new database on its server; nothing live is touched.

    A database that exists and is not empty is refused. What the server lacks for this backup is told before anything
    is done.
    """
    from backproof import catalog
    from backproof.operations.restore import lacks, restore

    fleet = session.fleet(plan)
    chosen, doubts = catalog.find(fleet, plan, backup, store)
    for doubt in doubts:
        speaking.warn(doubt)
    manifest, _ = next(catalog.manifests_of(fleet, chosen))  # from here on this one, whatever comes meanwhile
    for lack in lacks(fleet, plan, manifest.id, into, store):
        made = create_missing_roles and lack.kind == "role"
        speaking.warn(f"the server lacks {lack.kind} {lack.name}. " + ("It is made now." if made else lack.remedy))
    with speaking.progress(f"restore {manifest.id} into {into}", _plain_bytes(manifest, tables)) as advance:
        restored = restore(
            fleet,
            plan,
            manifest.id,
            into,
            store=store,
            tables=tables,
            jobs=jobs,
            create_missing_roles=create_missing_roles,
            accept_mentions=accept_mentions,
            progress=advance,
        )
    for sentence in (*restored.passed_over, *restored.left_out):
        speaking.warn(sentence)
    session.answer({"restored": restored.model_dump(mode="json")}, lambda: _say_restored(restored))


def _plain_bytes(manifest: "Manifest", tables: tuple[str, ...] | None) -> int | None:
    """What will pass by, where it is known before the tables' names are resolved."""
    return manifest.plain_bytes if tables is None else None


def _say_restored(restored: "Restored") -> None:
    took = sum(timing.elapsed_seconds for timing in restored.timings)
    speaking.say(
        f"Restored {several(len(restored.tables), 'table')} with {several(restored.rows, 'row')} of {restored.plan} "
        f"{restored.backup} from {restored.store} into {restored.database}, in {span(took)}."
    )


@click.command("export", short_help="Write a backup as the file stock tools restore.")
@click.argument("plan")
@_backup_option
@click.option("--to", "path", type=click.Path(path_type=Path), metavar="FILE", required=True, help="The file to make.")
@_store_option
@_tables_option
@click.option("--encrypted", is_flag=True, help="The archive as it lies in the store, for aws-encryption-cli.")
@pass_session
def export_command(
    session: Session,
    plan: str,
    backup: str,
    path: Path,
    store: str | None,
    tables: tuple[str, ...] | None,
    encrypted: bool,
) -> None:
    """Write a backup of PLAN to a new file, mode 0600: a plain .sql.gz that gzip and the database's own client read.

    An existing file is never overwritten.
    """
    from backproof.operations.export import export

    if encrypted and tables:
        raise click.UsageError("--encrypted gives the whole archive; it can't be had with --tables.")
    fleet = session.fleet(plan)
    exported = export(fleet, plan, backup, path, store=store, tables=tables, encrypted=encrypted)
    for sentence in exported.passed_over:
        speaking.warn(sentence)
    if not encrypted:
        speaking.warn(f"{path} is plain data: whoever reads it reads the database. Delete it when you are done")
    session.answer({"exported": exported.model_dump(mode="json")}, lambda: _say_exported(exported, path))


def _say_exported(exported: "Exported", path: Path) -> None:
    speaking.say(f"Wrote {path}, {size(path.stat().st_size)}: {exported.plan} {exported.backup} from {exported.store}.")
