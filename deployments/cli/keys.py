"""``backproof keys``: make keys, and show their fingerprints."""

import base64
from pathlib import Path
from typing import IO

import click

from deployments.cli import speaking
from deployments.cli.files import PRIVATE, PUBLIC, private_folder, refuse_existing, write_once
from deployments.cli.session import Session, pass_session


@click.group("keys", short_help="Make keys, and show their fingerprints.")
def keys_command() -> None:
    """Make keys, and show their fingerprints."""


@keys_command.command("new", short_help="Make an AES key and a signing key.")
@click.option(
    "--to",
    "path",
    type=click.Path(path_type=Path, allow_dash=True),
    default=Path("keys.env"),
    show_default=True,
    help="The file to write; - for standard output.",
)
@pass_session
def new(session: Session, path: Path) -> None:
    """Make an AES-256 key for archives and an Ed25519 key for signatures, base64 of 32 bytes each.

    They go to a new file that only you can read, as lines NAME=VALUE; it is never overwritten. To change keys, keep the
    earlier one under old in fleet.yaml: without it earlier backups do not open.
    """
    from deployments.cli.new_keys import new_keys

    printed = str(path) == "-"
    keys = new_keys()
    document: dict[str, object] = {"file": None if printed else str(path), "fingerprints": keys.fingerprints}
    if printed:
        lines = keys.as_environment()
        document["environment"] = dict(line.split("=", 1) for line in lines.splitlines())
        session.answer(document, lambda: speaking.say(lines.rstrip()))
        return
    write_once(path, keys.as_environment().encode(), PRIVATE)
    session.answer(document, lambda: _say_new(path, keys.fingerprints))


def _say_new(path: Path, fingerprints: dict[str, str]) -> None:
    speaking.say(f"Wrote {path}: {fingerprints['aes256']} for archives, {fingerprints['signing']} for signatures.")
    speaking.say("Keep a copy in a safe place: without it no backup opens.")


@keys_command.command("escrow", short_help="Make an RSA-4096 escrow pair.")
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("keys"),
    show_default=True,
    help="Where to write the pair.",
)
@click.option("--passphrase", "ask", is_flag=True, help="Ask for a passphrase to lock the private half with.")
@click.option(
    "--passphrase-file",
    type=click.File("r"),
    help="Lock the private half with the first line of this file; - for standard input.",
)
@pass_session
def escrow(session: Session, folder: Path, ask: bool, passphrase_file: IO[str] | None) -> None:
    """Make an RSA-4096 pair whose private half alone opens every backup, for the day all other keys are lost.

    The public half is named in fleet.yaml. The private half belongs offline: on paper or a stick, in a safe.
    """
    from deployments.cli.new_keys import new_escrow_pair

    public, private = folder / "escrow.pem", folder / "escrow-private.pem"
    refuse_existing(public, private)
    passphrase = _passphrase(ask, passphrase_file)
    speaking.note("making an RSA-4096 pair, which takes a few seconds")
    pair = new_escrow_pair(passphrase)
    private_folder(folder)
    write_once(private, pair.private_pem, PRIVATE)
    write_once(public, pair.public_pem, PUBLIC)
    session.answer(
        {
            "public": str(public),
            "private": str(private),
            "fingerprint": pair.fingerprint,
            "locked": passphrase is not None,
        },
        lambda: _say_escrow(public, private, pair.fingerprint),
    )


def _passphrase(ask: bool, file: IO[str] | None) -> str | None:
    if ask and file is not None:
        raise click.UsageError("--passphrase and --passphrase-file exclude each other.")
    if ask:
        given: str = click.prompt("Passphrase", hide_input=True, confirmation_prompt=True, err=True)
        return given
    if file is None:
        return None
    first = file.readline().rstrip("\r\n")
    if not first:
        raise click.UsageError("The first line of the passphrase file is empty.")
    return str(first)


def _say_escrow(public: Path, private: Path, fingerprint: str) -> None:
    speaking.say(f"Wrote {public} and {private}: {fingerprint}.")
    speaking.say("")
    speaking.say(
        f"Take {private} offline now: print it or move it to a stick, put that into a safe, and delete it here."
    )
    speaking.say("Whoever holds it can read every backup. Then name the public half in fleet.yaml:")
    speaking.say("")
    speaking.say(f"  keys: {{main: {{aes256: …, escrow_public_key: {public}}}}}")


@keys_command.command("show", short_help="Show the fingerprints of a fleet's keys.")
@pass_session
def show(session: Session) -> None:
    """Show the fingerprints of a fleet's keys. Archives and signatures name the keys they need by these."""
    from backproof.archive.keys import fingerprint
    from backproof.fleet.fields import key_bytes

    fleet = session.fleet()
    session.warn_without_escrow(fleet, fleet.spec.plans)
    rings: dict[str, dict[str, object]] = {}
    for name, spec in fleet.spec.keys.items():
        ring = fleet.key_ring(name)
        rings[name] = {
            "aes256": ring.fingerprint if spec.kms is None else None,
            "kms": spec.kms,
            "old": [*(fingerprint(key_bytes(key)) for key in spec.old), *spec.old_kms],
            "escrow": ring.escrow_fingerprint,
        }
    signer = fleet.signer
    public_key = base64.b64encode(signer.public_key).decode()
    session.answer(
        {"signing": signer.fingerprint, "signing_public_key": public_key, "keys": rings},
        lambda: _say_keys(signer.fingerprint, public_key, rings),
    )


def _say_keys(signing: str, public_key: str, rings: dict[str, dict[str, object]]) -> None:
    rows = [["signing", "", signing], ["signing", "public key", public_key]]
    for name, ring in rings.items():
        rows.append([name, "kms" if ring["kms"] else "aes256", str(ring["kms"] or ring["aes256"] or "–")])
        old = ring["old"]
        rows += [[name, "old", str(each)] for each in (old if isinstance(old, list) else [])]
        rows.append([name, "escrow", str(ring["escrow"] or "–")])
    speaking.print_table(["Key", "What", "Fingerprint"], rows)
