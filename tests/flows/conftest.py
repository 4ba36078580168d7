"""A small fleet for flows: three stores, one plan."""

from base64 import b64encode
from pathlib import Path

import pytest

from blocks.fleet import FILE_VARIABLE

FLEET = """\
fleet: shop-prod
signing: {{private_key: {key}}}
keys: {{main: {{aes256: {key}}}}}
stores:
  local: {{type: local, path: local}}
  primary: {{type: local, path: primary}}
  secondary: {{type: local, path: secondary}}
databases: {{shop-db: {{engine: postgresql, port: 5432, name: shop, user: backup, password: canary-of-the-fleet}}}}
plans: {{shop: {{database: shop-db}}}}
"""


@pytest.fixture
def fleet_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Named by the environment, as the command line does."""
    path = tmp_path / "fleet.yaml"
    path.write_text(FLEET.format(key=b64encode(b"k" * 32).decode()))
    monkeypatch.setenv(FILE_VARIABLE, str(path))
    return path
