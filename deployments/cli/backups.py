"""``backproof list`` and ``backproof show``: what exists, read from the stores alone."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from backproof.errors import ConnectionLost
from deployments.cli import exits, speaking
from deployments.cli.findings import print_proof, print_timings
from deployments.cli.session import Session, pass_session
from deployments.cli.wording import moment, several, size

if TYPE_CHECKING:
    from backproof.catalog import Listing
    from backproof.fleet import Fleet
    from backproof.records import Backup, Copy, Manifest, Proof


@click.command("list", short_help="List backups, their copies, and which are proven.")
@click.argument("plan", required=False)
@pass_session
def list_command(session: Session, plan: str | None) -> int:
    """List the backups of PLAN, or of every plan: copies, sizes, proven or not. Read from the stores alone.

    A store that can't be reached is named, and the exit status is then 3: what it holds may be missing from the list.
    """
    from backproof import catalog

    fleet = session.fleet(plan)
    plans = [plan] if plan else list(fleet.spec.plans)
    if plan is None:
        session.warn_without_escrow(fleet, plans)
    listings = {name: catalog.listing(fleet, name) for name in plans}
    for name, listing in listings.items():
        for store, error in listing.unreachable:
            speaking.warn(f"plan {name}: store {store} could not be asked: {error.fact}")
    for name, listing in listings.items():
        if doubtful := [backup.id for backup in listing.backups if backup.distrusted_at is not None]:
            speaking.warn(
                f"plan {name}: proofs of {several(len(doubtful), 'backup')} (the newest {doubtful[0]}) do not count: "
                "no key this fleet trusts signed them. If an earlier one did, add its public half to signing.also_trust"
            )
    nothing_known = [name for name, listing in listings.items() if _all_unreachable(fleet, name, listing)]
    if nothing_known and len(nothing_known) == len(plans):
        raise listings[nothing_known[0]].unreachable[0][1]
    session.answer(
        {
            "backups": [_backup(backup) for listing in listings.values() for backup in listing.backups],
            "unreachable": [
                {"plan": name, "store": store, "fact": error.fact, "remedy": error.remedy}
                for name, listing in listings.items()
                for store, error in listing.unreachable
            ],
        },
        lambda: _say_list(listings),
    )
    return exits.DEGRADED if any(listing.unreachable for listing in listings.values()) else exits.DONE


def _all_unreachable(fleet: "Fleet", plan: str, listing: "Listing") -> bool:
    return len(listing.unreachable) == len(fleet.plan(plan).stores)


def _backup(backup: "Backup") -> dict[str, object]:
    document = backup.model_dump(mode="json", exclude={"copies"})
    document["proven"] = backup.proven_at is not None
    document["copies"] = [
        {
            **copy.model_dump(mode="json", exclude={"proofs"}),
            "proofs": [
                {"finished_at": at.isoformat().replace("+00:00", "Z"), "verdict": said} for at, said in copy.proofs
            ],
        }
        for copy in backup.copies
    ]
    return document


def _proven_in_words(backup: "Backup") -> str:
    if backup.proven_at is not None:
        return moment(backup.proven_at)
    return "no" if backup.failed_at is None else f"FAILED {moment(backup.failed_at)}"


def _pinned_in_words(backup: "Backup") -> str:
    return "" if backup.pinned is None else f"pinned: {backup.pinned}"


def _copies_in_words(backup: "Backup") -> str:
    return ", ".join(f"{copy.store}{_doubt(copy)}" for copy in backup.copies)


def _doubt(copy: "Copy") -> str:
    if not (copy.archive and copy.manifest):
        return " (incomplete)"
    return " (FAILED)" if copy.verdict == "failed" else ""


def _bytes(backup: "Backup") -> int | None:
    return next((copy.stored_bytes for copy in backup.copies if copy.stored_bytes is not None), None)


def _say_list(listings: "dict[str, Listing]") -> None:
    backups = [backup for listing in listings.values() for backup in listing.backups]
    if not backups:
        speaking.say("No backup was found. `backproof backup PLAN` takes one.")
        return
    rows = [
        [
            backup.plan,
            backup.id,
            backup.kind,
            size(_bytes(backup)),
            _copies_in_words(backup),
            _proven_in_words(backup),
            _pinned_in_words(backup),
        ]
        for backup in backups
    ]
    columns = ["Plan", "Backup", "Kind", "Size", "Copies", "Proven (UTC)", ""]
    if all(backup.pinned is None for backup in backups):
        columns, rows = columns[:-1], [row[:-1] for row in rows]
    speaking.print_table(columns, rows, right=["Size"])
    proven = sum((backup.proven_at is not None) for backup in backups)
    speaking.say("")
    speaking.say(f"{several(len(backups), 'backup')}, {proven} proven.")


@click.command("show", short_help="Show one backup: what is in it, where it is, what proved it.")
@click.argument("plan")
@click.argument("backup", metavar="ID")
@click.option("--from", "store", metavar="STORE", help="Read this store's copy of the manifest.")
@pass_session
def show_command(session: Session, plan: str, backup: str, store: str | None) -> None:
    """Show the backup ID of PLAN (or latest): what is in it, where its copies are, what proved it."""
    from backproof import catalog

    fleet = session.fleet(plan)
    manifest, read_from = catalog.manifest(fleet, plan, backup, store)
    listing = catalog.listing(fleet, plan)
    for unreachable, error in listing.unreachable:
        speaking.warn(f"store {unreachable} could not be asked: {error.fact}")
    found = next((each for each in listing.backups if each.id == manifest.id), None)
    if found is None:
        raise ConnectionLost(f"store {read_from} went away while {manifest.id} was read", "Try again.")
    proofs = _proofs(fleet, found)
    session.answer(
        {
            "backup": _backup(found),
            "manifest": {
                "store": read_from,
                **manifest.model_dump(mode="json", exclude={"members", "entries", "tables"}),
                "members": len(manifest.members),
                "entries": len(manifest.entries),
                "tables": [
                    table.model_dump(mode="json", include={"name", "rows", "row_bytes", "sha256"})
                    for table in manifest.tables
                ],
            },
            "proofs": [proof.model_dump(mode="json") for proof in proofs],
        },
        lambda: _say_show(found, manifest, proofs),
    )


def _proofs(fleet: "Fleet", backup: "Backup") -> "list[Proof]":
    """Every proof of a backup once, newest first; what can't be read or trusted is warned about."""
    from backproof import catalog
    from backproof.errors import BackproofError
    from backproof.naming import MANIFEST, Name, ProofPart

    name = Name(backup.plan, backup.kind, backup.taken_at, MANIFEST)
    places = {(at, verdict): copy.store for copy in backup.copies for at, verdict in copy.proofs}
    proofs = []
    for (at, verdict), store in sorted(places.items(), reverse=True):
        try:
            proofs.append(catalog.read_proof(fleet.store(store), name.with_part(ProofPart(at, verdict)), fleet.signer))
        except BackproofError as error:
            speaking.warn(f"a proof does not count: {error.fact}")
    return proofs


