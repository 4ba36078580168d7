"""Who can be told, and how: the targets of messages, as typed specs.

``blocks.notifications`` makes Prefect's own notification blocks of them.
"""

from typing import Literal

from pydantic import Field, SecretStr

from backproof.fleet.fields import Spec, Text


class WebhookSpec(Spec):
    """An address that takes messages as JSON, by POST."""

    url: SecretStr
    """Where messages are sent."""
    headers: dict[str, SecretStr] = Field(default_factory=dict)
    """Sent with each, such as ``Authorization``; a secret is safer here than in the address."""
    fields: dict[str, str] = Field(default_factory=lambda: {"subject": "{{subject}}", "body": "{{body}}"})
    """The JSON that is sent: ``{{subject}}`` and ``{{body}}`` are put in."""


class SlackSpec(Spec):
    """A Slack channel, by an incoming webhook."""

    url: SecretStr
    """The incoming webhook's address."""


class TeamsSpec(Spec):
    """A Microsoft Teams channel, by a workflow."""

    url: SecretStr
    """The workflow's address."""


class DiscordSpec(Spec):
    """A Discord channel."""

    webhook_id: SecretStr
    """The first part of the webhook's address."""
    webhook_token: SecretStr
    """The second."""


class EmailSpec(Spec):
    """E-mail, by a mail server."""

    host: Text
    """The mail server."""
    port: int = Field(default=587, ge=1, le=65535)
    """Its port: 587, 465 or 25 as a rule."""
    security: Literal["starttls", "tls", "none"] = "starttls"
    """How the connection is encrypted."""
    user: str | None = None
    """Who logs in there; none: nobody does."""
    password: SecretStr | None = None
    """Their password."""
    sender: Text
    """The address it comes from."""
    to: tuple[Text, ...] = Field(min_length=1)
    """The addresses it goes to."""


class PagerDutySpec(Spec):
    """A PagerDuty service, by its Events API v2."""

    integration_key: SecretStr
    """The integration's key."""
    api_key: SecretStr
    """An API key."""
    region: Literal["us", "eu"] = "us"
    """Where the account is."""


class OpsgenieSpec(Spec):
    """Opsgenie."""

    api_key: SecretStr
    """The integration's key."""
    region: Literal["us", "eu"] = "us"
    """Where the account is."""


class AppriseSpec(Spec):
    """Any other service that Apprise knows: https://github.com/caronc/apprise/wiki."""

    url: SecretStr
    """Its address in Apprise's words, such as ``ntfy://topic`` or ``twilio://…``."""


NotificationSpec = (
    WebhookSpec | SlackSpec | TeamsSpec | DiscordSpec | EmailSpec | PagerDutySpec | OpsgenieSpec | AppriseSpec
)

KINDS: dict[str, type[Spec]] = {
    "webhook": WebhookSpec,
    "slack": SlackSpec,
    "teams": TeamsSpec,
    "discord": DiscordSpec,
    "email": EmailSpec,
    "pagerduty": PagerDutySpec,
    "opsgenie": OpsgenieSpec,
    "apprise": AppriseSpec,
}
"""What ``type`` may say."""
