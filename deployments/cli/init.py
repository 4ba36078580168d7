"""``backproof init``: a first fleet file, and its secrets beside it."""

import shlex
from pathlib import Path

import click

from deployments.cli import speaking
from deployments.cli.files import PRIVATE, PUBLIC, refuse_existing, write_once
from deployments.cli.session import Session, pass_session

_TEMPLATE = Path(__file__).with_name("first_fleet.yaml")
_SECRETS_HEAD = """\
# The secrets of {fleet}. Load them:  {load}
# Keep this file out of version control, and a copy of it in a safe place: without BACKPROOF_KEY no backup opens.
# A value that holds spaces, quotes or dollar signs goes into single quotes.
"""


@click.command("init", short_help="Write a commented fleet.yaml and fresh keys.")
@pass_session
def init_command(session: Session) -> None:
    """Write a commented fleet.yaml and fresh keys beside it.

    The keys go to a file of their own that only you can read. Nothing is ever overwritten.
    """
    from deployments.cli.new_keys import new_keys

    fleet, secrets = session.fleet_path, session.fleet_path.with_suffix(".env")
    refuse_existing(fleet, secrets)
    keys = new_keys()
    head = _SECRETS_HEAD.format(fleet=fleet.name, load=_loading(Path(secrets.name)))
    write_once(secrets, (head + keys.as_environment() + "SHOP_PASSWORD=\n").encode(), PRIVATE)
    write_once(fleet, _TEMPLATE.read_text("utf-8").replace("@LOAD@", _loading(Path(secrets.name))).encode(), PUBLIC)
    load = _loading(secrets)
    session.answer(
        {"fleet": str(fleet), "secrets": str(secrets), "fingerprints": keys.fingerprints, "load": load},
        lambda: _say(fleet, secrets, load, keys.fingerprints),
    )


def _loading(path: Path) -> str:
    """The line of shell that loads a file of secrets."""
    # The dot looks for a bare name on PATH.
    return f"set -a; . {shlex.quote(str(path) if len(path.parts) > 1 else f'./{path}')}; set +a"


def _say(fleet: Path, secrets: Path, load: str, fingerprints: dict[str, str]) -> None:
    speaking.say(f"Wrote {fleet}, and {secrets} with fresh keys ({', '.join(fingerprints.values())}).")
    speaking.say(f"Keep a copy of {secrets} in a safe place: without its keys no backup opens.")
    speaking.say("")
    speaking.say(f"Next: describe your database in {fleet}, put its password into {secrets}, then")
    speaking.say("")
    speaking.say(f"  {load}")
    speaking.say("  backproof check")
