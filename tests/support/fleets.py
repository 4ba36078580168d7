"""Fleets for tests: a real database, folders or S3 regions, fresh keys."""

import base64
import secrets
from pathlib import Path
from typing import Any

import yaml

from backproof.fleet import Fleet
from backproof.fleet.loading import parse
from backproof.records import Target

PLAN = "shop"


def key() -> str:
    """Base64 of 32 fresh bytes."""
    return base64.b64encode(secrets.token_bytes(32)).decode()


def described(
    target: Target,
    folder: Path,
    stores: dict[str, Any] | None = None,
    credentials: tuple[str, str] | None = None,
    engine: str = "postgresql",
    **plan: Any,
) -> dict[str, Any]:
    """What a ``fleet.yaml`` would say: plan ``shop``, by default with two folder stores, ``near`` and ``far``."""
    password = target.password.get_secret_value() if target.password else ""
    chosen = stores or {
        "near": {"type": "local", "path": str(folder / "near")},
        "far": {"type": "local", "path": str(folder / "far")},
    }
    access: dict[str, Any] = {}
    if credentials:
        access = {"s3": {"access_key_id": credentials[0], "secret_access_key": credentials[1]}}
        chosen = {
            name: {**store, "credentials": "s3"} if store["type"] == "s3" else store for name, store in chosen.items()
        }
    return {
        "fleet": "tests",
        "credentials": access,
        "signing": {"private_key": key()},
        "keys": {"main": {"aes256": key()}},
        "stores": chosen,
        "databases": {
            "shop-db": {
                "engine": engine,
                "host": target.host,
                "port": target.port,
                "name": target.database,
                "user": target.user,
                "password": password.replace("$", "$$"),
                "admin": {"user": target.user, "password": password.replace("$", "$$")},
            }
        },
        "plans": {PLAN: {"database": "shop-db", "stores": list(chosen), "key": "main", **plan}},
    }


def fleet_of(target: Target, folder: Path, stores: dict[str, Any] | None = None, **more: Any) -> Fleet:
    """The fleet at work; see ``described``."""
    return built(described(target, folder, stores, **more), folder)


def built(description: dict[str, Any], folder: Path) -> Fleet:
    """A fleet of a description."""
    return Fleet(parse(yaml.safe_dump(description), {}, folder / "fleet.yaml"))
