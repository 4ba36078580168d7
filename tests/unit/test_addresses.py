"""A database's address as applications read it: whatever is in a password, and on a socket as well."""

import pytest
from pydantic import SecretStr

from backproof.engines import find
from backproof.records import Target

NETWORK = Target(host="127.0.0.1", port=15_000, database="a b", user="o'neil", password=SecretStr("p@ss/w:rd%"))
SOCKET = Target(host="/run/db", port=5432, database="shop", user="app")


@pytest.mark.parametrize(
    ("engine", "target", "url"),
    [
        ("postgresql", NETWORK, "postgresql://o%27neil:p%40ss%2Fw%3Ard%25@127.0.0.1:15000/a%20b"),
        ("mysql", NETWORK, "mysql://o%27neil:p%40ss%2Fw%3Ard%25@127.0.0.1:15000/a%20b"),
        ("postgresql", SOCKET, "postgresql://app@/shop?host=%2Frun%2Fdb&port=5432"),
        ("mysql", SOCKET, "mysql://app@localhost/shop?unix_socket=%2Frun%2Fdb%2Fmysqld.sock"),
        (
            "postgresql",
            SOCKET.model_copy(update={"host": "db.example.org", "options": {"sslmode": "require"}}),
            "postgresql://app@db.example.org:5432/shop?sslmode=require",
        ),
    ],
)
def test_an_address(engine: str, target: Target, url: str) -> None:
    assert find(engine).url(target) == url
