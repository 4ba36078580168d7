"""What Prefect's automations say: templates that Prefect's server fills in from a run and its state.

A message of an error is told only where it is one of ours, which hold no secret; of any other only its kind. Names are
lower-case letters, digits and hyphens, so that nothing of a fleet's can be taken for a part of a template; what comes
from a run is put in once, and never read as a template again.
"""

from dataclasses import dataclass

from backproof.errors import BackproofError


@dataclass(frozen=True, slots=True)
class Template:
    """Subject and body in Jinja."""

    subject: str
    body: str


def _kinds(kind: type[Exception]) -> list[str]:
    return [kind.__name__, *(name for each in kind.__subclasses__() for name in _kinds(each))]


_RUN = (
    "{% set parameters = flow_run.parameters if flow_run else {} %}"
    "{% set plan = parameters['plan'] or 'FLEET' %}"
    "{% set state = event.resource['prefect.state-name'] %}"
    "{% set told = (event.resource['prefect.state-message'] or '') | replace('{{', '{ {') %}"
    "{% set run = event.resource['prefect.resource.name'] %}"
    "{% set rehearsal = ' recovery-test ' in run %}"
    "{% set announced = ' recovery-test-notice ' in run %}"
)
_SHORT = (
    "{% if state == 'Crashed' %}{{ run }} was lost"
    "{% elif state == 'Degraded' and rehearsal %}{{ run }} is incomplete"
    "{% elif state == 'Degraded' %}{{ run }} is degraded"
    "{% elif state == 'Overdue' or state == 'Late' %}no proven backup in time"
    "{% elif state == 'ObjectiveMissed' %}{{ run }} took longer than promised"
    "{% else %}{{ run }} failed{% endif %}"
)
_RAISED = "Flow run encountered an exception: "
WHAT = (
    "{% if state == 'Crashed' %}The run was lost before it ended: its process or its machine went away."
    "{% elif state == 'TimedOut' %}The run took longer than it may."
    f"{{% elif told.startswith('{_RAISED}') %}}"
    f"{{% set raised = told[{len(_RAISED)}:] %}}"
    "{% if raised.split(':')[0] in KNOWN %}{{ raised.split(': ', 1)[1] }}"
    "{% else %}{{ raised.split(':')[0] }}: an error that Backproof does not know. The log of the run holds it."
    "{% endif %}"
    "{% elif state == 'Late' %}"
    "{% if parameters['newest'] %}The newest proven backup known of {{ plan }} is {{ parameters['newest'] }}, taken "
    "at {{ SINCE }}: older than {{ parameters['limit'] }}."
    "{% else %}No proven backup of {{ plan }} is known since {{ SINCE }}: longer than {{ parameters['limit'] }}."
    "{% endif %} No worker took up the look into its stores."
    "{% else %}{{ told }}{% endif %}"
).replace("{{ SINCE }}", "{{ parameters['since'][:19] | replace('T', ' ') }} UTC")
_SINCE = (
    "{% if state == 'Overdue' or state == 'Late' %}"
    "{{ parameters['since'][:19] | replace('T', ' ') }} UTC"
    "{% else %}{{ event.occurred.strftime('%Y-%m-%d %H:%M:%S') }} UTC{% endif %}"
)
_ADVICE = (
    "{% if state == 'Late' %}See that a worker of the work pool runs, then what became of the plan's backups: "
    "backproof list {{ plan }}."
    "{% elif state == 'Overdue' %}See what became of the plan's latest runs; backproof doctor {{ plan }} names what "
    "stands in the way. Then start its backup."
    "{% elif state == 'Crashed' %}See that the worker runs and its machine has memory and room, then start the run "
    "again: what was half done does not count, and is swept up."
    "{% elif state == 'ObjectiveMissed' %}The database is back. See what took so long: backproof recovery list "
    "{{ plan }}; and what the next one will take: backproof estimate {{ plan }}."
    "{% elif announced and state == 'Degraded' %}Mend what is named before the recovery test, a week from now."
    "{% elif rehearsal and state == 'Degraded' %}Not all of it was run, and that is no pass. Mend what is named, then "
    "rehearse again: backproof recovery-test {{ plan }}."
    "{% elif rehearsal %}Read the report: backproof reports pull --plan {{ plan }}. What it found has an owner and a "
    "day. Mend it, then rehearse again: backproof recovery-test {{ plan }}."
    "{% elif state == 'Degraded' %}Nothing is lost. Mend what is named; a missing copy is made by the next "
    "replication, a missing proof by backproof verify {{ plan }}."
    "{% else %}Mend what is named, then start the run again; its log tells more"
    "{% if parameters['plan'] %}, and backproof doctor {{ plan }} what stands in the way{% endif %}.{% endif %}"
)
INCIDENT = "{{ parameters['plan'] }}-{{ (flow_run.id | string)[-8:] if flow_run else '' }}"
_ACK = f"\nIncident: {INCIDENT}; somebody acknowledges it with backproof ack {INCIDENT}"
_LINK = "{% if flow_run | ui_url %}\nRun: {{ flow_run | ui_url }}{% endif %}"


