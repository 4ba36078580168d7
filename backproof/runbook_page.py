"""The page of a plan's runbook, in Markdown. Pure, but for names that stores give of themselves."""

from collections.abc import Iterator

from backproof.fleet import Fleet
from backproof.fleet.durations import spell
from backproof.measures import Expected, Forecast
from backproof.runbook import Facts, lines
from backproof.words import size


def page(fleet: Fleet, plan: str, known: Facts) -> str:
    """The runbook in Markdown.

    Args:
        fleet: where the plan is found.
        plan: its name.
        known: what ``facts`` gives.
    """
    parts = [*_head(fleet, plan), *_figures(fleet, plan, known), *_people(fleet, plan)]
    for heading, commands in lines(fleet, plan).items():
        parts += [f"## {heading}", *(f"{line.why}\n\n```console\n$ {line.command}\n```" for line in commands)]
    return "\n\n".join([*parts, *_places(fleet, plan, known), *_review(fleet, plan)]) + "\n"


def _head(fleet: Fleet, plan: str) -> Iterator[str]:
    database = fleet.spec.databases[fleet.plan(plan).database]
    yield f"# Runbook: {plan}"
    yield (
        f"How the database **{database.name}** ({database.engine}, `{database.host}:{database.port}`) of fleet "
        f"**{fleet.spec.fleet}** is brought back. Run the commands on a machine that has Backproof and `fleet.yaml`; "
        "RECOVERY is the id that `recover` prints, MOMENT a time such as `2025-11-07 14:02` (UTC), WHY your reason. "
        f"`backproof runbook {plan}` writes this page anew."
    )


def _figures(fleet: Fleet, plan: str, known: Facts) -> Iterator[str]:
    objectives = fleet.plan(plan).objectives
    rows = [("may be lost (RPO)", f"{spell(objectives.rpo)}, an alarm {spell(objectives.grace)} later")]
    if known.manifest is not None and known.objective is not None:
        backup = known.manifest
        rows = [
            ("newest proven backup", f"`{backup.id}` ({backup.kind})"),
            ("size of the database", size(backup.database.live_bytes)),
            ("a backup to fetch", size(backup.stored_bytes)),
            *rows,
            ("a recovery may take (RTO)", spell(known.objective)),
            ("a recovery takes", _takes(known.expected)),
            ("the RTO is outgrown", _outgrown(known.forecast)),
        ]
    yield "## Figures"
    yield "\n".join(["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)])


def _takes(expected: Expected | None) -> str:
    if expected is None:
        return "not known: nothing was measured"
    about = f"about {_minutes(expected.seconds)}"
    if expected.seconds_low is None or expected.seconds_high is None:
        return f"{about}, by {expected.points} measure{'' if expected.points == 1 else 's'}"
    between = f"{_minutes(expected.seconds_low)} to {_minutes(expected.seconds_high)}"
    return f"{about}; nine times of ten {between}, by {expected.points} measures"


def _outgrown(forecast: Forecast) -> str:
    if not forecast.known:
        return f"not known: {forecast.why_not}"
    if not forecast.warns:
        return "not within ten years"
    earliest, latest = (
        f"{at:%Y-%m}" if at else "later" for at in (forecast.outgrown_earliest, forecast.outgrown_latest)
    )
    return f"{f'{forecast.outgrown_at:%Y-%m}' if forecast.outgrown_at else 'open'}; between {earliest} and {latest}"


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def _people(fleet: Fleet, plan: str) -> Iterator[str]:
    its = fleet.plan(plan)
    yield "## People"
    rows = [
        f"| {number} | {level.name} | {', '.join(level.notify)} | {spell(level.wait)} |"
        for number, level in enumerate(its.escalation, 1)
    ]
    if rows:
        yield "\n".join(["| | who is called | by | has until the next |", "|---|---|---|---|", *rows])
        yield "Whoever is at it says so, and nobody else is called:\n\n```console\n$ backproof ack INCIDENT\n```"
    else:
        yield "Nobody is called: neither the plan nor the fleet has an `escalation`."
    hears = [f"hears of failures: {', '.join(its.notify.failure)}"] if its.notify.failure else []
    hears += [f"gets reports: {', '.join(its.notify.report)}"] if its.notify.report else []
    responsible = its.recovery_test.responsible or (its.escalation[0].name if its.escalation else "nobody is named")
    yield f"Responsible for recovery tests: {responsible}." + (f" Also: {'; '.join(hears)}." if hears else "")


def _places(fleet: Fleet, plan: str, known: Facts) -> Iterator[str]:
    yield "## Stores"
    stores = [
        f"| {number} | {store.name} | `{store.location()}` |" for number, store in enumerate(fleet.stores(plan), 1)
    ]
    yield "\n".join(["| | store | where |", "|---|---|---|", *stores])
    yield "## Keys"
    yield "\n".join(["| key | fingerprint | where |", "|---|---|---|", *_keys(fleet, plan, known)])
    yield "`backproof keys show` prints these fingerprints. No key is on this page."


def _keys(fleet: Fleet, plan: str, known: Facts) -> Iterator[str]:
    yield f"| signs documents | `{fleet.signer.fingerprint}` | `signing.private_key` in fleet.yaml |"
    name = fleet.plan(plan).key
    if name is None:
        yield "| archives | – | not encrypted: whoever reaches a store reads them |"
        return
    spec = fleet.spec.keys[name]
    sealed = known.manifest.encryption if known.manifest else None
    opens = f"`{sealed.key_fingerprint}`" if sealed else "see `backproof keys show`"
    where = f"AWS KMS, `{spec.kms}`" if spec.kms else f"`keys.{name}.aes256` in fleet.yaml"
    yield f"| opens archives | {opens} | {where} |"
    if sealed and sealed.escrow_fingerprint:
        yield f"| opens archives if all else is lost (escrow) | `{sealed.escrow_fingerprint}` | offline; see the kit |"


def _review(fleet: Fleet, plan: str) -> Iterator[str]:
    test = fleet.plan(plan).recovery_test
    yield "## Review"
    if test.runbook_reviewed is None:
        yield "No person has reviewed this page yet. Whoever does writes the day into `recovery_test.runbook_reviewed`."
    else:
        due = test.runbook_reviewed + test.runbook_review_every
        yield f"Last reviewed by a person {test.runbook_reviewed}; the next review is due **{due}**."
