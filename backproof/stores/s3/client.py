"""Clients of S3, made so that a stalled S3 is an error within minutes."""

import threading
from typing import Any

from botocore.config import Config
from botocore.loaders import create_loader
from botocore.session import Session

from backproof.stores.s3 import Access
from backproof.stores.s3.errors import told

POOL = 16
"""Connections kept: several objects may be on their way at a time, each in some threads."""

_DESCRIPTIONS = create_loader()
"""Of S3's API: reading them costs 0.1 s, which would else be paid for every store and in every step of a run."""

_READING = threading.Lock()
"""Stores are asked at the same time: the first reads, the others wait for it."""


def connect(access: Access, place: str) -> tuple[Any, Any]:
    """Two clients: a patient one, and a hurried one for what is done after a failure.

    Raises:
        ConfigurationError: endpoint, region or credentials are not of the form they must have.
    """
    patient = _config(access, access.connect_seconds, access.read_seconds, access.attempts)
    hurried = _config(access, min(5, access.connect_seconds), min(10, access.read_seconds), 1)
    with told("s3:ListBucket", place), _READING:
        # botocore alone: what boto3 adds to it (resources, transfers) is not used here and takes its time.
        session = Session()
        session.register_component("data_loader", _DESCRIPTIONS)
        given: dict[str, Any] = {
            "aws_access_key_id": access.access_key_id,
            "aws_secret_access_key": access.secret_access_key,
            "aws_session_token": access.session_token,
            "region_name": access.region,
            "endpoint_url": access.endpoint_url,
        }
        clients = [session.create_client("s3", config=config, **given) for config in (patient, hurried)]
        for client in clients:
            client.meta.events.register_last("before-parameter-build.s3", _stay)
        return clients[0], clients[1]


def _stay(context: dict[str, Any], **_: Any) -> None:
    """Follow to no other region.

    botocore would, without a word, and a copy would lie in another region than the fleet says: perhaps in the same as
    the copy before.
    """
    context["s3_redirect"]["redirected"] = True


def _config(access: Access, connect_seconds: float, read_seconds: float, attempts: int) -> Config:
    return Config(
        signature_version="s3v4",
        connect_timeout=connect_seconds,
        read_timeout=read_seconds,
        retries={"mode": "standard", "total_max_attempts": attempts},
        max_pool_connections=POOL,
        tcp_keepalive=True,
        # Our own SHA-256 goes with each put, and whoever reads checks what came: no second sum in between.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        s3={"addressing_style": "path" if access.endpoint_url else "auto"},
    )
