"""Targets become Prefect's own blocks; e-mail is sent, and nothing that a message holds is filled in again."""

import asyncio
import threading
from collections.abc import Iterator

import pytest

from backproof.fleet import NotificationSpec
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
from blocks.notifications import data_of, notification_block, secrets_of, send
from tests.support.webhook import webhook

SECRET = "canaryCanary0123456789"


class MailServer:
    """Takes every letter, on loopback."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._loop = asyncio.new_event_loop()
        self._server = self._loop.run_until_complete(asyncio.start_server(self._talk, "127.0.0.1", 0))
        self.port = self._server.sockets[0].getsockname()[1]
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 here\r\n")
        letter = False
        while line := await reader.readline():
            self.lines.append(line.decode().rstrip())
            if letter and line != b".\r\n":
                continue
            quits = not letter and line.upper().startswith(b"QUIT")
            letter = not letter and line.upper().startswith(b"DATA")
            writer.write(b"354 go on\r\n" if letter else b"221 bye\r\n" if quits else b"250 well\r\n")
            if quits:
                break
        writer.close()

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._server.close)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@pytest.fixture
def mail() -> Iterator[MailServer]:
    server = MailServer()
    yield server
    server.close()


def test_email_goes_to_everybody_by_the_mail_server_that_is_named(mail: MailServer) -> None:
    spec = EmailSpec(
        host="127.0.0.1",
        port=mail.port,
        security="none",
        sender="backups@example.com",
        to=("a@example.com", "b@example.com"),
    )
    assert send(notification_block(spec, "mail"), "shop: failed", "Plan: shop\nWhat: it failed") is None
    assert [line.lower() for line in mail.lines if line.lower().startswith("rcpt to")] == [
        "rcpt to:<a@example.com>",
        "rcpt to:<b@example.com>",
    ]
    assert "Subject: shop: failed" in mail.lines
    assert "Plan: shop" in mail.lines
    assert "What: it failed" in mail.lines


SPECS: list[NotificationSpec] = [
    WebhookSpec.model_validate({"url": f"https://ops.example.com/{SECRET}", "headers": {"X-Key": SECRET}}),
    SlackSpec.model_validate({"url": f"https://hooks.slack.com/services/T0/B0/{SECRET}"}),
    TeamsSpec.model_validate(
        {"url": f"https://prod-1.x.logic.azure.com:443/workflows/W/triggers/manual/paths/invoke?sig={SECRET}"}
    ),
    DiscordSpec.model_validate({"webhook_id": "1" * 18, "webhook_token": SECRET * 3}),
    EmailSpec.model_validate(
        {"host": "m.example.com", "sender": "b@example.com", "to": ["c@example.com"], "user": "u@x", "password": SECRET}
    ),
    PagerDutySpec.model_validate({"integration_key": SECRET, "api_key": SECRET}),
    OpsgenieSpec.model_validate({"api_key": SECRET}),
    AppriseSpec.model_validate({"url": f"ntfy://{SECRET}"}),
]


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: type(spec).__name__)
def test_a_secret_lies_in_fields_that_prefect_hides_and_nowhere_else(spec: NotificationSpec) -> None:
    block = notification_block(spec, "ops")
    assert SECRET not in repr(block)
    kind = block.get_block_type_slug()
    data = data_of(block)
    assert SECRET in str(data)
    assert SECRET not in str({name: value for name, value in data.items() if name not in secrets_of(kind)})


def test_what_a_message_holds_is_not_filled_in_again() -> None:
    with webhook() as hook:
        spec = WebhookSpec.model_validate({"url": hook.url, "headers": {"X-Key": SECRET}})
        assert send(notification_block(spec, "ops"), "{{ header0 }}", "{{header0}} {{address}} {% x %}") is None
    assert hook.messages == [{"subject": "{ { header0 }}", "body": "{ {header0}} { {address}} {% x %}"}]
    assert hook.headers[0]["X-Key"] == SECRET