def trouble(fleet: str, escalates: bool) -> Template:
    """Of a run that failed, was lost or is degraded, and of a plan that is overdue.

    Args:
        fleet: its name.
        escalates: the plans it is for have an escalation, whose incidents a person can acknowledge.
    """
    ack = f"{{% if state != 'Degraded' %}}{_ACK}{{% endif %}}" if escalates else ""
    return _template(
        fleet,
        f"{{{{ plan }}}}: {_SHORT}",
        f"Plan: {{{{ plan }}}}\nWhat: {WHAT}\nSince: {_SINCE}\nWhat to do: {_ADVICE}{ack}{_LINK}",
    )


def waiting(fleet: str) -> Template:
    """Of a run that no worker takes up."""
    return _template(
        fleet,
        "{{ plan }}: {{ run }} waits for a worker",
        "Plan: {{ plan }}\nWhat: {{ run }} should have begun, and no worker took it up.\n"
        "Since: {{ flow_run.expected_start_time.strftime('%Y-%m-%d %H:%M:%S') if flow_run else "
        "event.occurred.strftime('%Y-%m-%d %H:%M:%S') }} UTC\n"
        f"What to do: See that a worker of the work pool runs; the run begins as soon as one does.{_LINK}",
    )


def proven(fleet: str) -> Template:
    """Of a backup that came back."""
    return _template(
        fleet,
        "{{ event.resource['prefect.resource.name'] }}: {{ event.payload['backup'] }} is proven",
        "Plan: {{ event.resource['prefect.resource.name'] }}\nWhat: {{ event.payload['backup'] }} was restored, and "
        "came back as it was.\nSince: {{ event.occurred.strftime('%Y-%m-%d %H:%M:%S') }} UTC\nWhat to do: nothing.",
    )


def finding(fleet: str) -> Template:
    """Of what is so though no run has failed: no recovery test in time, an objective that is outgrown soon."""
    said = "{{ (event.payload['%s'] or '') | replace('{{', '{ {') }}"
    return _template(
        fleet,
        "{{ event.resource['prefect.resource.name'] }}: "
        "{% if event.event == 'backproof.recovery-test.overdue' %}a quarter without a recovery test"
        "{% else %}recovery will take longer than promised{% endif %}",
        f"Plan: {{{{ event.resource['prefect.resource.name'] }}}}\nWhat: {said % 'what'}\n"
        "Since: {{ event.occurred.strftime('%Y-%m-%d %H:%M:%S') }} UTC\n"
        f"What to do: {said % 'remedy'}",
    )


def parameter(fleet: str, template: str) -> dict[str, str]:
    """A parameter of a run that an automation starts."""
    return {"__prefect_kind": "jinja", "template": _filled(fleet, _RUN + template)}


def _template(fleet: str, subject: str, body: str) -> Template:
    return Template(_filled(fleet, _RUN + subject), _filled(fleet, _RUN + body))


def _filled(fleet: str, template: str) -> str:
    known = ", ".join(f"'{name}'" for name in _kinds(BackproofError))
    return template.replace("KNOWN", f"[{known}]").replace("FLEET", f"fleet {fleet}")
