"""The page of a kit: what a person reads and types, on the day when Backproof is not there. Pure.

Its blocks of shell, from first to last but with one store, are run by a test as they stand.
"""

import textwrap
from collections.abc import Iterator, Mapping
from datetime import datetime

from backproof.engines import ByHand
from backproof.records import Manifest
from backproof.stores import ByHand as StoreByHand

Stores = Mapping[str, tuple[str, StoreByHand]]
"""Name to location, and how it is read without us."""

_WIDTH = 120

_FETCH = """\
keys > keys.txt
wanted='^{plan}/(daily|monthly|manual)/backup_[0-9_-]+[.]manifest[.]json$'
manifest=$(grep -E "$wanted" keys.txt | sort -t / -k 3 | tail -n 1)
name=${{manifest%.manifest.json}}
backup=${{name##*/}}
get "$manifest" manifest.json
get "$name.{suffix}" {archive}
echo "$backup"; grep -F "$name.proof_" keys.txt || echo 'It was never proven. Take another, if there is one.'
"""

_CHECK = """\
signer=$(sed -n 's/.*,"key":"ed25519:\\([0-9a-f]*\\)","record":"Manifest","signature":"[^"]*"}}$/\\1/p' manifest.json)
sed 's/,"signature":"[^"]*"}}$/}}/' manifest.json > manifest.signed
sed 's/.*"signature":"\\([^"]*\\)"}}$/\\1/' manifest.json | base64 -d > manifest.signature
openssl pkeyutl -verify -pubin -inkey "signers/$signer.pem" -rawin -in manifest.signed -sigfile manifest.signature
grep -o "\\"id\\":\\"$backup\\"" manifest.json
sed 's/.*"stored_sha256":"\\([0-9a-f]*\\)".*/\\1  {archive}/' manifest.json > SHA256SUMS
sha256sum -c SHA256SUMS
"""

_OPEN = """\
escrow=$(head -c 4000 {archive} | grep -ao 'rsa4096:[0-9a-f]*' | head -n 1)
aws-encryption-cli --decrypt --input {archive} --output backup.sql.gz --suppress-metadata \\
  --wrapping-keys provider=backproof-escrow key="$escrow" file=escrow-private.pem \\
  --commitment-policy require-encrypt-require-decrypt --max-encrypted-data-keys 2 \\
  --encryption-context plan={plan} backup="$backup"
gzip -t backup.sql.gz
"""

_RESTORE = """\
gzip -dc backup.sql.gz | tail -n 1 | grep -E '^-- Backproof: [0-9]+ members$'
{restore}
"""

_KEYS = {
    "`Unable to decrypt any data key`": "`escrow-private.pem` is not the key that the archive is sealed for. Of it"
    " `openssl pkey -in escrow-private.pem -pubout -outform DER | sha256sum | cut -c 1-20` prints what stands behind"
    " `rsa4096:` above.",
    "`Unable to load PEM file`": "It is cut, or no key: it begins with `-----BEGIN` and ends with `-----`.",
}
"""What the stock tool says of the escrow key, and what is meant."""


def page(manifest: Manifest, by_hand: ByHand, stores: Stores, signers: Mapping[str, str], now: datetime) -> str:
    """The README.

    Args:
        manifest: of the backup that the kit is made from.
        by_hand: how its engine restores without us.
        stores: where the plan's backups are.
        signers: public keys whose signatures count, in base64, by their fingerprints.
        now: when the kit is made.
    """
    parts = [
        *_head(manifest, stores, signers, now),
        *_tools(by_hand, manifest),
        *_fill_in(by_hand, manifest),
        *_stores(stores),
        *_fetch(manifest),
        *_check(manifest),
        *_open(manifest),
        *_restore(by_hand),
        *_left(by_hand, manifest),
        *_failing(manifest),
    ]
    return "\n\n".join(parts) + "\n"


