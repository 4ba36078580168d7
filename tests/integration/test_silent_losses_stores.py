"""What a disk, an S3 server or the tools for them lose in silence, and what we say of the same: each test both halves.

What other files show already is listed in docs/proving.md.
"""

import io
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from secrets import token_bytes, token_hex
from typing import Any

import aws_encryption_sdk
import pytest
from aws_encryption_sdk.identifiers import CommitmentPolicy

from backproof.archive.encryption import KeyRing
from backproof.errors import Damaged, StoreUnavailable
from backproof.stores.local import LocalStore
from backproof.stores.s3 import S3Store
from deployments.servers.seaweedfs import S3Server
from tests.support.archives import KEY, make
from tests.support.proxy import Fault, Proxy, error_in_200
from tests.support.s3_fixtures import ACCESS_KEY, BUCKET, SECRET_KEY, MakeStore
from tests.unit.test_archive_encryption import aes_master_key

MIB = 1024 * 1024
ALWAYS = 10**6


def plain_client(endpoint_url: str, **config: Any) -> Any:
    """What most programs use, as most use it over TLS: no checksum but TLS's own."""
    import boto3
    from botocore.config import Config

    return boto3.client(
        "s3",
        endpoint_url=endpoint_url,
        region_name="eu-west-1",
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
        config=Config(
            signature_version="s3v4",
            request_checksum_calculation="when_required",
            retries={"total_max_attempts": 1},
            s3={"addressing_style": "path", "payload_signing_enabled": False},
            **config,
        ),
    )


@pytest.fixture
def proxy(regions: tuple[S3Server, S3Server]) -> Iterator[Proxy]:
    with Proxy(regions[0].endpoint_url) as proxy:
        yield proxy


@pytest.fixture
def ours(proxy: Proxy, s3_store: MakeStore) -> S3Store:
    return s3_store(endpoint_url=proxy.url, attempts=1)


def test_a_byte_changed_on_the_way_up(proxy: Proxy, ours: S3Store, s3_store: MakeStore) -> None:
    content, key = token_bytes(MIB), f"plain-{token_hex(6)}"
    proxy.inject(Fault("flip", "PUT", key, after=77, side="request"))
    client = plain_client(proxy.url)
    answer = client.put_object(Bucket=BUCKET, Key=key, Body=content)
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 200
    stored = client.get_object(Bucket=BUCKET, Key=key)["Body"].read()
    assert len(stored) == len(content)
    assert stored != content
    proxy.inject(Fault("flip", "PUT", "shop", after=77, side="request", times=ALWAYS))
    with pytest.raises(StoreUnavailable):
        ours.put("shop", [content])
    assert s3_store().head("shop") is None


DUMP = [sys.executable, "-c", "import os; os.write(1, bytes(6 * 1024 * 1024)); os._exit(1)"]
"""What a dump looks like from outside that died on its way: some bytes, and the end of them."""


def test_an_upload_of_a_dump_that_died(proxy: Proxy, ours: S3Store) -> None:
    key = f"plain-{token_hex(6)}"
    client = plain_client(proxy.url)
    with subprocess.Popen(DUMP, stdout=subprocess.PIPE) as dying:
        client.upload_fileobj(dying.stdout, BUCKET, key)
    assert dying.returncode == 1
    assert client.head_object(Bucket=BUCKET, Key=key)["ContentLength"] == 6 * MIB

    def chunks() -> Iterator[bytes]:
        yield from (bytes(MIB) for _ in range(6))
        raise RuntimeError("the dump ended with 1")

    with pytest.raises(RuntimeError, match="ended with 1"):
        ours.put("shop", chunks())
    assert ours.head("shop") is None


def test_an_upload_that_s3_calls_done_and_then_says_was_not(proxy: Proxy, ours: S3Store) -> None:
    """Whoever looks at the status alone, as a script with a signed address does, sees that all went well."""
    key = f"plain-{token_hex(6)}"
    client = plain_client(proxy.url)
    upload = client.create_multipart_upload(Bucket=BUCKET, Key=key)["UploadId"]
    part = client.upload_part(Bucket=BUCKET, Key=key, UploadId=upload, PartNumber=1, Body=b"rows")["ETag"]
    where = {"Bucket": BUCKET, "Key": key, "UploadId": upload}
    signed = client.generate_presigned_url("complete_multipart_upload", where)
    proxy.inject(error_in_200())
    listed = (
        f"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{part}</ETag></Part></CompleteMultipartUpload>"
    )
    with urllib.request.urlopen(urllib.request.Request(signed, listed.encode(), method="POST")) as answered:
        assert answered.status == 200
    assert client.list_objects_v2(Bucket=BUCKET, Prefix=key).get("Contents") is None
    with pytest.raises(StoreUnavailable, match="InternalError"):
        ours.put("shop", [token_bytes(9 * MIB)])
    proxy.clear()
    assert ours.head("shop") is None
    client.abort_multipart_upload(**where)


def test_bytes_appended_to_an_encrypted_message() -> None:
    """The message says where it ends, and its own tools look no further."""
    archive = make(ring=KeyRing(KEY))
    longer = archive.stored + b"and more"
    sdk = aws_encryption_sdk.EncryptionSDKClient(commitment_policy=CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT)
    with sdk.stream(mode="d", source=io.BytesIO(longer), key_provider=aes_master_key(KEY)) as opened:
        found = opened.read()
    assert found == sdk.decrypt(source=archive.stored, key_provider=aes_master_key(KEY))[0]
    with pytest.raises(Damaged):
        archive.reader(stored=longer).verify()


IMPLICIT = """
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
open({path!r}, "wb").write(bytes(6000))
"""
OURS = """
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
from backproof.errors import NoSpace
from backproof.stores.local import LocalStore
try:
    LocalStore("local", {path!r}).put("shop", [bytes(6000)])
except NoSpace:
    print("no space")
"""


def test_a_file_that_outgrows_its_room_as_it_is_closed(tmp_path: Path) -> None:
    file, store = tmp_path / "plain", tmp_path / "store"
    run = [sys.executable, "-c"]
    written = subprocess.run([*run, IMPLICIT.format(path=str(file))], capture_output=True, check=False)
    assert written.returncode == 0
    assert file.stat().st_size == 4096
    told = subprocess.run([*run, OURS.format(path=str(store))], capture_output=True, text=True, check=False)
    assert told.stdout == "no space\n", told.stderr
    assert LocalStore("local", store).head("shop") is None