_NAMED_AT_MOST = 12


def _tables_in_words(manifest: "Manifest") -> str:
    """The biggest ones by name: what ``--tables`` takes."""
    biggest = sorted(manifest.tables, key=lambda table: -table.row_bytes)
    named = ", ".join(f"{table.name} ({table.rows:,})" for table in biggest[:_NAMED_AT_MOST])
    left = len(biggest) - _NAMED_AT_MOST
    return f"{named} and {left} more (--json names all)" if left > 0 else named or "none"


def _say_show(backup: "Backup", manifest: "Manifest", proofs: "Sequence[Proof]") -> None:
    database, encryption = manifest.database, manifest.encryption
    keys = f"{encryption.key_fingerprint}, escrow {encryption.escrow_fingerprint or 'none'}" if encryption else "none"
    speaking.print_facts(
        {
            "Backup": f"{backup.plan} {backup.id} ({backup.kind})",
            "Taken": f"{moment(manifest.taken_at)} UTC",
            "Database": f"{database.engine} {database.server_version}, {size(database.live_bytes)} live",
            "Archive": f"{size(manifest.stored_bytes)} stored, {size(manifest.plain_bytes)} of SQL",
            "Content": ", ".join(
                [
                    several(len(manifest.tables), "table"),
                    several(sum(table.rows for table in manifest.tables), "row"),
                    several(len(manifest.entries), "definition"),
                ]
            ),
            "Tables": _tables_in_words(manifest),
            "Keys": keys,
            "Copies": _copies_in_words(backup),
            "Proven": _proven_in_words(backup),
            **({} if backup.pinned is None else {"Pinned": backup.pinned}),
        }
    )
    for proof in proofs:
        speaking.say("")
        print_proof(proof)
    if database.not_carried:
        speaking.say("")
        speaking.say("Not carried by this backup:")
        for sentence in database.not_carried:
            speaking.say(f"  {sentence}")
    speaking.say("")
    print_timings(manifest.timings)