def _head(manifest: Manifest, stores: Stores, signers: Mapping[str, str], now: datetime) -> Iterator[str]:
    having = "With the escrow private key, this folder" if manifest.encryption else "With this folder"
    yield f"# Plan {manifest.plan}, restored without Backproof"
    yield _prose(
        f"{having} and one of the stores, anybody brings this database back with stock tools. No secret is in it: keep"
        " it where it is found on the day when nothing else is."
        f" Made {now:%Y-%m-%d %H:%M} UTC by `backproof kit {manifest.plan}`; make it anew when stores, keys, or roles"
        " and settings of the database have changed."
    )
    yield "\n".join(["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in _facts(manifest, signers))])
    yield "\n".join(["| store | where |", "|---|---|", *(f"| {name} | `{at}` |" for name, (at, _) in stores.items())])
    yield _prose(
        "Run all lines in one `bash`, in this folder, and go on only while each ends without an error"
        " (`set -euo pipefail` in a script). Step 9 says what an error means."
    )


def _facts(manifest: Manifest, signers: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    database, encryption = manifest.database, manifest.encryption
    yield "database", f"{database.engine} {database.server_version}, {database.live_bytes / 1e6:,.1f} MB"
    yield "made from", f"`{manifest.id}` ({manifest.kind}), {manifest.stored_bytes:,} bytes"
    yield "its SHA-256", f"`{manifest.stored_sha256}`"
    if encryption is None:
        yield "encrypted", "no: whoever reaches a store reads it"
    else:
        yield "escrow key", f"`{encryption.escrow_fingerprint}`, an RSA key of 4096 bits that opens every backup"
        yield "plan's own key", f"`{encryption.key_fingerprint}`, not needed here"
    for name, key in signers.items():
        yield "signed by", f"`{name}`, the public key `{key}` (`signing.also_trust` in a new fleet.yaml)"


def _tools(by_hand: ByHand, manifest: Manifest) -> Iterator[str]:
    yield "## 1. Tools"
    what = "`aws-encryption-cli` and `aws`" if manifest.encryption else "`aws`"
    yield _prose(
        f"{by_hand.tools} And `gzip`, `sha256sum`, `openssl` 3, Python 3.11 or later. From the package index come"
        f" {what}. Where that may be out of reach, keep a copy of these packages beside this folder."
    )
    yield _block("python3 -m venv stock\nstock/bin/pip install -r requirements.txt")


def _fill_in(by_hand: ByHand, manifest: Manifest) -> Iterator[str]:
    yield "## 2. Fill in"
    key = ", and put the escrow private key here as `escrow-private.pem`" if manifest.encryption else ""
    yield _prose(f"Write into `server.conf` which server to restore to{key}.")
    yield _block(f'umask 077\nexport LC_ALL=C PATH="$PWD/stock/bin:$PATH" PYTHONPATH="$PWD"\n{by_hand.fill_in}')


def _stores(stores: Stores) -> Iterator[str]:
    yield "## 3. Choose a store"
    yield "One of these will do."
    for name, (_, each) in stores.items():
        yield f"### {name}"
        yield _prose(each.needs)
        yield _block(each.commands)


def _fetch(manifest: Manifest) -> Iterator[str]:
    yield "## 4. Fetch the newest backup"
    yield _block(_FETCH.format(plan=manifest.plan, suffix=_suffix(manifest), archive=_archive(manifest)))
    yield _prose(
        "A name that ends in `_passed.json` says that it was proven. For another one set `manifest` to its key (those"
        " that `grep manifest keys.txt` lists; one of kind `safety` holds what a recovery replaced), and run the lines"
        " below that again."
    )


def _check(manifest: Manifest) -> Iterator[str]:
    yield "## 5. Is it what was written?"
    yield _prose(
        "First the signature of its manifest: `Signature Verified Successfully`. Then that the manifest is of this"
        " backup, and that the archive has the digest which stands there: `OK`."
    )
    yield _block(_CHECK.format(archive=_archive(manifest)))


def _open(manifest: Manifest) -> Iterator[str]:
    yield "## 6. Open it"
    if manifest.encryption is None:
        yield "It is not encrypted."
        yield _block("gzip -t backup.sql.gz")
        return
    yield _prose(
        "A private key that is locked asks for its passphrase. The archive of another plan or backup is refused: then"
        " there is no `backup.sql.gz`. What comes out is plain data."
    )
    yield _block(_OPEN.format(plan=manifest.plan, archive=_archive(manifest)))


def _restore(by_hand: ByHand) -> Iterator[str]:
    yield "## 7. Restore it"
    yield "The first line shows the last one of the dump, which says that its end is there."
    yield _block(_RESTORE.format(restore=by_hand.restore))


def _left(by_hand: ByHand, manifest: Manifest) -> Iterator[str]:
    yield "## 8. What is left"
    private = ", and `escrow-private.pem`, which goes back into its safe" if manifest.encryption else ""
    sentences = [
        *by_hand.afterwards,
        *(f"Not in the backup: {each}" for each in manifest.database.not_carried),
        f"Delete `backup.sql.gz`, which is plain data{private}.",
    ]
    yield "\n".join(_prose(f"- {each}", "  ") for each in sentences)


def _failing(manifest: Manifest) -> Iterator[str]:
    yield "## 9. If a step fails"
    said = {
        "`No such file or directory`, or an error of `aws`, in step 3 or 4": "That store is not reached, or lacks this"
        " backup: choose another one, and go on from step 3.",
        "`Signature Verification Failure`, `FAILED`, `SerializationError`, or an error of `gzip`": "This copy is cut,"
        " or was changed: go on from step 3 with another store, or from step 4 with another backup.",
        "No file `signers/….pem`": "A key that is younger than this kit has signed it, or nobody's: trust it only where"
        " whoever runs Backproof confirms its fingerprint.",
        **(_KEYS if manifest.encryption else {}),
        "A role, account or extension is not there": "It is younger than this kit. Make it, without a password yet,"
        " drop the database that is half restored, and do step 7 again.",
        "The database is there already": "See that it is not one that is needed, drop it, and do step 7 again.",
    }
    yield "\n".join(_prose(f"- {what}: {meaning}", "  ") for what, meaning in said.items())


def _suffix(manifest: Manifest) -> str:
    return "sql.gz.enc" if manifest.encryption else "sql.gz"


def _archive(manifest: Manifest) -> str:
    return f"backup.{_suffix(manifest)}"


def _prose(text: str, indent: str = "") -> str:
    return textwrap.fill(text, _WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def _block(lines: str) -> str:
    return f"```sh\n{lines.rstrip()}\n```"
