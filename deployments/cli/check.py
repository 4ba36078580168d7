"""``backproof check``: is the fleet file right? Offline."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from deployments.cli import speaking
from deployments.cli.session import Session, pass_session

if TYPE_CHECKING:
    from backproof.fleet import Fleet


@click.command("check", short_help="Validate fleet.yaml, offline.")
@pass_session
def check_command(session: Session) -> None:
    """Validate the fleet file, its keys and its plans' checks. Offline: no database and no store is reached."""
    fleet = session.fleet()
    signer = fleet.signer.fingerprint
    plans = [_plan(fleet, name) for name in fleet.spec.plans]
    warnings = list(_warnings(fleet))
    for warning in warnings:
        speaking.warn(warning)
    session.answer(
        {"fleet": fleet.spec.fleet, "signing": signer, "plans": plans, "warnings": warnings},
        lambda: _say(session, fleet, plans),
    )


def _plan(fleet: "Fleet", name: str) -> dict[str, object]:
    """Build whatever can be built offline, so that what is wrong with it is found now."""
    from backproof.errors import ConfigurationError
    from backproof.operations.checks import judge

    plan, ring = fleet.plan(name), fleet.ring(name)
    kms = fleet.spec.keys[plan.key].kms if plan.key else None
    for check in plan.checks:
        try:
            judge(check.expect)
        except ConfigurationError as error:
            where = f"plans.{name}.checks: {check.name}"
            raise ConfigurationError(f"{where}: {error.fact}", error.remedy) from None
    return {
        "plan": name,
        "engine": fleet.engine(name).name,
        "database": str(fleet.target(name)),
        "stores": [store.location() for store in fleet.stores(name)],
        "aes256": ring and ring.fingerprint if kms is None else None,
        "kms": kms,
        "escrow": ring and ring.escrow_fingerprint,
    }


def _warnings(fleet: "Fleet") -> Iterator[str]:
    from backproof.fleet import LocalStoreSpec
    from backproof.fleet.advice import advice
    from backproof.operations.clock import utc_now

    if not fleet.spec.plans:
        yield "there is no plan: nothing is protected"
    yield from advice(fleet.spec, utc_now())
    for name, plan in fleet.spec.plans.items():
        if plan.key and (ring := fleet.spec.keys[plan.key]).aes256 is None and ring.kms is None:
            yield f"plan {name} can be restored but not backed up: key ring {plan.key} has neither aes256 nor kms"
        if all(isinstance(fleet.spec.stores[store], LocalStoreSpec) for store in plan.stores):
            yield f"plan {name} keeps all its backups in folders: a fire or a thief takes them with the machine"
        password = fleet.target(name).password
        if password is not None and not password.get_secret_value():
            yield f"databases.{plan.database}.password is empty"


def _say(session: Session, fleet: "Fleet", plans: list[dict[str, object]]) -> None:
    speaking.say(f"{session.fleet_path} is right.")
    if plans:
        speaking.say("")
        rows = [
            [str(plan["plan"]), str(plan["database"]), ", ".join(fleet.plan(str(plan["plan"])).stores)]
            for plan in plans
        ]
        speaking.print_table(["Plan", "Database", "Stores"], rows)
