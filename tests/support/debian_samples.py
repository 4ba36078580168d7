"""Databases of well-known programs and plugins of MariaDB, as Debian packages them.

``tests/install-servers`` unpacks them into ``.samples``.

None of them is kept in this repository: they are other people's work, each under the licence in its package.
"""

import gzip
from collections.abc import Mapping, Sequence
from pathlib import Path

FOLDER = Path(__file__).parents[2] / ".samples"

Scripts = Mapping[str, Sequence[str]]

POSTGRESQL: Scripts = {
    "zabbix": [f"zabbix-server-pgsql/{part}.sql.gz" for part in ("schema", "images", "data")],
    "icinga": ["icinga2-ido-pgsql/schema/pgsql.sql"],
    "powerdns": ["pdns-backend-pgsql/schema/schema.pgsql.sql"],
}
"""Name of a sample to its scripts, below ``usr/share`` of the package that the first folder names."""

MARIADB: Scripts = {
    "zabbix": [f"zabbix-server-mysql/{part}.sql.gz" for part in ("schema", "images", "data")],
    "icinga": ["icinga2-ido-mysql/schema/mysql.sql"],
}

MARIADB_PLUGINS = FOLDER / "mariadb-server" / "usr" / "lib" / "mysql" / "plugin"
"""Of the package that starts a server of the machine's own, which is why it is not installed."""


def script(parts: Sequence[str]) -> bytes:
    """The scripts of a sample, one after the other."""
    return b"\n".join(_content(part) for part in parts)


def _content(part: str) -> bytes:
    path = FOLDER / part.partition("/")[0] / "usr" / "share" / part
    assert path.exists(), f"{path} is missing: run tests/install-servers"
    content = path.read_bytes()
    return gzip.decompress(content) if path.suffix == ".gz" else content
