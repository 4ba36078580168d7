"""The targets of messages as Prefect's own notification blocks: made from a fleet's specs, found by name, and used.

A block of a fleet's is called ``<fleet>--<target>``. Everything of it that could be a secret is where Prefect encrypts
it and shows asterisks instead. Prefect has no block for a mail server, nor one for everything that Apprise knows; but
its Slack block hands any address that is not Slack's to Apprise: so those two are, in the UI, Slack blocks.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote, urlencode
from uuid import UUID

import httpx
from prefect.blocks import notifications as prefect_blocks
from prefect.blocks.abstract import NotificationBlock, NotificationError
from prefect.blocks.core import Block
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.types import SecretDict
from pydantic import SecretStr

from backproof.errors import BackproofError, ConfigurationError, NotFound
from backproof.fleet import FleetSpec, NotificationSpec
from backproof.fleet.notifications import (
    AppriseSpec,
    DiscordSpec,
    EmailSpec,
    OpsgenieSpec,
    PagerDutySpec,
    SlackSpec,
    TeamsSpec,
    WebhookSpec,
)
from blocks.saving import secret_fields

_PAGE = 200
_SERIOUS: Literal["failure"] = "failure"
"""Opsgenie makes no alert of what is merely information."""
_MAIL = {"starttls": ("mailtos", "starttls"), "tls": ("mailtos", "ssl"), "none": ("mailto", "insecure")}


@dataclass(frozen=True)
class Saved:
    """A notification block on a Prefect server."""

    id: UUID
    name: str
    kind: str
    """The slug of its type."""


def block_name(fleet: str, target: str) -> str:
    """What a fleet's target is called among the blocks of a server."""
    return f"{fleet}--{target}"


def notification_block(spec: NotificationSpec, name: str) -> NotificationBlock:
    """The block that tells one target; it is not saved.

    Args:
        spec: what it is.
        name: of the target, which a webhook may put into what it sends.
    """
    match spec:
        case WebhookSpec():
            return _webhook(spec, name)
        case SlackSpec() | AppriseSpec():
            return prefect_blocks.SlackWebhook(url=spec.url)
        case TeamsSpec():
            return prefect_blocks.MicrosoftTeamsWebhook(url=spec.url)
        case DiscordSpec():
            return prefect_blocks.DiscordWebhook(webhook_id=spec.webhook_id, webhook_token=spec.webhook_token)
        case EmailSpec():
            return prefect_blocks.SlackWebhook(url=_mail_address(spec))
        case PagerDutySpec():
            return prefect_blocks.PagerDutyWebHook(
                integration_key=spec.integration_key,
                api_key=spec.api_key,
                region_name=spec.region,
                source="Backproof",
                notify_type=_SERIOUS,
            )
        case OpsgenieSpec():
            return prefect_blocks.OpsgenieWebhook(apikey=spec.api_key, region_name=spec.region, notify_type=_SERIOUS)


def kind_of(spec: NotificationSpec) -> str:
    """The slug of the type of its block."""
    return str(notification_block(spec, "any").get_block_type_slug())


def data_of(block: NotificationBlock) -> dict[str, Any]:
    """What a block holds, as plain JSON, its secrets in clear."""
    fields = set(type(block).model_fields)
    data: dict[str, Any] = block.model_dump(mode="json", include=fields, context={"include_secrets": True})
    return data


def saved_data(client: SyncPrefectClient, saved: Saved) -> dict[str, Any]:
    """The same of a block on the server; empty where it holds what its type does not allow."""
    where: dict[str, Any] = {"path_params": {"id": saved.id}, "params": {"include_secrets": True}}
    data = client.request("GET", "/block_documents/{id}", **where).json()["data"]
    try:
        return data_of(_types()[saved.kind](**data))
    except (ValueError, KeyError):
        return {}


def secrets_of(kind: str) -> frozenset[str]:
    """The fields of a type of block that hold secrets."""
    return secret_fields(_types()[kind]) if kind in _types() else frozenset()


def _types() -> dict[str, type[NotificationBlock]]:
    kinds = (
        prefect_blocks.CustomWebhookNotificationBlock,
        prefect_blocks.SlackWebhook,
        prefect_blocks.MicrosoftTeamsWebhook,
        prefect_blocks.DiscordWebhook,
        prefect_blocks.PagerDutyWebHook,
        prefect_blocks.OpsgenieWebhook,
    )
    return {kind.get_block_type_slug(): kind for kind in kinds}


