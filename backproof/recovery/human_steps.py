"""What only people can do in a recovery: a list for each kind of disaster, ticked in its journal. Pure."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from backproof.errors import ConfigurationError, NotFound
from backproof.records import Record
from backproof.recovery.entries import Facts, JournalEntry

HUMAN = "human"
"""The step of a journal under which it stands what people have done."""

_STOP = "Stop what does the damage: a job, a deployment, an account."
_TELL = "Tell users what happened, and from when on what they entered is lost."
_CAUSE = "Write down the root cause, and what keeps it from happening again."
_SERVER = "Provide a new server, of the same version or later, that nothing of the old one reaches."
_DNS = "Lead applications to the new server: DNS, connection strings, the plan's host."
_PASSWORDS = "Give each role its password, and the right to log in."

SCENARIOS: Mapping[str, Mapping[str, str]] = {
    "corruption": {
        "assess": "Find out what is wrong, since when, and what wrote it: that moment goes to --before.",
        "stop": _STOP,
        "inform": _TELL,
        "audit": "Compare with what was set aside; enter again what was right and is lost.",
        "cause": _CAUSE,
    },
    "deletion": {
        "assess": "Find out what was deleted, when and by whom: that moment goes to --before.",
        "stop": _STOP,
        "inform": _TELL,
        "audit": "Bring back from what was set aside what was written since the backup.",
        "cause": _CAUSE,
    },
    "lost-server": {
        "assess": "Make sure that the server will not come back by itself, and that it is lost for good.",
        "provision": _SERVER,
        "passwords": _PASSWORDS,
        "dns": _DNS,
        "inform": _TELL,
        "audit": "See that backups of the new server are taken, copied and proven.",
        "cause": _CAUSE,
    },
    "ransomware": {
        "isolate": "Cut every machine within reach off the network; switch none off, and keep them for evidence.",
        "assess": "Find the moment of the breach, and which accounts and keys were within reach.",
        "report": "Tell the authorities, the insurer and those whose data it is, in the time that the law gives.",
        "keys": "Make every password, access key and signing key anew; the old ones count as known.",
        "provision": _SERVER,
        "passwords": _PASSWORDS,
        "dns": _DNS,
        "audit": "Look through what came back for what the intruder left: accounts, triggers, scheduled jobs.",
        "cause": _CAUSE,
    },
}
"""Scenario to its steps, in order: name and what is to be done."""


class HumanStep(Record):
    """One step, ticked or open."""

    step: str
    what: str
    done_at: datetime | None = None
    """When it was done, as whoever ticked it says; None: it is open."""
    by: str = ""


class HumanSteps(Record):
    """A recovery's list."""

    scenario: str | None
    """None: nobody has said what happened."""
    steps: tuple[HumanStep, ...]


def read(entries: Sequence[JournalEntry]) -> HumanSteps:
    """The list as a journal has it: that of the scenario named last, with the last tick of each step."""
    said = [each.facts for each in entries if (each.step, each.what) == (HUMAN, "noted")]
    scenario = next((str(facts["scenario"]) for facts in reversed(said) if "scenario" in facts), None)
    ticks = {str(facts["ticked"]): facts for facts in said if "ticked" in facts}
    known = SCENARIOS.get(scenario or "", {})
    steps = tuple(_step(name, what, ticks.get(name)) for name, what in known.items())
    return HumanSteps(scenario=scenario, steps=steps)


def naming(scenario: str, by: str) -> Facts:
    """What the journal is told of what happened.

    Raises:
        NotFound: there is no such scenario.
    """
    if scenario not in SCENARIOS:
        raise NotFound(f"no scenario is called {scenario!r}", f"There are: {', '.join(SCENARIOS)}.")
    return {"scenario": scenario, "by": by}


def ticking(entries: Sequence[JournalEntry], step: str, by: str, done_at: datetime, now: datetime) -> Facts:
    """What the journal is told of a step that somebody has done.

    Raises:
        ConfigurationError: it would be done in the future.
        NotFound: nobody has said what happened, or that scenario has no such step.
    """
    found = read(entries)
    if found.scenario is None:
        raise NotFound(
            "nobody has said what happened, so there is no list",
            f"`backproof recovery scenario ID NAME`: {', '.join(SCENARIOS)}.",
        )
    names = [each.step for each in found.steps]
    if step not in names:
        raise NotFound(f"scenario {found.scenario} has no step {step!r}", f"There are: {', '.join(names)}.")
    if done_at > now:
        raise ConfigurationError(
            f"{done_at:%Y-%m-%d %H:%M} UTC is yet to come", "Say when it was done, in UTC or with an offset."
        )
    return {"ticked": step, "by": by, "at": done_at.isoformat()}


def _step(name: str, what: str, tick: Facts | None) -> HumanStep:
    if tick is None:
        return HumanStep(step=name, what=what)
    return HumanStep(step=name, what=what, done_at=datetime.fromisoformat(str(tick["at"])), by=str(tick["by"]))
