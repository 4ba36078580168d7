"""Clients of boto3, made so that a stalled S3 is an error within minutes."""

from typing import Any

import boto3
from botocore.config import Config

from backproof.stores.s3 import Access
from backproof.stores.s3.errors import told

POOL = 16
"""Connections kept: several objects may be on their way at a time, each in some threads."""


def connect(access: Access, place: str) -> tuple[Any, Any]:
    """Two clients: a patient one, and a hurried one for what is done after a failure.

    Raises:
        ConfigurationError: endpoint, region or credentials are not of the form they must have.
    """
    patient = _config(access, access.connect_seconds, access.read_seconds, access.attempts)
    hurried = _config(access, min(5, access.connect_seconds), min(10, access.read_seconds), 1)
    with told("s3:ListBucket", place):
        session = boto3.session.Session(
            aws_access_key_id=access.access_key_id,
            aws_secret_access_key=access.secret_access_key,
            aws_session_token=access.session_token,
            region_name=access.region,
        )
        return (
            session.client("s3", endpoint_url=access.endpoint_url, config=patient),
            session.client("s3", endpoint_url=access.endpoint_url, config=hurried),
        )


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