def saved_targets(client: SyncPrefectClient) -> list[Saved]:
    """Every block of a server that can notify."""
    return list(_saved(client))


def target_of(fleet: FleetSpec, target: str) -> NotificationBlock:
    """The block that a name in ``notify`` or ``escalation`` means: of the file, else of the server.

    Raises:
        NotFound: there is none.
    """
    if target in fleet.notifications:
        return notification_block(fleet.notifications[target], target)
    with get_client(sync_client=True) as client:
        saved = chosen(saved_targets(client), fleet, target)
    block = Block.load(f"{saved.kind}/{saved.name}")
    if not isinstance(block, NotificationBlock):
        raise ConfigurationError(f"block {saved.name} tells nobody", "Name a notification block.")
    return block


def chosen(saved: list[Saved], fleet: FleetSpec, target: str) -> Saved:
    """The saved block that a fleet means by a name: its own, else one that somebody made in the UI.

    Raises:
        NotFound: there is none.
    """
    if found := find(saved, fleet, target):
        return found
    raise NotFound(
        f"no target of messages is called {target!r}",
        "Describe it under notifications in fleet.yaml, or make a notification block of that name in Prefect's UI.",
    )


def find(saved: list[Saved], fleet: FleetSpec, target: str) -> Saved | None:
    """As ``chosen``, and None where there is none."""
    kind = kind_of(fleet.notifications[target]) if target in fleet.notifications else None
    for name in (block_name(fleet.fleet, target), target):
        for each in saved:
            if each.name == name and kind in (None, each.kind):
                return each
    return None


def send(block: NotificationBlock, subject: str, body: str) -> str | None:
    """Tell one target.

    Returns:
        None, or why it did not take the message: no address and no secret is in it.
    """
    try:
        with block.raise_on_failure():
            block.notify(body=harmless(body), subject=harmless(subject))
    except NotificationError:
        return "the service refused it, or could not be reached"
    except httpx.HTTPStatusError as error:
        return f"it answered with status {error.response.status_code}"
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
        return f"it could not be reached: {type(error).__name__}"
    return None


def tell(fleet: FleetSpec, target: str, subject: str, body: str) -> str | None:
    """Tell a target by its name; as ``send``, and None too where it was told."""
    try:
        block = target_of(fleet, target)
    except BackproofError as error:
        return error.fact
    return send(block, subject, body)


def harmless(text: str) -> str:
    """Text in which a webhook block finds nothing to put its own values in for."""
    return text.replace("{{", "{ {")


def _webhook(spec: WebhookSpec, name: str) -> NotificationBlock:
    headers = {f"header{number}": value for number, value in enumerate(spec.headers.values())}
    secrets = {"address": spec.url, **headers}
    return prefect_blocks.CustomWebhookNotificationBlock(
        name=name,
        url="{{address}}",
        headers={header: f"{{{{header{number}}}}}" for number, header in enumerate(spec.headers)} or None,
        json_data=dict(spec.fields),
        secrets=SecretDict({key: value.get_secret_value() for key, value in secrets.items()}),
    )


def _mail_address(spec: EmailSpec) -> SecretStr:
    """In Apprise's words."""
    scheme, mode = _MAIL[spec.security]
    query = {"smtp": spec.host, "from": spec.sender, "to": ",".join(spec.to), "mode": mode, "format": "text"}
    if spec.user is not None:
        query["user"] = spec.user
        query["pass"] = "" if spec.password is None else spec.password.get_secret_value()
    return SecretStr(f"{scheme}://{spec.host}:{spec.port}?{urlencode(query, quote_via=quote)}")


def _saved(client: SyncPrefectClient) -> Iterator[Saved]:
    offset = 0
    while True:
        page = _page(client, offset)
        for document in page:
            if document["name"]:
                yield Saved(UUID(document["id"]), document["name"], document["block_type"]["slug"])
        if len(page) < _PAGE:
            return
        offset += _PAGE


def _page(client: SyncPrefectClient, offset: int) -> list[dict[str, Any]]:
    body = {
        "block_schemas": {"block_capabilities": {"all_": ["notify"]}},
        "include_secrets": False,
        "limit": _PAGE,
        "offset": offset,
    }
    found: list[dict[str, Any]] = client.request("POST", "/block_documents/filter", json=body).json()
    return found
